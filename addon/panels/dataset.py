# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel of a dataset that was loaded back."""

import bpy

from ..jobs import worker
from ..operators import dataset
from ..studio import dataset_views
from ..view_flips import flipping
from .layout import Step, start_or_progress, write


class VIEW3D_PT_radiance_twin_dataset(Step, bpy.types.Panel):
    """The views of a dataset, with what each of them shows."""

    bl_label = "Look at a Dataset"
    bl_parent_id = "VIEW3D_PT_radiance_twin_render"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        start_or_progress(layout, "look", "radiance_twin.load_dataset", "Load Dataset", "IMPORT")
        job = worker.last("look")
        if job is not None and job.error is not None:
            write(layout, context, job.outcome, icon="ERROR")
        collection = dataset_views.shown()
        if collection is None:
            return
        row = layout.row(align=True)
        for side, text, _ in dataset.SIDE_ITEMS:
            row.operator("radiance_twin.flip_views", text=text).side = side
        row.prop(collection, "hide_viewport", text="")
        row.operator("radiance_twin.remove_dataset", text="", icon="TRASH")
        if flipping.waiting:
            row = layout.row(align=True)
            row.label(text=flipping.in_words(), icon="SORTTIME")
            row.operator("radiance_twin.stop_flipping", text="", icon="X")
        elif flipping.problem:
            write(layout, context, flipping.problem, icon="ERROR")


register, unregister = bpy.utils.register_classes_factory((VIEW3D_PT_radiance_twin_dataset,))
