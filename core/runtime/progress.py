# SPDX-License-Identifier: GPL-3.0-or-later
"""How far an installation is: by what has come to the disk, and by what the installer says."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..reporting import Reporter
from .places import home

SHOWN = 2  # downloads by name
LINE = re.compile(r"\s*(Downloading|Downloaded|Collecting|Prepared|Installed|Installing)\s+([^\s;<>=(]+)(.*)")


class Progress:
    """Is told each line of an installer, and an empty one each second.

    Args:
        expected: bytes that `grows` has at the end.
        grows: the folder that they come into.
    """

    def __init__(self, reporter: Reporter, expected: float, grows: Path) -> None:
        self._reporter = reporter
        self._expected = expected
        self._grows = grows
        # in a cache of our own lies what an earlier attempt has brought already: it counts
        self._before = 0 if grows.is_relative_to(home()) else folder_bytes(grows)
        self._coming: dict[str, str] = {}
        self._text = ""
        self("")

    def __call__(self, line: str) -> None:
        if line:
            self._read(line)
            return
        grown = folder_bytes(self._grows) - self._before
        self._reporter.progress("install", min(grown, 0.98 * self._expected), self._expected, text=self._text)

    def _read(self, line: str) -> None:
        match = LINE.match(line)
        if match is None:
            return
        word, what, rest = match.groups()
        # pip names files, uv packages
        name = re.sub(r"-\d.*", "", what.rsplit("/", 1)[-1])
        match word:
            case "Downloading":
                size = re.search(r"\(([\d.]+) ?(\w)i?B\)", rest)
                self._coming[name] = f"{name} ({float(size.group(1)):.0f} {size.group(2)}B)" if size else name
            case "Downloaded" | "Collecting":
                # pip brings one after the other
                self._coming = {} if word == "Collecting" else {k: v for k, v in self._coming.items() if k != name}
            case _:
                self._coming = {}
        names = list(self._coming.values())
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        self._text = ", ".join(names[:SHOWN]) + more if names else "unpacking"


def folder_bytes(folder: Path) -> int:
    """What a folder holds; files that have several names count once."""
    seen: dict[tuple[int, int], int] = {}
    pending = [str(folder)]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        told = os.stat(entry.path)
                        seen[told.st_dev, told.st_ino] = told.st_size
        except OSError:
            continue  # it was there a moment ago
    return sum(seen.values())
