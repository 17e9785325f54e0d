# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a baked grid look like the field: a few seconds of gradient descent on the voxels themselves.

Copying the field's values into voxels shows a blurred, swollen field, since volumes are read trilinearly. Here the
grid is rendered as Blender renders volumes (`dense_march.py`) and its voxels move until its pixels are the field's.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..field.cpu import RAYS_PER_BLOCK, Grid, Workspace
from ..field.cpu_kernels import ONE, ZERO, adam, adam_settings, compiled
from ..field.cpu_rays import march
from ..field.occupancy import dilate
from .dense_march import STEP

F4 = NDArray[np.float32]

RAYS_PER_STEP = 8192
GROUPS = 8
EPSILON = np.float32(0.02)
FLOOR = np.float32(1e-4)
RATE = 0.1
# Adam's epsilon: voxels that hardly show get gradients below it and hardly move, instead of wandering
CALM = 1e-3
# densities that a ray through the whole cube would hardly notice
THIN = 0.5
# how strongly neighbours shall have the same colour: enough to calm the grain that views leave between them
SMOOTH = np.float32(0.01)
BEND = np.float32(0.2)
# rays end where they let less than this through
OPAQUE = np.float32(1e-3)


def fit_grid(
    density: F4,
    colour: F4,
    origins: F4,
    directions: F4,
    targets: F4,
    steps: int,
    pool: ThreadPoolExecutor,
    seed: int = 0,
    done: Callable[[int], None] = lambda step: None,
) -> tuple[F4, F4]:
    """Density [n, n, n] and colour [n, n, n, 3] whose pictures along the rays [R] are closest to `targets` [R, 4].

    The loss is that of training: relative L2 of premultiplied colour plus the squared error of alpha.

    Args:
        density, colour: where to start; voxels more than one away from any density stay empty.
        targets: scene-linear, premultiplied.
        done: is told how many steps are done.
    """
    n = density.shape[0]
    occupied = dilate(density > THIN)
    grid = Grid.of(occupied)
    index = np.full((n, n, n), -1, np.int32)
    reached = dilate(occupied)  # trilinear reading touches one voxel more
    index[reached] = np.arange(int(reached.sum()), dtype=np.int32)
    neighbours = _neighbours(index, np.argwhere(reached))
    # logarithms keep the values positive and let thick and thin voxels move alike
    start = np.concatenate([density[reached][:, None], colour[reached]], axis=1)
    voxels = np.log(np.maximum(start, FLOOR * np.array([1e3, 1, 1, 1], np.float32))).astype(np.float32)
    first, second = (np.zeros(voxels.size, np.float32) for _ in range(2))
    # every group of rays adds up its own gradient, so that nothing is added atomically
    gradients = np.zeros((GROUPS, *voxels.shape), np.float32)
    share = -(-len(voxels) // GROUPS)
    parts = [slice(number * share, (number + 1) * share) for number in range(GROUPS)]
    random = np.random.default_rng(seed)
    spaces = [Workspace() for _ in range(GROUPS)]
    for step in range(steps):
        chosen = random.integers(0, len(origins), RAYS_PER_STEP)
        jitter = random.random(RAYS_PER_STEP, dtype=np.float32)
        values = np.exp(voxels)

        def group(number: int, chosen: Any = chosen, jitter: F4 = jitter, values: F4 = values) -> None:
            size, space = RAYS_PER_STEP // GROUPS, spaces[number]
            for start in range(number * size, (number + 1) * size, RAYS_PER_BLOCK):
                part = slice(start, start + RAYS_PER_BLOCK)
                rays = chosen[part]
                most = len(rays) * (int(np.ceil(np.sqrt(3.0) / STEP)) + 1)
                positions, times = space.array("positions", most, 3), space.array("times", most)
                offsets = space.array("offsets", len(rays) + 1, dtype=np.int64)
                last = np.full(len(rays), 1e30, np.float32)
                lattice = (last, jitter[part], np.float32(STEP), grid.bits, grid.coarse)
                count = march(origins[rays], directions[rays], *lattice, positions, times, offsets)
                upstream = space.array("upstream", count, 4)
                _see(values, index, positions[:count], offsets, targets[rays], np.float32(STEP), upstream)
                _scatter(values, index, positions[:count], upstream, gradients[number])

        list(pool.map(group, range(GROUPS)))
        gradient = gradients.sum(axis=0)

        def smooth(rows: slice, gradient: F4 = gradient) -> None:
            _smooth(voxels, neighbours, rows.start, rows.stop, gradient)

        list(pool.map(smooth, parts))
        gradients[:] = 0.0
        progress = step / steps
        rate = RATE * (1.0 - 0.9 * progress)
        adam(
            voxels.reshape(-1),
            gradient.reshape(-1),
            first,
            second,
            adam_settings(rate, (0.9, 0.99), step + 1, CALM),
            True,
        )
        done(step + 1)
    density, colour = np.zeros_like(density), colour.copy()
    values = np.exp(voxels)
    density[reached] = np.where(values[:, 0] > THIN, values[:, 0], 0.0)
    colour[reached] = values[:, 1:]
    return density, colour


def _neighbours(index: NDArray[np.int32], where: NDArray[np.int64]) -> NDArray[np.int32]:
    """[V, 6]: the rows of each voxel's neighbours, its own where there is none."""
    n = index.shape[0]
    own = index[tuple(where.T)]
    rows = np.empty((len(where), 6), np.int32)
    for side in range(6):
        step = np.zeros(3, np.int64)
        step[side >> 1] = 1 if side & 1 else -1
        other = index[tuple(np.clip(where + step, 0, n - 1).T)]
        rows[:, side] = np.where(other >= 0, other, own)
    return rows


@compiled
def _smooth(voxels: Any, neighbours: Any, first: int, end: int, gradient: Any) -> None:
    """Add the gradient of the squared differences between neighbours' logarithmic colours, bounded as Huber's."""
    for i in range(first, min(end, voxels.shape[0])):
        for c in range(1, 4):
            total = ZERO
            for side in range(6):
                total += min(max(voxels[i, c] - voxels[neighbours[i, side], c], -BEND), BEND)
            gradient[i, c] += SMOOTH * total


@compiled
def _corner(scaled: Any, n: int) -> Any:
    """Lower voxel and weight of the upper one along one axis."""
    clipped = min(max(scaled, ZERO), np.float32(n - 1))
    low = min(int(clipped), n - 2)
    return low, clipped - np.float32(low)


@compiled
def _see(values: Any, index: Any, positions: Any, offsets: Any, targets: Any, step: Any, upstream: Any) -> None:
    """Composite each ray and fill the loss's gradient for density and colour at each sample [S, 4]."""
    n = index.shape[0]
    size, half = np.float32(n), np.float32(0.5)
    for r in range(offsets.shape[0] - 1):
        red, green, blue = ZERO, ZERO, ZERO
        transmittance = ONE
        end = offsets[r] - 1
        for i in range(offsets[r], offsets[r + 1]):
            x, wx = _corner(positions[i, 0] * size - half, n)
            y, wy = _corner(positions[i, 1] * size - half, n)
            z, wz = _corner(positions[i, 2] * size - half, n)
            upstream[i, 0], upstream[i, 1], upstream[i, 2], upstream[i, 3] = ZERO, ZERO, ZERO, ZERO
            if transmittance < OPAQUE:
                continue
            end = i
            a0, a1, a2, a3 = ZERO, ZERO, ZERO, ZERO
            for corner in range(8):
                row = index[x + (corner & 1), y + (corner >> 1 & 1), z + (corner >> 2 & 1)]
                w = (wx if corner & 1 else ONE - wx) * (wy if corner & 2 else ONE - wy)
                w *= wz if corner & 4 else ONE - wz
                a0 += w * values[row, 0]
                a1 += w * values[row, 1]
                a2 += w * values[row, 2]
                a3 += w * values[row, 3]
            after = transmittance * np.exp(-a0 * step)
            w = transmittance - after
            red += w * a1
            green += w * a2
            blue += w * a3
            upstream[i, 0], upstream[i, 1], upstream[i, 2], upstream[i, 3] = w, a1, a2, a3
            transmittance = after
        inverse = ONE / (red + EPSILON)
        gr = np.float32(2.0) * (red - targets[r, 0]) * inverse * inverse
        inverse = ONE / (green + EPSILON)
        gg = np.float32(2.0) * (green - targets[r, 1]) * inverse * inverse
        inverse = ONE / (blue + EPSILON)
        gb = np.float32(2.0) * (blue - targets[r, 2]) * inverse * inverse
        ga = np.float32(6.0) * (ONE - transmittance - targets[r, 3])
        rest = -transmittance * ga
        for i in range(end, offsets[r] - 1, -1):
            w = upstream[i, 0]
            value = gr * upstream[i, 1] + gg * upstream[i, 2] + gb * upstream[i, 3]
            upstream[i, 0] = step * (transmittance * value - rest)
            upstream[i, 1], upstream[i, 2], upstream[i, 3] = w * gr, w * gg, w * gb
            rest += w * value
            transmittance += w


@compiled
def _scatter(values: Any, index: Any, positions: Any, upstream: Any, gradient: Any) -> None:
    """Add each sample's gradient to that of the logarithms of the eight voxels it was read from."""
    n = index.shape[0]
    size, half = np.float32(n), np.float32(0.5)
    for i in range(positions.shape[0]):
        x, wx = _corner(positions[i, 0] * size - half, n)
        y, wy = _corner(positions[i, 1] * size - half, n)
        z, wz = _corner(positions[i, 2] * size - half, n)
        u0, u1, u2, u3 = upstream[i, 0], upstream[i, 1], upstream[i, 2], upstream[i, 3]
        if u0 == ZERO and u1 == ZERO and u2 == ZERO and u3 == ZERO:
            continue
        for corner in range(8):
            row = index[x + (corner & 1), y + (corner >> 1 & 1), z + (corner >> 2 & 1)]
            w = (wx if corner & 1 else ONE - wx) * (wy if corner & 2 else ONE - wy)
            w *= wz if corner & 4 else ONE - wz
            gradient[row, 0] += w * u0 * values[row, 0]
            gradient[row, 1] += w * u1 * values[row, 1]
            gradient[row, 2] += w * u2 * values[row, 2]
            gradient[row, 3] += w * u3 * values[row, 3]
