# SPDX-License-Identifier: GPL-3.0-or-later
"""What the colour network is told about the viewing direction: real spherical harmonics up to degree 3."""

from __future__ import annotations

import torch
from torch import Tensor

COUNT = 16


def spherical_harmonics(directions: Tensor) -> Tensor:
    """Sixteen real spherical harmonics [N, 16] (bands 0 to 3, orthonormal on the sphere) of unit `directions` [N, 3].

    Formulae: Sloan, "Stupid Spherical Harmonics Tricks", appendix A2.
    """
    x, y, z = directions.unbind(-1)
    xx, yy, zz = x * x, y * y, z * z
    return torch.stack(
        [
            torch.full_like(x, 0.28209479177387814),
            -0.4886025119029199 * y,
            0.4886025119029199 * z,
            -0.4886025119029199 * x,
            1.0925484305920792 * x * y,
            -1.0925484305920792 * y * z,
            0.31539156525252005 * (3.0 * zz - 1.0),
            -1.0925484305920792 * x * z,
            0.5462742152960396 * (xx - yy),
            -0.5900435899266435 * y * (3.0 * xx - yy),
            2.890611442640554 * x * y * z,
            -0.4570457994644658 * y * (5.0 * zz - 1.0),
            0.3731763325901154 * z * (5.0 * zz - 3.0),
            -0.4570457994644658 * x * (5.0 * zz - 1.0),
            1.445305721320277 * z * (xx - yy),
            -0.5900435899266435 * x * (xx - 3.0 * yy),
        ],
        dim=-1,
    )
