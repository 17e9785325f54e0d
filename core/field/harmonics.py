# SPDX-License-Identifier: GPL-3.0-or-later
"""Real spherical harmonics, by arithmetic alone: for arrays of numpy, which Blender has, and tensors of PyTorch."""

from __future__ import annotations

from typing import Any


def bands_1_to_3(x: Any, y: Any, z: Any) -> list[Any]:
    """Fifteen values of unit directions, of the kind of x, y and z (arrays or tensors [N]), orthonormal on the sphere.

    Formulae: Sloan, "Stupid Spherical Harmonics Tricks", appendix A2.
    """
    xx, yy, zz = x * x, y * y, z * z
    return [
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
    ]
