# SPDX-License-Identifier: GPL-3.0-or-later
"""Cameras written as USD, opened by Blender's own import."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np

from radiance_twin.core.dataset.store import open_dataset
from radiance_twin.core.export.dataset import DatasetExportSettings, export_dataset
from radiance_twin.core.reporting import QuietReporter

from ..core.labelled_dataset import HEIGHT, WIDTH, write


def test_blender_opens_the_cameras_as_they_were(tmp_path: Path) -> None:
    shifted = write(tmp_path / "shifted.h5", np.array([60.0, 60.0, 20.5, 17.0]))
    folder = tmp_path / "usd"
    export_dataset(DatasetExportSettings(str(shifted), str(folder), "usd"), QuietReporter())
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.wm.usd_import(filepath=str(folder / "cameras.usda"))
    scene = bpy.context.scene
    cameras = {thing.name: thing for thing in scene.objects if thing.type == "CAMERA"}
    assert sorted(cameras) == ["test_2", "train_0", "val_1"]
    with open_dataset(shifted) as dataset:
        for index, name in ((0, "train_0"), (5, "train_0"), (3, "val_1"), (8, "test_2")):
            scene.frame_set(index)
            depsgraph = bpy.context.evaluated_depsgraph_get()
            camera = cameras[name].evaluated_get(depsgraph)
            picture = np.array(camera.calc_matrix_camera(depsgraph, x=WIDTH, y=HEIGHT))
            corners = np.array([[*corner, 1.0] for corner in np.ndindex(2, 2, 2)]) - 0.3
            corners[:, 3] = 1.0
            seen = corners @ np.linalg.inv(np.array(camera.matrix_world)).T @ picture.T
            u, v = (seen[:, :2] / seen[:, 3:]).T
            expected, _ = dataset.camera(index).project(corners[:, :3])
            found = np.stack([(1 + u) * WIDTH / 2, (1 - v) * HEIGHT / 2], axis=1)
            assert np.abs(found - expected).max() < 1e-3
