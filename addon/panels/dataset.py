# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel of a dataset that was loaded back."""

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ..jobs import worker
from ..operators import dataset
from ..studio import dataset_views
from ..view_flips import flipping
from .layout import Step, icon_of, start_or_progress, write


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
            write(layout, context, job.outcome, icon=icon_of(job))
        collection = dataset_views.shown()
        if collection is None:
            return
        row = layout.row(align=True)
        flip_buttons(row)
        row.prop(collection, "hide_viewport", text="")
        row.operator("radiance_twin.remove_dataset", text="", icon="TRASH")
        reach = collection.get(dataset_views.DEPTH)
        if reach:
            nearest, farthest = reach
            write(layout, context, iface_("Depth: yellow {:.3g}, violet {:.3g}").format(nearest, farthest))
        if collection.get(dataset_views.STRAIGHTENED):
            write(
                layout, context, "The lens bends: pictures are straightened, and show the middle of what it saw", "INFO"
            )
        if flipping.waiting:
            row = layout.row(align=True)
            row.label(text=flipping.in_words(), icon="SORTTIME")
            row.operator("radiance_twin.stop_flipping", text="", icon="X")
        elif flipping.problem:
            write(layout, context, flipping.problem, icon="ERROR")


def flip_buttons(layout: bpy.types.UILayout) -> None:
    """What the selected views can show."""
    for side, text, _ in dataset.SIDE_ITEMS:
        layout.operator("radiance_twin.flip_views", text=text).side = side


def draw_in_menu(self: bpy.types.Menu, context: bpy.types.Context) -> None:
    """The same under the right mouse button, over a view."""
    if dataset_views.chosen(context):
        flip_buttons(self.layout)
        self.layout.separator()


def register() -> None:
    bpy.utils.register_class(VIEW3D_PT_radiance_twin_dataset)
    bpy.types.VIEW3D_MT_object_context_menu.prepend(draw_in_menu)  # type: ignore[arg-type]


def unregister() -> None:
    bpy.types.VIEW3D_MT_object_context_menu.remove(draw_in_menu)  # type: ignore[arg-type]
    bpy.utils.unregister_class(VIEW3D_PT_radiance_twin_dataset)
