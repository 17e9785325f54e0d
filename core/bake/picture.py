# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of a bake on all cores: what the viewport shows when it has come to rest, to measure it by."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from ..cameras import Camera, pixel_grid, rays_in_field
from ..field.render import PATTERN, TrainedField
from . import kernels
from .bricks import NEGLIGIBLE_DENSITY, Bricks
from .march import SAMPLES_PER_VOXEL, deferred_light

F4 = NDArray[np.float32]

ROWS_AT_ONCE = 1024


def bake_picture(bricks: Bricks, world_from_field: NDArray[np.float64], camera: Camera, pool: ThreadPoolExecutor) -> F4:
    """[H, W, 4] scene-linear, premultiplied, by four rays to a pixel as the field's own pictures; see `march.py`."""
    channels = 4 + bricks.features.shape[-1]
    values = np.empty((bricks.count, 8, 8, 8, channels), np.float32)
    values[..., 0] = np.log(np.maximum(bricks.density.astype(np.float32), NEGLIGIBLE_DENSITY))
    values[..., 1:4] = bricks.colour
    values[..., 4:] = bricks.features / np.float32(255.0)
    table = values.reshape(-1, channels)
    index = np.pad(bricks.index, 1, constant_values=-1)
    step = np.float32(1.0 / (SAMPLES_PER_VOXEL * bricks.resolution))
    solid = table[:, 0] >= kernels.least_shown(step)
    most = int(np.ceil(np.sqrt(3.0) / step)) + 1
    centres = pixel_grid(*camera.size).reshape(-1, 2)
    seen = np.zeros((len(centres), 4), np.float32)

    def block(first: int) -> None:
        part = slice(first, first + ROWS_AT_ONCE)
        count = len(centres[part])
        positions, samples = (
            np.empty((count * most, 3), np.float32),
            np.empty((count * most, channels + 1), np.float32),
        )
        offsets, sums = np.empty(count + 1, np.int64), np.empty((count, channels), np.float32)
        for right, down, _ in PATTERN:
            origin, ways = rays_in_field(camera, centres[part] + np.array([right, down]), world_from_field)
            directions = ways.astype(np.float32)
            origins = np.ascontiguousarray(np.broadcast_to(origin, ways.shape), np.float32)
            middle = np.full(count, 0.5, np.float32)
            kernels.see(table, solid, index, origins, directions, middle, step, positions, offsets, samples, sums)
            alpha, light = sums[:, 0].astype(np.float64), sums[:, 1:4].astype(np.float64)
            if bricks.network is not None:
                light = deferred_light(bricks.network, alpha, light, sums[:, 4:].astype(np.float64), ways)
            seen[part, :3] += light / len(PATTERN)
            seen[part, 3] += alpha / len(PATTERN)

    list(pool.map(block, range(0, len(centres), ROWS_AT_ONCE)))
    return seen.reshape(camera.size[1], camera.size[0], 4)


def bake_over_background(bricks: Bricks, field: TrainedField, camera: Camera, pool: ThreadPoolExecutor) -> F4:
    """[H, W, 4] as `bake_picture`, over what the field knows to be behind the scene: a bake knows nothing of that."""
    rgba = bake_picture(bricks, field.world_from_field, camera, pool)
    if field.model.config.background:
        _, ways = rays_in_field(camera, pixel_grid(*camera.size), field.world_from_field)
        device = field.model.table.device
        with torch.no_grad():
            directions = torch.from_numpy(ways.reshape(-1, 3).astype(np.float32)).to(device)
            behind = field.model.background_radiance(directions).cpu().numpy().reshape(ways.shape)
        rgba[..., :3] += (1.0 - rgba[..., 3:]) * behind
        rgba[..., 3] = 1.0
    return rgba
