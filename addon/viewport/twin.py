# SPDX-License-Identifier: GPL-3.0-or-later
"""The twin as an object: an Empty that knows the path of its `.twin` file.

The scene stores the path alone. What the file holds is kept here, outside the scene, by path and modification time, so
that undo, duplicating and saving cost nothing; one file that many objects show is read and uploaded once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from bpy.app.handlers import persistent
from numpy.typing import NDArray

from ...core.errors import UserError
from ...core.twin_file import Twin, read_twin
from .textures import TwinTextures, upload

# how often a file is asked whether it has changed, seconds
LOOK_AGAIN = 1.0
LARGEST_SIDE = 1024


class RadianceTwinObject(bpy.types.PropertyGroup):
    """Of an Empty that is a twin: `object.radiance_twin`."""

    filepath: bpy.props.StringProperty(
        name="File",
        description="The .twin file that this object shows",
        subtype="FILE_PATH",
        options={"PATH_SUPPORTS_BLEND_RELATIVE"},
    )
    exact_frame: bpy.props.BoolProperty(
        name="Exact Frame",
        description="When the view rests, show the field itself instead of its bake. The worker renders it, and keeps "
        "it in memory while it is looked at",
        default=True,
    )


@dataclass
class Bake:
    """What is drawn of one `.twin`, in memory.

    Attributes:
        density: [nx, ny, nz] per field unit, half precision.
        colour: [nx, ny, nz, 3] scene-linear, not premultiplied, half precision.
        world_from_field: [4, 4] as trained.
        box: [8, 3] corners, in the world, of what was trained.
        psnr: of the field over its val views, decibels; None when the file does not say.
        textures: on the GPU, made when first drawn.
        notice: what the user should know, for example that the GPU took only half the resolution.
    """

    density: NDArray[np.float16]
    colour: NDArray[np.float16]
    world_from_field: NDArray[np.float64]
    box: NDArray[np.float64]
    psnr: float | None = None
    textures: TwinTextures | None = None
    notice: str = ""


@dataclass
class _Entry:
    stamp: tuple[int, int] | None = None
    looked: float = -LOOK_AGAIN
    bake: Bake | None = None
    problem: str = ""


_entries: dict[str, _Entry] = {}
# absolute paths of the twins, between the moments before and after saving
_while_saving: dict[str, str] = {}


def settings_of(thing: bpy.types.Object) -> RadianceTwinObject:
    """Our settings of any object."""
    return thing.radiance_twin  # type: ignore[attr-defined]


def is_twin(thing: bpy.types.Object | None) -> bool:
    """Whether `thing` is an object that shows a `.twin`."""
    return thing is not None and thing.type == "EMPTY" and bool(settings_of(thing).filepath)


def twins_of(objects: Any) -> Iterator[bpy.types.Object]:
    """The twins among `objects`."""
    return (thing for thing in objects if is_twin(thing))


def path_of(thing: bpy.types.Object) -> str:
    """Absolute path of a twin's file."""
    return os.path.normpath(bpy.path.abspath(settings_of(thing).filepath, library=thing.library))


def bake_of(thing: bpy.types.Object) -> Bake | None:
    """What a twin shows, read when it is needed and again when the file has changed; None when it cannot be read.

    `problem_of` says why.
    """
    return _entry(path_of(thing)).bake


def problem_of(thing: bpy.types.Object) -> str:
    """Why a twin is not shown, or not as it should be; empty when all is well. Cheap: for panels."""
    entry = _entries.get(path_of(thing))
    if entry is None:
        return ""
    return entry.problem or (entry.bake.notice if entry.bake else "")


def textures_of(bake: Bake) -> TwinTextures | None:
    """The textures of a bake, uploaded when they are needed first; None when the GPU takes none.

    Needs a GPU context.
    """
    if bake.textures is None and not bake.notice:
        try:
            bake.textures = upload(bake.density, bake.colour)
        except UserError as error:
            bake.notice = str(error)
            return None
        if bake.textures.halvings:
            x, y, z = bake.textures.resolution
            bake.notice = f"The GPU has no room for the whole twin: it is shown with {x} × {y} × {z} voxels"
    return bake.textures


def read_bake(path: str) -> Bake:
    """Read what is drawn of the `.twin` at `path`.

    Raises:
        UserError: missing, not readable, no `.twin`, or with contents that make no sense.
    """
    return _bake(read_twin(path, ["bake"]), path)


