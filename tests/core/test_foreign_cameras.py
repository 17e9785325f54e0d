# SPDX-License-Identifier: GPL-3.0-or-later
"""Cameras of other programs' files, which are rendered here without their pictures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from radiance_twin.core.camera_file import camera_words
from radiance_twin.core.dataset.store import open_dataset
from radiance_twin.core.errors import UserError
from radiance_twin.core.export.dataset import DatasetExportSettings, export_dataset
from radiance_twin.core.foreign_cameras import cameras_to_render
from radiance_twin.core.reporting import QuietReporter

from .labelled_dataset import CENTRED, HEIGHT, WIDTH, write

SIZE = (WIDTH, HEIGHT)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("foreign") / "scene.h5", CENTRED)


@pytest.mark.parametrize(
    ("format", "file", "views"),
    [
        ("nerf", "transforms_test.json", [7, 8]),
        ("ngp", "transforms.json", [0, 1, 2, 4, 5, 6]),
        ("nerfstudio", "", [0, 1, 2, 4, 5, 6, 3, 7, 8]),
        ("colmap", "", [0, 1, 2, 4, 5, 6]),
        ("colmap-text", "test", [3, 7, 8]),
    ],
)
def test_poses_come_without_pictures(source: Path, tmp_path: Path, format: str, file: str, views: list[int]) -> None:
    export_dataset(DatasetExportSettings(str(source), str(tmp_path / format), format), QuietReporter())
    for folder in [*(tmp_path / format).rglob("images"), *(tmp_path / format).glob("t[re]*")]:
        shutil.rmtree(folder) if folder.name in ("images", "train") else None
    found = cameras_to_render(str(tmp_path / format / file), SIZE, 5)
    with open_dataset(source) as dataset:
        for one, view in zip(found, views, strict=True):
            assert one.frame == 5 and one.camera.size == SIZE
            assert np.allclose(one.camera.camera_to_world, dataset.camera_to_world[view], atol=1e-12)
            assert np.allclose(one.camera.intrinsics, dataset.intrinsics[view])


def test_a_file_of_our_own_keeps_its_frames_and_reasons(source: Path, tmp_path: Path) -> None:
    with open_dataset(source) as dataset:
        words = {**camera_words(dataset.camera(2)), "frame": 9, "reason": "it errs"}
    (tmp_path / "cameras.json").write_text(json.dumps({"cameras": [words]}))
    [one] = cameras_to_render(str(tmp_path / "cameras.json"), SIZE, 5)
    assert (one.frame, one.reason) == (9, "it errs")


MATRIX = np.eye(4).tolist()
FRAME = {"file_path": "a.png", "transform_matrix": MATRIX}


def test_larger_pictures_of_the_same_shape_are_scaled(tmp_path: Path) -> None:
    words = {"fl_x": 120.0, "w": 2 * WIDTH, "h": 2 * HEIGHT, "frames": [FRAME]}
    (tmp_path / "transforms.json").write_text(json.dumps(words))
    [one] = cameras_to_render(str(tmp_path), SIZE, 1)
    assert np.allclose(one.camera.intrinsics, [60.0, 60.0, WIDTH / 2, HEIGHT / 2])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"fl_x": 60.0, "frames": [{"file_path": "a.png"}]}, "the pose is missing; mend it"),
        ({"fl_x": 60.0, "frames": ["a.png"]}, "is no JSON object; mend it"),
        ({"fl_x": 60.0, "k1": -0.2, "frames": [FRAME]}, "a.png has a distorted lens; undistort the dataset first"),
        ({"fl_x": 60.0, "w": 99, "h": 99, "frames": [FRAME]}, "a.png is 99 x 99 pixels, which is another shape"),
        ({"fl_x": 60.0, "w": "wide", "frames": [FRAME]}, "mend it"),
        ({"frames": []}, "has no list of frames"),
    ],
)
def test_what_cannot_be_rendered_is_one_line(tmp_path: Path, words: dict, message: str) -> None:
    (tmp_path / "transforms.json").write_text(json.dumps(words))
    with pytest.raises(UserError, match=message) as refused:
        cameras_to_render(str(tmp_path / "transforms.json"), SIZE, 1)
    assert "\n" not in str(refused.value)


def test_a_folder_without_cameras_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="transforms.json"):
        cameras_to_render(str(tmp_path), SIZE, 1)
