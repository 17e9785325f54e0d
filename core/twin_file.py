# SPDX-License-Identifier: GPL-3.0-or-later
"""The `.twin` file: a zip of .npy arrays and one twin.json, readable with numpy alone and never unpickled.

A twin may come from anybody, so that its sizes are checked before memory is taken and nothing in it is evaluated.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from .array_zip import BROKEN, read_array
from .cameras import corners_of_bounds
from .errors import UserError, reason_of
from .files import atomic_path

FORMAT = "radiance-twin"
# 1: the view transform was one table, view_transform/lut
VERSION = 2
LARGEST_METADATA_BYTES = 16 << 20
# of all arrays that are read at once; the largest that training writes have a tenth of it
LARGEST_TWIN_BYTES = 8 << 30
MOST_ARRAYS = 256
# in twin.json: each array's name to its SHA-256
SUMS = "sha256"
# in twin.json of a training that has not come to its end: {"seconds", "steps"} of the time that it was given. There is
# no bake
UNFINISHED = "unfinished"


@dataclass(frozen=True)
class Twin:
    """What a `.twin` holds.

    Attributes:
        metadata: twin.json.
        arrays: name (for example "bake/density") to array.
    """

    metadata: dict[str, Any]
    arrays: dict[str, NDArray[Any]]

    @property
    def world_from_field(self) -> NDArray[np.float64]:
        """[4, 4]: takes the field's cube to the world in which the scene was rendered."""
        return np.array(self.metadata["world_from_field"], np.float64)

    @property
    def box(self) -> NDArray[np.float64]:
        """Corners [8, 3], in the world, of what was trained; of the field's cube when the file does not say."""
        try:
            lower, upper = np.array(self.metadata["bounds"], np.float64).reshape(2, 3)
        except (KeyError, TypeError, ValueError, OverflowError):
            lower = upper = np.full(3, np.nan)
        if (lower < upper).all():
            return corners_of_bounds([lower, upper])
        cube = corners_of_bounds([[0.0] * 3, [1.0] * 3])
        return cube @ self.world_from_field[:3, :3].T + self.world_from_field[:3, 3]

    @property
    def bounds(self) -> NDArray[np.float64]:
        """Lower and upper corner [2, 3] of the axis-aligned box around `box`."""
        return np.stack([self.box.min(axis=0), self.box.max(axis=0)])

    @property
    def is_unfinished(self) -> bool:
        """Whether its training has not come to its end: there is a field and no bake."""
        return UNFINISHED in self.metadata

    @property
    def training_history(self) -> list[tuple[float, float]]:
        """Seconds of training and the PSNR on val views then; empty when the twin does not tell, or tells nonsense."""
        training = self.metadata.get("training")
        try:
            pairs = [(float(seconds), float(psnr)) for seconds, psnr in training["history"]]  # type: ignore[index]
        except (KeyError, TypeError, ValueError, OverflowError):
            return []
        return pairs if np.isfinite(pairs).all() else []


def unfinished_path(path: str | os.PathLike[str]) -> Path:
    """Where a training keeps what it has learned until the twin at `path` is finished."""
    return Path(path).with_suffix(".unfinished.twin")


