# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks between processes, which the system itself takes back from a process that has died.

Standard library alone, as all of this folder: the package that core/locks.py uses is not in Blender's Python.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path


class Lock:
    """A lock on a file, which is made when it is missing. Any number of processes may share one; else it is for one.

    Where the system has no shared locks (Windows), a shared one only keeps the file open, which is enough there to keep
    its folder from being renamed.
    """

    def __init__(self, path: str | os.PathLike[str], shared: bool = False) -> None:
        self.path = Path(path)
        self._shared = shared
        self._descriptor: int | None = None

    def take(self) -> bool:
        """Take it, without waiting; whether that went well.

        Raises:
            OSError: the file cannot be opened.
        """
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                _lock(descriptor, self._shared)
            except OSError:
                os.close(descriptor)
                return False
            if os.fstat(descriptor).st_nlink:
                self._descriptor = descriptor
                return True
            os.close(descriptor)  # whoever had it has removed the file meanwhile

    def release(self) -> None:
        """Let it go; the file stays."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def remove(self) -> None:
        """Let it go, and its file with it."""
        # while it is held, so that nobody takes a lock that is about to vanish; Windows removes nothing that is open
        if sys.platform != "win32":
            self.path.unlink(missing_ok=True)
        self.release()
        if sys.platform == "win32":
            with suppress(OSError):
                self.path.unlink()


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int, shared: bool) -> None:
        if not shared:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int, shared: bool) -> None:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
