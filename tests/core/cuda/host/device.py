# SPDX-License-Identifier: GPL-3.0-or-later
"""A GPU for tests that need one: the real one where there is one, else the whole way through our driver calls into
`fake_cuda_driver.cpp`, which runs the kernels that g++ built, in memory of the CPU."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from radiance_twin.core.field.cuda.driver import Driver, Module
from radiance_twin.core.field.cuda.launch import Kernels, Work
from radiance_twin.core.field.cuda.load import load_kernels
from radiance_twin.core.field.cuda.program import program_of
from radiance_twin.core.field.model import FieldConfig

from . import HostKernels, run_fenced

DEVICE = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def build_fake_driver(folder: Path) -> Path:
    """The library; where CUDA's header lies in its usual place, it checks the declarations."""
    compiler = shutil.which("g++")
    assert compiler, "these tests need g++"
    library = folder / "libcuda_fake.so"
    toolkit = [f"-I{place}/include" for place in ("/usr/local/cuda", os.environ.get("CUDA_HOME")) if place]
    source = Path(__file__).parent.with_name("fake_cuda_driver.cpp")
    subprocess.run([compiler, "-shared", "-fPIC", *toolkit, str(source), "-o", str(library)], check=True, timeout=60)
    return library


class HostModule(Module):
    """Nothing is recorded on the CPU: what is to be repeated is done again."""

    def record(self, work: Work) -> Work:
        return work


@contextmanager
def without_gpu() -> Iterator[None]:
    """What the driver's calls ask PyTorch for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=0))
        patch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(multi_processor_count=1))
        yield


def kernels_for(config: FieldConfig, folder: Path) -> Kernels:
    """The kernels for a field of this shape on `DEVICE`; without a GPU to be used inside of `without_gpu`."""
    if DEVICE.type == "cuda":
        return load_kernels(config, DEVICE)
    program = program_of(config, intrinsics=False)
    host = HostKernels(program, folder)
    fake = folder / "libcuda_fake.so"
    if not fake.exists():
        build_fake_driver(folder)
    ctypes.CDLL(str(fake)).fake_library(ctypes.cast(ctypes.CDLL(str(host.path)).launch, ctypes.c_void_p))
    loaded = Driver(str(fake)).load(b"the library is linked already\0")
    module = HostModule(loaded._driver, loaded._handle, 0)
    module.device = DEVICE
    return Kernels(program, module)


class DeviceKernels:
    """What `HostKernels` is to the tests, on `DEVICE`: arrays go there and come back with each launch."""

    def __init__(self, config: FieldConfig, folder: Path) -> None:
        kernels = kernels_for(config, folder)
        self.program, self._launcher = kernels.program, kernels._launcher
        self.backwards = False  # a GPU has no order

    def run(self, name: str, grid: int = 2, **arguments: Any) -> None:
        """As `HostKernels.run`."""
        kernel = self.program.kernels[name]
        run_fenced(lambda values: self._launcher.launch(kernel, grid, values), kernel, DEVICE, arguments)
