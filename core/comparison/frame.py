# SPDX-License-Identifier: GPL-3.0-or-later
"""One frame, rendered both ways by Blender, measured as `compare` measures a dataset's views."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import OpenEXR
from numpy.typing import NDArray

from ..colour import ViewTransform
from ..errors import UserError
from ..reporting import Reporter
from .metrics import display_image, image_metrics

BLACK = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class FrameSettings:
    """What to measure.

    Attributes:
        classic, neural: .exr of the same size, R, G, B, A scene-linear and premultiplied.
        view_transform: its header, as `ViewTransform.to_metadata` writes it.
        stages: an .npz with what `ViewTransform.arrays` gives.
    """

    classic: str
    neural: str
    view_transform: dict[str, Any]
    stages: str


def measure_frame(settings: FrameSettings, reporter: Reporter) -> dict[str, Any]:
    """PSNR, SSIM and FLIP of the pair, over black, through the view transform.

    Returns:
        psnr, psnr_foreground, ssim, flip, foreground, size.

    Raises:
        UserError: a file is missing or damaged, or the sizes differ.
    """
    reporter.progress("measure", 0.0, 1.0)
    classic, neural = read_rgba(settings.classic), read_rgba(settings.neural)
    if classic.shape != neural.shape:
        raise UserError(f"the frames have different sizes, {classic.shape[:2]} and {neural.shape[:2]}; render again")
    height, width = classic.shape[:2]
    try:
        with np.load(settings.stages, allow_pickle=False) as stages:
            view_transform = ViewTransform.from_metadata(settings.view_transform, dict(stages))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {settings.stages} ({error}); compare again") from error
    images = [display_image(one, BLACK, view_transform) for one in (classic, neural)]
    found = image_metrics(images[0], images[1], classic[..., 3])
    reporter.progress("measure", 1.0, 1.0)
    figures = {name: getattr(found, name) for name in ("psnr", "psnr_foreground", "ssim", "flip", "foreground")}
    return {**figures, "size": [width, height]}


def read_rgba(path: str) -> NDArray[np.float32]:
    """The channels R, G, B, A [H, W, 4] of an .exr.

    Raises:
        UserError: missing, damaged, or without them.
    """
    try:
        with OpenEXR.File(path) as file:
            pixels = np.asarray(file.channels()["RGBA"].pixels, np.float32)
    except (RuntimeError, OSError, KeyError) as error:
        raise UserError(f"{path} holds no frame ({error}); render it again") from error
    return pixels
