# SPDX-License-Identifier: GPL-3.0-or-later
"""A dataset leaves in another program's format, and the scene is rendered again from the poses that are in it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radiance_twin.addon.studio.render import render_views
from radiance_twin.core.dataset import staging
from radiance_twin.core.dataset.packing import pack
from radiance_twin.core.dataset.store import open_dataset
from radiance_twin.core.export.dataset import DatasetExportSettings, export_dataset
from radiance_twin.core.reporting import QuietReporter

from ..addon.scenes import add_ball, add_box, add_camera, new_scene, request, save

VIEWS = {"views": 5, "val_views": 1, "test_views": 2, "samples": 2, "reference_samples": 4, "film": "transparent"}
BENT = [-0.2, 0.05, 0.004, -0.003, 0.01, 0.02]
LENSES: dict[str, dict[str, Any]] = {
    "pinhole": {},
    "bent": {"distortion": BENT},
    "fisheye": {"camera_model": "fisheye", "fisheye_fov": 360.0, "distortion": [0.06, -0.01, 0.0, 0.0, 0.002, 0.0]},
}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ball on a floor, seen by a lens whose middle is not that of the picture."""
    new_scene()
    add_box("Floor", (4, 4, 0.1), (0, 0, -0.5))
    add_ball("Ball", 0.5, (0.2, 0, 0.1))
    add_camera((4, 0, 1), (0, 0, 0), lens=35.0, shift_x=0.05, shift_y=-0.03)
    return save(tmp_path_factory.mktemp("scene") / "ball.blend")


def rendered(scene: Path, output: Path, **settings: Any) -> Path:
    """Render in this process, and pack."""
    folder = output.with_suffix(".views")
    render_views(request(scene, folder, **{**VIEWS, "resolution": [36, 24], **settings}), QuietReporter())
    pack(folder, staging.read_plan(folder), output, QuietReporter())
    return output


def export(dataset: Path, folder: Path, format: str) -> str:
    """Only the poses of an exported dataset: its pictures are not needed."""
    export_dataset(DatasetExportSettings(str(dataset), str(folder), format), QuietReporter())
    for name in ("images", "depths", "masks", "test/images"):
        shutil.rmtree(folder / name, ignore_errors=True)
    return str(folder)


@pytest.mark.parametrize(
    ("lens", "format"),
    [("pinhole", "nerfstudio"), ("pinhole", "colmap"), ("bent", "colmap-text"), ("fisheye", "nerfstudio")],
)
def test_the_same_views_come_of_the_poses(scene: Path, tmp_path: Path, lens: str, format: str) -> None:
    first = rendered(scene, tmp_path / "first.h5", **LENSES[lens])
    poses = export(first, tmp_path / "poses", format)
    again = rendered(scene, tmp_path / "again.h5", rig="poses", poses=poses, resolution=[0, 0])
    with open_dataset(first) as one, open_dataset(again) as other:
        assert other.camera_kind == one.camera_kind
        for name in ("camera_to_world", "intrinsics", "distortion"):
            assert np.allclose(getattr(other, name), getattr(one, name), rtol=1e-6, atol=1e-6), name
        held_out = {} if format == "nerfstudio" else {"val": [], "test": [5, 6, 7]}  # COLMAP knows no val views
        assert {split: list(indices) for split, indices in other.splits.items()} == {
            split: held_out.get(split, list(indices)) for split, indices in one.splits.items()
        }
        for index in range(one.count):
            # the clipping distances are others, which Cycles' rays know in their last bit
            assert (one.rgba(index) == other.rgba(index)).mean() > 0.999
            assert np.allclose(one.depth(index), other.depth(index), rtol=1e-5)
            assert np.array_equal(one.object_index(index), other.object_index(index))


def test_from_the_same_poses_come_the_same_bits(scene: Path, tmp_path: Path) -> None:
    poses = export(rendered(scene, tmp_path / "first.h5"), tmp_path / "poses", "nerfstudio")
    second = rendered(scene, tmp_path / "second.h5", rig="poses", poses=poses, resolution=[0, 0])
    poses = export(second, tmp_path / "poses of poses", "nerfstudio")
    third = rendered(scene, tmp_path / "third.h5", rig="poses", poses=poses, resolution=[0, 0])
    with open_dataset(second) as one, open_dataset(third) as other:
        assert [one.sha256(index) for index in range(8)] == [other.sha256(index) for index in range(8)]


def test_each_camera_has_a_lens_of_its_own(scene: Path, tmp_path: Path) -> None:
    poses = export(rendered(scene, tmp_path / "first.h5"), tmp_path / "poses", "nerfstudio")
    words = json.loads((tmp_path / "poses" / "transforms.json").read_text("utf-8"))
    lenses = [
        {"fl_x": 30.0 + number, "fl_y": 33.0, "cx": 18.0 - number, "cy": 11.0, "k1": 0.02 * number}
        for number, _ in enumerate(words["frames"])
    ]
    frames = [{**frame, **lens} for frame, lens in zip(words["frames"], lenses, strict=True)]
    (tmp_path / "poses" / "transforms.json").write_text(json.dumps({**words, "frames": frames}))
    with open_dataset(rendered(scene, tmp_path / "own.h5", rig="poses", poses=poses, resolution=[72, 48])) as dataset:
        expected = [[2.0 * lens[name] for name in ("fl_x", "fl_y", "cx", "cy")] for lens in lenses]
        assert np.allclose(dataset.intrinsics, expected, rtol=1e-6)
        assert np.allclose(dataset.distortion[:, 0], [lens["k1"] for lens in lenses])
        assert dataset.configuration["rig"] == "poses" and dataset.configuration["resolution"] == [72, 48]
        assert [dataset.configuration[name] for name in ("views", "val_views", "test_views")] == [5, 1, 2]
