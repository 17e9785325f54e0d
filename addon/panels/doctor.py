# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with this machine, below the four steps."""

import bpy

from ...core.doctor.checks import checks_of
from ..jobs import worker
from ..operators.doctor import found
from .layout import Step, progress, write

ICONS = {"good": "CHECKMARK", "bad": "ERROR", "note": "INFO"}


class VIEW3D_PT_radiance_twin_doctor(Step, bpy.types.Panel):
    bl_label = "Doctor"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        job = worker.running()
        row = layout.row(align=True)
        if job is not None and job.request == "doctor":
            progress(row, job)
            return
        row.operator("radiance_twin.doctor", icon="VIEWZOOM")
        last, result = worker.last("doctor"), found()
        if last is not None and last.error is not None:
            write(layout, context, last.outcome, icon="ERROR")
        if result is None:
            return
        row.operator("radiance_twin.copy_report", text="", icon="COPYDOWN")
        for check in checks_of(result):
            write(layout, context, check.in_words(), icon=ICONS[check.state])


register, unregister = bpy.utils.register_classes_factory((VIEW3D_PT_radiance_twin_doctor,))
