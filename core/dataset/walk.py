# SPDX-License-Identifier: GPL-3.0-or-later
"""A walk through HDF5 files whose structures have no checksums, before they are opened.

HDF5 goes round for ever in some of them that are damaged (in a heap of texts above all), where nothing can stop it but
the end of its process. So one that may be ended goes there first, and reads all but the pixels. Datasets that were
written since they have checksums are not walked.
"""

from __future__ import annotations

import faulthandler
import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import h5py

from ..errors import UserError
from ..processes import BOOTSTRAP

# a sound file takes milliseconds; a disk may be far away
SECONDS = 5.0
SIGNATURE = b"\x89HDF\r\n\x1a\n"
# of the superblock, from which on structures may have checksums, and ours do
CHECKED = 2

_lock = threading.Lock()
_walker: subprocess.Popen[str] | None = None


def require_walkable(path: Path) -> None:
    """Have an .h5 file without checksums walked through by a process that is kept for the next one.

    Raises:
        UserError: HDF5 does not come to an end with it.
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        head = file.read(len(SIGNATURE) + 1)
    if head[:-1] == SIGNATURE and head[-1] >= CHECKED:
        return
    with _lock:
        if not _walked(path):
            raise UserError(
                f"{path} is damaged: HDF5 does not come to an end with it; fetch it again or render it again"
            )


def _walked(path: Path) -> bool:
    global _walker
    if _walker is None or _walker.poll() is not None:
        command = [sys.executable, "-s", "-u", str(BOOTSTRAP), "core.dataset.walk", str(SECONDS)]
        _walker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert _walker.stdout is not None
        _walker.stdout.readline()
    assert _walker.stdin is not None and _walker.stdout is not None
    print(json.dumps(str(path.resolve())), file=_walker.stdin, flush=True)
    said = _walker.stdout.readline()
    if not said:
        _walker.wait()
    return bool(said)


def walk(path: str) -> None:
    """Look up all that reading looks up. Whatever is wrong with it is said when it is read."""
    from .store import Dataset

    def look(_: str, item: h5py.Group | h5py.Dataset) -> None:
        with suppress(Exception):
            dict(item.attrs)
            if isinstance(item, h5py.Dataset) and item.chunks is not None:
                item.id.chunk_iter(lambda chunk: None)

    with h5py.File(path) as file:
        with suppress(Exception):
            # in the order of who reads it
            _ = Dataset(Path(path), file).labels
        file.visititems(look)


def main() -> None:
    """Walk through the files that the parent names, one a line; the process ends when one takes too long."""
    print("ready", flush=True)
    with open(os.devnull, "w") as nowhere:
        for line in sys.stdin:
            # this watch needs nothing of Python, which cannot do anything while HDF5 goes round
            faulthandler.dump_traceback_later(float(sys.argv[1]), exit=True, file=nowhere)
            with suppress(Exception):
                walk(json.loads(line))
            faulthandler.cancel_dump_traceback_later()
            print("walked", flush=True)


if __name__ == "__main__":
    main()
