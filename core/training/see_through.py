# SPDX-License-Identifier: GPL-3.0-or-later
"""Pixels whose light does not come from their first hit: glass, mirrors, whatever shows something else behind it.

There a single depth is not the truth. What tells them from the others is in the data: a place on a painted surface
looks much alike from all sides, a place on a window does not. Their rays are marched to the end, through every cell
that holds a hit of any ray; what is seen through glass alone, and hit by no ray directly, still has no place to be.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..field.cpu_kernels import compiled
from .sampler import F4, NOTHING, ViewPixels

# standard deviation of the logarithm of a place's light over the views, above which it does not look alike
UNLIKE = 0.6
# pixels that must have seen a place before it is judged
LEAST_SEEN = 6
# most of so many pixels around one must look unlike: along the edges of a texture only few do
AROUND = 7
DARK = 0.02


def seen_through(pixels: ViewPixels, resolution: int) -> NDArray[np.bool_]:
    """[P]: pixels whose light may come from behind their first hit; [0] when there are none.

    Args:
        resolution: of the grid of places, cells along the cube's edge; a cell shall be about as large as a pixel.
    """
    if not pixels.has_depth:
        return np.zeros(0, np.bool_)
    found = np.zeros(pixels.count, np.bool_)
    sums = np.zeros((resolution**3, 3), np.float32)
    for part, _ in pixels.views():
        _add(_places(pixels, part, resolution), _brightness(pixels, part), sums)
    unlike = _unlike(sums)
    for part, width in pixels.views():
        places = _places(pixels, part, resolution)
        hit = places >= 0
        marked, hits = (
            cv2.blur(part_of.astype(np.float32).reshape(-1, width), (AROUND, AROUND)).reshape(-1)
            for part_of in (hit & unlike[np.maximum(places, 0)], hit)
        )
        found[part] = hit & (marked > 0.5 * hits)
    return found if found.any() else found[:0]


def _places(pixels: ViewPixels, part: slice, resolution: int) -> NDArray[np.int64]:
    """The cell of each pixel's first hit, -1 where there is none."""
    rays = pixels.rays(np.arange(part.start, part.stop))
    hit = (rays.last < NOTHING) & (rays.targets[:, 3] > 0.99)
    points = rays.origins + np.where(hit, rays.last, 0.0)[:, None] * rays.directions
    cells = (points * resolution).astype(np.int64)
    hit &= ((cells >= 0) & (cells < resolution)).all(axis=1)
    return np.where(hit, (cells[:, 0] * resolution + cells[:, 1]) * resolution + cells[:, 2], -1)


def _brightness(pixels: ViewPixels, part: slice) -> F4:
    return np.log(pixels.rgba[part, :3].astype(np.float32).mean(axis=1).clip(min=0.0) + np.float32(DARK))


@compiled
def _add(places: Any, values: Any, sums: Any) -> None:
    """Number, sum and sum of squares of each place's values."""
    for i in range(places.shape[0]):
        if places[i] >= 0:
            sums[places[i], 0] += np.float32(1.0)
            sums[places[i], 1] += values[i]
            sums[places[i], 2] += values[i] * values[i]


@compiled
def _unlike(sums: Any) -> Any:
    result = np.zeros(sums.shape[0], np.bool_)
    for i in range(sums.shape[0]):
        count = sums[i, 0]
        if count >= np.float32(LEAST_SEEN):
            mean = sums[i, 1] / count
            result[i] = sums[i, 2] / count - mean * mean > np.float32(UNLIKE * UNLIKE)
    return result