def write_twin(path: str | os.PathLike[str], metadata: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
    """Write a twin, complete or not at all. Format, version and each array's SHA-256 are added to `metadata`.

    Raises:
        UserError: the file cannot be written.
        ValueError: `metadata` holds a NaN or something that JSON cannot.
    """
    sums = {name: _sha256(array) for name, array in sorted(arrays.items())}
    words = {"format": FORMAT, "version": VERSION, **metadata, SUMS: sums}
    header = json.dumps(words, indent=1, allow_nan=False)
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=4) as file:
        file.writestr(_entry("twin.json"), header)
        for name, array in sorted(arrays.items()):
            with file.open(_entry(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(
                    cast(BinaryIO, member), np.ascontiguousarray(array), version=(1, 0), allow_pickle=False
                )


def read_twin(path: str | os.PathLike[str], names: Iterable[str] | None = None) -> Twin:
    """Read a twin, all of its arrays or only those whose names are given or lie below a given folder.

    Raises:
        UserError: missing, empty, truncated, foreign, of a newer version, or with contents that make no sense.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path} does not exist; train first, or check the path")
    wanted = None if names is None else tuple(names)
    try:
        with path.open("rb") as stream, zipfile.ZipFile(stream) as file:
            metadata = _read_metadata(file, path)
            members = [entry for entry in file.infolist() if entry.filename.endswith(".npy")]
            if len(members) > MOST_ARRAYS:
                raise UserError(f"{path} holds {len(members)} arrays, more than any twin; it is not used")
            chosen = [entry for entry in members if _is_wanted(entry.filename.removesuffix(".npy"), wanted)]
            if sum(entry.file_size for entry in chosen) > LARGEST_TWIN_BYTES:
                raise UserError(f"{path} claims more memory than any twin takes; it is not used")
            arrays = _read_members(stream, file, chosen, path)
    except BROKEN as error:
        wrong = "is not a complete .twin file; train again or fetch it again"
        raise UserError(f"{path} {wrong if path.suffix == '.twin' else 'is no twin; name a .twin file'}") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {reason_of(error)}; check the path and its permissions") from error
    _require_sound(metadata.get(SUMS), arrays, wanted, path)
    missing = [one for one in wanted or () if not any(_is_wanted(name, (one,)) for name in arrays)]
    if missing:
        raise UserError(f"{path} lacks {', '.join(missing)}; train again")
    return Twin(metadata, arrays)


def _read_members(
    stream: BinaryIO, file: zipfile.ZipFile, members: list[zipfile.ZipInfo], path: Path
) -> dict[str, NDArray[Any]]:
    """The arrays of `members` of a `file` that is read from `stream`: the largest here, the others meanwhile in a
    thread. What takes long, zlib and checksums, runs beside Python."""
    members = sorted(members, key=lambda entry: -entry.file_size)
    # threads cannot share a ZipFile, and between two openings another file may take this one's place
    with path.open("rb") as again:
        if len(members) < 2 or not os.path.sameopenfile(stream.fileno(), again.fileno()):
            return _read_all(file, members, path)
        with zipfile.ZipFile(again) as other, ThreadPoolExecutor(1) as thread:
            rest = thread.submit(_read_all, other, members[1:], path)
            return _read_all(file, members[:1], path) | rest.result()


def _read_all(file: zipfile.ZipFile, members: list[zipfile.ZipInfo], path: Path) -> dict[str, NDArray[Any]]:
    return {entry.filename.removesuffix(".npy"): read_array(file, entry, path) for entry in members}


def _is_wanted(name: str, wanted: tuple[str, ...] | None) -> bool:
    return wanted is None or any(name == one or name.startswith(one + "/") for one in wanted)


def _sha256(array: NDArray[Any]) -> str:
    found = hashlib.sha256(f"{array.dtype.str} {array.shape} ".encode())
    found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def _require_sound(sums: Any, arrays: dict[str, NDArray[Any]], wanted: tuple[str, ...] | None, path: Path) -> None:
    """The zip's own checksums do not tell when a whole array is missing or another one stands in its place."""
    if sums is None:
        return  # an earlier version wrote it
    if not isinstance(sums, dict):
        raise UserError(f"{path} has a damaged header; train again or fetch it again")
    for name, sha256 in sums.items():
        if _is_wanted(name, wanted) and (name not in arrays or _sha256(arrays[name]) != sha256):
            raise UserError(f"{path} is damaged ({name}); train again or fetch it again")


def _entry(name: str) -> zipfile.ZipInfo:
    # a fixed date: the same field gives the same bytes
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def _read_metadata(file: zipfile.ZipFile, path: Path) -> dict[str, Any]:
    try:
        entry = file.getinfo("twin.json")
    except KeyError as error:
        raise UserError(f"{path} is not a .twin file (it has no twin.json); check the path") from error
    if entry.file_size > LARGEST_METADATA_BYTES:
        raise UserError(f"{path} has an absurdly large header; it is not used")
    try:
        metadata = json.loads(_read_bounded(file, entry, entry.file_size))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} has a damaged header; train again or fetch it again") from error
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise UserError(f"{path} is not a .twin file (its header names another format); check the path")
    version = metadata.get("version")
    if not isinstance(version, int) or version < 1:
        raise UserError(f"{path} has no version; it is not used")
    if version > VERSION:
        raise UserError(f"{path} was made by a newer Radiance Twin (format {version}); update the extension")
    try:
        matrix = np.array(metadata["world_from_field"], np.float64)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{path} does not say where its field stands (world_from_field); train again") from error
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:3, :3])) < 1e-30:
        raise UserError(f"{path} has a world_from_field that makes no sense; train again")
    return metadata


def _read_bounded(file: zipfile.ZipFile, entry: zipfile.ZipInfo, limit: int) -> bytes:
    with file.open(entry) as member:
        return member.read(limit)
