# SPDX-License-Identifier: GPL-3.0-or-later
"""The wipe's line with its round handle: a gizmo, so that tools and navigation work on around it.

Drag the line or the handle to move it; drag the ring around the handle, or the handle with Ctrl, to turn it. Ctrl while
the ring is dragged snaps to 15°. Esc or the right button puts back what was.
"""

from __future__ import annotations

from math import cos, pi, sin
from typing import Any

import bpy

from ..march import Point
from ..pens import draw_polyline, fill_circle
from .settings import comparison_of, is_compared, shown_in, wipe_of
from .wipe import SNAP, Wipe, angle_in_words, part_at
from .words import point_at

# pixels at a scale of one
HANDLE = 11.0
RING = 27.0
REACH = 6.0
# of the ring, around the line's normal on both sides, that is drawn, radians
ARC = 0.6
# in the order of their numbers for Blender, from -1
PARTS = ("", "line", "handle", "ring")


class RADIANCE_TWIN_GT_wipe(bpy.types.Gizmo):
    """The line of the wipe"""

    bl_idname = "RADIANCE_TWIN_GT_wipe"

    __slots__ = ("_before", "_last", "_turns", "_under")

    def setup(self) -> None:
        self._under = ""

    def draw(self, context: bpy.types.Context) -> None:
        if not _has_line(context):
            return
        region, preferences = context.region, context.preferences
        scale = preferences.system.ui_scale
        theme = preferences.themes[0].user_interface
        wipe = wipe_of(comparison_of(context.workspace), region)
        near = self.is_highlight or self.is_modal
        under = self._under if near else ""
        plain, bright = (*theme.gizmo_view_align[:3], 0.9), (*theme.gizmo_hi[:3], 1.0)
        handle, ring = HANDLE * scale, RING * scale
        first, last = wipe.ends((region.width, region.height))
        line = bright if under in ("line", "handle") else plain
        for start, end, side in ((first, wipe.middle, -handle), (wipe.middle, last, handle)):
            ends = (start, wipe.at(side)) if side < 0 else (wipe.at(side), end)
            draw_polyline(ends, (0.0, 0.0, 0.0, 0.35), 3.0 * scale)
            draw_polyline(ends, line, 1.25 * scale)
        fill_circle(wipe.middle, handle, (0.0, 0.0, 0.0, 0.55))
        draw_polyline(_arc(wipe.middle, handle, 0.0, 2.0 * pi), line, 1.75 * scale)
        for side in (-1.0, 1.0):
            tip, wing = 0.62 * handle * side, 0.28 * handle
            arrow = [wipe.at(wing, tip - wing * side), wipe.at(0.0, tip), wipe.at(-wing, tip - wing * side)]
            draw_polyline(arrow, line, 1.75 * scale)
            if near:
                middle = wipe.angle + (pi if side < 0 else 0.0)
                arc = _arc(wipe.middle, ring, middle - ARC, middle + ARC)
                draw_polyline(arc, (0.0, 0.0, 0.0, 0.35), 4.0 * scale)
                draw_polyline(arc, bright if under == "ring" else plain, 2.0 * scale)

    def test_select(self, context: bpy.types.Context, location: Any) -> int:
        point = float(location[0]), float(location[1])
        settings = comparison_of(context.workspace)
        point_at(context.region, point)
        if settings.loupe:
            context.area.tag_redraw()
        if not _has_line(context):
            return -1
        scale = context.preferences.system.ui_scale
        wipe = wipe_of(settings, context.region)
        under = part_at(wipe, point, HANDLE * scale, RING * scale, REACH * scale)
        self._under = under
        # Blender draws anew when the number changes
        return PARTS.index(under) - 1

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        settings = comparison_of(context.workspace)
        self._before = (*settings.middle, settings.angle)
        self._last = _place(context, event)
        self._turns = self._under == "ring" or event.ctrl
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event, tweak: set[str]) -> set[str]:
        settings = comparison_of(context.workspace)
        place = _place(context, event)
        wipe = wipe_of(settings, context.region)
        size = (context.region.width, context.region.height)
        if self._turns:
            # from where it was at first, so that snapping does not add up
            wipe = Wipe(wipe.middle, self._before[2])
            set_wipe(context, wipe.turned(self._last, place, SNAP if self._under == "ring" and event.ctrl else 0.0))
            context.area.header_text_set(f"Angle {angle_in_words(settings.angle)}")
        else:
            fine = 0.1 if "PRECISE" in tweak else 1.0
            near = tuple(a + fine * (b - a) for a, b in zip(self._last, place, strict=True))
            set_wipe(context, wipe.moved(self._last, (near[0], near[1]), size))
            self._last = place
            context.area.header_text_set(f"Position {settings.middle[0]:.1%}, {settings.middle[1]:.1%}")
        return {"RUNNING_MODAL"}

    def exit(self, context: bpy.types.Context, cancel: bool) -> None:
        context.area.header_text_set(None)
        if cancel:
            settings = comparison_of(context.workspace)
            *settings.middle, settings.angle = self._before


class RADIANCE_TWIN_GGT_wipe(bpy.types.GizmoGroup):
    """The wipe of a comparison"""

    bl_idname = "RADIANCE_TWIN_GGT_wipe"
    bl_label = "Radiance Twin Wipe"
    bl_space_type = "VIEW_3D"
    bl_region_type = "WINDOW"
    bl_options = {"PERSISTENT", "SHOW_MODAL_ALL"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return is_compared(context)

    def setup(self, context: bpy.types.Context) -> None:
        line = self.gizmos.new(RADIANCE_TWIN_GT_wipe.bl_idname)
        line.use_draw_modal = True
        line.use_draw_value = False


def set_wipe(context: bpy.types.Context, wipe: Wipe) -> None:
    """Move the line of the context's workspace, given in pixels of the context's region."""
    settings = comparison_of(context.workspace)
    settings.middle = wipe.middle[0] / context.region.width, wipe.middle[1] / context.region.height
    settings.angle = wipe.angle


def _has_line(context: bpy.types.Context) -> bool:
    return is_compared(context) and shown_in(context) == "WIPE"


def _place(context: bpy.types.Context, event: bpy.types.Event) -> Point:
    return float(event.mouse_x - context.region.x), float(event.mouse_y - context.region.y)


def _arc(middle: Point, radius: float, start: float, end: float) -> list[Point]:
    steps = 48
    angles = (start + (end - start) * step / steps for step in range(steps + 1))
    return [(middle[0] + radius * cos(angle), middle[1] + radius * sin(angle)) for angle in angles]


register, unregister = bpy.utils.register_classes_factory((RADIANCE_TWIN_GT_wipe, RADIANCE_TWIN_GGT_wipe))
