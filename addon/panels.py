# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel: 3D View, sidebar, tab Radiance Twin; four numbered steps."""

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy

from ..core.cli import decibels
from ..core.errors import Cancelled
from ..core.reporting import format_seconds
from .jobs import worker
from .operators import compare_frame
from .operators.compare import SIDES, read_metrics, worst_image, worst_view
from .operators.train import is_loaded
from .paths import Paths, paths_of_open_file
from .preferences import ROOT, find_worker_python, preferences
from .properties import settings_of
from .viewport.draw import failure
from .viewport.twin import is_twin, problem_of
from .viewport.twin import settings_of as twin_settings_of

Icon = Any  # the type stubs list all of Blender's icons one by one

PIXELS_PER_LETTER = 6.5
EXPORT_BUTTONS: tuple[tuple[str, str, Icon], ...] = (
    ("vdb", "Volume", "OUTLINER_OB_VOLUME"),
    ("mesh", "Mesh", "OUTLINER_OB_MESH"),
    ("points", "Points", "OUTLINER_OB_POINTCLOUD"),
)
PICTURE_SCALE = 5.5  # in lines of text


class _Step:
    """Where a panel stands, and settings as Blender shows them: name left, value right."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Radiance Twin"
    bl_parent_id = "VIEW3D_PT_radiance_twin"

    layout: bpy.types.UILayout

    def settings_column(self) -> bpy.types.UILayout:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        return layout.column()


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
        reason = find_worker_python()[1]
        if reason:
            write(column.box(), context, reason, icon="ERROR")


class VIEW3D_PT_radiance_twin_cameras(_Step, bpy.types.Panel):
    bl_label = "1  Cameras"

    def draw(self, context: bpy.types.Context) -> None:
        settings = settings_of(context.scene)
        layout = self.settings_column()
        layout.prop(settings, "rig")
        if settings.rig == "animated":
            layout.prop(context.scene, "camera")
        else:
            layout.prop(settings, "target")
            if settings.target == "OBJECT":
                layout.prop(settings, "target_object", text=" ")
            elif settings.target == "COLLECTION":
                layout.prop(settings, "target_collection", text=" ")
        layout.prop(settings, "views")
        column = layout.column(align=True)
        column.prop(settings, "width")
        column.prop(settings, "height")
        advanced = advanced_panel(layout, "radiance_twin_cameras")
        if advanced is not None:
            column = advanced.column(align=True)
            column.prop(settings, "test_views")
            column.prop(settings, "val_views")
            advanced.prop(settings, "film")


class VIEW3D_PT_radiance_twin_render(_Step, bpy.types.Panel):
    bl_label = "2  Render"

    def draw(self, context: bpy.types.Context) -> None:
        settings = settings_of(context.scene)
        layout = self.settings_column()
        layout.prop(settings, "samples")
        layout.prop(settings, "denoise")
        advanced = advanced_panel(layout, "radiance_twin_render")
        if advanced is not None:
            advanced.prop(settings, "reference_samples")
            advanced.prop(settings, "cycles_device")
            advanced.prop(settings, "seed")
        layout.separator()
        views = settings.views + settings.val_views + settings.test_views
        row = start_or_progress(layout, "render", "radiance_twin.render_views", f"Render {views} Views", "RENDER_STILL")
        if worker.interrupted("render") is not None and worker.running() is None:
            row.operator("radiance_twin.render_views", text="Continue").resume = True
        outcome(layout, context, "render", lambda paths: paths.dataset)


class VIEW3D_PT_radiance_twin_train(_Step, bpy.types.Panel):
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
        paths = paths_of_open_file()
        there = paths is not None and paths.twin.is_file()
        if there:
            layout.prop(settings, "go_on")
        layout.prop(settings, "load_after")
        layout.separator()
        start_or_progress(layout, "train", "radiance_twin.train", "Train", "PLAY")
        outcome(layout, context, "train", lambda paths: paths.twin)
        if paths is not None and there and not is_loaded(paths.twin):
            layout.operator("radiance_twin.load_twin", text="Load Twin", icon="IMPORT").filepath = str(paths.twin)


class VIEW3D_PT_radiance_twin_compare(_Step, bpy.types.Panel):
    bl_label = "4  Compare"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.settings_column()
        start_or_progress(layout, "compare", "radiance_twin.compare", "Compare", "ARROW_LEFTRIGHT")
        job = worker.last("compare")
        if job is not None and job.error is not None:
            outcome(layout, context, "compare", lambda paths: paths.report)
        paths = paths_of_open_file()
        metrics = None if paths is None else figures_of(paths)
        if metrics is not None:
            for warning in metrics.get("warnings", ()):
                write(layout, context, warning, icon="INFO")
            figures(layout, metrics)
            worst_pair(layout, metrics)
            layout.operator("radiance_twin.open_report", icon="URL")


class VIEW3D_PT_radiance_twin_frame(_Step, bpy.types.Panel):
    """What the camera sees now, both ways, and what came of it last."""

    bl_label = "This Frame"
    bl_parent_id = "VIEW3D_PT_radiance_twin_compare"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.settings_column()
        layout.operator("radiance_twin.compare_frame", icon="IMAGE_DATA")
        job = worker.last(compare_frame.REQUEST)
        failed = bool(compare_frame.problem()) or (job is not None and job.error is not None)
        text = compare_frame.problem() or ("" if job is None else job.outcome)
        if text:
            write(layout, context, text, icon="ERROR" if failed else "CHECKMARK")


class VIEW3D_PT_radiance_twin_export(_Step, bpy.types.Panel):
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
            icon = "CHECKMARK" if ended.error is None else "CANCEL" if isinstance(ended.error, Cancelled) else "ERROR"
            write(layout, context, ended.outcome, icon=icon)


class VIEW3D_PT_radiance_twin_object(_Step, bpy.types.Panel):
    """The selected twin: its file, the way home, and why it is not shown when it is not."""

    bl_label = "Selected Twin"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return is_twin(context.object)

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.prop(twin_settings_of(context.object), "filepath", text="")
        layout.prop(twin_settings_of(context.object), "exact_frame")
        layout.operator("radiance_twin.twin_home", icon="HOME")
        problem = problem_of(context.object) or failure()
        if problem:
            write(layout.box(), context, problem, icon="ERROR")


def advanced_panel(layout: bpy.types.UILayout, identifier: str) -> bpy.types.UILayout | None:
    """Settings that are seldom changed, folded away at first; None while they are."""
    header, body = layout.panel(identifier, default_closed=True)
    header.label(text="Advanced")
    return body


def start_or_progress(
    layout: bpy.types.UILayout, request: str, operator: str, text: str, icon: Icon
) -> bpy.types.UILayout:
    """The button that starts a step, with what it lacks beside it; while the step runs, its progress and Cancel."""
    job = worker.running()
    row = layout.row(align=True)
    row.scale_y = 1.3
    if job is not None and job.request == request:
        left = "" if job.seconds_left is None else f" · {format_seconds(job.seconds_left)} left"
        progress(row, job, left)
        if job.note:
            layout.label(text=job.note)
        return row
    row.operator(operator, text=text, icon=icon)
    if not bpy.data.filepath:
        row.operator("wm.save_mainfile", text="Save", icon="FILE_TICK")
    elif find_worker_python()[1] and preferences() is not None:
        row.operator("preferences.addon_show", text="Set Up", icon="PREFERENCES").module = ROOT
    return row


def progress(row: bpy.types.UILayout, job: worker.Job, left: str = "") -> None:
    """A bar, and Cancel."""
    row.progress(factor=job.fraction, type="BAR", text=f"{job.title} {job.fraction:.0%}{left}")
    row.operator("radiance_twin.cancel", text="", icon="X")


def outcome(
    layout: bpy.types.UILayout, context: bpy.types.Context, request: str, file_of: Callable[[Paths], Path]
) -> None:
    """How the step ended last, or else the file that an earlier session left."""
    job = worker.last(request)
    if job is not None and job.error is not None:
        write(layout, context, job.outcome, icon="CANCEL" if isinstance(job.error, Cancelled) else "ERROR")
        return
    paths = paths_of_open_file()
    file = None if paths is None else file_of(paths)
    if job is not None:
        write(layout, context, job.outcome, icon="CHECKMARK")
    elif file is not None and file.is_file():
        write(layout, context, f"{file.name}, {bytes_in_words(file.stat().st_size)}", icon="CHECKMARK")


def figures(layout: bpy.types.UILayout, metrics: dict[str, Any]) -> None:
    """The mean over the held-out views, and what a frame costs on both sides."""
    mean, views = metrics["mean"], metrics["views"]
    seconds = {side: sum(view[f"{side}_seconds"] for view in views) / len(views) for side in SIDES}
    rows = (
        ("PSNR", decibels(mean["psnr"])),
        ("Foreground", decibels(mean["psnr_foreground"])),
        ("SSIM", f"{mean['ssim']:.3f}"),
        ("FLIP", f"{mean['flip']:.3f}"),
        ("Classic", f"{seconds['classic']:.2f} s a view"),
        ("Neural", f"{seconds['neural']:.2f} s a view"),
    )
    split = layout.box().split(factor=0.4)
    names, values = split.column(align=True), split.column(align=True)
    names.alignment = "RIGHT"
    for name, value in rows:
        names.label(text=name)
        values.label(text=value)


def worst_pair(layout: bpy.types.UILayout, metrics: dict[str, Any]) -> None:
    """The view that differs most, both ways, when it is loaded."""
    images = {side: worst_image(side) for side in SIDES}
    if None in images.values():
        return
    view = worst_view(metrics)
    layout.label(text=f"Worst view: {view['index']}, {decibels(view['psnr'])}")
    row = layout.row(align=True)
    for side, image in images.items():
        column = row.column(align=True)
        column.template_icon(icon_value=layout.icon(image), scale=PICTURE_SCALE)
        caption = column.row()
        caption.alignment = "CENTER"
        caption.label(text=side.capitalize())


def write(layout: bpy.types.UILayout, context: bpy.types.Context, text: str, icon: Icon = "NONE") -> None:
    """A paragraph, wrapped to the width of the sidebar."""
    scale = context.preferences.system.ui_scale
    width = context.region.width / scale if context.region else 250
    letters = max(20, int((width - 60) / PIXELS_PER_LETTER))
    column = layout.column(align=True)
    for number, line in enumerate(textwrap.wrap(text, letters)):
        column.label(text=line, icon=icon if number == 0 else "BLANK1" if icon != "NONE" else "NONE")


def bytes_in_words(size: int) -> str:
    """A file's size as people say it."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.0f} kB"


