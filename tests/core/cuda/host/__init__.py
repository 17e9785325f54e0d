# SPDX-License-Identifier: GPL-3.0-or-later
r"""The CUDA kernels on the CPU: the same sources, compiled by g++ with `intrinsics.hpp` instead of `intrinsics.cuh`.

    host = HostKernels(program_of(config, intrinsics=False), folder)
    host.launch("weigh", grid, block, shared_bytes, parameters)

`launch` has the shape of cuLaunchKernel: `parameters` is an array of pointers to the arguments, in the order of
`program.kernels[name].parameters`. Device memory is any memory: a pointer argument is the address of a numpy array or
of what ctypes allocated. `run` does the same with named arguments. A launch is over when the call returns, so streams,
events and graphs have nothing to do here: a trainer is tested by a driver whose memory is malloc's and whose launch is
this one.

The library's own functions, for another caller:

    const char* launch(name, grid, block, shared_bytes, void** parameters, backwards)   NULL, or what went wrong
    const char* kinds(name)   one letter for each parameter: p (8 bytes), u, f (4 bytes)

Blocks run one after another, their threads as fibres (`intrinsics.hpp`). With `backwards` everything runs in the
opposite order, and one warp ahead of the others, so that a missing barrier shows as another result. Shared memory is
filled with NaN at a block's start, and what lies behind it is checked at the end. Every address that the kernels read,
whether a vector of numbers is aligned, and what C++ leaves undefined is checked by the compiler's sanitizers (no leaks:
Python has its own view of them):

    export CUDA_HOST_SANITIZERS=address,undefined ASAN_OPTIONS=detect_leaks=0
    LD_PRELOAD="$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libstdc++.so)" \
    python -m pytest tests/core/cuda --ignore tests/core/cuda/test_cuda_host.py
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from radiance_twin.core.field.cuda.launch import Argument
from radiance_twin.core.field.cuda.program import Kernel, Program

HERE = Path(__file__).parent
SANITIZERS = os.environ.get("CUDA_HOST_SANITIZERS")
# stands before and behind every array; the address sanitizer has its own, which reading finds, too
FENCE = np.full(0 if SANITIZERS else 256, 0xA5, np.uint8)

FOOTER = """
static const Entry ENTRIES[] = {%s};

static const Entry* entry_of(const char* name) {
    for (const Entry& entry : ENTRIES)
        if (!strcmp(entry.name, name)) return &entry;
    return nullptr;
}

extern "C" const char* launch(const char* name, u32 grid, u32 block, u32 shared_bytes, void** parameters,
                              int backwards) {
    const Entry* entry = entry_of(name);
    if (!entry) return "there is no kernel of that name";
    return host::run(entry->kernel, parameters, grid, block, shared_bytes, backwards != 0);
}

extern "C" const char* kinds(const char* name) {
    const Entry* entry = entry_of(name);
    return entry ? entry->kinds.c_str() : nullptr;
}
"""


class LaunchError(Exception):
    """The kernels did what a GPU would not forgive."""


class HostKernels:
    """A program's kernels, compiled for the CPU.

    Attributes:
        path: the shared library. backwards: see above.
    """

    def __init__(self, program: Program, folder: Path) -> None:
        """Compile, unless `folder` has the library already."""
        self.program = program
        self.backwards = False
        self.path = build(program, folder)
        self._library = ctypes.CDLL(str(self.path))
        self._library.launch.restype = self._library.kinds.restype = ctypes.c_char_p
        self._library.launch.argtypes = [ctypes.c_char_p, *[ctypes.c_uint32] * 3, ctypes.c_void_p, ctypes.c_int]
        self._library.kinds.argtypes = [ctypes.c_char_p]

    def kinds(self, name: str) -> str:
        """One letter for each parameter, from the C++ signature."""
        found = self._library.kinds(name.encode())
        assert found is not None, name
        return str(found.decode())

    def launch(self, name: str, grid: int, block: int, shared_bytes: int, parameters: Any) -> None:
        """As cuLaunchKernel; `parameters` is a ctypes array of pointers to the arguments.

        Raises:
            LaunchError: with what the kernel did wrong.
        """
        pointers = ctypes.cast(parameters, ctypes.c_void_p)
        said = self._library.launch(name.encode(), grid, block, shared_bytes, pointers, int(self.backwards))
        if said is not None:
            raise LaunchError(f"{name}: {said.decode()}")

    def run(self, name: str, grid: int = 2, **arguments: Any) -> None:
        """Launch with arguments by name: numpy arrays (None for 0) and numbers.

        Raises:
            LaunchError: also when the kernel wrote before or behind an array.
        """
        kernel = self.program.kernels[name]

        def launch(values: list[Argument]) -> None:
            pointers = (ctypes.c_void_p * len(values))(*[ctypes.addressof(value) for value in values])
            self.launch(name, grid, kernel.threads, kernel.shared_bytes, pointers)

        run_fenced(launch, kernel, torch.device("cpu"), arguments)


def run_fenced(
    launch: Callable[[list[Argument]], None], kernel: Kernel, device: torch.device, given: dict[str, Any]
) -> None:
    """`launch` with a kernel's arguments, of which numpy arrays lie between fences on `device` meanwhile."""
    values: list[Argument] = []
    held: dict[str, tuple[np.ndarray, torch.Tensor]] = {}
    for parameter in kernel.parameters:
        value = given.pop(parameter.name)
        if parameter.kind != "pointer":
            values.append(ctypes.c_uint32(value) if parameter.kind == "u4" else ctypes.c_float(value))
        elif value is None:
            values.append(ctypes.c_void_p(0))
        else:
            assert value.flags.c_contiguous, parameter.name
            octets = value.reshape(-1).view(np.uint8)
            fenced = torch.from_numpy(np.concatenate([FENCE, octets, FENCE])).to(device)
            held[parameter.name] = octets, fenced
            values.append(ctypes.c_void_p(fenced.data_ptr() + len(FENCE)))
    assert not given, f"{kernel.name} has no parameter {', '.join(given)}"
    launch(values)
    for array, (octets, tensor) in held.items():
        before, inside, behind = np.split(tensor.cpu().numpy(), [len(FENCE), len(FENCE) + len(octets)])
        if (before != FENCE).any() or (behind != FENCE).any():
            raise LaunchError(f"{kernel.name} wrote outside of {array}")
        octets[:] = inside


def build(program: Program, folder: Path) -> Path:
    """The shared library of a program made with intrinsics=False; compiled once for each source."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.fail("g++ is missing: apt-get install g++ (tools/set_up.sh does, where it may)")
    entries = ", ".join(f'{{"{name}", Call<{name}>::of, Call<{name}>::kinds()}}' for name in program.kernels)
    source = "\n".join([(HERE / "intrinsics.hpp").read_text("utf-8"), program.source, FOOTER % entries])
    stem = folder / f"kernels-{hashlib.sha256(source.encode()).hexdigest()[:16]}"
    library = stem.with_suffix(".so")
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        stem.with_suffix(".cpp").write_text(source, "utf-8")
        options = ["-std=c++17", "-O2", "-shared", "-fPIC", "-Wall", "-Wno-unknown-pragmas", "-ffp-contract=off"]
        if SANITIZERS:
            options += [f"-fsanitize={SANITIZERS}", "-fno-sanitize-recover=all", "--param=asan-stack=0", "-g1"]
        command = [compiler, *options, "-o", str(library), str(stem.with_suffix(".cpp"))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[:4000]
        assert not done.stderr, done.stderr[:4000]
    return library
