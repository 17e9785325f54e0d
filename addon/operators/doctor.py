# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with this machine: Blender and its shaders are looked at here, all else in a process of its own."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy

from ...core.doctor.checks import Check, checks_of, doctor_in_words, result_of, summary
from ...core.errors import UserError
from ...core.processes import installer_command
from ..jobs import worker
from ..preferences import find_worker_python
from ..view_transform import bake_view_transform
from ..viewport import self_test
from . import can_run, run, why_busy

# of 255; of the distance
MOST_COLOUR_ERROR = 1.0
MOST_DEPTH_ERROR = 0.005
REMEDY = "update the graphics driver, and report it with this list"


class RADIANCE_TWIN_OT_doctor(bpy.types.Operator):
    """Look at Blender, the graphics card, the training runtime and the disk, and train for some seconds: what is \
wrong is named with its remedy"""

    bl_idname = "radiance_twin.doctor"
    bl_label = "Examine This Machine"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return can_run(cls, why_busy())

    def execute(self, context: bpy.types.Context) -> set[str]:
        return run(self, start_doctor)


class RADIANCE_TWIN_OT_copy_report(bpy.types.Operator):
    """Copy what was found as text, without paths and names: to be pasted into a report"""

    bl_idname = "radiance_twin.copy_report"
    bl_label = "Copy Report"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return can_run(cls, "" if found() else "Examine this machine first")

    def execute(self, context: bpy.types.Context) -> set[str]:
        result = found()
        assert result is not None, "poll has asked for one"
        context.window_manager.clipboard = doctor_in_words(result)
        self.report({"INFO"}, "The report is in the clipboard")
        return {"FINISHED"}


def found() -> dict[str, Any] | None:
    """What the last examination found."""
    job = worker.last("doctor")
    return None if job is None else job.result


def start_doctor() -> worker.Job:
    """Examine this machine. Without a worker, what needs one is left out.

    Raises:
        UserError: a job is running.
    """
    if worker.running() is not None:
        raise UserError("a job is running already; wait for it or cancel it")
    here = list(blender_checks())
    command = installer_command(sys.executable) if find_worker_python()[1] else None
    folders = [str(Path(bpy.data.filepath).parent)] if bpy.data.filepath else []

    def examined(job: worker.Job, result: dict[str, Any] | None) -> str:
        if result is None:
            return ""
        whole = [*here, *checks_of(result)]
        result.update(result_of(whole))
        return summary(result)

    return worker.start("doctor", {"folders": folders}, examined, command=command)


def blender_checks() -> Iterator[Check]:
    """What only Blender's own process can tell."""
    yield Check("Blender", "good", bpy.app.version_string)
    yield from _drawing()
    reason = find_worker_python()[1]
    yield Check("Worker", "bad", reason) if reason else Check("Worker", "good", "there is a Python for it")


def _drawing() -> Iterator[Check]:
    if bpy.app.background:
        yield Check("Drawing", "note", "not looked at: there is no window")
        return
    try:
        yield Check("Graphics card", "good", self_test.renderer())
        error = self_test.colour_error(bake_view_transform(bpy.context.scene))
        yield _shader("Colour management", f"{error:.2f} of 255", error <= MOST_COLOUR_ERROR)
        error = self_test.depth_error()
        yield _shader("Depth", f"{error:.2%} of the distance", error <= MOST_DEPTH_ERROR)
    except Exception as failure:  # what drivers come up with is not known beforehand, and is to be told
        yield Check("Drawing", "bad", " ".join(str(failure).split())[:200], REMEDY)


def _shader(name: str, error: str, well: bool) -> Check:
    found = f"the shader is off by {error}"
    return Check(name, "good", found) if well else Check(name, "bad", found, REMEDY)


CLASSES = (RADIANCE_TWIN_OT_doctor, RADIANCE_TWIN_OT_copy_report)
register, unregister = bpy.utils.register_classes_factory(CLASSES)
