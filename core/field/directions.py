# SPDX-License-Identifier: GPL-3.0-or-later
"""What the colour network is told about the viewing direction: real spherical harmonics up to degree 3."""

from __future__ import annotations

import torch
from torch import Tensor

from .harmonics import bands_1_to_3

COUNT = 16


def spherical_harmonics(directions: Tensor) -> Tensor:
    """[N, 16]: real spherical harmonics, bands 0 to 3, orthonormal on the sphere, of unit `directions` [N, 3]."""
    x, y, z = directions.unbind(-1)
    return torch.stack([torch.full_like(x, 0.28209479177387814), *bands_1_to_3(x, y, z)], dim=-1)
