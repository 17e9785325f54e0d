# SPDX-License-Identifier: GPL-3.0-or-later
"""What the worker prints: one file a process, of which the last few are kept."""

import contextlib
import os
from datetime import datetime
from pathlib import Path

from ...core.files import cache_folder

KEPT = 10


def new_log(request: str) -> Path:
    """The path of a log for one process; the oldest ones are removed."""
    folder = cache_folder("logs")
    logs = sorted(folder.glob("*.log"), key=lambda path: path.name)
    for old in logs[: max(len(logs) - KEPT + 1, 0)]:
        # Windows keeps what another Blender's worker still writes
        with contextlib.suppress(OSError):
            old.unlink()
    return folder / f"{datetime.now():%Y%m%d-%H%M%S-%f}-{request}-{os.getpid()}.log"
