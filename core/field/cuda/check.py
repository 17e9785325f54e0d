# SPDX-License-Identifier: GPL-3.0-or-later
"""Before our kernels are trusted on a GPU that we may never have seen, they show that they compute what they should."""

from __future__ import annotations

import copy

import numpy as np
import torch

from ..model import RadianceField
from ..render import render_rays
from .failure import KernelsUnavailable, failures_told
from .launch import Kernels
from .renderer import CudaRenderer

RAYS = 64
STEP = 1.0 / 16.0
# half precision leaves about a thousandth
TOLERANCE = 0.02


@failures_told
@torch.no_grad()
def require_agreement(field: RadianceField, kernels: Kernels) -> None:
    """Render some rays through a random field of the same shape, by the kernels and by the plain PyTorch reference.

    Raises:
        KernelsUnavailable: they do not agree.
        UserError: the GPU failed.
    """
    trial = copy.deepcopy(field)
    for name, parameter in trial.named_parameters():
        if name.endswith("table"):
            parameter.uniform_(-1.0, 1.0)
    random = np.random.default_rng(0)
    directions = random.normal(size=(RAYS, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    origins = (random.random((RAYS, 3)) - directions).astype(np.float32)
    occupied = np.ones((8, 8, 8), np.bool_)
    seen = CudaRenderer(trial, occupied, STEP, kernels).render(origins, directions.astype(np.float32))
    starts, ways = (torch.tensor(part, dtype=torch.float32, device=kernels.device) for part in (origins, directions))
    wanted = render_rays(trial, torch.from_numpy(occupied).to(kernels.device), STEP, starts, ways)
    for found, true in zip(seen, wanted, strict=True):
        truth = true.cpu().numpy()
        difference = np.linalg.norm(found - truth) / np.linalg.norm(truth)
        if not difference < TOLERANCE:
            raise KernelsUnavailable(
                f"our CUDA kernels compute something else than they should on this GPU (off by {difference:.1%})"
            )
