# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules of randomise in the panel: one more, one less."""

import bpy

from ..properties import settings_of
from . import can_run


class RADIANCE_TWIN_OT_add_rule(bpy.types.Operator):
    """Add a rule of what differs from view to view"""

    bl_idname = "radiance_twin.add_rule"
    bl_label = "Add Rule"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        settings = settings_of(context.scene)
        settings.randomise.add()
        settings.randomise_index = len(settings.randomise) - 1
        return {"FINISHED"}


class RADIANCE_TWIN_OT_remove_rule(bpy.types.Operator):
    """Remove the selected rule"""

    bl_idname = "radiance_twin.remove_rule"
    bl_label = "Remove Rule"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return can_run(cls, "" if settings_of(context.scene).randomise else "There are no rules")

    def execute(self, context: bpy.types.Context) -> set[str]:
        settings = settings_of(context.scene)
        settings.randomise.remove(settings.randomise_index)
        settings.randomise_index = max(0, min(settings.randomise_index, len(settings.randomise) - 1))
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory((RADIANCE_TWIN_OT_add_rule, RADIANCE_TWIN_OT_remove_rule))
