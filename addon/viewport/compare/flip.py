# SPDX-License-Identifier: GPL-3.0-or-later
"""FLIP maps of 3D views: what is wished, and what has come of it. addon/flip_maps.py asks the worker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_REGIONS = 8

Image = NDArray[np.uint8]


@dataclass(eq=False)
class FlipWish:
    """One pair of pictures.

    Attributes:
        classic, neural: [height, width, 3] as the screen shows them, row 0 at the top.
        error: the map [height, width], 0..1, row 0 at the top; None when it has not come yet.
        mean: of the map.
        problem: why it will not come; empty as long as it can.
    """

    classic: Image
    neural: Image
    error: NDArray[np.float32] | None = None
    mean: float | None = None
    problem: str = ""


_wishes: dict[int, FlipWish] = {}


def flip_wish_of(region: int, images: tuple[Image, Image] | None) -> FlipWish | None:
    """What is wished for a region, and what has come of it; None when its view does not rest.

    Args:
        region: any number that tells this region from others.
        images: both sides.
    """
    wish = _wishes.pop(region, None)
    if images is None:
        return None
    if wish is None or wish.classic is not images[0]:
        wish = FlipWish(*images)
    _wishes[region] = wish
    while len(_wishes) > MOST_REGIONS:
        del _wishes[next(iter(_wishes))]
    return wish


def flip_wishes() -> Iterator[FlipWish]:
    """All of them, that of the region drawn last first."""
    yield from reversed(list(_wishes.values()))


def forget_flip_wishes() -> None:
    """All of them."""
    _wishes.clear()
