# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernels through NVIDIA's run-time compiler, for every generation of GPUs since Turing: no warnings, and registers
that suffice. `pytest -rP` shows how many each kernel takes."""

from __future__ import annotations

import ctypes
import re

import pytest

from radiance_twin.core.field.cuda.load import OPTIONS
from radiance_twin.core.field.cuda.nvrtc import Nvrtc, find_nvrtc
from radiance_twin.core.field.cuda.program import program_of
from radiance_twin.core.field.cuda.signatures import KERNELS
from radiance_twin.core.field.model import FieldConfig

DEFAULT = FieldConfig()
# a table as large as they get and a background; the widest layers, with weights outside of shared memory
WORLD = FieldConfig(hidden=64, finest_resolution=4096, log2_table_size=19, background=True)
WIDE = FieldConfig(hidden=128, levels=16, colour_layers=1)
# the sources differ between Turing, what came after it, and Hopper and what came after that
CASES = [(DEFAULT, capability) for capability in (75, 80, 86, 89, 90, 100, 120)] + [
    (WORLD, 75),
    (WORLD, 90),
    (WIDE, 90),
]
# some registers that a kernel puts aside cost nothing beside the memory it waits for
MOST_SPILLED = 80


class TalkingNvrtc(Nvrtc):
    """Keeps what the compiler says of a success."""

    log = ""

    def _text(self, program: ctypes.c_void_p, function: str) -> bytes:
        self.log = super()._text(program, "nvrtcGetProgramLog").decode().rstrip("\0")
        return super()._text(program, function)


@pytest.fixture(scope="module")
def nvrtc() -> TalkingNvrtc:
    return TalkingNvrtc(find_nvrtc().path)


@pytest.mark.parametrize(("config", "capability"), CASES, ids=lambda value: getattr(value, "hidden", value))
def test_it_compiles(nvrtc: TalkingNvrtc, config: FieldConfig, capability: int) -> None:
    program = program_of(config)
    options = [*OPTIONS, "--ptxas-options=-v"]
    image = nvrtc.compile(program.source, "field.cu", f"sm_{capability}", options)
    assert image.startswith(b"\x7fELF")
    assert "warning" not in nvrtc.log.lower(), nvrtc.log
    used = {name: int(registers) for name, registers in found("Used (\\d+) registers", nvrtc.log)}
    spilled = {name: int(stored) for name, stored in found("(\\d+) bytes spill stores", nvrtc.log)}
    assert used.keys() == spilled.keys() == KERNELS.keys()
    for name, kernel in program.kernels.items():
        print(f"{name}: {used[name]} registers, {spilled[name]} bytes spilled, {kernel.shared_bytes} bytes shared")
        # a block has to fit: 65536 registers, given out by eights, and 64 KiB of shared memory on Turing
        assert -(-used[name] // 8) * 8 * kernel.threads <= 65536
        assert kernel.shared_bytes <= 65536
    assert max(spilled.values()) <= MOST_SPILLED


def found(pattern: str, log: str) -> list[tuple[str, str]]:
    """What ptxas says about each kernel."""
    parts = re.split(r"Compiling entry function '(\w+)'", log)[1:]
    return [(name, re.search(pattern, text)[1]) for name, text in zip(parts[::2], parts[1::2], strict=True)]  # type: ignore[index]
