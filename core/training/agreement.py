# SPDX-License-Identifier: GPL-3.0-or-later
"""Before kernels of our own train on a GPU that we may never have seen, they show that they descend where they should.

What they see is held against the reference by `field/cuda/check.py`; the way back uses other instructions.
"""

from __future__ import annotations

import copy

import torch

from ..field.cuda.failure import DeviceFull, KernelsUnavailable, failures_told
from ..field.model import RadianceField
from .cuda_stepper import CudaStepper
from .recipe import Recipe, Scale
from .torch_execution import TorchExecution

RAYS = 32
# half precision leaves some thousandths, near the end of a training some hundredths; a wrong place leaves all
TOLERANCE = 0.25


@failures_told
def require_same_gradients(stepper: CudaStepper, field: RadianceField, recipe: Recipe, scale: Scale) -> None:
    """Draw some rays and compare the gradient of each parameter with that of the plain PyTorch reference.

    Raises:
        KernelsUnavailable: they do not agree.
        DeviceFull: the GPU has too little memory.
        UserError: it failed.
    """
    found = stepper.gradients(0.0, RAYS)
    if found.dropped:
        return  # a GPU with next to no memory; rays that are left out on one side only would tell nothing
    try:
        trial = copy.deepcopy(field)
        reference = TorchExecution(trial, stepper.occupied(), scale.step, recipe)
        loss, _ = reference.loss(found.rays, found.jitter, found.stride)
        loss.backward()
    except torch.OutOfMemoryError as error:
        raise DeviceFull(
            "the GPU has too little memory left to try our kernels; close other programs, or use --device cpu"
        ) from error
    for name, parameter in trial.named_parameters():
        wanted = parameter.grad
        assert wanted is not None, name
        difference, size = float((found.by_name[name] - wanted).norm()), float(wanted.norm())
        if not difference <= TOLERANCE * size:
            raise KernelsUnavailable(
                f"our CUDA kernels descend by something else than they should on this GPU ({name}: off by "
                f"{difference / size if size else difference:.1%})"
            )
