# SPDX-License-Identifier: GPL-3.0-or-later
"""A ray-marcher for dense grids that needs numpy alone: the truth that exported volumes are tested against."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..cameras import Camera, pixel_grid, rays_in_field

F4 = NDArray[np.float32]

# of a ray through the cube's edge: half a voxel of the 128³ bake
STEP = 1.0 / 256.0


def render_bake(
    density: ArrayLike,
    colour: ArrayLike,
    world_from_field: ArrayLike,
    camera_to_world: ArrayLike,
    intrinsics: ArrayLike,
    size: Sequence[int],
    step: float = STEP,
) -> F4:
    """Picture [H, W, 4] (scene-linear, premultiplied) of a baked grid.

    Samples stand in the middle of intervals of length `step` from where the ray enters the cube (or from the camera,
    when that is inside); each interval has constant density and radiance, both read trilinearly (`sample_grid`).
    Outside of the cube there is nothing.

    Args:
        density: [n, n, n] per unit of field length, indexed [x, y, z].
        colour: [n, n, n, 3] scene-linear, not premultiplied.
        world_from_field: [4, 4].
        camera_to_world: [4, 4], OpenGL axes.
        intrinsics: fx fy cx cy in pixels.
        size: width and height.
        step: in field units.
    """
    width, height = int(size[0]), int(size[1])
    camera = Camera(np.asarray(camera_to_world, np.float64), np.asarray(intrinsics, np.float64), (width, height))
    origin, directions = rays_in_field(camera, pixel_grid(width, height).reshape(-1, 2), world_from_field)
    with np.errstate(divide="ignore", invalid="ignore"):
        first, second = -origin / directions, (1.0 - origin) / directions
    entry = np.maximum(np.nanmax(np.minimum(first, second), axis=1), 0.0)
    leave = np.nanmin(np.maximum(first, second), axis=1)
    voxels = np.concatenate([np.asarray(colour, np.float32), np.asarray(density, np.float32)[..., None]], axis=-1)
    seen, transmittance = np.zeros((len(directions), 3)), np.ones(len(directions))
    steps = int(np.ceil(max(float((leave - entry).max()), 0.0) / step))
    for index in range(steps):
        start = entry + index * step
        rays = np.flatnonzero((start < leave) & (transmittance > 1e-5))
        if not len(rays):
            continue
        # the last interval is cut off by the cube's far side
        length = np.minimum(step, leave[rays] - start[rays])
        values = sample_grid(voxels, origin + (start[rays] + 0.5 * length)[:, None] * directions[rays])
        opacity = -np.expm1(-values[:, 3].astype(np.float64) * length)
        seen[rays] += (transmittance[rays] * opacity)[:, None] * values[:, :3]
        transmittance[rays] *= 1.0 - opacity
    rgba = np.concatenate([seen, 1.0 - transmittance[:, None]], axis=1)
    return rgba.reshape(height, width, 4).astype(np.float32)


def sample_grid(voxels: F4, positions: ArrayLike) -> F4:
    """Trilinear values [N, C] of `voxels` [n, n, n, C] (centres at (i + 0.5) / n) at `positions` [N, 3] in the cube.

    Between the outermost centres and the cube's faces the outermost value holds, as a texture clamped to its edge.
    """
    n = voxels.shape[0]
    scaled = np.clip(np.asarray(positions, np.float64) * n - 0.5, 0.0, n - 1.0)
    low = np.minimum(scaled.astype(np.int64), max(n - 2, 0))
    weight = (scaled - low).astype(np.float32)
    result = np.zeros((len(low), voxels.shape[-1]), np.float32)
    for corner in range(8):
        step = np.array([corner & 1, corner >> 1 & 1, corner >> 2 & 1])
        share = np.where(step == 1, weight, np.float32(1.0) - weight).prod(axis=1)
        x, y, z = np.minimum(low + step, n - 1).T
        result += share[:, None] * voxels[x, y, z]
    return result
