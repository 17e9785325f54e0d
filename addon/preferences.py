# SPDX-License-Identifier: GPL-3.0-or-later
"""The extension's preferences: which Python does the work that needs PyTorch."""

import os
import shutil

import bpy

from ..core.runtime.places import current, find_managed_python

# the extension's own name in Blender: bl_ext.REPOSITORY.radiance_twin, or radiance_twin from a clone or from pip
ROOT = __package__.rpartition(".")[0]
VARIABLE = "RADIANCE_TWIN_PYTHON"


class RadianceTwinPreferences(bpy.types.AddonPreferences):
    bl_idname = ROOT

    worker_python: bpy.props.StringProperty(
        name="Worker's Python",
        description="A Python that has the package radiance-twin with all it needs, PyTorch among it, to be used in "
        f"place of the installed runtime. Empty: the environment variable {VARIABLE}, else the runtime",
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
        row = layout.row()
        environment = current()
        text = "Install" if environment is None else "Update" if environment.stale else "Install Again"
        row.operator("radiance_twin.install_runtime", text=text, icon="IMPORT")
        row.operator("radiance_twin.remove_runtime", text="Remove", icon="TRASH")


def preferences() -> RadianceTwinPreferences | None:
    """The preferences, or None where this tree runs without being an installed extension."""
    addon = bpy.context.preferences.addons.get(ROOT)
    return None if addon is None else addon.preferences


def find_worker_python() -> tuple[str, str]:
    """The Python that does the work, and why there is none: one of the two is empty.

    It is the one named in the preferences, else by the environment variable RADIANCE_TWIN_PYTHON, else the managed one.
    """
    source, name = named_worker_python()
    if not name:
        return find_managed_python()
    path = shutil.which(bpy.path.abspath(name))
    return (os.path.abspath(path), "") if path else ("", f"The worker's Python named by {source} is not there")


def named_worker_python() -> tuple[str, str]:
    """Who names a Python to be used instead of the managed one, and which; both empty when nobody does."""
    chosen = preferences()
    if chosen is not None and chosen.worker_python:
        return "the preferences", chosen.worker_python
    named = os.environ.get(VARIABLE, "")
    return (VARIABLE, named) if named else ("", "")


register, unregister = bpy.utils.register_classes_factory((RadianceTwinPreferences,))
