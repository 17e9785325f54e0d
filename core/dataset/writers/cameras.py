# SPDX-License-Identifier: GPL-3.0-or-later
"""What formats say of lenses: sizes, intrinsics and distortion in their words, or that they cannot."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import UserError
from ...lenses import COEFFICIENTS
from ..store import Dataset

# of (k1 k2 p1 p2 k3 k4), which a format knows of a distorted perspective. The fourth radial coefficient means different
# things to different programs: of OpenCV's, which it is here, COLMAP's FULL_OPENCV knows it
NGP = ("k1", "k2", "p1", "p2")
NERFSTUDIO = (*NGP, "k3")


def require_pinholes(dataset: Dataset, format: str) -> None:
    """Refuse lenses that bend straight lines.

    Raises:
        UserError: what can say them.
    """
    if not dataset.all_pinholes:
        equirectangular = dataset.camera_kind == "equirectangular"
        others = "folder or webdataset" if equirectangular else "colmap, nerfstudio or folder"
        raise UserError(f"{_lenses(dataset)}, and {format} knows none; choose --format {others}")


def require_perspective_or_fisheye(dataset: Dataset, format: str, known: tuple[str, ...] = COEFFICIENTS) -> None:
    """Refuse equirectangular pictures, and coefficients of a perspective lens that are not `known`.

    Raises:
        UserError: what can say them.
    """
    if dataset.camera_kind == "equirectangular":
        raise UserError(f"{_lenses(dataset)}, and {format} knows none; choose --format folder or webdataset")
    used = [name for name, values in zip(COEFFICIENTS, dataset.distortion.T, strict=True) if values.any()]
    strange = [name for name in used if name not in known]
    if dataset.camera_kind == "opencv" and strange:
        raise UserError(f"the lenses have {strange[0]}, which {format} does not know; choose --format colmap or folder")


def _lenses(dataset: Dataset) -> str:
    kind = "distorted" if dataset.camera_kind == "opencv" else dataset.camera_kind
    return f"{dataset.path} has {kind} pictures"


def lens_words(dataset: Dataset, index: int) -> dict[str, Any]:
    """A view's size and lens as instant-ngp and nerfstudio name them; pixel centres at +0.5 as here."""
    width, height = (int(side) for side in dataset.size[index])
    fx, fy, cx, cy = (float(value) for value in dataset.intrinsics[index])
    bent = dict(zip(COEFFICIENTS, dataset.distortion[index].tolist(), strict=True)) if not dataset.all_pinholes else {}
    return {"w": width, "h": height, "fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy, **bent}


def shared_camera(dataset: Dataset, views: list[int]) -> bool:
    """Whether all of these views have one size and one lens."""
    first = views[0]
    return bool((dataset.size[views] == dataset.size[first]).all()) and all(
        np.allclose(values[views], values[first], rtol=1e-9, atol=1e-9)
        for values in (dataset.intrinsics, dataset.distortion)
    )
