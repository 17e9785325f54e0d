# SPDX-License-Identifier: GPL-3.0-or-later
"""The CUDA kernels as the CPU runs them: they are those of the program, round as they should, and mistakes that a GPU
would not forgive are noticed."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radiance_twin.core.field.cuda.program import Kernel, Program, program_of, unsupported
from radiance_twin.core.field.cuda.signatures import KERNELS

from .batch import SMALL
from .host import HostKernels, LaunchError
from .host.device import DEVICE, DeviceKernels, without_gpu


def test_the_signatures_are_those_of_the_sources(folder: Path) -> None:
    host = HostKernels(program_of(SMALL, intrinsics=False), folder)
    letters = {"pointer": "p", "u4": "u", "f4": "f"}
    for name, parameters in KERNELS.items():
        assert host.kinds(name) == "".join(letters[parameter.kind] for parameter in parameters), name


def test_shapes_that_the_kernels_cannot_run_are_named() -> None:
    assert unsupported(SMALL) is None
    assert "width 40" in str(unsupported(replace(SMALL, hidden=40)))
    with pytest.raises(ValueError, match="8 geometry features"):
        program_of(replace(SMALL, geometry_features=8))


def test_halves_are_rounded_as_numpy_rounds_them(host: Any) -> None:
    halves = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    between = (halves[:-1].astype(np.float64) + halves[1:]).astype(np.float32) / 2
    values = np.concatenate([halves, between, np.nextafter(between, 0, dtype=np.float32), np.nextafter(between, 1e9)])
    values = np.resize(np.concatenate([values, -values]), (-(-2 * len(values) // 4), 4)).astype(np.float32)
    table = np.zeros(values.shape, np.float16)
    host.run("pack_table", rows=len(values), table_master=values, table=table)
    assert (table.view(np.uint16) == values.astype(np.float16).view(np.uint16)).all()
    # beyond what half precision holds our own limit comes first
    beyond = np.array([[65504.0, 65536.0, -1e30, np.inf]], np.float32)
    host.run("pack_table", rows=1, table_master=beyond, table=table)
    assert table[0].tolist() == [65504.0, 65504.0, -65504.0, 65504.0]


def test_what_tests_ask_of_a_gpu_goes_through_the_driver(folder: Path) -> None:
    """As `host` does on a machine with a GPU."""
    values = np.array([[1.0, -2.5, 65536.0, 1e-7]], np.float32)
    with without_gpu() if DEVICE.type == "cpu" else nullcontext():
        device = DeviceKernels(SMALL, folder)
        table = np.zeros(values.shape, np.float16)
        device.run("pack_table", rows=1, table_master=values, table=table)
        assert table[0].tolist() == [1.0, -2.5, 65504.0, np.float16(1e-7)]
        with pytest.raises(LaunchError, match="pack_table wrote outside of table"):
            device.run("pack_table", rows=1, table_master=values, table=table[:, :3].copy())


FAULTY = """
constexpr u32 THREADS = 64;
KERNEL lonely_lane(u32* out) { if (threadIdx.x % 32 < 5) out[0] = __ballot_sync(ALL, true); }
KERNEL two_minds(u32* out) { out[0] = threadIdx.x % 2 ? __ballot_sync(ALL, true) : __shfl_sync(ALL, 1u, 0); }
KERNEL lost_thread(u32* out) { if (threadIdx.x != 3) __syncthreads(); }
KERNEL too_far(u32* out) { shared_memory[threadIdx.x] = make_uint4(1, 2, 3, 4); }
KERNEL no_barrier(u32* out) {
    u32* words = (u32*)shared_memory;
    words[threadIdx.x] = threadIdx.x;
    out[threadIdx.x] = words[(threadIdx.x + 1) % THREADS];
}
"""


def test_the_host_build_notices_what_a_gpu_would_not_forgive(folder: Path) -> None:
    names = ["lonely_lane", "two_minds", "lost_thread", "too_far", "no_barrier"]
    parameter = KERNELS["begin_step"][0]
    kernels = {name: Kernel(name, 64, 512, (replace(parameter, name="out"),)) for name in names}
    program = Program(FAULTY, kernels, 0, 0, 0, 0, 0, 0)
    faulty, out = HostKernels(program, folder), np.zeros(64, np.uint32)
    with pytest.raises(LaunchError, match="after some of its lanes have ended|wait for one another"):
        faulty.run("lonely_lane", out=out)
    with pytest.raises(LaunchError, match="different things"):
        faulty.run("two_minds", out=out)
    with pytest.raises(LaunchError, match="after some of its threads have ended|wait for one another"):
        faulty.run("lost_thread", out=out)
    with pytest.raises(LaunchError, match="beyond its shared memory"):
        faulty.run("too_far", out=out)
    with pytest.raises(LaunchError, match="no_barrier wrote outside of out"):
        faulty.run("no_barrier", out=out[:63].copy())
    faulty.run("no_barrier", out=out)
    forwards = out.copy()
    faulty.backwards = True
    faulty.run("no_barrier", out=out)
    assert (forwards != out).any()