_read: dict[tuple[str, int], dict[str, Any] | None] = {}


def figures_of(paths: Paths) -> dict[str, Any] | None:
    """The figures of the last comparison; read once, not at every redraw."""
    try:
        key = (str(paths.metrics), paths.metrics.stat().st_mtime_ns)
    except OSError:
        return None
    if key not in _read:
        _read.clear()
        _read[key] = read_metrics(paths.report)
    return _read[key]


def draw_in_header(self: bpy.types.Menu, context: bpy.types.Context) -> None:
    """A running job stays in sight in the viewport's header, whatever the sidebar shows."""
    job = worker.running()
    if job is not None:
        row = self.layout.row(align=True)
        row.separator()
        progress(row, job)


CLASSES = (
    VIEW3D_PT_radiance_twin,
    VIEW3D_PT_radiance_twin_cameras,
    VIEW3D_PT_radiance_twin_render,
    VIEW3D_PT_radiance_twin_train,
    VIEW3D_PT_radiance_twin_compare,
    VIEW3D_PT_radiance_twin_frame,
    VIEW3D_PT_radiance_twin_export,
    VIEW3D_PT_radiance_twin_object,
)


def register() -> None:
    for each in CLASSES:
        bpy.utils.register_class(each)
    bpy.types.VIEW3D_MT_editor_menus.append(draw_in_header)  # type: ignore[arg-type]


def unregister() -> None:
    bpy.types.VIEW3D_MT_editor_menus.remove(draw_in_header)  # type: ignore[arg-type]
    for each in reversed(CLASSES):
        bpy.utils.unregister_class(each)
    _read.clear()
