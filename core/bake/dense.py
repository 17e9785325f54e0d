# SPDX-License-Identifier: GPL-3.0-or-later
"""The field as two grids, density and colour: what an exported volume holds, since Blender draws such grids alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..field.cpu import CpuField, Grid, Workspace
from ..field.cpu_kernels import ONE, ZERO, compiled
from ..field.render import TrainedField
from .dense_fit import fit_grid

F4 = NDArray[np.float32]
RESOLUTION = 128
HALF_MAX = 65504.0
SUBDIVISION = 2
# a share of a pixel below which a sample does not count
SHOWN = 1e-3


def bake_grid(
    field: TrainedField,
    rays: Iterable[tuple[F4, F4]],
    pool: ThreadPoolExecutor,
    fit_steps: int,
    done: Callable[[int], None] = lambda step: None,
    resolution: int = RESOLUTION,
    asked: Callable[[], None] = lambda: None,
) -> dict[str, NDArray[Any]]:
    """`bake/density` [n, n, n] f2 and `bake/colour` [n, n, n, 3] f2 (scene-linear, not premultiplied).

    Args:
        rays: blocks of origins and directions [R, 3] (field coordinates) of views that show the whole scene. A voxel's
            colour is what those of them that see it see there, in the mean.
        fit_steps: of making the grid's pictures equal to the field's.
        done: is told how many of them are done.
        resolution: n, a multiple of 8.
        asked: is called often before that; what it raises stops the bake.
    """
    cpu_field = CpuField(field.model.on_cpu())
    density = _bake_density(cpu_field, _voxels_to_fill(field.occupied, resolution), pool, asked)
    colour, origins, directions, targets = _bake_colour(cpu_field, field, rays, resolution, pool, asked)
    if fit_steps:
        density, colour = fit_grid(density, colour, origins, directions, targets, fit_steps, pool, done=done)
    return {
        "bake/density": np.clip(density, 0.0, HALF_MAX).astype(np.float16),
        "bake/colour": np.clip(colour, 0.0, HALF_MAX).astype(np.float16),
    }


def _voxels_to_fill(occupied: NDArray[np.bool_], resolution: int) -> NDArray[np.bool_]:
    """[n, n, n]: the voxels that overlap with an occupied cell, whatever the two resolutions are."""
    cells, voxels = occupied.shape[0], np.arange(resolution)
    first, last = voxels * cells // resolution, ((voxels + 1) * cells - 1) // resolution
    filled = occupied
    for axis in range(3):
        filled = np.logical_or.reduceat(filled, first, axis) | np.take(filled, last, axis)
    return filled


def _bake_density(
    field: CpuField, filled: NDArray[np.bool_], pool: ThreadPoolExecutor, asked: Callable[[], None]
) -> F4:
    """The density whose voxel lets through, in the mean over its columns along the three axes, what the field's does.

    A mean of the density itself would make every voxel that a surface merely touches opaque.
    """
    voxels = np.argwhere(filled)
    s = SUBDIVISION
    inside = np.stack(np.meshgrid(*[(np.arange(s) + 0.5) / s] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    resolution = filled.shape[0]
    size = 1.0 / resolution
    values = np.zeros(len(voxels), np.float32)

    def block(first: int) -> None:
        part = voxels[first : first + 128]
        positions = ((part[:, None] + inside[None]) * size).astype(np.float32).reshape(-1, 3)
        sigma = field.density_at(positions).reshape(-1, s, s, s)
        through = [np.exp(-sigma.sum(axis=axis) * (size / s)).mean(axis=(1, 2)) for axis in (1, 2, 3)]
        mean = np.mean(through, axis=0)
        values[first : first + 128] = -np.log(np.maximum(mean, 1e-6)) / size

    for _ in pool.map(block, range(0, len(voxels), 128)):
        asked()
    density = np.zeros(filled.shape, np.float32)
    density[filled] = values
    return density


def _bake_colour(
    field: CpuField,
    trained: TrainedField,
    rays: Iterable[tuple[F4, F4]],
    resolution: int,
    pool: ThreadPoolExecutor,
    asked: Callable[[], None],
) -> tuple[F4, F4, F4, F4]:
    """Colour of each voxel, and the rays (origins, directions) with what the field shows along them [R, 4]."""
    grid = Grid.of(trained.occupied)
    total = np.zeros((resolution, resolution, resolution, 4), np.float32)

    def block(part: tuple[F4, F4]) -> Any:
        origins, directions = part
        last, middle = np.full(len(origins), 1e30, np.float32), np.full(len(origins), 0.5, np.float32)
        seen = field.forward(origins, directions, last, middle, grid, trained.step, SHOWN, Workspace())
        shaded = seen.shaded
        return seen.positions[shaded], seen.weights[shaded], seen.colour_values[-1][:, :3].copy(), seen.pixels[:, :4]

    parts, pictures = [], []
    remaining = list(rays)
    # blocks are added in order, so that the same field gives the same bake
    for part, (positions, weights, radiance, picture) in zip(remaining, pool.map(block, remaining), strict=True):
        asked()
        _splat(positions, weights, radiance, total)
        parts.append(part)
        pictures.append(picture)
    weight = total[..., 3:]
    known = weight[..., 0] > SHOWN
    colour = np.where(known[..., None], total[..., :3] / np.maximum(weight, SHOWN), 0.0).astype(np.float32)
    origins, directions = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return _spread(colour, known), origins, directions, np.concatenate(pictures)


@compiled
def _splat(positions: Any, weights: Any, radiance: Any, total: Any) -> None:
    n = total.shape[0]
    size = np.float32(n)
    for i in range(positions.shape[0]):
        x = min(max(int(positions[i, 0] * size), 0), n - 1)
        y = min(max(int(positions[i, 1] * size), 0), n - 1)
        z = min(max(int(positions[i, 2] * size), 0), n - 1)
        w = weights[i]
        total[x, y, z, 0] += w * radiance[i, 0]
        total[x, y, z, 1] += w * radiance[i, 1]
        total[x, y, z, 2] += w * radiance[i, 2]
        total[x, y, z, 3] += w


def _spread(colour: F4, known: NDArray[np.bool_], passes: int = 3) -> F4:
    """Give voxels around the known ones their neighbours' mean: textures are interpolated across the border."""
    for _ in range(passes):
        wider, more = colour.copy(), known.copy()
        _spread_once(colour, known, wider, more)
        colour, known = wider, more
    return colour


@compiled
def _spread_once(colour: Any, known: Any, wider: Any, more: Any) -> None:
    n = colour.shape[0]
    for x in range(n):
        for y in range(n):
            for z in range(n):
                if known[x, y, z]:
                    continue
                red, green, blue, count = ZERO, ZERO, ZERO, ZERO
                for i in range(max(x - 1, 0), min(x + 2, n)):
                    for j in range(max(y - 1, 0), min(y + 2, n)):
                        for k in range(max(z - 1, 0), min(z + 2, n)):
                            if known[i, j, k]:
                                red += colour[i, j, k, 0]
                                green += colour[i, j, k, 1]
                                blue += colour[i, j, k, 2]
                                count += ONE
                if count > ZERO:
                    wider[x, y, z, 0], wider[x, y, z, 1], wider[x, y, z, 2] = red / count, green / count, blue / count
                    more[x, y, z] = True
