# SPDX-License-Identifier: GPL-3.0-or-later
"""Which cells of the cube can hold anything, so that nothing is computed in the others."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError

LARGEST_RESOLUTION = 512


def occupancy_bits(occupied: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
    """As it stands in a twin: `occupancy/bits`, [n³ / 8] u1, C order of [x, y, z]."""
    return {"occupancy/bits": np.packbits(occupied.reshape(-1))}


def occupied_from_bits(arrays: dict[str, NDArray[Any]], resolution: Any) -> NDArray[np.bool_]:
    """The inverse of `occupancy_bits`: [n, n, n] bool.

    Raises:
        UserError: missing, or not of this resolution.
    """
    if not isinstance(resolution, int) or not 8 <= resolution <= LARGEST_RESOLUTION or resolution % 8:
        raise UserError(f"the twin has an occupancy resolution of {resolution!r}, which makes no sense; train again")
    bits = arrays.get("occupancy/bits")
    if bits is None or bits.dtype != np.uint8 or bits.shape != (resolution**3 // 8,):
        raise UserError("the twin lacks the occupancy grid that its header speaks of; train again")
    return np.unpackbits(bits).reshape((resolution,) * 3).astype(bool)


def dilate(occupied: NDArray[np.bool_], cells: int = 1) -> NDArray[np.bool_]:
    """Grow by whole cells along every axis and diagonal."""
    grown = occupied.copy()
    for _ in range(cells):
        for axis in range(3):
            source = np.moveaxis(grown, axis, 0)
            wider = source.copy()
            wider[1:] |= source[:-1]
            wider[:-1] |= source[1:]
            grown = np.moveaxis(wider, 0, axis)
    return np.ascontiguousarray(grown)


def coarse_blocks(occupied: NDArray[np.bool_], block: int = 8) -> NDArray[np.bool_]:
    """[n/b, n/b, n/b]: whether any cell of each block is set."""
    n = occupied.shape[0] // block
    blocks = occupied.reshape(n, block, n, block, n, block)
    # one axis after another, whole planes first: several times as fast as all three together
    return blocks.any(axis=1).any(axis=2).any(axis=3)
