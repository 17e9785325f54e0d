# SPDX-License-Identifier: GPL-3.0-or-later
"""The words in the corner of a 3D view: whether bakes or fields are shown, how good they are, what they took."""

from __future__ import annotations

import time
from collections.abc import Sequence

import bpy
from bpy.app.translations import pgettext_iface as iface_

from .bakes import Bake
from .compare.settings import compared_twin, is_compared, shown_in
from .compare.stale import stale
from .compare.words import free_rectangle
from .exact import Wish, wishes_of
from .instances import instances_in
from .march import Point
from .pens import MARGIN, POINTS, write
from .twin import bake_of, twins_of

LINE = 1.5

# why no field is shown, said by whoever asks the worker; empty when it can be asked
_hindrance = ""


def say_why_not(reason: str) -> None:
    """Why no fields can be had at the moment; empty when they can."""
    global _hindrance
    _hindrance = reason


def draw_badge(context: bpy.types.Context) -> None:
    """Write the words into the bound region, in pixels. Where overlays are hidden, these are too.

    A comparison that shows the render alone says nothing of the twin.
    """
    space, region = context.space_data, context.region
    if not isinstance(space, bpy.types.SpaceView3D) or region is None or not space.overlay.show_overlays:
        return
    compared = compared_twin(context) if is_compared(context) else None
    if compared is not None:
        things = [compared]
    else:
        things = [thing for thing in twins_of(context.view_layer.objects) if thing.visible_get(viewport=space)]
        things += [thing for thing, _ in instances_in(context)]
    active = context.view_layer.objects.active
    # of several the active one speaks
    bakes = [bake_of(thing) for thing in sorted(things, key=lambda thing: thing != active)]
    bake = next((one for one in bakes if one is not None), None)
    if bake is None:
        return
    scale = context.preferences.system.ui_scale
    theme = context.preferences.themes[0].view_3d
    x, y = (side + MARGIN * scale for side in free_corner(context.area, region))
    if compared is None or shown_in(context) != "CLASSIC":
        write(in_words(bake, wishes_of(region.as_pointer()), len(things)), (x, y))
    write(stale(), (x, y + LINE * POINTS * scale), colour=theme.object_active[:])


def free_corner(area: bpy.types.Area, region: bpy.types.Region) -> Point:
    """The lower left corner of a 3D view, in its own pixels, that toolbar and the last operation's panel leave free."""
    free = free_rectangle(area, region)
    panels = (
        other.y + other.height - region.y
        for other in area.regions
        if other.type == "HUD"
        and other.height > 1
        and 0 <= other.x - region.x < region.width
        and 0 <= other.y - region.y < region.height
    )
    return free.x, max(free.y, *panels, 0)


def in_words(bake: Bake, wishes: Sequence[Wish], twins: int) -> str:
    """One line: "Field · 31.2 dB · 420 ms", "Bake · 30.4 dB, field 31.2 dB · why it is not the field" or, while the
    field is trained, "Training · 62 % · 27.4 dB · 3 s old".

    The figures are those over the val views; a file may know the field's alone.
    """
    shown = [wish for wish in wishes if wish.is_shown]
    trained = next((wish for wish in wishes if wish.training), None)
    rendering = iface_("rendering the field")
    if trained is not None:
        age = iface_("{:.0f} s old").format(time.monotonic() - trained.taken) if trained.is_shown else rendering
        return f"{trained.training} · {trained.problem or age}"
    quality = [] if bake.psnr is None else [f"{bake.psnr:.1f} dB"]
    waits = [wish for wish in wishes if not wish.complete]
    problem = next((wish.problem for wish in waits if wish.problem), _hindrance if waits else "")
    if not shown:
        own = [] if bake.own_psnr is None else [f"{bake.own_psnr:.1f} dB"]
        quality = [", ".join([*own, *(iface_("field {}").format(one) for one in quality)])] if own or quality else []
        name = iface_("No bake yet") if bake.is_expected else iface_("Bake")
        return " · ".join([name, *quality, *([problem] if problem else [rendering] if waits else [])])
    name = iface_("Field") if len(shown) == twins else iface_("Field of {} in {} twins").format(len(shown), twins)
    if waits:
        return " · ".join([name, *quality, problem or iface_("coarse as yet")])
    return " · ".join([name, *quality, f"{1000.0 * sum(wish.seconds for wish in shown):.0f} ms"])
