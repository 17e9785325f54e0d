# SPDX-License-Identifier: GPL-3.0-or-later
"""A mask as one polygon, for formats that know no other masks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree
from skimage.measure import find_contours

Array = NDArray[np.float64]


def outline_of(mask: NDArray[np.bool_]) -> Array:
    """One polygon [N, 2] (u, v in pixels) around all that a mask [H, W] holds, and around its holes.

    It runs half-way between the centres of pixels inside and outside, so that filling it by its crossings (even and
    odd) at pixel centres gives the mask again. Parts and holes hang together by lines that are gone along twice.
    """
    rings = [ring[:-1, ::-1] - 0.5 for ring in find_contours(np.pad(mask, 1).astype(np.float64), 0.5)]
    rings.sort(key=len, reverse=True)
    outline = rings[0]
    for ring in rings[1:]:
        apart, nearest = KDTree(outline).query(ring)
        start = int(apart.argmin())
        here = int(nearest[start])
        around = np.roll(ring, -start, axis=0)
        outline = np.concatenate([outline[: here + 1], around, around[:1], outline[here:]])
    return outline
