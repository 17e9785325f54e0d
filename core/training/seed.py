# SPDX-License-Identifier: GPL-3.0-or-later
"""What the renderer's depth and alpha tell before the first step: where surfaces are, where nothing is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..field.cpu import Grid, Workspace
from ..field.cpu_kernels import ONE, compiled
from ..field.cpu_rays import march
from ..field.occupancy import dilate
from .sampler import NOTHING, ViewPixels, over_neighbours

Bool = NDArray[np.bool_]


def cells_near_surfaces(pixels: ViewPixels, resolution: int, margin: int = 1) -> Bool:
    """[n, n, n]: cells that hold a first hit of any pixel, grown by `margin` cells."""
    marked = np.zeros((resolution,) * 3, np.bool_)
    for first in range(0, pixels.count, 1 << 20):
        block = np.arange(first, min(first + (1 << 20), pixels.count))
        rays = pixels.rays(block[pixels.distances[block] < NOTHING])
        cells = ((rays.origins + rays.last[:, None] * rays.directions) * resolution).astype(np.int64)
        cells = cells[((cells >= 0) & (cells < resolution)).all(axis=1)]
        marked[cells[:, 0], cells[:, 1], cells[:, 2]] = True
    return dilate(marked, margin)


def candidate_cells(
    pixels: ViewPixels, resolution: int, margin: int, transparent: bool, pool: ThreadPoolExecutor
) -> Bool:
    """[n, n, n]: cells that may hold something, from all that depth and alpha tell.

    Where every pixel that shows something has a first hit, these are the cells around the hits. Smoke and the like
    have no hit; then (and without depth) they are all cells that no view sees to be empty.
    """
    if not pixels.has_depth:
        return cells_not_seen_empty(pixels, resolution, transparent, pool)
    near = cells_near_surfaces(pixels, resolution, margin)
    if transparent and _share_without_hit(pixels) > 1e-3:
        near |= cells_not_seen_empty(pixels, resolution, transparent, pool)
    return near


def _share_without_hit(pixels: ViewPixels) -> float:
    """Of the pixels that show something, how many have no hit in themselves or beside them."""
    shown, unknown = 0, 0
    for part, width in pixels.views():
        visible = (pixels.rgba[part, 3] > 0.05) & pixels.valid[part]
        nearest = over_neighbours(pixels.distances[part], width, np.minimum)
        shown += int(visible.sum())
        unknown += int((visible & (nearest >= NOTHING)).sum())
    return unknown / max(shown, 1)


def cells_not_seen_empty(pixels: ViewPixels, resolution: int, transparent: bool, pool: ThreadPoolExecutor) -> Bool:
    """[n, n, n]: cells that no view proves empty.

    A view proves a cell empty when all of its 3×3 pixels around the cell's centre see nothing at all: they hit nothing
    and are (on `transparent` film) transparent.
    """
    empty = np.zeros(pixels.count, np.bool_)
    for part, width in pixels.views():
        if transparent or pixels.has_depth:
            nothing = pixels.valid[part].copy()
            if transparent:
                nothing &= pixels.rgba[part, 3] <= 0.0
            if pixels.has_depth:
                nothing &= pixels.distances[part] >= NOTHING
            empty[part] = over_neighbours(nothing, width, np.minimum)
    kept = np.ones((resolution,) * 3, np.bool_)
    if len(pixels.ways):  # where such lenses draw a cell is not asked: nothing is lost by that but time
        return kept

    def slab(x: int) -> None:
        _carve(
            kept[x],
            x,
            pixels.first_pixel,
            pixels.widths,
            pixels.rotations,
            pixels.centres,
            pixels.intrinsics,
            empty,
        )

    list(pool.map(slab, range(resolution)))
    return kept


@compiled
def _carve(
    kept: Any,
    x: int,
    first_pixel: Any,
    widths: Any,
    rotations: Any,
    centres: Any,
    intrinsics: Any,
    empty: Any,
) -> None:
    n = kept.shape[0]
    half = np.float32(0.5)
    px = (np.float32(x) + half) / np.float32(n)
    for y in range(n):
        py = (np.float32(y) + half) / np.float32(n)
        for z in range(n):
            pz = (np.float32(z) + half) / np.float32(n)
            for view in range(widths.shape[0]):
                dx, dy, dz = px - centres[view, 0], py - centres[view, 1], pz - centres[view, 2]
                rotation = rotations[view]
                right = rotation[0, 0] * dx + rotation[1, 0] * dy + rotation[2, 0] * dz
                up = rotation[0, 1] * dx + rotation[1, 1] * dy + rotation[2, 1] * dz
                ahead = -(rotation[0, 2] * dx + rotation[1, 2] * dy + rotation[2, 2] * dz)
                if ahead <= np.float32(1e-4):
                    continue
                u = intrinsics[view, 2] + intrinsics[view, 0] * right / ahead
                v = intrinsics[view, 3] - intrinsics[view, 1] * up / ahead
                width = widths[view]
                height = (first_pixel[view + 1] - first_pixel[view]) // width
                if u < ONE or v < ONE or u >= np.float32(width) - ONE or v >= np.float32(height) - ONE:
                    continue
                pixel = first_pixel[view] + int(v) * width + int(u)
                if empty[pixel]:
                    kept[y, z] = False
                    break


def pixels_worth_training(pixels: ViewPixels, occupied: Bool, step: float, pool: ThreadPoolExecutor) -> NDArray[Any]:
    """Indices (i4) of the pixels that show something or whose rays cross an occupied cell; the others teach nothing."""
    grid = Grid.of(occupied)
    size = 1 << 14

    def block(first: int) -> NDArray[np.int32]:
        indices = np.arange(first, min(first + size, pixels.count), dtype=np.int32)
        indices = indices[pixels.valid[indices]]
        visible = pixels.rgba[indices].max(axis=1) > 0.0
        hidden = indices[~visible]
        rays = pixels.rays(hidden)
        space = Workspace()
        most = len(hidden) * (int(np.ceil(np.sqrt(3.0) / step)) + 1)
        offsets = np.empty(len(hidden) + 1, np.int64)
        march(
            rays.origins,
            rays.directions,
            np.full(len(hidden), NOTHING, np.float32),
            np.full(len(hidden), 0.5, np.float32),
            np.float32(step),
            grid.bits,
            grid.coarse,
            space.array("positions", most, 3),
            space.array("times", most),
            offsets,
        )
        crossing = hidden[np.diff(offsets) > 0]
        return np.sort(np.concatenate([indices[visible], crossing]))

    return np.concatenate(list(pool.map(block, range(0, pixels.count, size))))
