# SPDX-License-Identifier: GPL-3.0-or-later
"""`radiance-twin doctor`: all that can be looked at outside of Blender, in the Python that trains."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

from ..reporting import Reporter
from .checks import follow
from .machine import machine_checks
from .training import training_checks


def examine(reporter: Reporter, folders: Sequence[str] = ()) -> dict[str, Any]:
    """Look at the machine, PyTorch and a short training; gives {healthy, checks [{name, state, found, remedy}]}.

    Raises:
        Cancelled: the user asked to stop.
    """
    return follow(chain(machine_checks(folders), training_checks()), reporter)
