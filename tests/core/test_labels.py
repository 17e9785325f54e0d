# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels and further passes of a dataset: written, read back, counted in the digest, and joined."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from pycocotools import mask as run_lengths

from radiance_twin.core import cameras
from radiance_twin.core.colour import standard_view_transform
from radiance_twin.core.dataset.checksums import ATTRIBUTE, seal_attributes
from radiance_twin.core.dataset.contents import DatasetHeader, ViewPixels
from radiance_twin.core.dataset.digest import dataset_digest
from radiance_twin.core.dataset.joining import join_views
from radiance_twin.core.dataset.labels import HIDDEN, SEEN, ObjectLabels, no_labels
from radiance_twin.core.dataset.run_lengths import mask_of, runs_of
from radiance_twin.core.dataset.store import open_dataset
from radiance_twin.core.dataset.writing import write_dataset
from radiance_twin.core.errors import UserError
from radiance_twin.core.passes import PASSES
from radiance_twin.core.reporting import QuietReporter

WIDTH, HEIGHT, VIEWS = 8, 6, 3
BOX = [[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]]
OBJECTS = [
    {"index": 1, "name": "Chair.001", "bounds": BOX, "local_bounds": BOX, "class": "chair"},
    {"index": 4, "name": "Lamp", "bounds": BOX, "local_bounds": BOX, "class": "lamp"},
]


def header() -> DatasetHeader:
    return DatasetHeader(
        camera_to_world=np.stack([cameras.look_at((3.0, index, 1.0), (0.0, 0.0, 0.0)) for index in range(VIEWS)]),
        intrinsics=np.tile([10.0, 10.0, WIDTH / 2, HEIGHT / 2], (VIEWS, 1)),
        size=np.tile(np.array([WIDTH, HEIGHT], np.int32), (VIEWS, 1)),
        frame=np.arange(VIEWS, dtype=np.int32),
        splits={"train": [0, 1], "val": [], "test": [2]},
        world_from_field=np.eye(4),
        bounds=np.array(BOX),
        film="transparent",
        view_transform=standard_view_transform(),
        objects=OBJECTS,
        classes=[{"index": 1, "name": "chair"}, {"index": 2, "name": "lamp"}],
        materials=[{"index": 1, "name": "Wood"}],
    )


WHOLE = np.zeros((HEIGHT, WIDTH), np.bool_)
WHOLE[1:5, 1:5] = True


def view(seed: int) -> ViewPixels:
    random = np.random.default_rng(seed)
    pixels = random.random((HEIGHT, WIDTH, 4), np.float32)
    return ViewPixels(
        pixels,
        object_index=random.integers(0, 9, (HEIGHT, WIDTH)).astype(np.uint16),
        further={
            "class_index": random.integers(0, 3, (HEIGHT, WIDTH)).astype(np.uint16),
            "flow_forward": random.normal(0.0, 9.0, (HEIGHT, WIDTH, 2)).astype(np.float32),
            "albedo": pixels[..., :3],
        },
    )


def labels() -> ObjectLabels:
    made = no_labels(VIEWS, 2, [{"name": "tip", "object": 1}])
    made.object_to_world[:, 0] = np.diag([2.0, 2.0, 2.0, 1.0])
    made.visible_pixels[:, 0], made.amodal_pixels[:, 0] = 12, 16
    made.visible_box[:, 0], made.amodal_box[:, 0] = (1, 1, 5, 4), (1, 1, 5, 5)
    made.keypoints[:], made.keypoint_state[:, 0] = 0.5, (SEEN, HIDDEN, SEEN)
    assert made.amodal_masks is not None
    made.amodal_masks[1][0] = runs_of(WHOLE)
    return made


def write(path: Path, known: ObjectLabels | None) -> Path:
    write_dataset(path, header(), map(view, range(VIEWS)), labels=known)
    return path


def test_labels_and_passes_come_back(tmp_path: Path) -> None:
    with open_dataset(write(tmp_path / "a.h5", labels())) as dataset:
        assert dataset.objects[0]["class"] == "chair" and dataset.objects[1]["local_bounds"] == BOX
        assert [entry["name"] for entry in dataset.classes] == ["chair", "lamp"]
        assert dataset.materials == [{"index": 1, "name": "Wood"}]
        known = dataset.labels
        assert known is not None and known.keypoint_table == [{"name": "tip", "object": 1}]
        np.testing.assert_array_equal(known.object_to_world, labels().object_to_world)
        np.testing.assert_array_equal(known.visible_box, labels().visible_box)
        np.testing.assert_array_equal(known.keypoint_state[:, 0], [SEEN, HIDDEN, SEEN])
        assert known.visible_fraction[0, 0] == 0.75 and np.isnan(known.visible_fraction[0, 1])
        assert dataset.passes == ["albedo", "class_index", "flow_forward", "object_index", "rgba"]
        for name, pixels in view(1).further.items():
            np.testing.assert_array_equal(dataset.pixels(name, 1), pixels.astype(PASSES[name].dtype))
        assert dataset.pixels("position", 0).shape == (HEIGHT, WIDTH, 3) and not dataset.pixels("position", 0).any()


