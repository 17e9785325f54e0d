# SPDX-License-Identifier: GPL-3.0-or-later
"""Colours for numbers, for shaders and legends that have no plotting library: display-referred sRGB."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# every 15th of the 256 colours of magma (S. van der Walt and N. Smith, CC0), from 0 to 1
_MAGMA = """
    000004 090720 1a1042 311165 4a1079 621980 792282 912b81 aa337d
    c23b75 d9466b ec5860 f7725c fc8e64 feaa74 fec68a fde2a3 fcfdbf"""
# zero is dark, as in magma, so that it is the error that shines; its arms are equally bright
_DIVERGING = """
    9fe0ff 6cc1f5 459fdd 3280bd 27629a 204877 1b3255 171f35 141418
    2f1c12 522510 762f10 9b3d11 c05016 e06b25 f58c45 ffb273"""


def magma(size: int = 256) -> NDArray[np.float32]:
    """[size, 3] in 0..1, from 0 (black) to 1 (pale yellow)."""
    return _between(_MAGMA, size)


def diverging(size: int = 256) -> NDArray[np.float32]:
    """[size, 3] in 0..1, from -1 (pale blue) over 0 (nearly black) to 1 (pale orange)."""
    return _between(_DIVERGING, size)


def _between(hexadecimal: str, size: int) -> NDArray[np.float32]:
    anchors = np.array([list(bytes.fromhex(one)) for one in hexadecimal.split()]) / 255.0
    place, own = np.linspace(0.0, 1.0, size), np.linspace(0.0, 1.0, len(anchors))
    return np.stack([np.interp(place, own, channel) for channel in anchors.T], axis=-1).astype(np.float32)
