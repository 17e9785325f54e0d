# SPDX-License-Identifier: GPL-3.0-or-later
"""Several pictures of one camera, each with its depth, laid over each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

F4 = NDArray[np.float32]

# a pixel has a depth when it is more opaque than this
SOLID = 0.5


def composite_layers(layers: Sequence[tuple[F4, F4]], distances: Sequence[float]) -> tuple[F4, F4]:
    """Lay pictures over each other, the nearest in front, pixel by pixel.

    Args:
        layers: rgba [H, W, 4] (scene-linear, premultiplied) and planar depth [H, W] (0: unknown) of each.
        distances: planar depth of the middle of what each one shows; it counts where a pixel is too thin for a depth.

    Returns:
        rgba and depth of the whole; the depth is that of the layer which makes a pixel solid.
    """
    rgba = np.stack([layer[0] for layer in layers])
    depth = np.stack([layer[1] for layer in layers])
    middle = np.asarray(distances, np.float32)[:, None, None]
    # solid without a depth is what lies behind everything
    thin_or_far = np.where(rgba[..., 3] > SOLID, np.float32(np.inf), middle)
    order = np.argsort(np.where(depth > 0.0, depth, thin_or_far), axis=0, kind="stable")
    rgba = np.take_along_axis(rgba, order[..., None], axis=0)
    depth = np.take_along_axis(depth, order, axis=0)
    total = np.zeros(rgba.shape[1:], np.float32)
    seen_at = np.zeros(depth.shape[1:], np.float32)
    for one, its_depth in zip(rgba, depth, strict=True):
        before = total[..., 3] > SOLID
        total += (1.0 - total[..., 3:]) * one
        seen_at = np.where(~before & (total[..., 3] > SOLID), its_depth, seen_at)
    return total, seen_at
