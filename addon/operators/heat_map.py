# SPDX-License-Identifier: GPL-3.0-or-later
"""The twin's error painted over the scene's own surfaces, or how often the rig's cameras see them."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np

from ...core.comparison.error_points import SPREAD, read_error_points
from ...core.errors import UserError
from ...core.rendering.coverage import shares, shares_in_words
from ...core.rendering.rigs import PLACED_RIGS
from ..paths import paths_of_open_file
from ..properties import render_arguments, settings_of
from ..studio import heat
from ..studio.coverage import POINTS, coverage
from ..studio.rig import cameras_in_viewport
from ..studio.surfaces import surface_points
from . import can_run, refuse
from .compare import last_figures
from .render import what_rig_lacks


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
        try:
            points = read_error_points(paths.report / "errors.npz")
            things = last_figures().get("objects", ())
            index_of = {name: int(thing["index"]) for thing in things for name in thing["names"]}
            painted = heat.paint(context.scene, points, index_of)
        except (UserError, KeyError, TypeError, ValueError) as error:
            return refuse(self, error)
        self.report({"INFO"}, f"{len(painted.data.polygons):,} faces painted from {len(points):,} pixels")
        return {"FINISHED"}


class RADIANCE_TWIN_OT_remove_error(bpy.types.Operator):
    """Take the painted colours away again"""

    bl_idname = "radiance_twin.remove_error"
    bl_label = "Remove"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return can_run(cls, "" if heat.shown(heat.ERROR) or heat.shown(heat.COVERAGE) else "Nothing is painted")

    def execute(self, context: bpy.types.Context) -> set[str]:
        heat.remove()
        return {"FINISHED"}


class RADIANCE_TWIN_OT_paint_coverage(bpy.types.Operator):
    """Colour the visible surfaces by how many training views of the rig will see them: black is never. Nothing is \
rendered for it. The colours are an object of their own, which renders do not show"""

    bl_idname = "radiance_twin.paint_coverage"
    bl_label = "Paint Coverage"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        in_the_way = "" if context.mode == "OBJECT" else "Go to Object Mode first"
        return can_run(cls, what_rig_lacks(settings_of(context.scene), context.scene) or in_the_way)

    def execute(self, context: bpy.types.Context) -> set[str]:
        settings = render_arguments(settings_of(context.scene))
        try:
            found = paint_coverage(context.scene, settings)
        except UserError as error:
            return refuse(self, error)
        self.report({"INFO"}, shares_in_words(found))
        return {"FINISHED"}


def paint_coverage(scene: bpy.types.Scene, settings: dict[str, Any]) -> dict[str, float]:
    """Paint how often the rig's training views see the surfaces; what `shares` says of it.

    Raises:
        UserError: the rig lacks something, or nothing is visible.
    """
    cameras, measured = cameras_in_viewport(scene, settings)
    points, around = surface_points(POINTS), settings["rig"] in PLACED_RIGS
    held_out = [*cameras["val"], *cameras["test"]]
    times, at_all = coverage(measured.centre, points, cameras["train"], held_out, around)
    brightest = max(1.0, float(np.quantile(times, heat.BRIGHT))) if len(times) else 1.0
    heat.paint_values(
        scene,
        heat.Heat(
            heat.COVERAGE,
            points.position[at_all],
            times[at_all].astype(np.float32),
            points.index[at_all],
            SPREAD * points.spacing,
            brightest,
        ),
        {name: number for number, name in enumerate(points.names)},
    )
    return shares(times[at_all])


def why_not(context: bpy.types.Context) -> str:
    """Why no error can be painted now; empty when it can."""
    paths = paths_of_open_file()
    if paths is None or not (paths.report / "errors.npz").is_file():
        return "Compare first"
    return "" if context.mode == "OBJECT" else "Go to Object Mode first"


register, unregister = bpy.utils.register_classes_factory(
    (RADIANCE_TWIN_OT_paint_error, RADIANCE_TWIN_OT_paint_coverage, RADIANCE_TWIN_OT_remove_error)
)
