# SPDX-License-Identifier: GPL-3.0-or-later
"""How far two images are apart: PSNR, PSNR of the foreground, SSIM and FLIP, with one definition for the whole product.

Both sides are composited scene-linear over the same background, go through the same view transform, are clipped and
made 8-bit; only then are they compared, so that the figures speak of what people see.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from skimage.metrics import structural_similarity

from ..colour import ViewTransform, composite

Image = NDArray[np.uint8]
# rgba [H, W, 4] scene-linear, premultiplied, to what is compared: [H, W, 3] uint8
Show = Callable[[NDArray[np.float32]], Image]

FOREGROUND_ALPHA = 0.01
SSIM_WINDOW = 11
SSIM_SIGMA = 1.5
FLIP_PIXELS_PER_DEGREE = 67.0


@dataclass(frozen=True)
class ImageMetrics:
    """What two images of one view differ by.

    Attributes:
        psnr: decibels; None when no pixel differs (the ratio is infinite).
        psnr_foreground: the same over the pixels where the classic alpha is above 0.01; None when they are identical
            or when there is no such pixel (`foreground` tells which).
        foreground: share of such pixels, 0..1.
        ssim: structural similarity, 1 = identical; None of pictures below 11 x 11 pixels, which have none.
        flip: mean FLIP error, 0 = identical, 1 = as different as can be.
        flip_map: [H, W] float32, the FLIP error of each pixel, 0..1.
    """

    psnr: float | None
    psnr_foreground: float | None
    foreground: float
    ssim: float | None
    flip: float
    flip_map: NDArray[np.float32]


def display_image(rgba: ArrayLike, background: ArrayLike, view_transform: ViewTransform) -> Image:
    """Premultiplied scene-linear `rgba` [H, W, 4] to what a screen shows: [H, W, 3] uint8, display-referred."""
    display = view_transform.apply(composite(rgba, background))
    image: Image = np.rint(display * 255.0).astype(np.uint8)
    return image


def image_metrics(
    classic: Image, neural: Image, classic_alpha: ArrayLike, valid: NDArray[np.bool_] | None = None
) -> ImageMetrics:
    """Compare two display images [H, W, 3] uint8; `classic_alpha` [H, W] says where the foreground is.

    Where `valid` [H, W] is False, nobody knows the truth: such pixels are left out of PSNR, and count as identical in
    SSIM and FLIP, which look at neighbourhoods.

    Raises:
        ValueError: the images have different sizes.
    """
    if classic.shape != neural.shape:
        raise ValueError(f"the images have different sizes: {classic.shape} and {neural.shape}")
    known, foreground = _counted(classic, classic_alpha, valid)
    whole, of_foreground = view_psnr(classic, neural, classic_alpha, valid)
    neural = np.where(known[..., None], neural, classic)
    flip, flip_map = flip_error(classic, neural)
    return ImageMetrics(
        psnr=whole,
        psnr_foreground=of_foreground,
        foreground=float(foreground.sum() / max(known.sum(), 1)),
        ssim=ssim(classic, neural),
        flip=flip,
        flip_map=flip_map,
    )


def view_psnr(
    classic: Image, neural: Image, classic_alpha: ArrayLike, valid: NDArray[np.bool_] | None = None
) -> tuple[float | None, float | None]:
    """`psnr` and `psnr_foreground` of `image_metrics` alone: the other figures take far longer."""
    known, foreground = _counted(classic, classic_alpha, valid)
    return psnr(classic[known], neural[known]), psnr(classic[foreground], neural[foreground])


def _counted(
    classic: Image, classic_alpha: ArrayLike, valid: NDArray[np.bool_] | None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """[H, W]: pixels whose truth is known, and those of them that show the foreground."""
    known = np.ones(classic.shape[:2], np.bool_) if valid is None else valid
    return known, (np.asarray(classic_alpha) > FOREGROUND_ALPHA) & known


def psnr(a: Image, b: Image) -> float | None:
    """Peak signal-to-noise ratio in dB of 8-bit images; None when they are identical or empty."""
    if a.size == 0:
        return None
    squared_error = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return None if squared_error == 0.0 else 10.0 * math.log10(255.0**2 / squared_error)


def ssim(a: Image, b: Image) -> float | None:
    """Structural similarity of [H, W, 3] 8-bit images, mean over the three channels; None where no window fits in.

    11 x 11 Gaussian window of sigma 1.5, K1 0.01, K2 0.03, windows wholly inside the image:
    Wang et al., Image Quality Assessment: From Error Visibility to Structural Similarity (2004).
    """
    if min(a.shape[:2]) < SSIM_WINDOW:
        return None
    # scikit-image cuts the Gaussian off at 3.5 sigma: 5 pixels either side, the window of 11
    value = structural_similarity(
        a,
        b,
        channel_axis=-1,
        data_range=255,
        gaussian_weights=True,
        sigma=SSIM_SIGMA,
        use_sample_covariance=False,
    )
    return float(value)


def flip_error(classic: Image, neural: Image) -> tuple[float, NDArray[np.float32]]:
    """Mean LDR-FLIP of [H, W, 3] 8-bit images and its map [H, W], at 67 pixels per degree.

    Andersson et al., FLIP: A Difference Evaluator for Alternating Images (2020), by the authors' own package.
    """
    import flip_evaluator  # who only trains may lack it

    reference, test = (image.astype(np.float32) / np.float32(255.0) for image in (classic, neural))
    error, mean, _ = flip_evaluator.evaluate(
        reference, test, "LDR", applyMagma=False, parameters={"ppd": FLIP_PIXELS_PER_DEGREE}
    )
    return float(mean), np.ascontiguousarray(error[..., 0], np.float32)


def flip_levels(flip_map: NDArray[np.float32]) -> Image:
    """A FLIP map [H, W] of 0..1 as indices into `magma`, the colours that FLIP is always shown in: [H, W] uint8."""
    image: Image = np.rint(np.clip(flip_map, 0.0, 1.0) * 255.0).astype(np.uint8)
    return image


def magma() -> Image:
    """The 256 colours [256, 3] uint8 of the magma map, from 0 (black) to 1 (pale yellow)."""
    ramp = np.arange(256, dtype=np.uint8)[:, None]
    return np.ascontiguousarray(cv2.applyColorMap(ramp, cv2.COLORMAP_MAGMA)[:, 0, ::-1])


def mean_of(values: Iterable[float | None]) -> float | None:
    """The mean of the values that exist; None when none does."""
    present = [value for value in values if value is not None]
    return float(np.mean(present)) if present else None
