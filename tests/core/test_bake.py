# SPDX-License-Identifier: GPL-3.0-or-later
"""The dense grid of exported volumes, and the numpy ray-marcher that they are held against."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from radiance_twin.core.bake.dense import RESOLUTION, bake_grid
from radiance_twin.core.bake.dense_fit import fit_grid
from radiance_twin.core.bake.dense_march import render_bake, sample_grid
from radiance_twin.core.cameras import look_at, pixel_grid, ray_directions
from radiance_twin.core.field.model import FieldConfig, RadianceField
from radiance_twin.core.field.render import TrainedField

INTRINSICS = np.array([40.0, 40.0, 8.0, 8.0])
# a cube of side 2 around the origin
WORLD = np.array([[2.0, 0, 0, -1], [0, 2.0, 0, -1], [0, 0, 2.0, -1], [0, 0, 0, 1]])


def chords(camera: np.ndarray) -> np.ndarray:
    """Length of each pixel's ray inside of the cube, field units [16, 16]."""
    directions = ray_directions(camera, INTRINSICS, pixel_grid(16, 16)).reshape(-1, 3)
    with np.errstate(divide="ignore"):
        faces = (np.array([-1.0, 1.0])[:, None, None] - camera[:3, 3]) / directions
    entry, leave = faces.min(axis=0).max(axis=1), faces.max(axis=0).min(axis=1)
    return (np.maximum(leave - np.maximum(entry, 0), 0) / 2.0).reshape(16, 16)


def test_a_cube_of_constant_density_dims_by_its_chords() -> None:
    camera = look_at([3.0, 2.0, 1.5], [0, 0, 0])
    colour = np.broadcast_to(np.array([2.0, 1.0, 0.5]), (8, 8, 8, 3))
    rgba = render_bake(np.full((8, 8, 8), 1.7), colour, WORLD, camera, INTRINSICS, (16, 16))
    alpha = 1 - np.exp(-1.7 * chords(camera))
    np.testing.assert_allclose(rgba[..., 3], alpha, atol=1e-5)
    np.testing.assert_allclose(rgba[..., :3], alpha[..., None] * [2.0, 1.0, 0.5], atol=2e-5)


def test_from_inside_the_cube_only_what_lies_ahead_is_seen() -> None:
    camera = look_at([0.2, 0.1, 0.0], [1.0, 0.5, 0.3])
    rgba = render_bake(np.full((8, 8, 8), 1.7), np.ones((8, 8, 8, 3)), WORLD, camera, INTRINSICS, (16, 16))
    np.testing.assert_allclose(rgba[..., 3], 1 - np.exp(-1.7 * chords(camera)), atol=1e-5)


def test_outside_of_the_cube_there_is_nothing() -> None:
    camera = look_at([3.0, 0.0, 0.0], [6.0, 0.0, 0.0])
    rgba = render_bake(np.full((8, 8, 8), 50.0), np.ones((8, 8, 8, 3)), WORLD, camera, INTRINSICS, (16, 16))
    assert not rgba.any()


def test_axes_are_x_y_z_and_nearer_voxels_hide_farther_ones() -> None:
    density, colour = np.zeros((8, 8, 8)), np.zeros((8, 8, 8, 3))
    density[6:, 3:5, 3:5], colour[6:, 3:5, 3:5] = 500.0, [1, 0, 0]  # red towards +x
    density[3:5, 6:, 3:5], colour[3:5, 6:, 3:5] = 500.0, [0, 1, 0]  # green towards +y
    density[3:5, 3:5, 6:], colour[3:5, 3:5, 6:] = 500.0, [0, 0, 1]  # blue towards +z
    for axis in range(3):
        eye = np.eye(3)[axis] * 4.0
        middle = render_bake(density, colour, WORLD, look_at(eye, [0, 0, 0]), INTRINSICS, (16, 16))[7:9, 7:9]
        assert middle[..., 3].min() > 0.99
        assert (middle[..., :3].mean(axis=(0, 1)).argmax()) == axis


