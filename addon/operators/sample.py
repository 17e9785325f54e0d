# SPDX-License-Identifier: GPL-3.0-or-later
"""The sample scene, opened as a new file."""

from pathlib import Path

import bpy

from . import can_run

SAMPLE = Path(__file__).resolve().parent.parent.parent / "sample_scenes" / "still_life.blend"


class RADIANCE_TWIN_OT_open_sample(bpy.types.Operator):
    """Open a small scene to try the four steps on, as a new file: save it where you like"""

    bl_idname = "radiance_twin.open_sample"
    bl_label = "Open the Sample"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return can_run(cls, "" if SAMPLE.is_file() else "The sample is not part of this installation")

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        # Blender's own dialogue asks about unsaved changes
        bpy.ops.wm.read_homefile("INVOKE_DEFAULT", filepath=str(SAMPLE), load_ui=False)
        return {"FINISHED"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        # read as a start-up file it has no path yet, so the packaged file can never be overwritten
        bpy.ops.wm.read_homefile(filepath=str(SAMPLE), load_ui=False)
        return {"FINISHED"}


def register() -> None:
    bpy.utils.register_class(RADIANCE_TWIN_OT_open_sample)


def unregister() -> None:
    bpy.utils.unregister_class(RADIANCE_TWIN_OT_open_sample)
