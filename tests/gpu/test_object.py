# SPDX-License-Identifier: GPL-3.0-or-later
"""From a `.twin` on disk to an object that is drawn where it stands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest

import radiance_twin
from radiance_twin.addon.viewport import textures, twin
from radiance_twin.addon.viewport.draw import place
from radiance_twin.core.bake.dense_march import render_bake
from radiance_twin.core.cameras import look_at
from radiance_twin.core.twin_file import write_twin

SIZE = (64, 48)
INTRINSICS = np.array([70.0, 70.0, 32.0, 24.0])
WORLD_FROM_FIELD = np.array([[1.5, 0, 0, -1.0], [0, 1.5, 0, 0.5], [0, 0, 1.5, 0.0], [0, 0, 0, 1]])


@pytest.fixture
def loaded(gpu: Any, blob: Any, tmp_path: Path) -> Iterator[bpy.types.Object]:
    bpy.ops.wm.read_factory_settings()
    radiance_twin.register()
    density, colour = blob.grids(64)
    metadata = {"world_from_field": WORLD_FROM_FIELD.tolist()}
    arrays = {"bake/density": density.astype(np.float16), "bake/colour": colour.astype(np.float16)}
    write_twin(tmp_path / "blob.twin", metadata, arrays)
    bpy.ops.radiance_twin.load_twin(filepath=str(tmp_path / "blob.twin"), placement="IN_PLACE", hide_original=False)
    yield bpy.context.object
    radiance_twin.unregister()


def test_at_home_it_stands_where_it_was_trained(loaded, blob, marched, projection_of):
    camera = look_at((3.0, -4.0, 2.0), (-0.25, 1.25, 0.75))
    placed = place(loaded)
    rgba = marched([placed], np.linalg.inv(camera), projection_of(INTRINSICS, SIZE), SIZE)
    expected = render_bake(*blob.grids(64), WORLD_FROM_FIELD, camera, INTRINSICS, SIZE, step=1 / 128)
    assert expected[..., 3].max() > 0.9
    assert np.abs(rgba - expected).max() < 5e-3


def test_it_moves_turns_and_scales_with_its_object(loaded):
    loaded.location, loaded.rotation_euler, loaded.scale = (1.0, 2.0, 3.0), (0.3, 0.2, 0.1), (1.0, 2.0, 0.5)
    bpy.context.view_layer.update()
    assert place(loaded).world_from_field == pytest.approx(np.array(loaded.matrix_world) @ WORLD_FROM_FIELD)


def test_scaled_to_nothing_it_is_not_drawn(loaded):
    loaded.scale = (1.0, 0.0, 1.0)
    bpy.context.view_layer.update()
    assert place(loaded) is None


def test_two_objects_share_their_textures(loaded):
    bpy.ops.object.duplicate()
    assert place(bpy.context.object).textures is place(loaded).textures


def test_a_small_gpu_shows_half_the_voxels_and_says_so(loaded, monkeypatch):
    real = textures.texture_3d

    def small_gpu(array: Any, pixel_format: Any) -> Any:
        if max(array.shape[:3]) > 40:
            raise RuntimeError("out of memory")
        return real(array, pixel_format)

    monkeypatch.setattr(textures, "texture_3d", small_gpu)
    assert place(loaded).textures.resolution == (32, 32, 32)
    assert "32 × 32 × 32 voxels" in twin.problem_of(loaded)


def test_a_gpu_that_takes_nothing_is_asked_once(loaded, monkeypatch):
    asked = []

    def no_gpu(*_: Any) -> Any:
        asked.append("volume")
        raise RuntimeError("out of memory")

    monkeypatch.setattr(textures, "texture_3d", no_gpu)
    assert place(loaded) is None
    assert "the GPU takes no volume" in twin.problem_of(loaded)
    before = len(asked)
    assert place(loaded) is None
    assert len(asked) == before