def test_voxels_are_read_as_scipy_reads_them() -> None:
    random = np.random.default_rng(0)
    voxels, positions = random.random((6, 6, 6, 2)).astype(np.float32), random.random((300, 3))
    for channel in range(2):
        truth = map_coordinates(voxels[..., channel], (positions * 6 - 0.5).T, order=1, mode="nearest")
        np.testing.assert_allclose(sample_grid(voxels, positions)[:, channel], truth, atol=1e-6)


def foggy_ball() -> tuple[np.ndarray, np.ndarray]:
    """A soft ball in a 32³ grid, red to blue from left to right."""
    x, y, z = (np.indices((32, 32, 32)) + 0.5) / 32 - 0.5
    density = 60 / (1 + np.exp(80 * (np.sqrt(x**2 + y**2 + z**2) - 0.3)))
    return density, np.stack([0.5 + x, np.full_like(x, 0.2), 0.5 - x], axis=-1)


def test_fitting_finds_the_grid_behind_its_pictures() -> None:
    density, colour = foggy_ball()
    cameras = [look_at(3 * np.array([np.cos(a), np.sin(a), h]), [0, 0, 0]) for a in range(6) for h in (0.3, -0.5)]
    size, intrinsics = (24, 24), np.array([40.0, 40.0, 12.0, 12.0])
    pictures = [render_bake(density, colour, WORLD, camera, intrinsics, size) for camera in cameras]
    origins, directions = [], []
    for camera in cameras[1:]:
        ways = ray_directions(camera, intrinsics, pixel_grid(*size)).reshape(-1, 3)
        directions.append(ways.astype(np.float32))
        origins.append(np.broadcast_to((camera[:3, 3] + 1) / 2, ways.shape).astype(np.float32))
    targets = np.concatenate([picture.reshape(-1, 4) for picture in pictures[1:]])
    start = np.where(density > 5, 8.0, 0.0).astype(np.float32), np.full((32, 32, 32, 3), 0.4, np.float32)

    def error(grid: tuple[np.ndarray, np.ndarray]) -> float:
        # the first camera was not fitted to
        return float(np.abs(render_bake(*grid, WORLD, cameras[0], intrinsics, size) - pictures[0]).mean())

    with ThreadPoolExecutor(2) as pool:
        fitted = fit_grid(*start, np.concatenate(origins), np.concatenate(directions), targets, 60, pool)
    assert error(fitted) < 0.25 * error(start)


def test_a_bake_looks_like_its_field() -> None:
    # a field that is the same everywhere: the whole cube a fog of radiance 1
    model = RadianceField(FieldConfig(levels=1, log2_table_size=8, density_shift=0.5))
    with torch.no_grad():
        model.table.zero_()
        model.colour[-1].zero_()
    occupied = np.zeros((16, 16, 16), bool)
    occupied[4:12, 4:12, 4:12] = True
    field = TrainedField(model, occupied, WORLD, 1 / 256)
    camera = look_at([3.0, 2.0, 1.5], [0, 0, 0])
    directions = ray_directions(camera, INTRINSICS, pixel_grid(16, 16)).reshape(-1, 3).astype(np.float32)
    rays = [(np.broadcast_to(((camera[:3, 3] + 1) / 2).astype(np.float32), directions.shape).copy(), directions)]
    with ThreadPoolExecutor(2) as pool:
        arrays = bake_grid(field, rays, pool, fit_steps=0)
    density, colour = arrays["bake/density"], arrays["bake/colour"]
    assert (density.dtype, density.shape) == (np.float16, (RESOLUTION,) * 3)
    assert (colour.dtype, colour.shape) == (np.float16, (RESOLUTION,) * 3 + (3,))
    inside = density[32:96, 32:96, 32:96]
    np.testing.assert_allclose(inside, np.exp(0.5), rtol=2e-3)
    assert density.astype(np.float64).sum() == pytest.approx(inside.astype(np.float64).sum())
    seen = colour[..., 0] > 0
    np.testing.assert_allclose(colour[seen], 1.0, atol=2e-3)
    assert np.isfinite(density).all()
    assert np.isfinite(colour).all()
