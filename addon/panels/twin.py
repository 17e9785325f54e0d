# SPDX-License-Identifier: GPL-3.0-or-later
"""The panels of a twin: its ways out, and the selected one."""

import bpy

from ..jobs import worker
from ..viewport.draw import failure
from ..viewport.twin import is_twin, loaded_part_of, problem_of, settings_of
from .layout import Icon, Step, icon_of, start_or_progress, write

EXPORT_BUTTONS: tuple[tuple[str, str, Icon], ...] = (
    ("vdb", "Volume", "OUTLINER_OB_VOLUME"),
    ("mesh", "Mesh", "OUTLINER_OB_MESH"),
    ("points", "Points", "OUTLINER_OB_POINTCLOUD"),
    ("splats", "Splats", "PARTICLES"),
)


class VIEW3D_PT_radiance_twin_export(Step, bpy.types.Panel):
    """The twin for Blender without us and for other programs, and what that lost."""

    bl_label = "Export Twin"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.settings_column()
        job = worker.running()
        if job is not None and job.request == "export":
            start_or_progress(layout, "export", "radiance_twin.export", "Export", "EXPORT")
        else:
            row = layout.row(align=True)
            row.scale_y = 1.3
            for format, text, icon in EXPORT_BUTTONS:
                row.operator("radiance_twin.export", text=text, icon=icon).format = format
        ended = worker.last("export")
        if ended is not None:
            write(layout, context, ended.outcome, icon=icon_of(ended))


class VIEW3D_PT_radiance_twin_object(Step, bpy.types.Panel):
    """The selected twin: its file, the way home, and why it is not shown when it is not."""

    bl_label = "Selected Twin"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return is_twin(context.object)

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.prop(settings_of(context.object), "filepath", text="")
        layout.prop(settings_of(context.object), "exact_frame")
        layout.operator("radiance_twin.twin_home", icon="HOME")
        loaded = loaded_part_of(context.object)
        if loaded < 1.0:
            layout.progress(factor=loaded, type="BAR", text="Loading")
        problem = problem_of(context.object) or failure()
        if problem:
            write(layout.box(), context, problem, icon="ERROR")


class VIEW3D_PT_radiance_twin_crop(Step, bpy.types.Panel):
    """The box outside of which the selected twin is not drawn."""

    bl_label = "Crop"
    bl_parent_id = "VIEW3D_PT_radiance_twin_object"
    bl_options = {"DEFAULT_CLOSED"}

    def draw_header(self, context: bpy.types.Context) -> None:
        self.layout.prop(settings_of(context.object), "use_crop", text="")

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.settings_column()
        settings = settings_of(context.object)
        layout.active = settings.use_crop
        layout.column().prop(settings, "crop_min")
        layout.column().prop(settings, "crop_max")


register, unregister = bpy.utils.register_classes_factory(
    (VIEW3D_PT_radiance_twin_export, VIEW3D_PT_radiance_twin_object, VIEW3D_PT_radiance_twin_crop)
)
