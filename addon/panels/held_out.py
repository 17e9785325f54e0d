# SPDX-License-Identifier: GPL-3.0-or-later
"""Panels below Compare: the held-out views, the objects and the painted error, and the fix-it cameras."""

from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ..jobs import worker
from ..operators import fix_it
from ..operators.compare import PICTURES, picture
from ..operators.held_out import IDENTICAL, held_out_of, is_fresh, older_than, refresh_soon, selected_view
from ..paths import paths_of_open_file
from ..properties import settings_of
from ..studio import heat
from ..studio.view_camera import is_looked_from, lens_in_words, view_camera
from .layout import NARROW, Step, heat_map, icon_of, start_or_progress, width_of, write

PICTURE_SCALE = 4.6  # in lines of text
NEWER = {
    "views": "The views are newer than these figures; compare again",
    "twin": "The twin is newer than these figures; compare again",
}
ORDERS = (
    ("FLIP", "FLIP", "The view whose difference is seen most stands first"),
    ("PSNR", "PSNR", "The view with the lowest PSNR stands first"),
    ("NUMBER", "Number", "As in the dataset"),
)


class RADIANCE_TWIN_UL_views(bpy.types.UIList):
    """Held-out views: number, PSNR, FLIP, and a button that looks through the view's camera."""

    bl_idname = "RADIANCE_TWIN_UL_views"

    order: bpy.props.EnumProperty(name="Order", description="Which view stands first", items=ORDERS)

    def draw_item(
        self, context: Any, layout: Any, data: Any, item: Any, icon: Any, active_data: Any, active_property: Any
    ) -> None:
        row = layout.row(align=True)
        if width_of(context) < NARROW:
            # what the views are told apart by, and the button
            figures = row.split(factor=0.3, align=True)
            figures.label(text=str(item.index))
            figures.label(text=in_decibels(item.psnr))
        else:
            row.label(text=iface_("View {}").format(item.index))
            row.label(text=in_decibels(item.psnr))
            row.label(text=f"{item.flip:.3f}")
        row.operator("radiance_twin.look_from_view", text="", icon="VIEW_CAMERA", emboss=False).index = item.index

    def draw_filter(self, context: Any, layout: Any) -> None:
        row = layout.row(align=True)
        row.prop(self, "order", expand=True)
        row.prop(self, "use_filter_sort_reverse", text="", icon="ARROW_LEFTRIGHT")

    def filter_items(self, context: Any, data: Any, property: str) -> tuple[list[int], list[int]]:
        rows = getattr(data, property)
        keys = {
            "FLIP": lambda row: -row.flip,
            "PSNR": lambda row: row.psnr,
            "NUMBER": lambda row: row.index,
        }
        order = sorted(range(len(rows)), key=lambda place: keys[self.order](rows[place]))
        places = [0] * len(rows)
        for place, row in enumerate(order):
            places[row] = place
        return [], places


class RADIANCE_TWIN_UL_objects(bpy.types.UIList):
    """Objects, worst PSNR first; a click on the name selects it."""

    bl_idname = "RADIANCE_TWIN_UL_objects"

    def draw_item(
        self, context: Any, layout: Any, data: Any, item: Any, icon: Any, active_data: Any, active_property: Any
    ) -> None:
        row = layout.split(factor=0.7, align=True)
        there = item.name in context.scene.objects
        name = row.row(align=True)
        name.alignment = "LEFT"
        name.active = there
        mark = "OBJECT_DATA" if there else "X"
        name.operator("radiance_twin.select_object", text=item.name, icon=mark, emboss=False).name = item.name
        figures = row.row(align=True)
        figures.alignment = "RIGHT"
        figures.label(text=in_decibels(item.psnr))