def remember(path: str, bake: Bake) -> None:
    """Keep a bake that was read for an object about to be made, and forget those that nothing shows any more."""
    path = os.path.normpath(path)
    used = {path_of(thing) for thing in twins_of(bpy.data.objects)}
    for other in set(_entries) - used:
        del _entries[other]
    _entries[path] = _Entry(_stamp(path), time.monotonic(), bake)


def forget_all() -> None:
    """Give all memory back, the GPU's too."""
    _entries.clear()


def _entry(path: str) -> _Entry:
    entry = _entries.setdefault(path, _Entry())
    now = time.monotonic()
    if now - entry.looked < LOOK_AGAIN:
        return entry
    entry.looked = now
    stamp = _stamp(path)
    if stamp == entry.stamp and (entry.bake or entry.problem):
        return entry
    entry.stamp = stamp
    try:
        entry.bake, entry.problem = read_bake(path), ""
    except UserError as error:
        # what was read before stays in sight: a file that is being written anew is no reason to blink
        entry.problem = str(error)
        print(f"Radiance Twin: {error}")
    return entry


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _bake(twin: Twin, path: str) -> Bake:
    try:
        density, colour = twin.arrays["bake/density"], twin.arrays["bake/colour"]
    except KeyError as error:
        raise UserError(f"{path} lacks {error.args[0]}; train again") from error
    if (
        density.ndim != 3
        or colour.shape != (*density.shape, 3)
        or not 2 <= min(density.shape) <= max(density.shape) <= LARGEST_SIDE
    ):
        raise UserError(
            f"{path} has a bake of {density.shape} and {colour.shape} voxels, which makes no sense; train again"
        )
    density, colour = density.astype(np.float16), colour.astype(np.float16)
    if not np.isfinite(density).all() or not np.isfinite(colour).all() or density.min() < 0:
        raise UserError(f"{path} has a bake with values that are no numbers; train again")
    return Bake(density, colour, twin.world_from_field, twin.box, _psnr(twin.metadata))


def _psnr(metadata: dict[str, Any]) -> float | None:
    try:
        values = [float(view["psnr"]) for view in metadata["training"]["views"] if view["psnr"] is not None]
    except (KeyError, TypeError, ValueError):
        return None
    return float(np.mean(values)) if values else None


@persistent
def _file_loaded(*_: Any) -> None:
    forget_all()


@persistent
def _before_saving(target: str, *_: Any) -> None:
    # a copy saved elsewhere must find the same files; Blender does this for the paths that it knows itself
    _while_saving.clear()
    if not target or not bpy.context.preferences.filepaths.use_relative_paths:
        return
    for thing in twins_of(bpy.data.objects):
        if thing.library is None:
            _while_saving[thing.name] = path_of(thing)
            settings_of(thing).filepath = relative_path(path_of(thing), target)


@persistent
def _after_saving(*_: Any) -> None:
    for name, path in _while_saving.items():
        settings_of(bpy.data.objects[name]).filepath = relative_path(path, bpy.data.filepath)
    _while_saving.clear()


def relative_path(path: str, blend: str) -> str:
    """`path` as seen from the `.blend`, starting with "//"; unchanged when there is none or it is on another drive."""
    if not blend:
        return path
    try:
        return str(bpy.path.relpath(path, start=str(Path(blend).parent)))
    except ValueError:
        return path


_HANDLERS = (
    (bpy.app.handlers.load_post, _file_loaded),
    (bpy.app.handlers.save_pre, _before_saving),
    (bpy.app.handlers.save_post, _after_saving),
    (bpy.app.handlers.save_post_fail, _after_saving),
)


def register() -> None:
    bpy.utils.register_class(RadianceTwinObject)
    bpy.types.Object.radiance_twin = bpy.props.PointerProperty(type=RadianceTwinObject)  # type: ignore[attr-defined]
    for handlers, function in _HANDLERS:
        handlers.append(function)


def unregister() -> None:
    for handlers, function in _HANDLERS:
        handlers.remove(function)
    forget_all()
    del bpy.types.Object.radiance_twin  # type: ignore[attr-defined]
    bpy.utils.unregister_class(RadianceTwinObject)
