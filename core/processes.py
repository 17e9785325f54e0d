# SPDX-License-Identifier: GPL-3.0-or-later
"""Which program is which: the Blender that renders views, and the Python that has torch. Standard library alone."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from .errors import UserError

# Windows has one way to end a process, whatever it is asked
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
ROOT = Path(__file__).resolve().parent.parent
BOOTSTRAP = ROOT / "core" / "bootstrap.py"


def worker_command(python: str) -> list[str]:
    """Start the worker in the environment of `python`."""
    return [python, "-s", "-u", str(BOOTSTRAP), "core.worker"]


def installer_command(python: str) -> list[str]:
    """Start what installs the managed runtime, in any Python, with nothing of that Python's packages or variables."""
    return [python, "-I", "-u", str(BOOTSTRAP), "core.runtime"]


def blender_command(executable: str, module: str) -> list[str]:
    """Start `module` of this tree inside `executable`: a Blender, or a Python that has the package bpy."""
    if is_python(executable):
        return [executable, "-s", "-u", str(BOOTSTRAP), module]
    # factory settings: the same scene gives the same views whatever else is installed in that Blender
    return [
        *[executable, "--background", "--factory-startup", "--python-exit-code", "1"],
        *["--python", str(BOOTSTRAP), "--", module],
    ]


def find_blender(explicit: str | None = None) -> str:
    """The program that renders views: the one named, RADIANCE_TWIN_BLENDER, or this Python when it has bpy.

    Raises:
        UserError: none of them is there.
    """
    for source, name in (("--blender", explicit), ("RADIANCE_TWIN_BLENDER", os.environ.get("RADIANCE_TWIN_BLENDER"))):
        if name:
            found = shutil.which(name)
            if found is None:
                raise UserError(f"{source} names {name}, which is no program; give the path of Blender's executable")
            return os.path.abspath(found)
    if importlib.util.find_spec("bpy") is not None:
        return sys.executable
    raise UserError(
        "no Blender to render with: give --blender PATH, set RADIANCE_TWIN_BLENDER, "
        "or use Python 3.11 or 3.13, for which the package bpy exists"
    )


def is_python(executable: str) -> bool:
    """Whether `executable` is a Python rather than a Blender, by its name."""
    return re.fullmatch(r"pythonw?[\d.]*(\.exe)?", Path(executable).name, re.IGNORECASE) is not None


def own_group() -> dict[str, Any]:
    """For Popen: Ctrl-C in the terminal reaches us alone, and we tell the child ourselves."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def signal_group(process: subprocess.Popen[Any], number: int) -> None:
    """Send a signal to a child with its `own_group`, unless it has ended; Windows ends the child alone."""
    if process.poll() is not None:
        return
    if sys.platform == "win32":
        process.kill()
    else:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
