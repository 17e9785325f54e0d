# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong with kernels of our own: before they run, when plain PyTorch does the work, and while they do."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

from ...errors import UserError

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class KernelsUnavailable(Exception):
    """Our CUDA kernels cannot be used here; the message is one line that says why.

    Attributes:
        details: a compiler's whole log, or nothing.
    """

    def __init__(self, reason: str, details: str = "") -> None:
        super().__init__(reason)
        self.details = details


class DeviceFull(UserError):
    """The GPU's memory does not suffice; less may be asked of it."""


def failures_told(work: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """`work`, whose failures on the device are UserErrors: its own, and those of what was started before it."""

    @wraps(work)
    def told(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        try:
            return work(*args, **kwargs)
        except torch.OutOfMemoryError as error:
            raise UserError(
                "the GPU's memory ran out; close other programs, use smaller views, or use --device cpu"
            ) from error
        except RuntimeError as error:
            raise UserError(f"the GPU failed: {str(error).splitlines()[0]}; try again, or use --device cpu") from error

    return told
