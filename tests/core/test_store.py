# SPDX-License-Identifier: GPL-3.0-or-later
"""The dataset file: what is written is read back, and what is damaged is named."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from radiance_twin.core import cameras
from radiance_twin.core.cli import main
from radiance_twin.core.colour import lattice, linear_to_srgb, standard_view_transform
from radiance_twin.core.dataset.checksums import ATTRIBUTE, seal_attributes
from radiance_twin.core.dataset.contents import DatasetHeader, ViewPixels
from radiance_twin.core.dataset.digest import dataset_digest
from radiance_twin.core.dataset.store import open_dataset
from radiance_twin.core.dataset.writing import write_dataset
from radiance_twin.core.errors import UserError
from radiance_twin.core.lenses import CameraModel

WIDTH, HEIGHT, VIEWS = 16, 12, 4


def header(**changes: object) -> DatasetHeader:
    made = DatasetHeader(
        camera_to_world=np.stack([cameras.look_at((3.0, index, 1.0), (0.0, 0.0, 0.0)) for index in range(VIEWS)]),
        intrinsics=np.tile([50.0, 50.0, WIDTH / 2, HEIGHT / 2], (VIEWS, 1)),
        size=np.array([[WIDTH, HEIGHT], [WIDTH, HEIGHT], [8, 6], [WIDTH, HEIGHT]], np.int32),
        frame=np.arange(VIEWS, dtype=np.int32),
        splits={"train": [0, 1], "val": [2], "test": [3]},
        world_from_field=np.eye(4),
        bounds=np.array([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]]),
        film="transparent",
        view_transform=standard_view_transform(),
        objects=[{"index": 1, "name": "Cube"}],
    )
    return replace(made, **changes)


def views(seed: int = 0, seconds: float = 1.0) -> list[ViewPixels]:
    random = np.random.default_rng(seed)
    return [
        ViewPixels(
            rgba=random.random((height, width, 4), np.float32),
            depth=random.random((height, width), np.float32),
            normal=random.random((height, width, 3), np.float32),
            object_index=random.integers(0, 9, (height, width)).astype(np.uint16),
            seconds=seconds,
            samples=16,
        )
        for width, height in header().size
    ]


def test_round_trip(tmp_path: Path) -> None:
    pixels = views()
    write_dataset(tmp_path / "a.h5", header(), pixels, noise_floor=(3, pixels[3].rgba))
    with open_dataset(tmp_path / "a.h5") as dataset:
        assert dataset.count == VIEWS and dataset.has_depth and dataset.objects[0]["name"] == "Cube"
        assert dataset.splits["train"].tolist() == [0, 1]
        for index, view in enumerate(pixels):
            np.testing.assert_allclose(dataset.rgba(index), view.rgba, atol=1e-3)
            np.testing.assert_array_equal(dataset.depth(index), view.depth)
            np.testing.assert_array_equal(dataset.object_index(index), view.object_index)
        assert dataset.rgba(2).shape == (6, 8, 4), "a smaller view comes back without its padding"
        assert dataset.noise_floor is not None and dataset.noise_floor[0] == 3
        assert dataset.view_transform.to_metadata() == standard_view_transform().to_metadata()
        colours = np.random.default_rng(3).random((9, 3))
        np.testing.assert_array_equal(dataset.view_transform.apply(colours), standard_view_transform().apply(colours))
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]


def test_a_noise_ladder_that_does_not_fit_is_named(tmp_path: Path) -> None:
    pixels = views()
    rungs = [replace(pixels[3], samples=samples, seconds=0.1 * samples) for samples in (1, 2)]
    write_dataset(tmp_path / "a.h5", header(), pixels, (3, pixels[3].rgba), rungs)
    with open_dataset(tmp_path / "a.h5") as dataset:
        assert [rung.samples for rung in dataset.noise_ladder] == [1, 2]
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file["noise_ladder/seconds"]
        file["noise_ladder/seconds"] = np.array([0.1])
    with open_dataset(tmp_path / "a.h5") as dataset, pytest.raises(UserError, match="noise ladder"):
        _ = dataset.noise_ladder


def test_infinity_and_nan_do_not_get_in(tmp_path: Path) -> None:
    pixels = views()
    pixels[0].rgba[0, 0] = np.inf
    pixels[0].rgba[0, 1] = np.nan
    write_dataset(tmp_path / "a.h5", header(), pixels)
    with open_dataset(tmp_path / "a.h5") as dataset:
        assert dataset.rgba(0)[0, 0].tolist() == [65504.0] * 4 and dataset.rgba(0)[0, 1].tolist() == [0.0] * 4


def test_names_that_are_no_text_or_that_a_terminal_has_no_letters_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # what Python makes of a file's name in bytes that are no UTF-8
    made = header(scene_name="caf\udce9", objects=[{"index": 1, "name": "Räder"}])
    write_dataset(tmp_path / "a.h5", made, views())
    with open_dataset(tmp_path / "a.h5") as dataset:
        assert dataset.scene_name == "caf?" and dataset.objects[0]["name"] == "Räder"
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    monkeypatch.setattr("sys.stdout", terminal)
    assert main(["info", str(tmp_path / "a.h5")]) == 0
    assert b"R\\xe4der" in terminal.buffer.getvalue()


def test_digest_ignores_seconds_and_nothing_else(tmp_path: Path) -> None:
    write_dataset(tmp_path / "a.h5", header(), views())
    write_dataset(tmp_path / "slow.h5", header(), views(seconds=99.0))
    write_dataset(tmp_path / "pixels.h5", header(), views(seed=1))
    write_dataset(tmp_path / "camera.h5", header(intrinsics=header().intrinsics + 1e-9), views())
    write_dataset(tmp_path / "name.h5", header(scene_name="other"), views())
    digests = {path.stem: dataset_digest(path) for path in tmp_path.iterdir()}
    assert digests["a"] == digests["slow"]
    assert len(set(digests.values())) == 4


def test_header_and_views_must_fit(tmp_path: Path) -> None:
    for wrong in (views()[:3], [*views(), views()[0]], views()[::-1]):
        with pytest.raises(ValueError):
            write_dataset(tmp_path / "a.h5", header(), wrong)
    assert list(tmp_path.iterdir()) == [], "nothing half-written is left"


def test_files_that_are_no_datasets(tmp_path: Path) -> None:
    write_dataset(tmp_path / "good.h5", header(), views())
    good = (tmp_path / "good.h5").read_bytes()
    (tmp_path / "empty.h5").touch()
    (tmp_path / "cut.h5").write_bytes(good[: len(good) // 2])
    (tmp_path / "text.h5").write_text("hello")
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["x"] = 1
    complaints = {
        "nowhere.h5": "does not exist",
        "empty.h5": "is empty",
        "cut.h5": "not a complete",
        "text.h5": "not a complete",
        "foreign.h5": "another kind",
    }
    for name, complaint in complaints.items():
        with pytest.raises(UserError, match=complaint):
            open_dataset(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cameras/intrinsics", np.full((VIEWS, 4), np.nan)),
        ("cameras/size", np.zeros((VIEWS, 2), np.int32)),
        ("splits/test", np.array([0])),
        ("splits/val", np.array([99])),
        ("view_transform/stage_01", np.zeros((2, 2, 2))),
    ],
)
def test_damaged_contents_are_named(tmp_path: Path, name: str, value: np.ndarray) -> None:
    write_dataset(tmp_path / "a.h5", header(), views())
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        attributes = dict(file[name].attrs)
        del file[name]
        file[name] = value
        file[name].attrs.update(attributes)
        seal_attributes(file)
    with pytest.raises(UserError, match="damaged"):
        open_dataset(tmp_path / "a.h5")


def test_lenses_are_kept(tmp_path: Path) -> None:
    distortion = np.random.default_rng(0).normal(size=(VIEWS, 6)) * 0.01
    write_dataset(tmp_path / "a.h5", header(camera_kind="fisheye", distortion=distortion), views())
    write_dataset(tmp_path / "b.h5", header(), views())
    with open_dataset(tmp_path / "a.h5") as dataset:
        assert dataset.camera(2).model == CameraModel("fisheye", tuple(distortion[2]))
        assert dataset.camera(2).size == (8, 6) and not dataset.all_pinholes
    with open_dataset(tmp_path / "b.h5") as dataset:
        assert dataset.camera(2).model == CameraModel() and dataset.all_pinholes


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda cameras: cameras["distortion"].write_direct(np.full((VIEWS, 6), np.nan)), "damaged .distortion"),
        (lambda cameras: cameras.attrs.update(model="lomography"), "unknown kind of camera 'lomography'; update"),
    ],
)
def test_a_lens_that_makes_no_sense_is_refused(tmp_path: Path, spoil: Callable[[h5py.Group], None], words: str) -> None:
    write_dataset(tmp_path / "a.h5", header(), views())
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        spoil(file["cameras"])
        seal_attributes(file)
    with pytest.raises(UserError, match=words):
        open_dataset(tmp_path / "a.h5")


def test_a_dataset_of_the_first_version_still_opens(tmp_path: Path) -> None:
    """Its view transform is one table, logarithmic between two stops."""
    write_dataset(tmp_path / "a.h5", header(), views())
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file.attrs["version"] = 1
        del file["view_transform"]
        group = file.create_group("view_transform")
        group["lut"] = linear_to_srgb(lattice(-10.0, 6.0))
        group.attrs.update(display="sRGB", view="Standard", look="None", exposure=0.0, gamma=1.0)
        group.attrs.update(shaper_min=-10.0, shaper_max=6.0)
        del file.attrs[ATTRIBUTE]
    with open_dataset(tmp_path / "a.h5") as dataset:
        shown = dataset.view_transform.apply([[0.2, 0.5, 0.9]])
    assert shown[0] == pytest.approx(linear_to_srgb([0.2, 0.5, 0.9]), abs=1e-3)
