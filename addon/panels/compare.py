# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel's fourth step: the twin held against the classic render."""

from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...core.comparison.words import pays_off_in_short, ssim_in_words
from ...core.words import decibels
from ..jobs import worker
from ..operators import compare_frame
from ..operators.compare import SIDES, forget_figures, last_figures
from ..properties import settings_of
from .layout import Step, outcome, start_or_progress, write


class VIEW3D_PT_radiance_twin_compare(Step, bpy.types.Panel):
    bl_label = "4  Compare"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.settings_column()
        layout.prop(settings_of(context.scene), "turntable")
        row = start_or_progress(layout, "compare", "radiance_twin.compare", "Compare", "ARROW_LEFTRIGHT")
        if worker.interrupted("compare") is not None and worker.running() is None:
            row.operator("radiance_twin.compare", text="Continue").resume = True
        job = worker.last("compare")
        if job is not None and job.error is not None:
            outcome(layout, context, "compare", lambda paths: paths.report)
        metrics = last_figures()
        if metrics:
            for warning in metrics.get("warnings", ()):
                write(layout, context, warning, icon="INFO")
            figures(layout, metrics)
            layout.operator("radiance_twin.open_report", icon="URL")


class VIEW3D_PT_radiance_twin_frame(Step, bpy.types.Panel):
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


def figures(layout: bpy.types.UILayout, metrics: dict[str, Any]) -> None:
    """The mean over the held-out views, and what a frame costs on both sides."""
    mean, views = metrics["mean"], metrics["views"]
    seconds = {side: sum(view[f"{side}_seconds"] for view in views) / len(views) for side in SIDES}
    rows = (
        ("PSNR", decibels(mean["psnr"])),
        ("Foreground", decibels(mean["psnr_foreground"])),
        ("SSIM", ssim_in_words(mean["ssim"])),
        ("FLIP", f"{mean['flip']:.3f}"),
        ("Classic", iface_("{:.2f} s a view").format(seconds["classic"])),
        ("Neural", iface_("{:.2f} s a view").format(seconds["neural"])),
        ("Pays off", pays_off_in_short(metrics)),
    )
    split = layout.box().split(factor=0.4)
    names, values = split.column(align=True), split.column(align=True)
    names.alignment = "RIGHT"
    for name, value in (row for row in rows if row[1]):
        names.label(text=name)
        values.label(text=value)


CLASSES = (VIEW3D_PT_radiance_twin_compare, VIEW3D_PT_radiance_twin_frame)


def register() -> None:
    for each in CLASSES:
        bpy.utils.register_class(each)


def unregister() -> None:
    for each in reversed(CLASSES):
        bpy.utils.unregister_class(each)
    forget_figures()
