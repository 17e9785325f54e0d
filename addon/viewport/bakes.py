# SPDX-License-Identifier: GPL-3.0-or-later
"""The bakes of `.twin` files in memory and on the GPU, by the files' paths.

A file is read in a thread and uploaded a little with each redraw, so that the interface answers meanwhile. Without a
window nobody looks, and it is waited for.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ...core.bake.bricks import SIDE, Bricks, from_arrays
from ...core.errors import UserError
from ...core.twin_file import Twin, read_twin
from .atlas import AtlasContents, TwinTextures, contents_of, uploading

# how often a file is asked whether it has changed, seconds
LOOK_AGAIN = 1.0


@dataclass
class Bake:
    """What is drawn of one `.twin`.

    Attributes:
        contents: what `textures` will hold; None when they are made, or when the GPU takes none.
        world_from_field: [4, 4] as trained.
        box: [8, 3] corners, in the world, of what was trained.
        psnr: of the field over its val views, decibels; None when the file does not say.
        own_psnr: of the bake over the same views; None likewise.
        behind: whether the field knows what lies behind the scene (film "world").
        textures: on the GPU, made when first drawn.
        uploaded: the part of them that is there.
        notice: what the user should know, for example that the GPU took only half the resolution.
        before: what the file held before it changed, shown until the new textures are there.
        is_expected: whether there is no bake yet, and nothing but the box to show.
    """

    contents: AtlasContents | None
    world_from_field: NDArray[np.float64]
    box: NDArray[np.float64]
    psnr: float | None = None
    own_psnr: float | None = None
    behind: bool = False
    textures: TwinTextures | None = None
    uploaded: float = 0.0
    notice: str = ""
    before: Bake | None = None
    is_expected: bool = False
    _steps: Generator[float, None, TwinTextures] | None = None

    def on_gpu(self, seconds: float = float("inf")) -> TwinTextures | None:
        """The textures, made when they are needed first; None while they are not complete or when the GPU takes none.

        Needs a GPU context.

        Args:
            seconds: after which to go on with the next call.
        """
        if self.contents is None:
            return self.textures
        end = time.monotonic() + seconds
        self._steps = self._steps or uploading(self.contents)
        try:
            while True:
                self.uploaded = next(self._steps)
                if time.monotonic() > end:
                    return None
        except StopIteration as done:
            self.textures = done.value
        except UserError as error:
            self.notice = str(error)
        self._steps = self.before = self.contents = None
        if self.textures is not None and self.textures.halvings:
            n = self.textures.resolution
            self.notice = f"The GPU has no room for the whole twin: it is shown with {n} × {n} × {n} voxels"
        return self.textures


@dataclass
class _Entry:
    stamp: tuple[int, int] | None = None
    looked: float = -LOOK_AGAIN
    bake: Bake | None = None
    problem: str = ""
    reading: Future[Bake] | None = None


_entries: dict[str, _Entry] = {}
_reader = ThreadPoolExecutor(1, thread_name_prefix="radiance_twin")


def bake_at(path: str, patience: float = 0.0) -> Bake | None:
    """What the `.twin` at `path` shows, read when it is needed and again when the file has changed.

    None when it is not read yet or cannot be; `problem_at` says why.

    Args:
        path: absolute.
        patience: how long to wait for a file that is being read, seconds. Without a window: as long as it takes.
    """
    entry = _entries.setdefault(path, _Entry())
    now = time.monotonic()
    if entry.reading is None and now - entry.looked >= LOOK_AGAIN:
        entry.looked = now
        stamp = _stamp(path)
        if stamp != entry.stamp or not (entry.bake or entry.problem):
            entry.stamp = stamp
            entry.reading = _reader.submit(read_bake, path)
    if entry.reading is not None:
        _take(entry, None if _without_window() else patience)
    return entry.bake


def _without_window() -> bool:
    return bool(bpy.app.background)


def _take(entry: _Entry, patience: float | None) -> None:
    assert entry.reading is not None
    try:
        bake = entry.reading.result(patience)
    except TimeoutError:
        return
    except UserError as error:
        # what was read before stays in sight: a file that is being written anew is no reason to blink
        entry.problem = str(error)
        print(f"Radiance Twin: {error}")
    else:
        old = entry.bake
        bake.before = old if old is None or old.textures is not None else old.before
        entry.bake, entry.problem = bake, ""
    entry.reading = None


def problem_at(path: str) -> str:
    """Why a file is not shown, or not as it should be; empty when all is well. Cheap: for panels."""
    entry = _entries.get(path)
    if entry is None:
        return ""
    return entry.problem or (entry.bake.notice if entry.bake else "")


def loaded_part(path: str) -> float:
    """How far a file is on its way to the screen, 0 … 1; 1 also when it cannot be shown."""
    entry = _entries.get(path)
    if entry is None or (entry.bake is None and entry.reading is None):
        return 1.0
    bake = entry.bake
    if entry.reading is not None or bake is None:
        return 0.0
    return 1.0 if bake.textures is not None or bake.notice else bake.uploaded


def is_reading() -> bool:
    """Whether a file is being read now."""
    return any(entry.reading is not None and not entry.reading.done() for entry in _entries.values())


def expect(path: str, twin: Twin) -> None:
    """Show the empty box of a twin that is being trained until its file is there, unless there is an earlier one."""
    entry = _entries.setdefault(os.path.normpath(path), _Entry())
    if entry.bake is None and entry.reading is None and _stamp(path) is None:
        entry.bake = nothing_of(twin)
        entry.problem = ""


def nothing_of(twin: Twin) -> Bake:
    """What is drawn of a twin that has no bake yet: its box."""
    density = np.zeros((1, SIDE, SIDE, SIDE), np.float16)
    colour, features = np.zeros((*density.shape, 3), np.float16), np.zeros((*density.shape, 0), np.uint8)
    bricks = Bricks(SIDE, np.zeros((1, 1, 1), np.int32), density, colour, features)
    behind = twin.metadata.get("film") == "world"
    return Bake(contents_of(bricks), twin.world_from_field, twin.box, behind=behind, is_expected=True)


def look_again(path: str) -> None:
    """Look with the next redraw whether the file at `path` has changed."""
    entry = _entries.get(os.path.normpath(path))
    if entry is not None:
        entry.looked = -LOOK_AGAIN


def forget(path: str) -> None:
    """Nothing is known of a file any more."""
    _entries.pop(os.path.normpath(path), None)


def forget_all_but(paths: Collection[str]) -> None:
    """Give back the memory, the GPU's too, of all files but those at `paths`."""
    for other in set(_entries) - set(paths):
        del _entries[other]


def read_bake(path: str) -> Bake:
    """Read what is drawn of the `.twin` at `path`. May be called in any thread.

    Raises:
        UserError: missing, not readable, no `.twin`, or with contents that make no sense.
    """
    twin = read_twin(path, [])
    if twin.is_unfinished:
        # its field is shown all the same, when the view rests
        return nothing_of(twin)
    twin = read_twin(path, ["bake"])
    try:
        bricks = from_arrays(twin.arrays, twin.metadata)
        behind = twin.metadata.get("film") == "world"
        quality = _psnr(twin.metadata), _own_psnr(twin.metadata)
        return Bake(contents_of(bricks), twin.world_from_field, twin.box, *quality, behind)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except MemoryError as error:
        raise UserError(f"{path} is too large for this machine's memory; close other programs") from error


def _psnr(metadata: dict[str, Any]) -> float | None:
    try:
        values = [float(view["psnr"]) for view in metadata["training"]["views"] if view["psnr"] is not None]
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return float(np.mean(values)) if values and np.isfinite(values).all() else None


def _own_psnr(metadata: dict[str, Any]) -> float | None:
    try:
        value = float(metadata["bake"]["psnr"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return value if np.isfinite(value) else None


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
