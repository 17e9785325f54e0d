# SPDX-License-Identifier: GPL-3.0-or-later
"""Installing, updating and removing the Python that does the work: one click and a confirmation."""

import sys
from typing import Any

import bpy

from ...core.errors import UserError
from ...core.processes import installer_command
from ...core.runtime.accelerator import BACKENDS
from ...core.runtime.install import GB, InstallSettings, plan
from ...core.runtime.places import current
from ...core.words import runtime_in_words
from ..jobs import worker
from . import can_run, run, why_busy

BACKEND_ITEMS = [
    ("auto", "Automatic", "CUDA where the driver of an NVIDIA GPU is found, else the CPU"),
    ("cpu", "CPU", "Trains on the processor; the smaller download"),
    ("cuda", "CUDA", "Trains on an NVIDIA GPU, also when its driver is not found now"),
]
assert [item[0] for item in BACKEND_ITEMS] == list(BACKENDS)
WIDTH = 460  # of the dialogues


class RADIANCE_TWIN_OT_install_runtime(bpy.types.Operator):
    """Fetch a Python of its own with PyTorch, for this user and all versions of Blender. Nothing of Blender or the \
system is changed"""

    bl_idname = "radiance_twin.install_runtime"
    bl_label = "Install Training Runtime"

    backend: bpy.props.EnumProperty(name="For", description="What training runs on", items=BACKEND_ITEMS)
    wheels: bpy.props.StringProperty(
        name="Folder of Wheels",
        description="Install from these files instead of the network. Empty: from the network",
        subtype="DIR_PATH",
        options={"SKIP_SAVE"},
    )
    python: bpy.props.StringProperty(
        name="Python",
        description="A Python 3.11, 3.12 or 3.13 to start from; it is not changed. Empty: one is fetched, or found",
        subtype="FILE_PATH",
        options={"SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return can_run(cls, why_busy())

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[Any]:
        return context.window_manager.invoke_props_dialog(self, width=WIDTH, confirm_text="Install")

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        column = layout.column(align=True)
        try:
            wanted = plan(self._settings())
        except UserError as error:
            column.label(text=worker.sentence(str(error)), icon="ERROR")
        else:
            accelerator = "CUDA" if wanted.build.backend == "cuda" else "CPU"
            fetched = f"about {wanted.download / GB:.1f} GB to download, " if wanted.download else ""
            column.label(text=f"PyTorch for {accelerator}: {fetched}{wanted.disk / GB:.1f} GB on the disk")
            free = f"{wanted.free / GB:.1f} GB are free"
            column.label(text=free if wanted.fits else f"{free}: too few", icon="NONE" if wanted.fits else "ERROR")
            column.label(text=str(wanted.folder))
        if not bpy.app.online_access and not self.wheels:
            column.label(text="Blender may not use the network (Preferences, System):", icon="ERROR")
            column.label(text="allow it there, or name a folder of wheels", icon="BLANK1")
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(self, "backend")
        layout.prop(self, "wheels")
        layout.prop(self, "python")

    def execute(self, context: bpy.types.Context) -> set[str]:
        return run(self, lambda: start_runtime({"action": "install", **vars(self._settings())}))

    def _settings(self) -> InstallSettings:
        wheels, python = (bpy.path.abspath(name) or None for name in (self.wheels, self.python))
        return InstallSettings(self.backend, wheels, python, bpy.app.online_access)


class RADIANCE_TWIN_OT_remove_runtime(bpy.types.Operator):
    """Remove the managed Python with all that was downloaded for it. Datasets and twins stay"""

    bl_idname = "radiance_twin.remove_runtime"
    bl_label = "Remove Training Runtime"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return can_run(cls, why_busy() or ("" if current() else "No runtime is installed"))

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[Any]:
        return context.window_manager.invoke_confirm(self, event, message=self.__doc__, confirm_text="Remove")

    def execute(self, context: bpy.types.Context) -> set[str]:
        return run(self, lambda: start_runtime({"action": "remove"}))


def start_runtime(arguments: dict[str, Any]) -> worker.Job:
    """Install, update or remove the runtime, or tell what there is, in a process of its own.

    Raises:
        UserError: a job is running.
    """
    # Blender's own Python runs the standard library's part of this, as there may be no other yet
    return worker.start("runtime", arguments, managed, command=installer_command(sys.executable))


def managed(job: worker.Job, result: dict[str, Any] | None) -> str:
    """What there is now."""
    return "" if result is None else runtime_in_words(result).splitlines()[0]


CLASSES = (RADIANCE_TWIN_OT_install_runtime, RADIANCE_TWIN_OT_remove_runtime)
register, unregister = bpy.utils.register_classes_factory(CLASSES)
