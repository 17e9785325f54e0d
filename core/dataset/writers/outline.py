# SPDX-License-Identifier: GPL-3.0-or-later
"""Masks as polygons, for formats that know no others.

They run half-way between the centres of pixels inside and outside, so that filling them at pixel centres gives the mask
again.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree
from skimage.measure import find_contours

Array = NDArray[np.float64]


def outline_of(mask: NDArray[np.bool_]) -> Array:
    """One polygon [N, 2] (u, v in pixels) around all that a mask [H, W] holds, and around its holes.

    Parts and holes hang together by lines that are gone along twice; a point with an odd number of edges to its left is
    inside.
    """
    rings = sorted(_rings(mask), key=len, reverse=True)
    outline = rings[0]
    for ring in rings[1:]:
        apart, nearest = KDTree(outline).query(ring)
        start = int(apart.argmin())
        here = int(nearest[start])
        around = np.roll(ring, -start, axis=0)
        outline = np.concatenate([outline[: here + 1], around, around[:1], outline[here:]])
    return outline


def outer_rings(mask: NDArray[np.bool_]) -> list[Array]:
    """A polygon [N, 2] (u, v in pixels) around each part of a mask [H, W]; holes are lost."""
    return [ring for ring in _rings(mask) if _area(ring) > 0.0]


def _rings(mask: NDArray[np.bool_]) -> list[Array]:
    """Polygons around parts and around holes; the two run in opposite directions."""
    return [ring[:-1, ::-1] - 0.5 for ring in find_contours(np.pad(mask, 1).astype(np.float64), 0.5)]


def _area(ring: Array) -> float:
    """Positive around parts: clockwise, as v points down."""
    (u, v), (after_u, after_v) = ring.T, np.roll(ring, -1, axis=0).T
    return float(0.5 * (u * after_v - after_u * v).sum())
