# SPDX-License-Identifier: GPL-3.0-or-later
"""The comparison in the 3D view, as a part of the fourth step."""

import bpy

from ..operators.twin import classic_is_empty
from ..viewport.compare.settings import compared_twin, comparison_of, why_not
from ..viewport.compare.stale import stale
from ..viewport.twin import bake_of
from .layout import Step, write


class VIEW3D_PT_radiance_twin_compare_view(Step, bpy.types.Panel):
    """The twin held against the live render, in rendered views of this workspace."""

    bl_label = "In the Viewport"
    bl_parent_id = "VIEW3D_PT_radiance_twin_compare"

    def draw(self, context: bpy.types.Context) -> None:
        settings = comparison_of(context.workspace)
        layout = self.settings_column()
        layout.prop(settings, "mode")
        if stale():
            write(layout, context, stale(), icon="ERROR")
        if settings.mode == "OFF":
            return
        if settings.mode == "WIPE":
            layout.prop(settings, "angle")
            row = layout.row(align=True)
            row.prop(settings, "middle", slider=True)
        elif settings.mode == "DIFFERENCE":
            layout.prop(settings, "difference", text="Kind")
            row = layout.row()
            row.enabled = settings.difference != "FLIP"
            row.prop(settings, "amplification")
        if settings.mode != "SPLIT":
            layout.prop(settings, "on_hold")
        layout.prop(settings, "loupe")
        reason = why_not(context) or _emptiness(context)
        if reason:
            write(layout, context, reason, icon="INFO")


def _emptiness(context: bpy.types.Context) -> str:
    """Why the classic side shows nothing; empty when it shows something."""
    twin = compared_twin(context)
    bake = None if twin is None else bake_of(twin)
    if bake is None or not classic_is_empty(context, bake.world_from_field):
        return ""
    return "The classic side is empty: no object is visible where the twin was made. Alt H shows what is hidden"


register, unregister = bpy.utils.register_classes_factory((VIEW3D_PT_radiance_twin_compare_view,))
