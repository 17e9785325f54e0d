# SPDX-License-Identifier: GPL-3.0-or-later
"""The twin as an object: an Empty that knows the path of its `.twin` file.

The scene stores the path and the settings. What the file holds is kept outside of it (bakes.py), by path and
modification time, so that undo, duplicating and saving cost nothing; one file that many objects show is read and
uploaded once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from bpy.app.handlers import persistent
from numpy.typing import NDArray

from .bakes import Bake, bake_at, forget_all_but, loaded_part, problem_at


def _crop_to_everything(settings: RadianceTwinObject, _context: bpy.types.Context) -> None:
    """A crop box that was never set begins as the box of what was trained."""
    thing = settings.id_data
    assert isinstance(thing, bpy.types.Object)
    bake = bake_of(thing)
    if settings.use_crop and bake is not None and tuple(settings.crop_min) == tuple(settings.crop_max):
        settings.crop_min, settings.crop_max = bake.box.min(axis=0), bake.box.max(axis=0)


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
    use_crop: bpy.props.BoolProperty(
        name="Crop",
        description="Draw only what is inside of a box in the object's own space. A cropped twin is shown by its bake "
        "in viewports; renders show all of it",
        update=_crop_to_everything,
    )
    crop_min: bpy.props.FloatVectorProperty(
        name="Minimum", description="Lower corner of the box", size=3, subtype="TRANSLATION", unit="LENGTH"
    )
    crop_max: bpy.props.FloatVectorProperty(
        name="Maximum", description="Upper corner of the box", size=3, subtype="TRANSLATION", unit="LENGTH"
    )


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
    """What a twin shows; None when it is not read yet or cannot be. `problem_of` says why."""
    return bake_at(path_of(thing))


def problem_of(thing: bpy.types.Object) -> str:
    """Why a twin is not shown, or not as it should be; empty when all is well. Cheap: for panels."""
    return problem_at(path_of(thing))


def loaded_part_of(thing: bpy.types.Object) -> float:
    """How far a twin is on its way from the file to the GPU, 0 … 1."""
    return loaded_part(path_of(thing))


def crop_of(thing: bpy.types.Object) -> NDArray[np.float64] | None:
    """The matrix [4, 4] that takes the cube [0, 1]³ to a twin's crop box in its own space; None when it has none."""
    settings = settings_of(thing)
    if not settings.use_crop:
        return None
    corners = np.sort([settings.crop_min, settings.crop_max], axis=0)
    matrix = np.diag([*(corners[1] - corners[0]), 1.0])
    matrix[:3, 3] = corners[0]
    return matrix


def forget_unused() -> None:
    """Give back the memory, the GPU's too, of files that no object shows any more."""
    forget_all_but({path_of(thing) for thing in twins_of(bpy.data.objects)})


@persistent
def _file_loaded(*_: Any) -> None:
    forget_all_but(())


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
    forget_all_but(())
    del bpy.types.Object.radiance_twin  # type: ignore[attr-defined]
    bpy.utils.unregister_class(RadianceTwinObject)
