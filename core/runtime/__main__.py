# SPDX-License-Identifier: GPL-3.0-or-later
"""The child of Blender that works without a worker: installs and removes the runtime, and looks at the machine.

It runs in Blender's own Python, as there may be no other yet.
"""

from __future__ import annotations

from typing import Any

from ... import __version__
from ..doctor.checks import follow
from ..doctor.machine import machine_checks
from ..reporting import Reporter
from ..worker.protocol import serve
from .manage import manage


def _runtime(arguments: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    return manage(**arguments, reporter=reporter)


def _doctor(arguments: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    return follow(machine_checks(**arguments), reporter)


if __name__ == "__main__":
    serve({"runtime": _runtime, "doctor": _doctor}, __version__)
