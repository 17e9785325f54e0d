# SPDX-License-Identifier: GPL-3.0-or-later
"""The twin's error painted over the scene's own surfaces."""

from __future__ import annotations

import bpy

from ...core.comparison.error_points import read_error_points
from ...core.errors import UserError
from ..jobs import worker
from ..paths import paths_of_open_file
from ..studio import heat
from . import can_run
from .compare import figures_of


class RADIANCE_TWIN_OT_paint_error(bpy.types.Operator):
    """Colour the visible surfaces by how far the twin is off there, as the held-out views of the last comparison \
show it. The colours are an object of their own, which renders do not show; yours stay as they are"""

    bl_idname = "radiance_twin.paint_error"
    bl_label = "Paint Error"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return can_run(cls, why_not(context))

    def execute(self, context: bpy.types.Context) -> set[str]:
        paths = paths_of_open_file()
        assert paths is not None, "poll has asked for a report"
        metrics = figures_of(paths) or {}
        try:
            points = read_error_points(paths.report / "errors.npz")
            index_of = {name: int(thing["index"]) for thing in metrics.get("objects", ()) for name in thing["names"]}
            painted = heat.paint(context.scene, points, index_of)
        except (UserError, KeyError, TypeError, ValueError) as error:
            self.report({"ERROR"}, worker.sentence(str(error)))
            return {"CANCELLED"}
        self.report({"INFO"}, f"{len(painted.data.polygons):,} faces painted from {len(points):,} pixels")
        return {"FINISHED"}


class RADIANCE_TWIN_OT_remove_error(bpy.types.Operator):
    """Take the painted error away again"""

    bl_idname = "radiance_twin.remove_error"
    bl_label = "Remove"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return can_run(cls, "" if heat.shown() else "Nothing is painted")

    def execute(self, context: bpy.types.Context) -> set[str]:
        heat.remove()
        return {"FINISHED"}


def why_not(context: bpy.types.Context) -> str:
    """Why no error can be painted now; empty when it can."""
    paths = paths_of_open_file()
    if paths is None or not (paths.report / "errors.npz").is_file():
        return "Compare first"
    return "" if context.mode == "OBJECT" else "Go to Object Mode first"


register, unregister = bpy.utils.register_classes_factory((RADIANCE_TWIN_OT_paint_error, RADIANCE_TWIN_OT_remove_error))
