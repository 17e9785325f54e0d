# SPDX-License-Identifier: GPL-3.0-or-later
"""Stopping the running job."""

import bpy

from ..jobs import worker
from . import can_run


class RADIANCE_TWIN_OT_cancel(bpy.types.Operator):
    """Stop the running job at a good point; what is finished is kept. Press again to end it at once"""

    bl_idname = "radiance_twin.cancel"
    bl_label = "Cancel"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return can_run(cls, "" if worker.running() else "No job is running")

    def execute(self, context: bpy.types.Context) -> set[str]:
        job = worker.running()
        assert job is not None, "poll has asked for a job"
        job.cancel()
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory((RADIANCE_TWIN_OT_cancel,))
