# SPDX-License-Identifier: GPL-3.0-or-later
"""The child of Blender that installs and removes the runtime. It runs in Blender's Python, as there is no other yet."""

from __future__ import annotations

from typing import Any

from ... import __version__
from ..reporting import Reporter
from ..worker.protocol import serve
from .manage import manage


def _runtime(arguments: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    return manage(**arguments, reporter=reporter)


if __name__ == "__main__":
    serve({"runtime": _runtime}, __version__)
