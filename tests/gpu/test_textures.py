# SPDX-License-Identifier: GPL-3.0-or-later
"""What the shader reads: empty space that can be skipped, and volumes that fit a small GPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from radiance_twin.addon.viewport import textures
from radiance_twin.addon.viewport.textures import CELL, distance_to_occupied, halved, upload
from radiance_twin.core.errors import UserError


def test_the_distance_to_what_is_seen_is_that_of_brute_force():
    rng = np.random.default_rng(5)
    density = np.zeros((40, 32, 27), np.float32)
    filled = rng.integers(0, density.shape, (12, 3))
    density[tuple(filled.T)] = 50.0
    distance = distance_to_occupied(density)
    assert distance.shape == (10, 8, 7)
    # a sample reads the voxels on its both sides
    near = [np.clip(filled + np.array(step) - 1, 0, np.array(density.shape) - 1) for step in np.ndindex(3, 3, 3)]
    cells = np.unique(np.concatenate(near) // CELL, axis=0)
    for cell in np.ndindex(distance.shape):
        assert distance[cell] == np.abs(cells - cell).max(axis=1).min()


def test_an_empty_field_can_be_skipped_in_one_step():
    assert distance_to_occupied(np.zeros((16, 16, 16), np.float32)).min() >= 16 / CELL


def test_half_as_many_voxels_hold_the_same_light():
    density = np.zeros((4, 4, 4), np.float32)
    colour = np.zeros((4, 4, 4, 3), np.float32)
    density[0, 0, 0], colour[0, 0, 0] = 8.0, (0.5, 1.0, 2.0)
    smaller, colours = halved(density, colour)
    assert smaller.shape == (2, 2, 2)
    assert smaller[0, 0, 0] == 1.0
    assert colours[0, 0, 0] == pytest.approx((0.5, 1.0, 2.0))
    assert smaller.sum() == 1.0


def test_a_volume_that_the_gpu_refuses_is_halved(gpu, blob, monkeypatch):
    real = textures.texture_3d

    def small_gpu(array: Any, pixel_format: Any) -> Any:
        if max(array.shape[:3]) > 20:
            raise RuntimeError("out of memory")
        return real(array, pixel_format)

    monkeypatch.setattr(textures, "texture_3d", small_gpu)
    made = upload(*blob.grids(64))
    assert made.resolution == (16, 16, 16)
    assert made.halvings == 2


def test_a_gpu_that_takes_nothing_is_told_of(gpu, blob, monkeypatch):
    def no_gpu(array: Any, pixel_format: Any) -> Any:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(textures, "texture_3d", no_gpu)
    with pytest.raises(UserError, match="takes no volume"):
        upload(*blob.grids(32))
