# SPDX-License-Identifier: GPL-3.0-or-later
"""FLIP maps of 3D views: what is wished, and what has come of it. addon/flip_maps.py asks the worker."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_REGIONS = 8
SECONDS_BETWEEN_MAPS = 5.0

Image = NDArray[np.uint8]


@dataclass(eq=False)
class FlipWish:
    """One pair of pictures.

    Attributes:
        classic, neural: [height, width, 3] as the screen shows them, row 0 at the top.
        error: the map [height, width], 0..1, row 0 at the top; until it comes that of the last pair of the same view,
            None when there was none.
        mean: of the map.
        asked: whether the worker is at it.
        came: when the map came, seconds; None when it has not.
        problem: why it will not come; empty as long as it can.
    """

    classic: Image
    neural: Image
    error: NDArray[np.float32] | None = None
    mean: float | None = None
    asked: bool = False
    came: float | None = None
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
    if wish is None:
        wish = FlipWish(*images)
    elif wish.classic is not images[0] and not wish.asked:
        # while Cycles adds samples the map follows, but does not take all of the machine
        if wish.came is None:
            wish.classic, wish.neural = images
        elif time.monotonic() - wish.came > SECONDS_BETWEEN_MAPS:
            wish = FlipWish(*images, wish.error, wish.mean)
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
