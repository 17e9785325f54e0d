# SPDX-License-Identifier: GPL-3.0-or-later
"""What the two ways of training a field on rays from the CPU can do: `cpu_execution.py` and `torch_execution.py`."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .sampler import F4, Rays


class Execution(Protocol):
    """Trains a field in place."""

    def set_occupied(self, occupied: NDArray[np.bool_]) -> None:
        """Take samples in these cells alone from now on."""

    def density_at(self, positions: F4) -> F4:
        """Density [N] at `positions` [N, 3]."""

    def step(self, rays: Rays, jitter: F4, rate: float, stride: float = 1.0) -> tuple[float, int]:
        """One step of Adam at the learning rate `rate`; samples are `stride` times the field's step apart, and each
        ray's are shifted by `jitter` [R] of that.

        Returns the loss before the step and the number of samples.
        """

    def snapshot(self) -> Any:
        """A copy of the parameters and Adam's means, for `restore`; None when something in it is not finite."""

    def restore(self, snapshot: Any) -> None:
        """Go back to a snapshot."""
