# SPDX-License-Identifier: GPL-3.0-or-later
"""Loading a twin into the scene, and bringing it home."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from bpy_extras.io_utils import ImportHelper
from mathutils import Matrix, Vector
from numpy.typing import NDArray

from ...core.errors import UserError
from ...core.twin_file import Twin, read_twin
from ..studio.scene import collection_for_new
from ..viewport.bakes import bake_at, problem_at
from ..viewport.draw import prepare_view_transform
from ..viewport.twin import forget_unused, is_twin, relative_path, settings_of, twins_of
from . import refuse

# distance between the original's middle and the twin's, in widths of the twin
BESIDE = 1.2
# how long a click waits for a file to be read, seconds
PATIENCE = 0.1
# types of objects that a twin may have been made of
RENDERED_TYPES = {"MESH", "CURVE", "SURFACE", "META", "FONT", "CURVES", "POINTCLOUD", "VOLUME"}


class LoadTwin(bpy.types.Operator, ImportHelper):
    """Stand a trained twin in the scene"""

    bl_idname = "radiance_twin.load_twin"
    bl_label = "Load Twin"
    bl_options = {"REGISTER", "UNDO"}

    filename_ext = ".twin"
    # not the path of the last time: a path means that a file was dropped
    filepath: bpy.props.StringProperty(
        name="File Path", description="The .twin file to load", subtype="FILE_PATH", options={"SKIP_SAVE"}
    )
    filter_glob: bpy.props.StringProperty(default="*.twin", options={"HIDDEN"})
    placement: bpy.props.EnumProperty(
        name="Placement",
        description="Where the twin stands",
        items=(
            ("BESIDE", "Beside", "Next to the original, to the right as seen in the 3D view"),
            ("IN_PLACE", "In Place", "Where the original is"),
        ),
    )
    hide_original: bpy.props.BoolProperty(
        name="Hide Original",
        description="Hide in the viewport what stands inside the twin, which would hide the twin. Alt H shows it again",
        default=True,
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if context.mode != "OBJECT":
            cls.poll_message_set("Go to Object Mode first")
            return False
        return True

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if self.filepath:
            # dropped into the window, or called with a path
            return self.execute(context)
        return ImportHelper.invoke(self, context, event)

    def draw(self, _context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(self, "placement")
        row = layout.row()
        row.enabled = self.placement == "IN_PLACE"
        row.prop(self, "hide_original")

    def execute(self, context: bpy.types.Context) -> set[str]:
        path = os.path.normpath(bpy.path.abspath(self.filepath))
        forget_unused()
        try:
            twin = read_twin(path, [])
            # its thread reads on meanwhile
            bake_at(path)
            prepare_view_transform(context.scene)
            # a large one is shown when it is there, and what is wrong with it then is said in its panel
            if bake_at(path, PATIENCE) is None and problem_at(path):
                raise UserError(problem_at(path))
        except UserError as error:
            return refuse(self, error)
        thing = new_twin(context, path, twin)
        for other in context.selected_objects:
            other.select_set(False)
        thing.select_set(True)
        context.view_layer.objects.active = thing
        if self.placement == "BESIDE":
            put_beside(context, thing, twin)
        hidden = hide_originals(context, twin) if self.placement == "IN_PLACE" and self.hide_original else 0
        objects = "1 object" if hidden == 1 else f"{hidden} objects"
        note = f". Hidden where it stands: {objects}; Alt H shows what is hidden" if hidden else ""
        self.report({"INFO"}, f"Loaded {thing.name}{note}")
        return {"FINISHED"}


class TwinHome(bpy.types.Operator):
    """Put the twin back to where its original was when it was rendered: location, rotation and scale"""

    bl_idname = "radiance_twin.twin_home"
    bl_label = "Bring Twin Home"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not is_twin(context.object):
            cls.poll_message_set("Select a twin first")
            return False
        if not context.object.is_editable:
            cls.poll_message_set("This twin is linked from another file: make a library override of it first")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        things = {context.object, *(thing for thing in context.selected_objects if is_twin(thing))}
        for thing in (one for one in things if one.is_editable):
            thing.matrix_world = Matrix.Identity(4)
        return {"FINISHED"}


class TwinFileHandler(bpy.types.FileHandler):
    """A .twin that is dropped into the window is loaded"""

    bl_idname = "RADIANCE_TWIN_FH_twin"
    bl_label = "Radiance Twin"
    bl_import_operator = LoadTwin.bl_idname
    bl_file_extensions = ".twin"

    @classmethod
    def poll_drop(cls, context: bpy.types.Context) -> bool:
        return context.area is not None and context.area.type in {"VIEW_3D", "OUTLINER"}


def new_twin(context: bpy.types.Context, path: str, twin: Twin) -> bpy.types.Object:
    """An Empty that shows the twin at `path`, at home; what is selected stays as it is."""
    thing = bpy.data.objects.new(Path(path).stem, None)
    show(thing, path)
    thing.empty_display_type = "PLAIN_AXES"
    thing.empty_display_size = 0.5 * float(np.ptp(twin.box, axis=0).max())
    collection_for_new(context).objects.link(thing)
    return thing


def show(thing: bpy.types.Object, path: str) -> None:
    """Let an object show the twin at `path`."""
    use_relative = bpy.context.preferences.filepaths.use_relative_paths
    settings_of(thing).filepath = relative_path(path, bpy.data.filepath if use_relative else "")


def beside(corners: NDArray[np.float64], right: Vector) -> Vector:
    """Where an object goes so that the twin in the box of `corners` [n, 3] stands BESIDE widths to the `right` (unit,
    world) of its home."""
    return right * (BESIDE * float(np.ptp(corners @ np.array(right))))


def put_beside(context: bpy.types.Context, thing: bpy.types.Object, twin: Twin) -> None:
    """Move a new twin to the right of its home, past those that stand there already."""
    step = beside(twin.box, view_right(context))
    taken = [other.location for other in twins_of(context.scene.objects) if other != thing]
    place = step.copy()
    while any((place - other).length < step.length / 2 for other in taken):
        place += step
    thing.location = place


def view_right(context: bpy.types.Context) -> Vector:
    """The horizontal direction, unit, that points right in the 3D view; world x where there is none."""
    windows = [context.window] if context.window else list(context.window_manager.windows)
    spaces = [area.spaces.active for window in windows for area in window.screen.areas if area.type == "VIEW_3D"]
    here = [context.space_data] if isinstance(context.space_data, bpy.types.SpaceView3D) else []
    for space in here + spaces:
        if space.region_3d is None:
            continue
        right = space.region_3d.view_rotation @ Vector((1.0, 0.0, 0.0))
        right.z = 0.0
        if right.length > 1e-3:
            return right.normalized()
    return Vector((1.0, 0.0, 0.0))


def hide_originals(context: bpy.types.Context, twin: Twin) -> int:
    """Hide in the viewport all that stands inside the field's cube; gives how many objects that were."""
    hidden = 0
    for thing in originals(context, twin.world_from_field):
        thing.hide_set(True)
        hidden += 1
    return hidden


