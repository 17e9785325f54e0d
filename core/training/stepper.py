# SPDX-License-Identifier: GPL-3.0-or-later
"""What takes one step of a training after another; `host_stepper.py` draws its rays on the CPU."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Stepper(Protocol):
    """Trains a field in place: draws rays, takes steps, keeps the occupancy grid.

    Attributes:
        loss: of the last step that is known of; one that runs ahead of its device may know it some steps late.
        rays, samples: so far.
        caution: what the learning rate is multiplied by; lowered when a training had to go back.
    """

    loss: float
    rays: int
    samples: int
    caution: float

    def step(self, progress: float) -> None:
        """One step of Adam; `progress` 0..1 of the whole training sets the learning rate and what is drawn."""

    def compile(self) -> None:
        """Do what the first step would have to wait for, without changing the field."""

    def synchronise(self) -> None:
        """Wait for all steps, so that the field, `loss`, `rays` and `samples` are those of the last one."""

    def occupied(self) -> NDArray[np.bool_]:
        """[n, n, n]: the cells in which samples are taken now."""

    def look_everywhere(self) -> None:
        """Bring every cell of the occupancy grid up to date."""

    def snapshot(self) -> Any:
        """A copy of all that training changes, for `restore`; None when something in it is not finite."""

    def restore(self, snapshot: Any) -> None:
        """Go back to a snapshot. What is drawn next is drawn anew: the same batch may have been the trouble."""
