# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose error it is: of a cube whose twin is wrong on one side alone, the figures can be said beforehand."""

import math
from pathlib import Path

import numpy as np
import pytest

from radiance_twin.core.cameras import Camera
from radiance_twin.core.comparison.compare import how_to_show, measure_views
from radiance_twin.core.comparison.error_points import SurfaceError, read_error_points, write_error_points
from radiance_twin.core.comparison.objects import ErrorsOfObjects
from radiance_twin.core.dataset.store import open_dataset
from radiance_twin.core.errors import UserError
from radiance_twin.core.reporting import QuietReporter

from . import painted_cube as scene


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> ErrorsOfObjects:
    """Eight held-out views around the cube, compared with the wrong twin."""
    folder = tmp_path_factory.mktemp("cube")
    (folder / "images").mkdir()
    path = scene.write(folder / "cube.h5", scene.ring([10]), scene.ring(range(0, 360, 45)))
    with open_dataset(path) as dataset:
        errors = ErrorsOfObjects(dataset)
        show = how_to_show(dataset, None)
        measure_views(dataset, scene.wrong_twin, show, folder / "images", errors, QuietReporter())
        errors.points()
    return errors


def test_psnr_of_an_object_is_that_of_its_pixels(measured: ErrorsOfObjects) -> None:
    cube_pixels = plate_pixels = wrong_pixels = 0
    for pose in scene.ring(range(0, 360, 45)):
        right = scene.trace(pose, scene.INTRINSICS, (scene.SIZE, scene.SIZE))
        wrong = scene.wrong_twin(Camera(pose, np.array(scene.INTRINSICS), (scene.SIZE, scene.SIZE)))
        cube_pixels += (right.object_index == scene.CUBE).sum()
        plate_pixels += (right.object_index == scene.PLATE).sum()
        wrong_pixels += (np.abs(wrong - right.rgba).max(axis=-1) > 0.01).sum()
    assert wrong_pixels > 500
    cube, plate = measured.table()
    assert (cube["index"], cube["names"], cube["pixels"], cube["views"]) == (scene.CUBE, ["Cube"], cube_pixels, 8)
    mean_square = wrong_pixels * (scene.WRONG - scene.GREY) ** 2 / cube_pixels
    assert cube["psnr"] == pytest.approx(10 * math.log10(255**2 / mean_square), abs=1e-6)
    # the plate is perfect, and so stands last
    assert (plate["names"], plate["psnr"], plate["pixels"]) == (["Plate"], None, plate_pixels)


def test_points_lie_on_the_surfaces_and_face_the_camera(measured: ErrorsOfObjects) -> None:
    points = measured.points()
    on_cube = points.object_index == scene.CUBE
    assert np.abs(points.position[on_cube]).max(axis=1) == pytest.approx(0.5, abs=1e-6)
    side = points.position[on_cube] * points.normal[on_cube]
    assert side.sum(axis=1) == pytest.approx(0.5, abs=1e-6)


def test_the_error_is_on_the_wrong_side_and_nowhere_else(measured: ErrorsOfObjects) -> None:
    points = measured.points()
    on_cube = points.object_index == scene.CUBE
    error = SurfaceError(points.position[on_cube], points.squared[on_cube], points.spacing)
    grid = np.stack(np.meshgrid(np.linspace(-0.35, 0.35, 9), np.linspace(-0.3, 0.35, 9)), axis=-1).reshape(-1, 2)
    wrong_side = np.insert(grid, 0, 0.5, axis=1)
    expected = ((scene.WRONG - scene.GREY) / 255) ** 2
    assert error.at(wrong_side) == pytest.approx(expected, rel=1e-5)
    for right_side in (np.insert(grid, 0, -0.5, axis=1), np.insert(grid, 1, -0.5, axis=1), np.insert(grid, 2, 0.5, 1)):
        assert error.at(right_side) == pytest.approx(0.0, abs=1e-9)
    # no view sees the cube from below, and there is nothing in the air
    assert np.isnan(error.at([[0.0, 0.0, -0.5], [0.9, 0.9, 0.9], [1e9, 0.0, 0.0], [-1e9, 0.0, 0.0]])).all()


def test_error_between_points_is_their_weighted_mean() -> None:
    # both points lie on corners of the grid: half-way between them is half of either
    error = SurfaceError([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]], [0.2, 0.6], 1.0)
    assert error.at([[0, 0, 0], [0.25, 0, 0], [0.5, 0, 0], [1, 0, 0]]) == pytest.approx([0.2, 0.3, 0.4, 0.6])
    assert np.isnan(SurfaceError(np.zeros((0, 3)), [], 1.0).at([[0, 0, 0]])).all()


def test_points_survive_their_file(measured: ErrorsOfObjects, tmp_path: Path) -> None:
    points = measured.points()
    write_error_points(tmp_path / "errors.npz", points)
    again = read_error_points(tmp_path / "errors.npz")
    assert len(again) == len(points) > 1000
    assert np.array_equal(again.position, points.position) and np.array_equal(again.flip, points.flip)


@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "foreign", "short"])
def test_damaged_points_are_refused(measured: ErrorsOfObjects, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "errors.npz"
    write_error_points(path, measured.points())
    content = path.read_bytes()
    path.unlink()
    if damage == "short":
        names = ("position", "normal", "flip", "squared", "object_index", "footprint")
        np.savez(path, **{name: np.zeros(3) for name in names})
    elif damage != "missing":
        path.write_bytes({"empty": b"", "truncated": content[: len(content) // 2], "foreign": b"GIF89a" * 9}[damage])
    with pytest.raises(UserError, match="compare again"):
        read_error_points(path)


def test_without_depth_and_index_there_are_neither_points_nor_objects(tmp_path: Path) -> None:
    from radiance_twin.core.dataset.contents import ViewPixels
    from radiance_twin.core.dataset.writing import write_dataset

    poses = scene.ring([0, 90])
    path = scene.write(tmp_path / "cube.h5", poses[:1], poses[1:])
    with open_dataset(path) as whole:
        rgba = [whole.rgba(0), whole.rgba(1)]
    from .test_compare import header

    bare = header(
        camera_to_world=np.array(poses),
        intrinsics=np.tile(scene.INTRINSICS, (2, 1)),
        size=np.full((2, 2), scene.SIZE, np.int32),
        frame=np.zeros(2, np.int32),
        splits={"train": [0], "val": [], "test": [1]},
    )
    write_dataset(tmp_path / "bare.h5", bare, [ViewPixels(one) for one in rgba])
    with open_dataset(tmp_path / "bare.h5") as dataset:
        errors = ErrorsOfObjects(dataset)
        picture = np.zeros((scene.SIZE, scene.SIZE, 3), np.uint8)
        errors.add(1, picture, picture, np.zeros((scene.SIZE, scene.SIZE), np.float32))
        assert errors.table() == [] and len(errors.points()) == 0
