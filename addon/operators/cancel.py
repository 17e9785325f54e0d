# SPDX-License-Identifier: GPL-3.0-or-later
"""Stopping the running job, or bringing a training to its end."""

import bpy

from ..jobs import worker
from . import can_run


class RADIANCE_TWIN_OT_cancel(bpy.types.Operator):
    """Stop the running job; what is finished is kept, and Continue goes on. Press again to end it at once"""

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


class RADIANCE_TWIN_OT_finish(bpy.types.Operator):
    """Good enough: end the training here, and make the twin of what it has learned"""

    bl_idname = "radiance_twin.finish"
    bl_label = "Finish Now"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        job = worker.training()
        reason = "Nothing is being trained" if job is None else "It is finishing" if is_finishing(job) else ""
        return can_run(cls, reason)

    def execute(self, context: bpy.types.Context) -> set[str]:
        job = worker.training()
        assert job is not None, "poll has asked for a training"
        job.finish()
        return {"FINISHED"}


def is_finishing(job: worker.Job) -> bool:
    """Whether a training takes no more steps."""
    return job.finishing or job.cancelling or job.stage in ("evaluate", "bake")


register, unregister = bpy.utils.register_classes_factory((RADIANCE_TWIN_OT_cancel, RADIANCE_TWIN_OT_finish))
