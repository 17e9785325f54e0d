# SPDX-License-Identifier: GPL-3.0-or-later
"""Which build of PyTorch this machine needs, asked of the driver itself."""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from . import lock

BACKENDS = ("auto", "cpu", "cuda")
NO_DRIVER_YET = "cu130"


@dataclass(frozen=True)
class Build:
    """A build of PyTorch, and where it comes from.

    Attributes:
        backend: cpu | cuda.
        hashed: it is the one in torch.txt, of which every file is known by its hash.
        asked_of_uv: what uv's --torch-backend is told otherwise; empty when a folder of wheels has it.
    """

    backend: str
    hashed: bool
    asked_of_uv: str = ""


def choose_build(wanted: str, folders: Sequence[Path], by_uv: bool = True) -> Build:
    """The build for `wanted`, auto | cpu | cuda, on this machine. A folder of wheels that has PyTorch decides.

    Args:
        by_uv: whether uv installs it. pip knows no backends: it takes the one that the package index has.

    Raises:
        UsageError: an unknown word.
    """
    if wanted not in BACKENDS:
        raise UsageError(f"unknown backend {wanted!r}; use auto, cpu or cuda")
    driver = cuda_of_driver()
    cuda = sys.platform != "darwin" and (wanted == "cuda" or (wanted == "auto" and driver is not None))
    backend = "cuda" if cuda else "cpu"
    there = [wheel.name for folder in folders for wheel in folder.glob(f"torch-{lock.version_of('torch')}[-+]*.whl")]
    special = [name for name in there if "+" in name]
    if special:
        return Build("cpu" if "+cpu" in special[0] else "cuda", hashed=False)
    if there or not by_uv:
        return Build("cuda" if sys.platform == "linux" else "cpu", hashed=True)
    match sys.platform:
        case "darwin":
            return Build(backend, hashed=True)
        case "win32" if not cuda:
            return Build(backend, hashed=True)
        case "linux" if cuda and (driver is None or driver >= _locked_cuda()):
            return Build(backend, hashed=True)
    if not cuda:
        return Build(backend, False, "cpu")
    return Build(backend, False, "auto" if driver is not None else NO_DRIVER_YET)


@functools.cache
def cuda_of_driver() -> tuple[int, int] | None:
    """The newest CUDA that the NVIDIA driver knows, None without one (CUDA driver API, cuDriverGetVersion)."""
    try:
        library = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        version = ctypes.c_int(0)
        if library.cuInit(0) != 0 or library.cuDriverGetVersion(ctypes.byref(version)) != 0:
            return None
    except (OSError, AttributeError):
        return None
    return version.value // 1000, version.value % 1000 // 10


def _locked_cuda() -> tuple[int, int]:
    major, minor = lock.version_of("cuda-toolkit").split(".")[:2]
    return int(major), int(minor)
