# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel: 3D View, sidebar, tab Radiance Twin; its first three numbered steps."""

from collections.abc import Sequence
from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...core.lenses import COEFFICIENTS
from ...core.rendering.rigs import PLACED_RIGS, SHAPED_RIGS
from .. import rig_preview
from ..jobs import worker
from ..operators.train import is_loaded
from ..paths import paths_of_open_file
from ..properties import RadianceTwinSettings, settings_of
from ..studio import heat
from .layout import Step, advanced_panel, heat_map, outcome, progress, runtime, start_or_progress, time_left, write

STATUS_UNITS = 12  # width of the progress bar in the status bar, in buttons


class VIEW3D_PT_radiance_twin(bpy.types.Panel):
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Radiance Twin"
    bl_label = "Radiance Twin"

    def draw(self, context: bpy.types.Context) -> None:
        column = self.layout.column()
        if not bpy.data.filepath:
            write(column, context, "Save this file to begin, or try the four steps on a sample.")
            column.operator("radiance_twin.open_sample", icon="FILE_BLEND")
        runtime(column, context)


class VIEW3D_PT_radiance_twin_cameras(Step, bpy.types.Panel):
    bl_label = "1  Cameras"

    def draw(self, context: bpy.types.Context) -> None:
        settings = settings_of(context.scene)
        layout = self.settings_column()
        layout.prop(settings, "rig")
        if settings.rig == "animated":
            layout.prop(context.scene, "camera")
            layout.prop(settings, "train_camera")
            layout.prop(settings, "test_camera")
            layout.prop(settings, "frames")
            layout.prop(settings, "moving")
        elif settings.rig == "walk":
            layout.prop(context.scene, "camera")
        elif settings.rig == "poses":
            layout.prop(settings, "poses")
        else:
            layout.prop(settings, "target")
            if settings.target == "OBJECT":
                layout.prop(settings, "target_object", text=" ")
            elif settings.target == "COLLECTION":
                layout.prop(settings, "target_collection", text=" ")
        if settings.rig in SHAPED_RIGS:
            layout.column().prop(settings, "elevation")
            if settings.rig != "spiral":
                layout.column().prop(settings, "azimuth")
        if settings.rig in ("rings", "spiral"):
            layout.prop(settings, "rings" if settings.rig == "rings" else "turns")
        given = settings.rig == "poses"
        if given:
            layout.prop(settings, "size_of_poses")
        else:
            layout.prop(settings, "views")
        if not (given and settings.size_of_poses):
            column = layout.column(align=True)
            column.prop(settings, "width")
            column.prop(settings, "height")
        if not given:
            layout.prop(settings, "camera_model")
            if settings.camera_model == "fisheye":
                layout.prop(settings, "fisheye_fov")
        show_cameras(layout, context)
        advanced = advanced_panel(layout, "radiance_twin_cameras")
        if advanced is not None:
            column = advanced.column(align=True)
            column.prop(settings, "test_views")
            column.prop(settings, "val_views")
            if settings.rig in PLACED_RIGS:
                advanced.column().prop(settings, "distance")
                advanced.column().prop(settings, "stretch")
                advanced.prop(settings, "stereo")
                advanced.prop(settings, "least_target")
            if not given:
                numbers(advanced, settings, "intrinsics", ("Lens fx", "fy", "cx", "cy"))
                numbers(advanced, settings, "distortion", ("Distortion k1", *COEFFICIENTS[1:]))
            advanced.prop(settings, "film")
            row = advanced.row(align=True)
            row.operator("radiance_twin.save_configuration", icon="EXPORT")
            row.operator("radiance_twin.load_configuration", icon="IMPORT")


def numbers(layout: bpy.types.UILayout, owner: Any, name: str, labels: Sequence[str]) -> None:
    """Each number of a vector by its own name."""
    column = layout.column(align=True)
    for index, label in enumerate(labels):
        column.prop(owner, name, index=index, text=label)


