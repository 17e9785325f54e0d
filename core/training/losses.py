# SPDX-License-Identifier: GPL-3.0-or-later
"""What training minimises, plain PyTorch; `cpu_kernels.relative_loss` is the same with its gradient written out."""

from __future__ import annotations

import torch
from torch import Tensor


def relative_l2(predicted: Tensor, target: Tensor, epsilon: float) -> Tensor:
    """Mean over rays and channels of (p − t)² / (stopgrad(p) + ε)², for scene-linear [R, 3].

    The weight is nearly the squared slope of what the eye or a view transform does to light, so that dark parts count
    as much as bright ones. Its gradient is stopped: it stays proportional to p − t, and noisy targets are averaged in
    linear light without bias (Mildenhall et al. 2022, "NeRF in the Dark", eq. 7).
    """
    weight = 1.0 / (predicted.detach() + epsilon)
    return (((predicted - target) * weight) ** 2).mean()


def opacity_l2(alpha: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference of opacities [R]; a negative target is unknown and costs nothing."""
    return torch.mean(torch.where(target >= 0.0, alpha - target, 0.0) ** 2)
