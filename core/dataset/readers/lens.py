# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures through a distorting lens become those of a pinhole camera of the same focal length, by OpenCV."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from ...cameras import opencv_camera_matrix
from .posed import Lens

Array = NDArray[np.float32]


def undistorted(image: Array, lens: Lens, nearest: bool = False) -> Array:
    """[H, W] or [H, W, channels] as the pinhole camera sees it; 0 where the lens saw nothing.

    `nearest` for what must not be averaged over an edge: depth and masks.
    """
    across, down, _ = undistortion(lens)
    flags = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    return np.asarray(cv2.remap(image, across, down, flags, borderMode=cv2.BORDER_CONSTANT, borderValue=0))


@lru_cache(maxsize=4)
def undistortion(lens: Lens) -> tuple[Array, Array, NDArray[np.bool_]]:
    """For every pixel of the pinhole camera, where the lens drew it.

    Returns:
        x and y [H, W] in OpenCV's pixels (the first pixel's centre at 0, 0); and which lie in the picture [H, W].
    """
    matrix = opencv_camera_matrix([lens.fx, lens.fy, lens.cx, lens.cy])
    size = (lens.width, lens.height)
    if lens.fisheye:
        coefficients = np.array([*lens.distortion, 0.0, 0.0, 0.0, 0.0][:4])
        across, down = cv2.fisheye.initUndistortRectifyMap(matrix, coefficients, np.eye(3), matrix, size, cv2.CV_32FC1)
    else:
        coefficients = np.array([*lens.distortion, *[0.0] * 8][:8])
        across, down = cv2.initUndistortRectifyMap(matrix, coefficients, None, matrix, size, cv2.CV_32FC1)
    x = (np.arange(lens.width) + 0.5 - lens.cx) / lens.fx
    y = (np.arange(lens.height) + 0.5 - lens.cy) / lens.fy
    radius = np.hypot(x[None, :], y[:, None])
    # half a pixel inside, so that the picture's border is not mixed with what lies outside of it
    seen = (across >= 0.0) & (across <= lens.width - 1.0) & (down >= 0.0) & (down <= lens.height - 1.0)
    return across, down, seen & (radius <= _one_to_one(lens, float(radius.max())))


def _one_to_one(lens: Lens, farthest: float) -> float:
    """Up to which radius (tangent of the angle) the lens draws outer points farther out.

    The polynomials turn back somewhere outside of the area they were fitted to; what lies beyond is drawn twice.
    """
    radius = np.linspace(0.0, farthest, 2048)
    k = np.array([*lens.distortion, *[0.0] * 8][:8])
    if lens.fisheye:
        angle = np.arctan(radius)
        a2 = angle**2
        drawn = angle * (1.0 + a2 * (k[0] + a2 * (k[1] + a2 * (k[2] + a2 * k[3]))))
    else:
        r2 = radius**2
        below = 1.0 + r2 * (k[5] + r2 * (k[6] + r2 * k[7]))
        drawn = radius * (1.0 + r2 * (k[0] + r2 * (k[1] + r2 * k[4]))) / np.where(np.abs(below) < 1e-9, np.nan, below)
    back = np.flatnonzero(~(np.diff(drawn) > 0.0))
    return float(radius[back[0]]) if len(back) else np.inf
