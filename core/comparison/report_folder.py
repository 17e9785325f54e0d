# SPDX-License-Identifier: GPL-3.0-or-later
"""The report's folder, complete or as it was before; nothing in it that is not ours is ever lost."""

from __future__ import annotations

import glob
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import UserError
from ..files import staged_folder

FORMAT = "radiance-twin-metrics"
VERSION = 1

PAGE = "index.html"
METRICS = "metrics.json"
PICTURE = "classic_neural.png"
IMAGES = "images"
ERRORS = "errors.npz"
FILM = "turntable.mp4"
EARLIER = ".old"
OURS = (PAGE, METRICS, PICTURE, IMAGES, ERRORS, FILM)


@contextmanager
def report_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield an empty folder beside `path`; on success it takes the place of `path`, on any failure it is removed.

    Files that somebody else put into an earlier report are carried over.

    Raises:
        UserError: `path` is a file or a folder of other things, or cannot be written.
    """
    target = Path(path).resolve()
    require_free_or_a_report(target)
    # who died while a report took the place of an earlier one left that beside it
    for earlier in target.parent.glob(f".{glob.escape(target.name)}.{8 * '[0-9a-f]'}{EARLIER}"):
        _carry_over(earlier, target) if target.exists() else earlier.rename(target)
    with staged_folder(target, _take_the_place) as staging:
        yield staging


def require_free_or_a_report(target: Path) -> None:
    """Refuse a folder that a report may not take the place of.

    Raises:
        UserError: it is a file, or holds other things.
    """
    if not target.exists():
        return
    if not target.is_dir():
        raise UserError(f"{target} is a file; name a folder for the report")
    try:
        if not any(target.iterdir()):
            return
        known = json.loads((target / METRICS).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        known = None
    if not isinstance(known, dict) or known.get("format") != FORMAT:
        raise UserError(f"{target} holds other things than a report; name a new or empty folder")


def _take_the_place(staging: Path, target: Path) -> None:
    earlier = staging.with_suffix(EARLIER)
    if not target.exists():
        staging.rename(target)
        return
    target.rename(earlier)
    try:
        staging.rename(target)
    except OSError:
        earlier.rename(target)
        raise
    _carry_over(earlier, target)


def _carry_over(earlier: Path, target: Path) -> None:
    """Bring what somebody else put into an earlier report to the new one, and remove the rest of it."""
    for entry in earlier.iterdir():
        if entry.name not in OURS:
            entry.rename(target / entry.name)
    shutil.rmtree(earlier)