def show_cameras(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """The switch that draws all cameras, and how often they see the surface, painted over it."""
    column = layout.column(align=True)
    column.use_property_split = False
    manager = context.window_manager
    column.prop(manager, "radiance_twin_show_cameras", text="Show Cameras", toggle=True, icon="OUTLINER_OB_CAMERA")
    row = column.row(align=True)
    row.operator("radiance_twin.paint_coverage", icon="BRUSH_DATA")
    colours = "Views: black 0, violet {:.0f}, orange {:.0f}, pale {:.0f}"
    heat_map(layout, context, row, heat.COVERAGE, colours, "Grey: hidden from all sides")
    if rig_preview.is_on():
        write(layout, context, rig_preview.in_words(), icon="INFO")


class VIEW3D_PT_radiance_twin_render(Step, bpy.types.Panel):
    bl_label = "2  Render"

    def draw(self, context: bpy.types.Context) -> None:
        settings = settings_of(context.scene)
        layout = self.settings_column()
        layout.prop(settings, "samples")
        layout.prop(settings, "denoise")
        advanced = advanced_panel(layout, "radiance_twin_render")
        if advanced is not None:
            advanced.prop(settings, "reference_samples")
            advanced.prop(settings, "motion_blur")
            advanced.prop(settings, "cycles_device")
            advanced.prop(settings, "seed")
        passes_and_labels(layout, settings)
        layout.separator()
        views = settings.views + settings.val_views + settings.test_views
        text = iface_("Render Views") if settings.rig == "poses" else iface_("Render {} Views").format(views)
        row = start_or_progress(layout, "render", "radiance_twin.render_views", text, "RENDER_STILL")
        if worker.interrupted("render") is not None and worker.running() is None:
            row.operator("radiance_twin.render_views", text="Continue").resume = True
        outcome(layout, context, "render", lambda paths: paths.dataset)
        job = worker.running()
        if bpy.data.filepath and (job is None or job.request == "check"):
            start_or_progress(layout, "check", "radiance_twin.check", "Check", "VIEWZOOM")
            found(layout, context)


def passes_and_labels(layout: bpy.types.UILayout, settings: RadianceTwinSettings) -> None:
    """What a view holds besides light, depth, normals and object index, folded away at first."""
    header, body = layout.panel("radiance_twin_passes", default_closed=True)
    header.label(text="Passes and Labels")
    if body is None:
        return
    body.use_property_split = False
    body.grid_flow(row_major=True, columns=2, align=True).prop(settings, "passes")
    body.use_property_split = True
    body.prop(settings, "labels")
    body.prop(settings, "classes")
    column = body.column()
    column.active = settings.labels
    column.prop(settings, "keypoints")


def found(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """What the last check found, and what the views will cost."""
    job = worker.last("check")
    if job is None:
        return
    for line in job.outcome.splitlines():
        failed = job.error is not None or line.startswith("- ")
        write(layout, context, line.removeprefix("- "), icon="ERROR" if failed else "INFO")


class VIEW3D_PT_radiance_twin_train(Step, bpy.types.Panel):
    bl_label = "3  Train"

    def draw(self, context: bpy.types.Context) -> None:
        settings = settings_of(context.scene)
        layout = self.settings_column()
        layout.prop(settings, "preset")
        if settings.preset == "custom":
            layout.prop(settings, "seconds")
        row = layout.row(heading="Stop at PSNR")
        row.prop(settings, "stop_at_psnr", text="")
        value = row.row()
        value.active = settings.stop_at_psnr
        value.prop(settings, "until_psnr", text="")
        layout.prop(settings, "device")
        layout.prop(settings, "bake")
        paths = paths_of_open_file()
        there = paths is not None and paths.twin.is_file()
        if there:
            layout.prop(settings, "go_on")
        layout.prop(settings, "load_after")
        layout.separator()
        row = start_or_progress(layout, "train", "radiance_twin.train", "Train", "PLAY")
        if paths is not None and paths.unfinished_twin.is_file() and worker.running() is None:
            row.operator("radiance_twin.train", text="Continue").resume = True
        if worker.training() is not None:
            layout.operator("radiance_twin.finish", icon="CHECKMARK")
        outcome(layout, context, "train", lambda paths: paths.twin)
        if paths is not None and there and not is_loaded(paths.twin):
            layout.operator("radiance_twin.load_twin", text="Load Twin", icon="IMPORT").filepath = str(paths.twin)


def draw_in_status_bar(self: bpy.types.Header, context: bpy.types.Context) -> None:
    """A running job stays in sight in the status bar, whatever workspace and sidebar show."""
    job = worker.running()
    if job is not None:
        row = self.layout.row(align=True)
        row.ui_units_x = STATUS_UNITS
        progress(row, job, time_left(job))
        if worker.training() is not None:
            row.operator("radiance_twin.finish", text="", icon="CHECKMARK")


CLASSES = (
    VIEW3D_PT_radiance_twin,
    VIEW3D_PT_radiance_twin_cameras,
    VIEW3D_PT_radiance_twin_render,
    VIEW3D_PT_radiance_twin_train,
)


def register() -> None:
    for each in CLASSES:
        bpy.utils.register_class(each)
    bpy.types.STATUSBAR_HT_header.append(draw_in_status_bar)  # type: ignore[arg-type]


def unregister() -> None:
    bpy.types.STATUSBAR_HT_header.remove(draw_in_status_bar)  # type: ignore[arg-type]
    for each in reversed(CLASSES):
        bpy.utils.unregister_class(each)