class VIEW3D_PT_radiance_twin_held_out(Step, bpy.types.Panel):
    """Each held-out view with its figures; the selected one's pictures."""

    bl_label = "Held-Out Views"
    bl_parent_id = "VIEW3D_PT_radiance_twin_compare"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return lists_are_filled(context)

    def draw(self, context: bpy.types.Context) -> None:
        layout, lists = self.layout, held_out_of(context)
        paths = paths_of_open_file()
        newer = older_than(paths) if paths else ""
        if newer:
            write(layout, context, NEWER[newer], icon="INFO")
        layout.template_list(RADIANCE_TWIN_UL_views.bl_idname, "", lists, "views", lists, "view", rows=4)
        view = selected_view()
        images = {kind: picture(kind) for kind in PICTURES}
        if view is not None and any(images.values()):
            row = layout.row(align=True)
            for kind, image in images.items():
                if image is not None:
                    column = row.column(align=True)
                    column.template_icon(icon_value=layout.icon(image), scale=PICTURE_SCALE)
                    caption = column.row()
                    caption.alignment = "CENTER"
                    caption.label(text=PICTURES[kind])
        camera = view_camera(context.scene)
        if camera is not None:
            words = lens_in_words(camera)
            if words:
                write(layout, context, words, icon="INFO")
        if is_looked_from(context.scene):
            layout.operator("radiance_twin.leave_view", icon="LOOP_BACK")


class VIEW3D_PT_radiance_twin_objects(Step, bpy.types.Panel):
    """PSNR per object, and the error painted over the scene."""

    bl_label = "Error by Object"
    bl_parent_id = "VIEW3D_PT_radiance_twin_compare"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return lists_are_filled(context)

    def draw(self, context: bpy.types.Context) -> None:
        layout, lists = self.layout, held_out_of(context)
        if lists.objects:
            layout.template_list(RADIANCE_TWIN_UL_objects.bl_idname, "", lists, "objects", lists, "thing", rows=4)
        row = layout.row(align=True)
        row.operator("radiance_twin.paint_error", icon="BRUSH_DATA")
        colours = "FLIP: black 0, violet {:.3f}, orange {:.3f}, pale {:.3f} and more"
        heat_map(layout, context, row, heat.ERROR, colours, "Grey: no held-out view sees it")


class VIEW3D_PT_radiance_twin_fix_it(Step, bpy.types.Panel):
    """New cameras where the twin errs, with their reasons, and one button that renders them and trains on."""

    bl_label = "Fix It"
    bl_parent_id = "VIEW3D_PT_radiance_twin_compare"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.settings_column()
        layout.prop(settings_of(context.scene), "fix_it_views")
        start_or_progress(layout, "fix_it", "radiance_twin.propose_cameras", "Propose Cameras", "OUTLINER_OB_CAMERA")
        job = worker.last("fix_it")
        there = fix_it.cameras()
        if job is not None and (job.error is not None or not there):
            write(layout, context, job.outcome, icon=icon_of(job, "INFO"))
        if not there:
            return
        for thing in there:
            row = layout.row(align=True)
            row.operator("radiance_twin.select_object", text="", icon="CAMERA_DATA").name = thing.name
            write(row, context, f"{thing.name}: {thing.get(fix_it.REASON, '')}")
        row = layout.row(align=True)
        row.scale_y = 1.3
        row.operator("radiance_twin.render_and_train", text="Render and Train", icon="PLAY")
        row.operator("radiance_twin.remove_cameras", text="", icon="TRASH")


def lists_are_filled(context: bpy.types.Context) -> bool:
    """Whether there are held-out views to show; lists that are not up to date are filled soon."""
    if not is_fresh(context):
        refresh_soon()
    return len(held_out_of(context).views) > 0


def in_decibels(psnr: float) -> str:
    """A PSNR of a list."""
    return "identical" if psnr >= IDENTICAL else f"{psnr:.1f} dB"


register, unregister = bpy.utils.register_classes_factory(
    (
        RADIANCE_TWIN_UL_views,
        RADIANCE_TWIN_UL_objects,
        VIEW3D_PT_radiance_twin_held_out,
        VIEW3D_PT_radiance_twin_objects,
        VIEW3D_PT_radiance_twin_fix_it,
    )
)
