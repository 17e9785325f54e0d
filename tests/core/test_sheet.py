# SPDX-License-Identifier: GPL-3.0-or-later
"""A dataset looked at: the numbers of a scene that is known, and a page that stands alone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from radiance_twin.core.cameras import Camera, look_at, pixel_grid
from radiance_twin.core.dataset.labels import OUTSIDE, SEEN
from radiance_twin.core.dataset.store import Dataset, open_dataset
from radiance_twin.core.errors import Cancelled, UsageError
from radiance_twin.core.reporting import QuietReporter
from radiance_twin.core.sheet.further import flow_picture, labels_picture
from radiance_twin.core.sheet.pictures import colour_of, depth_picture, normal_picture, objects_picture
from radiance_twin.core.sheet.sheet import SheetSettings, make_sheet, some_views
from radiance_twin.core.sheet.statistics import Coverage, statistics

from .analytic_scene import cameras
from .labelled_dataset import CENTRED, HEIGHT, WIDTH, write

TIMES = 4  # a view of 48 x 36 pixels is enlarged so often


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("sheet") / "scene.h5", CENTRED)


def counted(dataset: Dataset) -> dict[str, Any]:
    return statistics(dataset, iter(range(dataset.count)))


def test_objects_are_counted_by_what_is_seen_of_them(path: Path) -> None:
    with open_dataset(path) as dataset:
        result = counted(dataset)
        ball = next(one for one in result["objects"] if one["name"] == "Ball.001")
        seen = [int((dataset.object_index(index) == 3).sum()) for index in range(9)]
        assert ball["class"] == "Ball" and ball["views"] == sum(count > 0 for count in seen)
        assert ball["pixels"] == {"least": min(seen), "median": float(np.median(seen)), "most": max(seen)}
        assert result["classes"]["Ball"] == ball["views"]
        covered = [float((dataset.object_index(index) > 0).mean()) for index in range(9)]
        assert result["frame"]["covered"]["most"] == pytest.approx(max(covered))


def test_poses_are_measured_from_the_centre(path: Path) -> None:
    with open_dataset(path) as dataset:
        poses = counted(dataset)["poses"]
        centre = dataset.bounds.mean(axis=0)
        ways = np.array([matrix[:3, 3] - centre for matrix in cameras(9, 0.3)])
        assert poses["distance"]["most"] == pytest.approx(np.linalg.norm(ways, axis=1).max())
        ways /= np.linalg.norm(ways, axis=1, keepdims=True)
        to_first = [np.degrees(np.arccos(ways[7] @ ways[index])) for index in (0, 1, 2, 4, 5, 6)]
        assert poses["test_to_train"]["least"] <= min(to_first) + 1e-6
        assert poses["twins"] == []


def test_coverage_knows_what_one_view_more_sees(path: Path) -> None:
    with open_dataset(path) as dataset:
        before = counted(dataset)["coverage"]
        assert before["never"] + before["once"] + before["few"] + before["more"] == pytest.approx(1.0)
        dataset.splits["train"] = np.array([0])
        alone = counted(dataset)["coverage"]
        # the same places, and nothing that a second view could have confirmed
        assert alone["places"] == before["places"]
        assert alone["few"] == alone["more"] == 0.0 and alone["once"] > 0.1
        dataset.splits["train"] = np.arange(9)
        assert counted(dataset)["coverage"]["never"] == 0.0


def test_places_do_not_lie_between_the_pixels_of_a_view_that_sees_them() -> None:
    """A floor of 8 x 8 in pictures whose pixels are wider than 1/64 of it: both cameras see all of it."""
    floor = np.array([[-4.0, -4.0, 0.0], [4.0, 4.0, 1.0]])
    poses = np.array([look_at((x, -18.0, 14.0), (0.0, 0.0, 0.0)) for x in (0.0, 3.0)])
    views = [Camera(pose, np.array([133.0, 133.0, 48.0, 36.0]), (96, 72)) for pose in poses]
    lenses = np.array([camera.intrinsics for camera in views])
    coverage = Coverage(
        SimpleNamespace(bounds=floor, camera_to_world=poses, intrinsics=lenses, camera=views.__getitem__)  # type: ignore[arg-type]
    )
    for number, camera in enumerate(views):
        grid = pixel_grid(*camera.size)
        ways = camera.ray_directions(grid)
        distance = -camera.camera_to_world[2, 3] / ways[..., 2]
        places = camera.camera_to_world[:3, 3] + distance[..., None] * ways
        seen = (distance > 0.0) & (np.abs(places[..., :2]) < 4.0).all(axis=-1)
        depth = np.where(seen, distance / camera.distance_over_depth(grid), 0.0).astype(np.float32)
        coverage.add(number, depth, train=number == 0)
    found = coverage.result()
    assert found["never"] < 0.02 and found["places"] > 100


def test_what_should_be_looked_at_is_said(tmp_path: Path) -> None:
    with open_dataset(write(tmp_path / "plain.h5", CENTRED, labelled=False)) as dataset:
        dataset.splits["train"] = np.array([0])
        # a second camera where the first one stands
        dataset.camera_to_world[5] = dataset.camera_to_world[2]
        dataset.objects.append({"index": 9, "name": "Ghost"})
        remarks = " ".join(counted(dataset)["remarks"])
    assert "Ghost is seen by no view." in remarks
    assert "1 pairs of views look the same way from one place, for example 2 and 5." in remarks
    assert "of the surfaces that held-out views show are seen by no training view; add views." in remarks


def test_pictures_say_what_they_mean() -> None:
    depth = np.array([[0.0, 1.0, 3.0]], np.float32)
    nothing, near, far = np.asarray(depth_picture(depth, 1.0, 3.0))[0].astype(int)
    assert nothing.sum() == 0 and near.sum() > far.sum() > 0
    up = normal_picture(np.array([[[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]], np.float32))
    assert np.asarray(up).tolist() == [[[128, 128, 255], [0, 0, 0]]]
    assert len({colour_of(index) for index in range(1, 40)}) == 39


def test_boxes_are_drawn_around_what_is_seen(path: Path) -> None:
    with open_dataset(path) as dataset:
        picture = np.asarray(objects_picture(dataset, 0, ["Ball", 'Slab "old": 1']))
        rows, columns = np.nonzero(dataset.object_index(0).repeat(TIMES, axis=0).repeat(TIMES, axis=1) == 3)
    # names are lettered into what is enlarged already: in 48 x 36 pixels they would lie over each other
    assert picture.shape == (TIMES * HEIGHT, TIMES * WIDTH, 3)
    assert picture[rows.min(), columns.min()].tolist() == list(colour_of(3))
    assert picture[rows.min(), columns.max()].tolist() == list(colour_of(3))


def test_flow_points_by_its_hue() -> None:
    right, left, still = np.asarray(flow_picture(np.array([[[4, 0], [-4, 0], [0, 0]]], np.float32), 4.0))[0].astype(int)
    assert right[0] > 200 > 100 > max(right[1:]) and left[0] < 100 < 200 < min(left[1:]) and not still.any()


def test_keypoints_and_boxes_in_space_are_drawn_where_they_project(path: Path) -> None:
    with open_dataset(path) as dataset:
        labels, dark = dataset.labels, Image.new("RGB", (WIDTH, HEIGHT))
        assert labels is not None
        labels.keypoints[0, 0], labels.keypoint_state[0] = dataset.bounds.mean(axis=0), OUTSIDE
        labels.keypoint_state[0, 0] = SEEN
        (u, v), _ = (TIMES * values[0] for values in dataset.camera(0).project(labels.keypoints[0, :1]))
        picture = np.asarray(labels_picture(dataset, labels, 0, dark))
        assert picture[int(v), int(u)].tolist() == [255, 255, 255]
        boxed = [place for place in range(2) if labels.amodal_pixels[0, place]]
        corner = labels.object_to_world[0, boxed[0]] @ [*dataset.objects[boxed[0]]["local_bounds"][1], 1.0]
        (u, v), _ = (TIMES * values[0] for values in dataset.camera(0).project(corner[None, :3]))
        around = picture[max(int(v) - 1, 0) : int(v) + 2, max(int(u) - 1, 0) : int(u) + 2].reshape(-1, 3).tolist()
        assert list(colour_of(dataset.objects[boxed[0]]["index"])) in around


def test_the_sheet_shows_views_of_every_split(path: Path, tmp_path: Path) -> None:
    with open_dataset(path) as dataset:
        assert some_views(dataset, 4) == [("train", 0), ("train", 2), ("train", 6), ("val", 3), ("test", 7)]
    result = make_sheet(SheetSettings(str(path), str(tmp_path / "sheet"), views=4), QuietReporter())
    assert json.loads((tmp_path / "sheet" / "statistics.json").read_text())["views"] == {
        "train": 6,
        "val": 1,
        "test": 2,
    }
    with Image.open(tmp_path / "sheet" / "sheet.png") as sheet:
        # small views are enlarged by whole numbers: 48 x 36 fits four times into a tile of 200
        assert sheet.width > 5 * 4 * WIDTH and sheet.height > 5 * 4 * HEIGHT
    page = Path(result["page"]).read_text()
    assert "Slab &quot;old&quot;: 1" in page and not re.search(r"@[A-Z]+@", page)
    assert not re.search(r"""(src|href)=["'](?!data:)""", page)


def test_refusals_leave_nothing(path: Path, tmp_path: Path) -> None:
    class Impatient(QuietReporter):
        def cancelled(self) -> bool:
            return True

    with pytest.raises(UsageError, match="--views is 0; it must be between 1 and"):
        make_sheet(SheetSettings(str(path), str(tmp_path / "a"), views=0), QuietReporter())
    with pytest.raises(Cancelled):
        make_sheet(SheetSettings(str(path), str(tmp_path / "b")), Impatient())
    assert list(tmp_path.iterdir()) == []


def test_straight_down_is_in_the_middle_of_the_plot(path: Path, tmp_path: Path) -> None:
    from radiance_twin.core.sheet.page import DOME, _cameras

    with open_dataset(path) as dataset:
        centre = dataset.bounds.mean(axis=0)
        dataset.camera_to_world[7] = look_at(centre + np.array([0.0, 0.0, 2.0]), centre)
        way = counted(dataset)["poses"]["directions"]["test"][0]
    assert f'<circle class="test" cx="{20 + DOME:.1f}" cy="{DOME + 12:.1f}" r="4"/>' in _cameras({"test": [way]})
