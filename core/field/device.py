# SPDX-License-Identifier: GPL-3.0-or-later
"""Which device trains and renders."""

from __future__ import annotations

import torch

from ..errors import UsageError, UserError


def choose_device(name: str) -> torch.device:
    """`auto` takes CUDA where there is one, else the CPU.

    Raises:
        UserError: CUDA was asked for and is not there.
        UsageError: an unknown name.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise UsageError(f"unknown device {name!r}; use auto, cpu or cuda")
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.version.cuda is None:
        raise UserError("this PyTorch has no CUDA; install a CUDA build of torch, or use --device cpu")
    raise UserError("no CUDA device was found; check the NVIDIA driver, or use --device cpu")
