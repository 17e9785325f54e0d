# SPDX-License-Identifier: GPL-3.0-or-later
"""One process at a time for what takes long to write."""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import UserError
from .files import require_writable_folder


@contextmanager
def locked(path: str | os.PathLike[str]) -> Iterator[None]:
    """Keep every other process from writing `path` meanwhile: a file or a folder, there or not. Does not wait.

    The system holds the lock (flock, or its like), so that one whose process died blocks nobody. What such a process
    left half-written beside `path` is removed. Where the system cannot lock, everybody goes on.

    Raises:
        UserError: another process is at it, or its folder cannot be written.
    """
    target = Path(path).resolve()
    require_writable_folder(target.parent)
    # other users may have to open it, too, or they would believe that nothing can be locked here
    lock = FileLock(target.with_name(f".{target.name}.lock"), mode=0o666)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise UserError(
            f"{target} is being written by another Radiance Twin; wait until that is done, or choose another name"
        ) from None
    except (OSError, NotImplementedError):
        yield
        return
    try:
        for half in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
            with suppress(OSError):
                shutil.rmtree(half) if half.is_dir() else half.unlink()
        yield
    finally:
        # while it is held: whoever opens it now finds out that it is gone. Windows removes it itself
        with suppress(OSError):
            os.unlink(lock.lock_file)
        lock.release()
