# SPDX-License-Identifier: GPL-3.0-or-later
"""The held-out views and the objects, each in a list, worst first; a click jumps to the view or selects the object."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy.app.handlers import persistent

from ...core.camera_file import camera_from
from ...core.errors import UserError
from ..jobs import worker
from ..paths import Paths, paths_of_open_file
from ..studio.view_camera import is_looked_from, leave, stand_at
from ..viewport.redraw import redraw
from . import can_run, refuse
from .compare import last_figures, load_pictures
from .train import viewport_context

# PSNR of what does not differ at all, which is infinite
IDENTICAL = 1000.0


def _load_pictures(held_out: RadianceTwinHeldOut, context: bpy.types.Context) -> None:
    """The selected view's pictures."""
    paths, view = paths_of_open_file(), selected_view()
    if paths is None or view is None:
        return
    try:
        load_pictures(paths.report, view)
    except (RuntimeError, KeyError, TypeError) as error:
        print(f"Radiance Twin: {worker.sentence(str(error))}")


class RadianceTwinViewFigures(bpy.types.PropertyGroup):
    """A row of the list of held-out views."""

    index: bpy.props.IntProperty()
    psnr: bpy.props.FloatProperty()
    flip: bpy.props.FloatProperty()


class RadianceTwinObjectFigures(bpy.types.PropertyGroup):
    """A row of the list of objects; its `name` is the object's."""

    psnr: bpy.props.FloatProperty()
    pixels: bpy.props.IntProperty()
    views: bpy.props.IntProperty()


class RadianceTwinHeldOut(bpy.types.PropertyGroup):
    """What the lists show of the last comparison: `window_manager.radiance_twin_held_out`; not saved."""

    stamp: bpy.props.StringProperty()
    views: bpy.props.CollectionProperty(type=RadianceTwinViewFigures)
    view: bpy.props.IntProperty(
        name="View", description="A held-out view; its pictures stand below", update=_load_pictures
    )
    objects: bpy.props.CollectionProperty(type=RadianceTwinObjectFigures)
    thing: bpy.props.IntProperty(name="Object", description="An object that held-out views see")


