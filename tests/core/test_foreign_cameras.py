# SPDX-License-Identifier: GPL-3.0-or-later
"""Cameras of other programs' files, which are rendered here without their pictures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from radiance_twin.core.camera_file import PosedCamera, camera_words
from radiance_twin.core.cameras import Camera
from radiance_twin.core.dataset.store import open_dataset
from radiance_twin.core.errors import UserError
from radiance_twin.core.export.dataset import DatasetExportSettings, export_dataset
from radiance_twin.core.foreign_cameras import cameras_to_render, splits_of_cameras
from radiance_twin.core.lenses import CameraModel
from radiance_twin.core.reporting import QuietReporter

from .labelled_dataset import CENTRED, HEIGHT, SHIFTED, WIDTH, write

SIZE = (WIDTH, HEIGHT)
TRAIN = [0, 1, 2, 4, 5, 6]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("foreign") / "scene.h5", CENTRED)


@pytest.mark.parametrize(
    ("format", "file", "views"),
    [
        ("nerf", "transforms_test.json", [7, 8]),
        ("nerf", "", [*TRAIN, 3, 7, 8]),
        ("ngp", "transforms.json", TRAIN),
        ("nerfstudio", "", [*TRAIN, 3, 7, 8]),
        ("colmap", "", [*TRAIN, 3, 7, 8]),
        ("colmap-text", "test", [3, 7, 8]),
    ],
)
def test_poses_come_without_pictures(source: Path, tmp_path: Path, format: str, file: str, views: list[int]) -> None:
    export_dataset(DatasetExportSettings(str(source), str(tmp_path / format), format), QuietReporter())
    for folder in [*(tmp_path / format).rglob("images"), *(tmp_path / format).glob("t[re]*")]:
        shutil.rmtree(folder) if folder.name in ("images", "train") else None
    found = cameras_to_render(str(tmp_path / format / file), SIZE)
    with open_dataset(source) as dataset:
        for one, view in zip(found, views, strict=True):
            assert one.frame is None and one.camera.size == SIZE
            if len(views) == 9:
                held_out = "val" if view == 3 and format != "colmap" else "test"  # COLMAP knows no val views
                assert one.split == ("train" if view in TRAIN else held_out)
            assert np.allclose(one.camera.camera_to_world, dataset.camera_to_world[view], atol=1e-12)
            assert np.allclose(one.camera.intrinsics, dataset.intrinsics[view])


def test_splits_are_lists_of_files_however_their_names_are_written(source: Path, tmp_path: Path) -> None:
    export_dataset(DatasetExportSettings(str(source), str(tmp_path / "set"), "nerfstudio"), QuietReporter())
    path = tmp_path / "set" / "transforms.json"
    words = json.loads(path.read_text())
    for frame in words["frames"]:
        frame["file_path"] = f"./{frame['file_path']}"
    path.write_text(json.dumps(words))
    splits = [one.split for one in cameras_to_render(str(path), SIZE)]
    assert [splits.count(split) for split in ("train", "val", "test")] == [6, 1, 2]


def test_a_file_of_our_own_keeps_its_frames_and_reasons(source: Path, tmp_path: Path) -> None:
    with open_dataset(source) as dataset:
        words = {**camera_words(dataset.camera(2)), "frame": 9, "reason": "it errs"}
    (tmp_path / "cameras.json").write_text(json.dumps({"cameras": [words]}))
    [one] = cameras_to_render(str(tmp_path / "cameras.json"), SIZE)
    assert (one.frame, one.reason) == (9, "it errs")


def test_a_mark_that_windows_puts_before_a_text_is_none_of_it(source: Path, tmp_path: Path) -> None:
    with open_dataset(source) as dataset:
        ours = {"cameras": [camera_words(dataset.camera(2))]}
    theirs = {"fl_x": 60.0, "w": WIDTH, "h": HEIGHT, "frames": [FRAME]}
    for name, words in (("cameras.json", ours), ("transforms.json", theirs)):
        (tmp_path / name).write_text(json.dumps(words), encoding="utf-8-sig")
        assert len(cameras_to_render(str(tmp_path / name), SIZE)) == 1


MATRIX = np.eye(4).tolist()
FRAME = {"file_path": "a.png", "transform_matrix": MATRIX}


def test_larger_pictures_of_the_same_shape_are_scaled(tmp_path: Path) -> None:
    words = {"fl_x": 120.0, "w": 2 * WIDTH, "h": 2 * HEIGHT, "frames": [FRAME]}
    (tmp_path / "transforms.json").write_text(json.dumps(words))
    [one] = cameras_to_render(str(tmp_path), SIZE)
    assert np.allclose(one.camera.intrinsics, [60.0, 60.0, WIDTH / 2, HEIGHT / 2])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"fl_x": 60.0, "frames": [{"file_path": "a.png"}]}, "the pose is missing; mend it"),
        ({"fl_x": 60.0, "frames": ["a.png"]}, "is no JSON object; mend it"),
        ({"fl_x": 60.0, "k4": -0.2, "frames": [FRAME]}, "a.png: k4 of a perspective lens .* undistort it first"),
        ({"fl_x": 60.0, "is_equirectangular": True, "frames": [FRAME]}, "use perspective images"),
        ({"fl_x": 60.0, "w": 99, "h": 99, "frames": [FRAME]}, "a.png is 99 x 99 pixels, which is another shape"),
        ({"fl_x": 60.0, "w": "wide", "frames": [FRAME]}, "mend it"),
        ({"frames": []}, "has no list of frames"),
    ],
)
def test_what_cannot_be_rendered_is_one_line(tmp_path: Path, words: dict, message: str) -> None:
    (tmp_path / "transforms.json").write_text(json.dumps(words))
    with pytest.raises(UserError, match=message) as refused:
        cameras_to_render(str(tmp_path / "transforms.json"), SIZE)
    assert "\n" not in str(refused.value)


BENT = (-0.2, 0.05, 0.001, -0.002, 0.0, 0.0)


@pytest.mark.parametrize("format", ["nerfstudio", "colmap", "colmap-text"])
@pytest.mark.parametrize(
    "model", [CameraModel("opencv", BENT), CameraModel("fisheye", (0.05, -0.01, 0.0, 0.0, 0.002, 0.0))]
)
def test_lenses_come_with_the_poses(tmp_path: Path, format: str, model: CameraModel) -> None:
    source = write(tmp_path / "bent.h5", SHIFTED, model=model)
    export_dataset(DatasetExportSettings(str(source), str(tmp_path / format), format), QuietReporter())
    for one in cameras_to_render(str(tmp_path / format), None):
        assert one.camera.model.kind == model.kind and one.camera.size == SIZE
        assert np.allclose(one.camera.model.distortion, model.distortion, atol=1e-12)
        assert np.allclose(one.camera.intrinsics, SHIFTED, atol=1e-9)


def test_a_lens_with_more_coefficients_than_can_be_rendered_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cameras.txt").write_text("1 FULL_OPENCV 64 48 60 60 32 24 0.1 0 0 0 0 0 0.2 0\n")
    (tmp_path / "images.txt").write_text("1 1 0 0 0 0 0 3 1 a.png\n\n")
    with pytest.raises(UserError, match=r"a.png: its lens has k5 or k6, .*; undistort the dataset first$"):
        cameras_to_render(str(tmp_path), None)


def test_the_size_is_that_of_the_file_and_has_to_be_one(tmp_path: Path) -> None:
    path = tmp_path / "transforms.json"
    words = {"fl_x": 60.0, "frames": [{**FRAME, "w": 40, "h": 30}, {**FRAME, "w": 80, "h": 60}]}
    path.write_text(json.dumps(words))
    with pytest.raises(UserError, match=r"different sizes \(40 x 30 and 80 x 60\).* --resolution"):
        cameras_to_render(str(path), None)
    assert {one.camera.size for one in cameras_to_render(str(path), (20, 15))} == {(20, 15)}
    path.write_text(json.dumps({"camera_angle_x": 0.7, "frames": [FRAME]}))
    with pytest.raises(UserError, match="size of its picture .* is not stated; name it by --resolution"):
        cameras_to_render(str(path), None)
    assert cameras_to_render(str(path), (20, 15))[0].camera.intrinsics[0] == pytest.approx(10.0 / np.tan(0.35))


def test_who_names_no_splits_has_those_held_out_that_stand_farthest_apart() -> None:
    matrices = np.tile(np.eye(4), (12, 1, 1))
    matrices[:, 0, 3] = np.arange(12.0)
    given = [PosedCamera(Camera(matrix, SHIFTED, SIZE)) for matrix in matrices]
    splits = splits_of_cameras(given, val_views=4, test_views=2)
    assert {split: len(indices) for split, indices in splits.items()} == {"train": 9, "val": 1, "test": 2}
    assert splits["test"] == [5, 11], "the middle one and the farthest from it"
    assert sorted(index for indices in splits.values() for index in indices) == list(range(12))
    # of few, few are held out
    assert {name: len(indices) for name, indices in splits_of_cameras(given[:5], 4, 12).items()}["test"] == 1


def test_a_folder_without_cameras_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="transforms.json"):
        cameras_to_render(str(tmp_path), SIZE)
