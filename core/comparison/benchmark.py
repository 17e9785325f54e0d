# SPDX-License-Identifier: GPL-3.0-or-later
"""Public benchmarks' own ways of making a picture of a view, so that figures can stand beside other people's."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..colour import linear_to_srgb

NERF_SYNTHETIC = "nerf-synthetic"
# the pictures were 8-bit and the dataset holds half floats: so much of a level may be lost in between
SLACK = 0.05


def nerf_synthetic_image(rgba: ArrayLike) -> NDArray[np.uint8]:
    """Premultiplied scene-linear `rgba` [H, W, 4] as NeRF-Synthetic compares it: sRGB on white, [H, W, 3] uint8.

    The alpha is composited with the sRGB values, as the benchmark's PNG files have always been read, and fractions of
    a level are cut off: Kulhanek and Sattler, NerfBaselines (2024), protocol "nerf". PSNR is then that of each image
    and its mean over the images, SSIM has an 11 x 11 Gaussian window.
    """
    rgba = np.asarray(rgba, np.float32)
    alpha = np.clip(rgba[..., 3:], 0.0, 1.0)
    straight = np.divide(rgba[..., :3], alpha, out=np.zeros_like(rgba[..., :3]), where=alpha > 1e-6)
    srgb = linear_to_srgb(straight) * alpha + (1.0 - alpha)
    image: NDArray[np.uint8] = np.clip(srgb * 255.0 + SLACK, 0.0, 255.0).astype(np.uint8)
    return image
