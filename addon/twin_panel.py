# SPDX-License-Identifier: GPL-3.0-or-later
"""The selected twin in the sidebar: its file, the way home, and why it is not shown when it is not."""

import bpy

from .panels import VIEW3D_PT_radiance_twin, write
from .viewport.draw import failure
from .viewport.twin import is_twin, problem_of, settings_of


class VIEW3D_PT_radiance_twin_object(bpy.types.Panel):
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Radiance Twin"
    bl_parent_id = VIEW3D_PT_radiance_twin.__name__
    bl_label = "Selected Twin"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return is_twin(context.object)

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.prop(settings_of(context.object), "filepath", text="")
        layout.operator("radiance_twin.twin_home", icon="HOME")
        problem = problem_of(context.object) or failure()
        if problem:
            write(layout.box(), context, problem, icon="ERROR")


def register() -> None:
    bpy.utils.register_class(VIEW3D_PT_radiance_twin_object)


def unregister() -> None:
    bpy.utils.unregister_class(VIEW3D_PT_radiance_twin_object)
