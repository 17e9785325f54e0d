# SPDX-License-Identifier: GPL-3.0-or-later
"""Where HDF5 writes: a disk that is full is an error of ours, not the end of the process."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any


class Sink:
    """The file that HDF5 writes into.

    When a write fails HDF5 tries again while it closes the file, fails again and takes the process with it. So a failed
    write (the disk is full) is remembered here and HDF5 goes on as if nothing had happened; the error is raised as
    soon as `check` is called, or at the end. Memory stays flat: nothing is kept of what could not be written.
    """

    def __init__(self, path: Path) -> None:
        self._file = open(path, "w+b", buffering=0)  # noqa: SIM115 (closed in __exit__)
        self._end = 0
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise what went wrong, if anything did."""
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()
        self.check()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        # the end is where HDF5 believes it to be, whether or not so much could be written
        return self._file.seek(self._end if whence == io.SEEK_END else offset)

    def tell(self) -> int:
        return self._file.tell()

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._end = max(self._end, self._file.tell() + len(view))
        written = 0
        try:
            while self._error is None and written < len(view):
                written += self._file.write(view[written:])
        except OSError as error:
            self._error = error
        return len(view)

    def read(self, size: int) -> bytes:
        data = bytearray(size)
        self.readinto(data)
        return bytes(data)

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        read = self._file.readinto(view) or 0
        view[read:] = bytes(len(view) - read)
        return len(view)

    def truncate(self, size: int) -> int:
        try:
            if self._error is None:
                self._file.truncate(size)
        except OSError as error:
            self._error = error
        self._end = size
        return size

    def flush(self) -> None:
        """Every write goes to the file at once."""
