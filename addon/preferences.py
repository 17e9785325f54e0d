# SPDX-License-Identifier: GPL-3.0-or-later
"""The extension's preferences: which Python does the work that needs PyTorch."""

import os
import shutil

import bpy

# the extension's own name in Blender: bl_ext.REPOSITORY.radiance_twin, or radiance_twin from a clone or from pip
ROOT = __package__.rpartition(".")[0]
VARIABLE = "RADIANCE_TWIN_PYTHON"


class RadianceTwinPreferences(bpy.types.AddonPreferences):
    bl_idname = ROOT

    worker_python: bpy.props.StringProperty(
        name="Worker's Python",
        description="A Python that has the package radiance-twin with all it needs, PyTorch among it. It renders, "
        f"trains and compares in a process of its own. Empty: the environment variable {VARIABLE}",
        subtype="FILE_PATH",
    )

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(self, "worker_python")
        python, reason = find_worker_python()
        row = layout.row()
        row.alert = bool(reason)
        row.label(text=reason or f"The work is done by {python}", icon="ERROR" if reason else "CHECKMARK")


def preferences() -> RadianceTwinPreferences | None:
    """The preferences, or None where this tree runs without being an installed extension."""
    addon = bpy.context.preferences.addons.get(ROOT)
    return None if addon is None else addon.preferences


def find_worker_python() -> tuple[str, str]:
    """The Python that does the work, and why there is none: one of the two is empty.

    It is the one named in the preferences, else by the environment variable RADIANCE_TWIN_PYTHON.
    """
    chosen = preferences()
    for source, name in (
        ("the preferences", chosen.worker_python if chosen else ""),
        (VARIABLE, os.environ.get(VARIABLE, "")),
    ):
        if name:
            path = shutil.which(bpy.path.abspath(name))
            return (os.path.abspath(path), "") if path else ("", f"The worker's Python named by {source} is not there")
    return "", f"Training needs a Python with PyTorch: name it in the preferences or by {VARIABLE}"


register, unregister = bpy.utils.register_classes_factory((RadianceTwinPreferences,))