class RADIANCE_TWIN_OT_look_from_view(bpy.types.Operator):
    """Look through exactly the camera of this held-out view, at its resolution. Leave View goes back"""

    bl_idname = "radiance_twin.look_from_view"
    bl_label = "Look from View"
    bl_options = {"REGISTER", "UNDO"}

    index: bpy.props.IntProperty(name="View", description="Its number in the dataset", options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return can_run(cls, "" if held_out_of(context).views else "Compare first")

    def execute(self, context: bpy.types.Context) -> set[str]:
        metrics = last_figures()
        view = next((one for one in metrics.get("views", ()) if one.get("index") == self.index), None)
        try:
            if view is None:
                raise UserError(f"there is no held-out view {self.index}; compare again")
            if "camera_to_world" not in view or "bounds" not in metrics["dataset"]:
                raise UserError("this comparison does not say where its views stand; compare again")
            camera = camera_from(view, "the view")
            frames = {int(one["frame"]) for one in metrics["views"]}
        except (UserError, KeyError, TypeError, ValueError) as error:
            return refuse(self, error)
        stand_at(context.scene, camera, metrics["dataset"]["bounds"], frames.pop() if len(frames) == 1 else None)
        look_through(context)
        lists = held_out_of(context)
        lists.view = next((row for row, one in enumerate(lists.views) if one.index == self.index), lists.view)
        self.report({"INFO"}, f"View {self.index}, {camera.size[0]} × {camera.size[1]} pixels")
        return {"FINISHED"}


class RADIANCE_TWIN_OT_leave_view(bpy.types.Operator):
    """Go back to the scene's own camera, resolution and frame, and remove the camera of the held-out view"""

    bl_idname = "radiance_twin.leave_view"
    bl_label = "Leave View"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return can_run(cls, "" if is_looked_from(context.scene) else "No held-out view is looked from")

    def execute(self, context: bpy.types.Context) -> set[str]:
        leave(context.scene)
        return {"FINISHED"}


class RADIANCE_TWIN_OT_select_object(bpy.types.Operator):
    """Select this object"""

    bl_idname = "radiance_twin.select_object"
    bl_label = "Select Object"
    bl_options = {"REGISTER", "UNDO"}

    name: bpy.props.StringProperty(name="Object", description="Its name in the scene", options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return can_run(cls, "" if context.mode == "OBJECT" else "Go to Object Mode first")

    def execute(self, context: bpy.types.Context) -> set[str]:
        thing = context.view_layer.objects.get(self.name)
        if thing is None:
            self.report({"WARNING"}, f"{self.name} is not in this scene any more")
            return {"CANCELLED"}
        for other in context.selected_objects:
            other.select_set(False)
        thing.select_set(True)
        context.view_layer.objects.active = thing
        if not thing.visible_get():
            self.report({"INFO"}, f"{self.name} is selected and hidden; Alt H shows what is hidden")
        return {"FINISHED"}


def held_out_of(context: bpy.types.Context) -> RadianceTwinHeldOut:
    """The lists."""
    return context.window_manager.radiance_twin_held_out  # type: ignore[attr-defined]


def is_fresh(context: bpy.types.Context) -> bool:
    """Whether the lists show the last comparison of the open file."""
    return held_out_of(context).stamp == _stamp(paths_of_open_file())


def refresh() -> None:
    """Fill the lists from the last comparison, worst first: views by FLIP, objects by PSNR."""
    paths, held_out = paths_of_open_file(), held_out_of(bpy.context)
    held_out.stamp = _stamp(paths)
    held_out.views.clear()
    held_out.objects.clear()
    metrics = last_figures()
    try:
        views = sorted(metrics.get("views", ()), key=lambda view: -float(view["flip"]))
        for view in views:
            row = held_out.views.add()
            row.index, row.flip, row.psnr = int(view["index"]), float(view["flip"]), _psnr(view["psnr"])
        for thing in metrics.get("objects", ()):
            for name in thing["names"]:
                row = held_out.objects.add()
                row.name, row.psnr = str(name), _psnr(thing["psnr"])
                row.pixels, row.views = int(thing["pixels"]), int(thing["views"])
    except (KeyError, TypeError, ValueError) as error:
        print(f"Radiance Twin: {paths.metrics if paths else ''} is no comparison of ours ({error}); compare again")
    held_out.view = held_out.thing = 0


def refresh_soon() -> None:
    """Fill the lists when drawing is over: a panel must not change what it draws."""
    if not bpy.app.timers.is_registered(_refresh):
        bpy.app.timers.register(_refresh, first_interval=0.0)


def _refresh() -> None:
    refresh()
    redraw()


@persistent
def _state_replaced(*_: Any) -> None:
    # undo takes the pictures away, or brings those of another view; handlers are too early to load others
    if held_out_of(bpy.context).views and not bpy.app.timers.is_registered(_show_pictures):
        bpy.app.timers.register(_show_pictures, first_interval=0.0)


def _show_pictures() -> None:
    _load_pictures(held_out_of(bpy.context), bpy.context)
    redraw()


def selected_view() -> dict[str, Any] | None:
    """What metrics.json says of the view that is selected in the list; None when there is none."""
    held_out = held_out_of(bpy.context)
    if not 0 <= held_out.view < len(held_out.views):
        return None
    index = held_out.views[held_out.view].index
    return next((view for view in last_figures().get("views", ()) if view.get("index") == index), None)


def older_than(paths: Paths) -> str:
    """Which file was made after the last comparison, so that its figures are old; empty when none was."""
    try:
        compared = paths.metrics.stat().st_mtime_ns
    except OSError:
        return ""
    for name, file in (("views", paths.dataset), ("twin", paths.twin)):
        if file.is_file() and file.stat().st_mtime_ns > compared:
            return name
    return ""


def look_through(context: bpy.types.Context) -> None:
    """Let the 3D view at hand, or the first one, look through the scene's camera."""
    space = context.space_data
    if not isinstance(space, bpy.types.SpaceView3D):
        area = viewport_context().get("area")
        space = area.spaces.active if area else None
    if space is not None and space.region_3d is not None:
        space.use_local_camera = False
        space.region_3d.view_perspective = "CAMERA"


def _psnr(value: float | None) -> float:
    return IDENTICAL if value is None else float(value)


def _stamp(paths: Paths | None) -> str:
    try:
        return f"{paths.metrics} {paths.metrics.stat().st_mtime_ns}" if paths else ""
    except OSError:
        return f"{Path(paths.metrics)} none" if paths else ""


CLASSES = (
    RadianceTwinViewFigures,
    RadianceTwinObjectFigures,
    RadianceTwinHeldOut,
    RADIANCE_TWIN_OT_look_from_view,
    RADIANCE_TWIN_OT_leave_view,
    RADIANCE_TWIN_OT_select_object,
)


HANDLERS = (bpy.app.handlers.undo_post, bpy.app.handlers.redo_post, bpy.app.handlers.load_post)


def register() -> None:
    for each in CLASSES:
        bpy.utils.register_class(each)
    for handlers in HANDLERS:
        handlers.append(_state_replaced)
    bpy.types.WindowManager.radiance_twin_held_out = bpy.props.PointerProperty(  # type: ignore[attr-defined]
        type=RadianceTwinHeldOut, options={"SKIP_SAVE"}
    )


def unregister() -> None:
    for handlers in HANDLERS:
        handlers.remove(_state_replaced)
    for timer in (_refresh, _show_pictures):
        if bpy.app.timers.is_registered(timer):
            bpy.app.timers.unregister(timer)
    del bpy.types.WindowManager.radiance_twin_held_out  # type: ignore[attr-defined]
    for each in reversed(CLASSES):
        bpy.utils.unregister_class(each)
