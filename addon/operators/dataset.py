# SPDX-License-Identifier: GPL-3.0-or-later
"""A dataset loaded back: its views as cameras with pictures, which flip between render, depth, field and error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy_extras.io_utils import ImportHelper

from ...core.errors import UserError
from ..jobs import worker
from ..paths import paths_of_open_file
from ..studio import dataset_views
from ..view_flips import DEPTH, ERROR, FIELD, RENDER, flipping
from . import can_run, refuse, run, why_no_job

SIDE_ITEMS = (
    (RENDER, "Render", "What Cycles rendered"),
    (DEPTH, "Depth", "How far away what it shows is: near is yellow, far is violet"),
    (FIELD, "Field", "What the twin's field shows from there"),
    (ERROR, "Error", "FLIP between the two, from black to pale yellow"),
)


class RADIANCE_TWIN_OT_load_dataset(bpy.types.Operator, ImportHelper):
    """Show the views of a dataset as cameras with their pictures, in a collection of their own"""

    bl_idname = "radiance_twin.load_dataset"
    bl_label = "Load Dataset"

    filename_ext = ".h5"
    filepath: bpy.props.StringProperty(
        name="File Path", description="The dataset", subtype="FILE_PATH", options={"SKIP_SAVE"}
    )
    filter_glob: bpy.props.StringProperty(default="*.h5", options={"HIDDEN"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return can_run(cls, why_no_job())

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        paths = paths_of_open_file()
        if not self.filepath and paths is not None:
            self.filepath = str(paths.dataset)
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        return run(self, lambda: start_loading(Path(bpy.path.abspath(self.filepath))))


class RADIANCE_TWIN_OT_flip_views(bpy.types.Operator):
    """Let the selected views of the dataset show something else; all of them when none is selected. Fields are \
rendered beside Blender, and kept until the twin is another one"""

    bl_idname = "radiance_twin.flip_views"
    bl_label = "Flip Views"
    bl_options = {"REGISTER"}

    side: bpy.props.EnumProperty(name="Show", description="What the views show", items=SIDE_ITEMS)

    @classmethod
    def description(cls, context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        about = next(text for name, _, text in SIDE_ITEMS if name == properties.side)
        return f"{about}, in the selected views of the dataset; in all of them when none is selected"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return can_run(cls, why_not_flip())

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            flipping.begin(self.side, dataset_views.chosen(context))
        except UserError as error:
            return refuse(self, error)
        flipping.follow()
        if flipping.problem:
            return refuse(self, flipping.problem)
        return {"FINISHED"}


class RADIANCE_TWIN_OT_stop_flipping(bpy.types.Operator):
    """Stop rendering fields for the views; what is finished stays"""

    bl_idname = "radiance_twin.stop_flipping"
    bl_label = "Stop"

    def execute(self, context: bpy.types.Context) -> set[str]:
        flipping.stop()
        return {"FINISHED"}


class RADIANCE_TWIN_OT_remove_dataset(bpy.types.Operator):
    """Take the dataset's views out of the scene; its files stay"""

    bl_idname = "radiance_twin.remove_dataset"
    bl_label = "Remove"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return can_run(cls, "" if dataset_views.shown() else "No dataset is shown")

    def execute(self, context: bpy.types.Context) -> set[str]:
        flipping.stop()
        dataset_views.remove()
        return {"FINISHED"}


def start_loading(dataset: Path) -> worker.Job:
    """Have the worker write the views' pictures beside the dataset, and show them then.

    Raises:
        UserError: a job is running, or there is no worker.
    """
    folder = dataset.with_name(f"{dataset.stem}_pictures")
    return worker.start("look", {"dataset": str(dataset), "output": str(folder)}, loaded)


def loaded(job: worker.Job, result: dict[str, Any] | None) -> str:
    """Show the views; the outcome in words."""
    if result is None:
        return ""
    if bpy.data.filepath == job.blend:
        dataset_views.show(bpy.context.scene, Path(result["folder"]))
        if not bpy.app.background:
            bpy.ops.ed.undo_push(message="Load Dataset")
    return f"{result['views']} views"


def why_not_flip() -> str:
    """Why the views cannot show anything else now; empty when they can."""
    if dataset_views.shown() is None:
        return "Load a dataset first"
    return "Fields are being rendered; stop that first" if flipping.waiting else ""


register, unregister = bpy.utils.register_classes_factory(
    (
        RADIANCE_TWIN_OT_load_dataset,
        RADIANCE_TWIN_OT_flip_views,
        RADIANCE_TWIN_OT_stop_flipping,
        RADIANCE_TWIN_OT_remove_dataset,
    )
)
