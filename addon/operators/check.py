# SPDX-License-Identifier: GPL-3.0-or-later
"""Before step 2: a copy of the open scene is looked over, and three views say what all will cost."""

from typing import Any

import bpy

from ...core.words import checked_in_words
from ..jobs import worker
from ..properties import render_arguments, settings_of
from . import can_run, run
from .render import start_on_a_copy, why_not_render


class RADIANCE_TWIN_OT_check(bpy.types.Operator):
    """Look for what would spoil the views, such as missing files or cameras inside things, and render three of \
them to say how long all will take and how large they will be"""

    bl_idname = "radiance_twin.check"
    bl_label = "Check"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return can_run(cls, why_not_render(context))

    def execute(self, context: bpy.types.Context) -> set[str]:
        return run(self, lambda: start_check(render_arguments(settings_of(context.scene))))


def start_check(arguments: dict[str, Any]) -> worker.Job:
    """Check a copy of the open scene.

    Raises:
        UserError: a job is running, or there is no worker.
        RuntimeError: the copy cannot be saved.
    """
    return start_on_a_copy("check", {**arguments, "output": "checked.h5"}, checked)


def checked(job: worker.Job, result: dict[str, Any] | None) -> str:
    """What was found, a line each; the last one says what the views will cost."""
    return "" if result is None else checked_in_words(result)


register, unregister = bpy.utils.register_classes_factory((RADIANCE_TWIN_OT_check,))
