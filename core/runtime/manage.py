# SPDX-License-Identifier: GPL-3.0-or-later
"""The four things that are done with the managed runtime, by their names on the command line."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any

from ..errors import UserError
from ..reporting import Reporter
from .install import InstallSettings, alone, free_bytes, install
from .places import current, home, ours, remove_environment, remove_tree, remove_unused
from .progress import folder_bytes


def manage(
    action: str,
    reporter: Reporter,
    backend: str = "auto",
    wheels: str | None = None,
    python: str | None = None,
    online: bool = True,
) -> dict[str, Any]:
    """Install, update, remove or tell the status; gives the status afterwards, with how long it took.

    Raises:
        UserError: it cannot be done; one line says why and what to do.
        Cancelled: the user asked to stop.
    """
    began = time.monotonic()
    match action:
        case "install":
            install(InstallSettings(backend, wheels, python, online), reporter)
        case "update":
            update(InstallSettings(backend, wheels, python, online), reporter)
        case "remove":
            remove()
    return {**status(), "seconds": round(time.monotonic() - began, 1)}


def update(settings: InstallSettings, reporter: Reporter) -> None:
    """Install anew when there is none or the one in use is of another version; else leave it as it is."""
    environment = current()
    if environment is None or environment.stale:
        if environment is not None and settings.backend == "auto":
            settings = replace(settings, backend=environment.backend)
        install(settings, reporter)


def remove() -> None:
    """Remove the managed runtime with its Python and its downloads.

    Raises:
        UserError: it is at work.
    """
    if not home().is_dir():
        return
    with alone() as lock:
        environment = current()
        if remove_unused() or (environment is not None and not remove_environment(environment.folder)):
            raise UserError("the runtime is at work; close what trains or shows a twin, and remove it again")
        for path in ours():
            if path.is_dir():
                remove_tree(path)
            elif path != lock.path:
                with suppress(OSError):
                    path.unlink()
        lock.remove()
    with suppress(OSError):
        home().rmdir()  # somebody else's files may lie there


def status() -> dict[str, Any]:
    """The environment in use, whether it fits this version, its size, and the space that is left."""
    environment = current()
    return {
        "installed": environment is not None,
        "stale": environment is not None and environment.stale,
        **(asdict(environment) if environment is not None else {}),
        "folder": str(environment.folder if environment is not None else home()),
        "bytes": folder_bytes(home()),
        "free_bytes": free_bytes(home()),
    }
