# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are complete or absent."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .errors import UsageError, UserError, reason_of

# Windows: access denied, sharing violation
OPEN_ELSEWHERE = (5, 32)


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on any failure it is removed.

    Raises:
        UserError: the file cannot be written (no such folder, no right, disk full).
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        yield temporary
        _sync(temporary)
        _replace(temporary, target)
        _sync(target.parent)
    except OSError as error:
        raise UserError(
            f"cannot write {target}: {reason_of(error)}; free some space or choose another place"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: str | os.PathLike[str], data: dict[str, Any]) -> None:
    """Write one JSON file, complete or not at all.

    Raises:
        UserError: as `atomic_path`.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield an empty folder beside `path`; on success it becomes `path`, on any failure it is removed.

    Raises:
        UserError: there is something at `path` already, or it cannot be written.
    """
    target = Path(path).resolve()
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise UserError(f"{target} exists already; name a new or empty folder")

    def take_the_place(staging: Path, target: Path) -> None:
        if target.exists():
            target.rmdir()  # Windows replaces no folder, not even an empty one
        staging.replace(target)

    with staged_folder(target, take_the_place) as staging:
        yield staging


@contextmanager
def staged_folder(target: Path, take_the_place: Callable[[Path, Path], object]) -> Iterator[Path]:
    """Yield an empty folder beside `target`; on success `take_the_place(folder, target)`, on any failure it is removed.

    Raises:
        UserError: `target` cannot be written, or is where a disk is mounted.
    """
    if os.path.ismount(target):
        raise UserError(f"{target} is where a disk is mounted, so that nothing can take its place; name a folder in it")
    require_writable_folder(target.parent)
    # on the same disk, so that taking the place is one rename
    staging = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        staging.mkdir()
        yield staging
        for entry in (*staging.rglob("*"), staging):
            _sync(entry)
        take_the_place(staging, target)
        _sync(target.parent)
    except OSError as error:
        raise UserError(
            f"cannot write {target}: {reason_of(error)}; free some space or choose another place"
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def require_writable_folder(folder: str | os.PathLike[str]) -> Path:
    """Make sure that files can be made in `folder` (created when missing) before hours are spent on them.

    Raises:
        UserError: it cannot be created or written.
    """
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise UserError(f"cannot write into {path}: {reason_of(error)}; choose another output folder") from error
    return path


def require_writable_file(file: str | os.PathLike[str]) -> Path:
    """Make sure that `file` can be written before hours are spent on it; its folder is created when missing.

    Raises:
        UserError: the folder cannot be created or written, or `file` is a folder itself.
    """
    path = Path(file)
    if path.is_dir():
        raise UserError(f"cannot write {path}: it is a folder; choose another name")
    require_writable_folder(path.parent)
    return path


def require_ending(file: str | os.PathLike[str], *endings: str) -> None:
    """Refuse an output whose name does not end as what is written into it does; capitals do not matter.

    Raises:
        UsageError: how it may end.
    """
    path = Path(file)
    if path.suffix.lower() not in endings:
        names = " or ".join(f"{path.stem}{ending}" for ending in endings)
        raise UsageError(f"{path} has another ending than {' or '.join(endings)}; name it like {names}")


def cache_folder(name: str) -> Path:
    """A folder for what can be made again at any time, in the user's cache; a temporary one where that is read-only."""
    if sys.platform == "win32":
        root = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        root = str(Path.home() / "Library" / "Caches")
    else:
        root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(root) / "radiance_twin" / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return Path(tempfile.mkdtemp(prefix=f"radiance_twin_{name}_"))


def sha256_of_file(path: str | os.PathLike[str]) -> str:
    """Hexadecimal SHA-256 of a file's bytes.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"cannot read {path}: {reason_of(error)}; check the path and its permissions") from error


def _replace(source: Path, target: Path) -> None:
    """Rename over `target`. Windows refuses that while somebody has it open, as virus scanners have for a moment."""
    for pause in (0.1, 0.3, 1.0, None):
        try:
            os.replace(source, target)
            return
        except PermissionError as error:
            if pause is None or getattr(error, "winerror", None) not in OPEN_ELSEWHERE:
                raise
            time.sleep(pause)


def _sync(path: Path) -> None:
    """Have the disk hold a file, or a folder's list of them, before going on: a loss of power then loses neither."""
    if path.is_dir():
        # Windows and some network disks cannot; they write such lists in order
        with suppress(OSError):
            _flush(path, os.O_RDONLY)
    else:
        # Windows flushes only what was opened for writing
        _flush(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)


def _flush_descriptor(descriptor: int) -> None:
    if sys.platform == "darwin":
        import fcntl

        # there fsync stops at the drive's own cache (fsync(2)); network disks know nothing but fsync
        try:
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
        except OSError:
            pass
    os.fsync(descriptor)


def _flush(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        _flush_descriptor(descriptor)
    finally:
        os.close(descriptor)
