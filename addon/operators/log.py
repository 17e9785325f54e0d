# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening what the worker has printed."""

import os

import bpy

from . import refuse


class RADIANCE_TWIN_OT_open_log(bpy.types.Operator):
    """Open what the worker has printed, in the program that this system has for text"""

    bl_idname = "radiance_twin.open_log"
    bl_label = "Open Log"

    filepath: bpy.props.StringProperty(name="Log", options={"HIDDEN", "SKIP_SAVE"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        if not os.path.isfile(self.filepath):
            return refuse(self, "The log is not there any more; only the last ten are kept")
        bpy.ops.wm.path_open(filepath=self.filepath)
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory((RADIANCE_TWIN_OT_open_log,))
