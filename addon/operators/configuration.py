# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of cameras and render as a TOML file, as the command line takes it by --config."""

from pathlib import Path
from typing import Any

import bpy
from bpy_extras.io_utils import ExportHelper, ImportHelper

from ...core.errors import UserError
from ...core.files import atomic_path
from ...core.rendering.configuration_file import configuration_text, read_configuration
from ..properties import render_arguments, settings_of, take_configuration
from . import refuse

ENDING = ".toml"


class RADIANCE_TWIN_OT_save_configuration(bpy.types.Operator, ExportHelper):
    """Write how cameras are placed and views rendered into a file, for other scenes and for the command line"""

    bl_idname = "radiance_twin.save_configuration"
    bl_label = "Save Settings"

    filepath: bpy.props.StringProperty(name="File Path", description="The configuration's file", subtype="FILE_PATH")
    filename_ext = ENDING
    filter_glob: bpy.props.StringProperty(default=f"*{ENDING}", options={"HIDDEN"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        text = configuration_text(render_arguments(settings_of(context.scene)))
        try:
            with atomic_path(self.filepath) as temporary:
                temporary.write_text(text, encoding="utf-8")
        except UserError as error:
            return refuse(self, error)
        self.report({"INFO"}, f"Saved {Path(self.filepath).name}")
        return {"FINISHED"}


class RADIANCE_TWIN_OT_load_configuration(bpy.types.Operator, ImportHelper):
    """Take how cameras are placed and views rendered from a file; what it does not say stays as it is"""

    bl_idname = "radiance_twin.load_configuration"
    bl_label = "Load Settings"
    bl_options = {"UNDO"}

    filepath: bpy.props.StringProperty(name="File Path", description="The configuration's file", subtype="FILE_PATH")
    filename_ext = ENDING
    filter_glob: bpy.props.StringProperty(default=f"*{ENDING}", options={"HIDDEN"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            values: dict[str, Any] = read_configuration(self.filepath)
        except UserError as error:
            return refuse(self, error)
        missing = take_configuration(settings_of(context.scene), values)
        if missing:
            self.report({"WARNING"}, f"This scene has no {', '.join(missing)}")
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory(
    (RADIANCE_TWIN_OT_save_configuration, RADIANCE_TWIN_OT_load_configuration)
)
