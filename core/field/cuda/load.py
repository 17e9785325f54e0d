# SPDX-License-Identifier: GPL-3.0-or-later
"""From the shape of a field to kernels that can be called on a GPU."""

from __future__ import annotations

from functools import lru_cache

import torch

from ..model import FieldConfig
from .cache import compile_cached
from .driver import Driver
from .failure import KernelsUnavailable
from .launch import Kernels
from .nvrtc import find_nvrtc
from .program import program_of, unsupported

# the compiler may then use the fast approximations of exp and division, and flush numbers next to nothing to zero
OPTIONS = ("--std=c++17", "--use_fast_math")


def load_kernels(config: FieldConfig, device: torch.device) -> Kernels:
    """The kernels for fields of this shape on a CUDA device; compiled where that has not been done before.

    Raises:
        KernelsUnavailable: why they cannot run here.
    """
    attempt = _attempt(config, torch.cuda.current_device() if device.index is None else device.index)
    if isinstance(attempt, KernelsUnavailable):
        raise attempt
    return attempt


@lru_cache(maxsize=8)
def _attempt(config: FieldConfig, index: int) -> Kernels | KernelsUnavailable:
    """The kernels, or what failed: neither changes while the process lives."""
    try:
        if reason := unsupported(config):
            raise KernelsUnavailable(f"our CUDA kernels do not know {reason}")
        program, nvrtc = program_of(config), find_nvrtc()
        image = compile_cached(nvrtc, program.source, "field", nvrtc.target(capability(index)), OPTIONS)
        return Kernels(program, Driver(index=index).load(image))
    except KernelsUnavailable as error:
        return error


def capability(index: int) -> int:
    """90 for compute capability 9.0. PyTorch sets up the device before anything else touches it.

    Raises:
        KernelsUnavailable: it is no NVIDIA GPU.
    """
    if torch.version.hip:
        raise KernelsUnavailable("our kernels are written for NVIDIA GPUs, and this one is AMD's")
    torch.zeros(1, device=torch.device("cuda", index))
    major, minor = torch.cuda.get_device_capability(index)
    return 10 * major + minor
