# SPDX-License-Identifier: GPL-3.0-or-later
"""A training that loses its way goes back to where all was well, instead of saving what is not finite."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..errors import UserError
from .stepper import Stepper

# steps between two snapshots; a snapshot costs about as much as a step
KEEP_EVERY = 250
# the loss is averaged over about so many steps, and has gone astray when it is so many times its lowest average
AVERAGED_OVER = 50
ASTRAY = 8.0
MOST_RETREATS = 4
DIVERGED = "the training diverged again and again (its values are not finite or its loss explodes); try another --seed"


class Safeguard:
    """Watches a stepper's loss, keeps snapshots of a sound state, and goes back to the last one when it must."""

    def __init__(self, stepper: Stepper, log: Callable[[str], None]) -> None:
        self._stepper = stepper
        self._log = log
        self._kept: Any = stepper.snapshot()
        self._kept_at = 0
        self._average: float | None = None
        self._lowest = math.inf
        self._watched = 0
        self._retreats = 0

    def watch(self, steps: int) -> None:
        """To be called after each step with its number.

        Raises:
            UserError: going back did not help.
        """
        if self._is_astray():
            self._go_back(steps)
        elif steps % KEEP_EVERY == 0:
            self._keep(steps)

    def require_finite(self) -> None:
        """Go back to the last sound state when the present one is not finite."""
        if self._stepper.snapshot() is None:
            self._stepper.restore(self._kept)
            self._log(f"the last values were not finite: the field is that of step {self._kept_at}")

    def _is_astray(self) -> bool:
        loss = self._stepper.loss
        if not math.isfinite(loss):
            return True
        share = 1.0 / AVERAGED_OVER
        self._average = loss if self._average is None else (1.0 - share) * self._average + share * loss
        self._watched += 1
        if self._watched < AVERAGED_OVER:
            return False
        self._lowest = min(self._lowest, self._average)
        return self._average > ASTRAY * self._lowest

    def _keep(self, steps: int) -> None:
        self._stepper.synchronise()
        state = self._stepper.snapshot()
        if state is None:
            self._go_back(steps)
            return
        self._kept, self._kept_at = state, steps

    def _go_back(self, steps: int) -> None:
        self._retreats += 1
        if self._retreats > MOST_RETREATS:
            raise UserError(DIVERGED)
        self._stepper.restore(self._kept)
        self._stepper.caution *= 0.5
        self._average, self._lowest, self._watched = None, math.inf, 0
        self._log(
            f"step {steps} went astray (loss {self._stepper.loss:.3g}): "
            f"back to step {self._kept_at} with half the learning rate"
        )