def test_whole_masks_come_back_where_something_hides_a_part(tmp_path: Path) -> None:
    with open_dataset(write(tmp_path / "a.h5", labels())) as dataset:
        np.testing.assert_array_equal(dataset.amodal_mask(1, 0), WHOLE)
        np.testing.assert_array_equal(dataset.amodal_mask(0, 0), dataset.object_index(0) == 1)
        assert dataset.amodal_mask(0, 1) is None, "nobody knows what would be seen of it"


@pytest.mark.parametrize("seed", range(4))
def test_runs_are_those_of_coco(seed: int) -> None:
    mask = np.random.default_rng(seed).random((7, 5)) < (0.0, 0.3, 0.7, 1.0)[seed]
    runs = runs_of(mask)
    theirs = run_lengths.frPyObjects({"size": [7, 5], "counts": runs.tolist()}, 7, 5)
    np.testing.assert_array_equal(run_lengths.decode(theirs), mask)
    np.testing.assert_array_equal(mask_of(runs, (5, 7)), mask)


def test_a_dataset_of_before_masks_were_kept(tmp_path: Path) -> None:
    with open_dataset(write(tmp_path / "a.h5", replace(labels(), amodal_masks=None))) as dataset:
        assert dataset.labels is not None and dataset.labels.amodal_masks is None
        assert dataset.amodal_mask(1, 0) is None
    join_views(tmp_path / "a.h5", write(tmp_path / "b.h5", labels()), [""] * VIEWS, QuietReporter())
    with open_dataset(tmp_path / "a.h5") as dataset:
        assert dataset.amodal_mask(4, 0) is None, "of a dataset, all views have masks or none"


def test_masks_that_do_not_fit(tmp_path: Path) -> None:
    for place, wrong, complaint in (("runs", 10**6, "another size"), ("run_counts", -1, "labels: runs of masks")):
        with h5py.File(write(tmp_path / "a.h5", labels()), "r+") as file:
            array = file[f"labels/amodal_{place}"]
            array[(0,) * array.ndim] = wrong
        with open_dataset(tmp_path / "a.h5") as dataset, pytest.raises(UserError, match=complaint):
            dataset.amodal_mask(1, 0)


def test_a_dataset_without_labels_says_so(tmp_path: Path) -> None:
    with h5py.File(write(tmp_path / "a.h5", None), "r+") as file:
        file.attrs["version"] = 2
        del file["objects"].attrs["classes"], file["objects"].attrs["materials"], file.attrs[ATTRIBUTE]
    with open_dataset(tmp_path / "a.h5") as dataset:
        assert dataset.labels is None and dataset.classes == [] and dataset.materials == []


def test_a_scene_without_keypoints(tmp_path: Path) -> None:
    with open_dataset(write(tmp_path / "a.h5", no_labels(VIEWS, 2, []))) as dataset:
        assert dataset.labels is not None and dataset.labels.keypoints.shape == (VIEWS, 0, 3)


def test_the_digest_covers_labels(tmp_path: Path) -> None:
    other = labels()
    other.keypoint_state[0, 0] = HIDDEN
    masked = labels()
    masked.amodal_masks[2][0] = runs_of(WHOLE)
    kinds = {"all": labels(), "state": other, "masks": masked, "none": None}
    assert len({dataset_digest(write(tmp_path / f"{name}.h5", known)) for name, known in kinds.items()}) == 4


def test_labels_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="visible_box"):
        write(tmp_path / "a.h5", replace(labels(), visible_box=np.zeros((VIEWS, 3, 4), np.float32)))
    with h5py.File(write(tmp_path / "a.h5", labels()), "r+") as file:
        file["labels"].attrs["keypoints"] = '[{"name": "tip", "object": 7}]'
        seal_attributes(file)
    with open_dataset(tmp_path / "a.h5") as dataset, pytest.raises(UserError, match="labels do not fit"):
        _ = dataset.labels


def test_a_dataset_that_grows_keeps_its_labels(tmp_path: Path) -> None:
    more = labels()
    more.visible_pixels[:, 1] = 5
    base, second = write(tmp_path / "a.h5", labels()), write(tmp_path / "b.h5", more)
    join_views(base, second, [""] * VIEWS, QuietReporter())
    with open_dataset(base) as dataset:
        assert dataset.labels is not None and dataset.labels.keypoint_table == labels().keypoint_table
        assert dataset.labels.visible_pixels[:, 1].tolist() == [0, 0, 0, 5, 5, 5]
        assert [sorted(of_view) for of_view in dataset.labels.amodal_masks] == [[], [0], [], [], [0], []]
        np.testing.assert_array_equal(dataset.pixels("flow_forward", 4), view(1).further["flow_forward"])
        assert dataset.classes == header().classes
    with pytest.raises(UserError, match=r"changed since .* \(labels\)"):
        join_views(base, write(tmp_path / "c.h5", None), [""] * VIEWS, QuietReporter())
