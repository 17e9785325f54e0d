# SPDX-License-Identifier: GPL-3.0-or-later
"""How kernels are called: with arrays by name, on whatever runs them."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .program import Kernel, Program

Argument = ctypes.c_void_p | ctypes.c_uint32 | ctypes.c_float
Value = Tensor | int | float | None
Work = Callable[[], None]


class Launcher(Protocol):
    """What runs a program's kernels: the GPU (`driver.Module`), or a build of the same source for the CPU in the tests.

    Attributes:
        device: where the arrays have to be.
    """

    device: torch.device

    def prepare(self, kernel: Kernel) -> int:
        """Do what has to come before a kernel's first launch; the number of its blocks that run at the same time.

        Raises:
            KernelsUnavailable: the kernel is not there, or wants more than the device has.
        """

    def launch(self, kernel: Kernel, blocks: int, arguments: Sequence[Argument]) -> None:
        """Start a kernel without waiting for it; it comes after all that was started before.

        Raises:
            UserError: the device failed.
        """

    def record(self, work: Work) -> Work:
        """A function that starts again what `work` starts, as often as wanted and with little effort.

        `work` may only launch kernels, each of which must have run before.
        """


@dataclass(frozen=True)
class _Call:
    launcher: Launcher
    kernel: Kernel
    blocks: int
    arguments: list[Argument]
    values: list[Value]  # keeps the arrays alive

    def __call__(self) -> None:
        self.launcher.launch(self.kernel, self.blocks, self.arguments)


class Kernels:
    """A program on what runs it. Everything is prepared here: later there are launches only."""

    def __init__(self, program: Program, launcher: Launcher) -> None:
        """Raises: KernelsUnavailable: a kernel cannot run there."""
        self.program = program
        self.device = launcher.device
        self.record = launcher.record
        self._launcher = launcher
        self._blocks = {name: launcher.prepare(kernel) for name, kernel in program.kernels.items()}

    def bind(self, name: str, values: Mapping[str, Value]) -> Work:
        """A function that starts a kernel on these arrays, and keeps them alive.

        Args:
            values: by the names of the kernel's parameters, and perhaps others; None is the null pointer.
        """
        kernel = self.program.kernels[name]
        arguments: list[Argument] = []
        for parameter in kernel.parameters:
            value = values[parameter.name]
            if parameter.kind == "pointer":
                arguments.append(ctypes.c_void_p(self._address(parameter.name, value)))
            elif parameter.kind == "u4":
                assert isinstance(value, int)
                arguments.append(ctypes.c_uint32(value))
            else:
                assert isinstance(value, float | int)
                arguments.append(ctypes.c_float(value))
        # one thread does all of these
        blocks = 1 if name in ("begin_step", "end_step") else self._blocks[name]
        used = [values[parameter.name] for parameter in kernel.parameters]
        return _Call(self._launcher, kernel, blocks, arguments, used)

    def _address(self, name: str, value: Value) -> int:
        if value is None:
            return 0
        assert isinstance(value, Tensor), name
        assert value.device == self.device and value.is_contiguous(), name
        return value.data_ptr()