def originals(context: bpy.types.Context, world_from_field: NDArray[np.float64]) -> Iterator[bpy.types.Object]:
    """The visible objects that stand inside the field's cube as a whole: those that the twin was made of."""
    for thing, lower, upper in _boxes_in_field(context, world_from_field):
        if (lower > -1e-3).all() and (upper < 1.0 + 1e-3).all():
            yield thing


def classic_is_empty(context: bpy.types.Context, world_from_field: NDArray[np.float64]) -> bool:
    """Whether nothing visible reaches into the field's cube: a comparison then holds the twin against nothing."""
    boxes = _boxes_in_field(context, world_from_field)
    return not any((lower < 1.0).all() and (upper > 0.0).all() for _, lower, upper in boxes)


def _boxes_in_field(
    context: bpy.types.Context, world_from_field: NDArray[np.float64]
) -> Iterator[tuple[bpy.types.Object, NDArray[np.float64], NDArray[np.float64]]]:
    """The visible objects that render, with the lowest and highest field coordinates [3] of their boxes."""
    field_from_world = np.linalg.inv(world_from_field)
    for thing in list(context.view_layer.objects):
        if thing.type in RENDERED_TYPES and thing.visible_get():
            corners = np.array([thing.matrix_world @ Vector(corner) for corner in thing.bound_box])
            inside = corners @ field_from_world[:3, :3].T + field_from_world[:3, 3]
            yield thing, inside.min(axis=0), inside.max(axis=0)


def _file_import_entry(self: Any, _context: Any) -> None:
    self.layout.operator(LoadTwin.bl_idname, text="Radiance Twin (.twin)")


_CLASSES = (LoadTwin, TwinHome, TwinFileHandler)
_keys: list[tuple[bpy.types.KeyMap, bpy.types.KeyMapItem]] = []


def register() -> None:
    for cls in _CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.TOPBAR_MT_file_import.append(_file_import_entry)  # type: ignore[arg-type]
    # there is no key configuration in the background
    configuration = bpy.context.window_manager.keyconfigs.addon
    if configuration is not None:
        keys = configuration.keymaps.new(name="Object Mode", space_type="EMPTY")
        _keys.append((keys, keys.keymap_items.new(TwinHome.bl_idname, "HOME", "PRESS", alt=True)))


def unregister() -> None:
    for keys, item in _keys:
        keys.keymap_items.remove(item)
    _keys.clear()
    bpy.types.TOPBAR_MT_file_import.remove(_file_import_entry)  # type: ignore[arg-type]
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
