# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written over a comparison: which side is which, the legend of a difference, and the loupe."""

from __future__ import annotations

from collections.abc import Sequence
from math import isinf
from typing import TYPE_CHECKING, Any

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ..march import Point, Rectangle
from ..pens import MARGIN, POINTS, fill, frame, write
from ..textures import ViewTransformTextures
from .settings import RadianceTwinComparison, comparison_of, wipe_of
from .sides import KINDS, Kind, read_pixels, show_difference
from .wipe import Wipe

if TYPE_CHECKING:
    from .view import Compared

Colour = tuple[float, float, float, float]

SIDE_NAMES = {"CLASSIC": "Classic", "NEURAL": "Neural"}
# pixels at a scale of one
BESIDE_LINE = 10
BELOW_TOP = 18
# of Blender's own lines in the upper left corner; in a view that is wider there is room beside them
NARROW, BELOW_LINES = 600, 74
RAMP = (220, 10)
LOUPE_PIXELS = 11
LOUPE_ENLARGEMENT = 10
AWAY_FROM_POINTER = 22


def draw_words(context: bpy.types.Context, compared: Compared, view_transform: ViewTransformTextures) -> None:
    """Write into the bound region, in pixels."""
    settings = comparison_of(context.workspace)
    scale = context.preferences.system.ui_scale
    free = free_rectangle(context.area, context.region)
    if compared.shown == "WIPE":
        _draw_sides(wipe_of(settings, context.region), free, scale)
    elif compared.shown != "DIFFERENCE":
        write(SIDE_NAMES[compared.shown], place_of_name(free, scale), 0.5)
    _draw_legend(settings, compared, free, scale, view_transform)
    pointer = pointer_in(context.region)
    if settings.loupe and pointer is not None and compared.sides is not None:
        _draw_loupe(compared, pointer, free, scale, view_transform)


# ---- where ----


def free_rectangle(area: bpy.types.Area, region: bpy.types.Region) -> Rectangle:
    """The part of a 3D view, in its own pixels, that toolbar, sidebar and headers leave free."""
    left, bottom, right, top = 0, 0, region.width, region.height
    for other in area.regions:
        if other.width <= 1 or other.height <= 1 or other.type == "WINDOW":
            continue
        x, y = other.x - region.x, other.y - region.y
        overlaps = x < region.width and y < region.height and x + other.width > 0 and y + other.height > 0
        if not overlaps:
            continue
        if other.type in {"HEADER", "TOOL_HEADER"}:
            top, bottom = (min(top, y), bottom) if y > region.height / 2 else (top, max(bottom, y + other.height))
        elif other.type in {"UI", "TOOLS"}:
            left, right = (left, min(right, x)) if x > region.width / 2 else (max(left, x + other.width), right)
    return Rectangle(left, bottom, max(right - left, 1), max(top - bottom, 1))


# where the pointer was last, told by the wipe's gizmo group; of each region
_pointers: dict[int, Point] = {}


def point_at(region: bpy.types.Region, place: Point) -> None:
    """Say where the pointer is in a region, in pixels."""
    _pointers.clear()
    _pointers[region.as_pointer()] = place


def pointer_in(region: bpy.types.Region) -> Point | None:
    """Where it was in this region last; None when it is in another one."""
    return _pointers.get(region.as_pointer())


# ---- which side is which ----


def place_of_name(free: Rectangle, scale: float) -> Point:
    """Where the name of the one side stands that a whole view shows."""
    below = BELOW_LINES if free.width < NARROW * scale else BELOW_TOP
    return free.x + free.width / 2, free.y + free.height - below * scale


def _draw_sides(wipe: Wipe, free: Rectangle, scale: float) -> None:
    """Both names beside the upper end of the line, which may be any of the two."""
    corner = Wipe((wipe.middle[0] - free.x, wipe.middle[1] - free.y), wipe.angle)
    inside = 0 <= corner.middle[0] <= free.width and 0 <= corner.middle[1] <= free.height
    end = max(corner.ends((free.width, free.height)), key=lambda point: point[1]) if inside else corner.middle
    reach = (end[0] - corner.middle[0]) * wipe.along[0] + (end[1] - corner.middle[1]) * wipe.along[1]
    back = BELOW_TOP * scale * (1.0 if reach > 0 else -1.0)
    aside = BESIDE_LINE * scale
    for name, side in (("CLASSIC", -1.0), ("NEURAL", 1.0)):
        across = wipe.normal[0] * side
        # at an upright line the words end or begin beside it, at a level one they are above and below
        write(
            SIDE_NAMES[name], wipe.at(reach - back, side * aside), 0.5 - 0.5 * across, 0.5 - 0.5 * wipe.normal[1] * side
        )


# ---- legend ----


def _draw_legend(
    settings: RadianceTwinComparison,
    compared: Compared,
    free: Rectangle,
    scale: float,
    view_transform: ViewTransformTextures,
) -> None:
    """In the lower right corner: what is shown, its colours with numbers, and how good all that is visible is."""
    right = free.x + free.width - MARGIN * scale
    y = free.y + MARGIN * scale
    line = 1.5 * POINTS * scale
    quality = quality_in_words(compared.psnr, None if compared.flip is None else compared.flip.mean)
    if compared.shown != "CLASSIC" and quality:
        write(quality, (right, y), 1.0)
        y += line
    if compared.shown != "DIFFERENCE" or compared.sides is None:
        return
    waits = settings.difference == "FLIP" and (compared.flip is None or compared.flip.error is None)
    problem = "" if compared.flip is None else compared.flip.problem
    kind = "ABSOLUTE" if waits else settings.difference
    amplification = 1.0 if settings.difference == "FLIP" else settings.amplification
    width, height = (round(side * scale) for side in RAMP)
    left = round(right - width)
    numbers = ramp_numbers(kind, amplification)
    for number, text in enumerate(numbers):
        share = number / (len(numbers) - 1)
        write(text, (left + share * width, y), share)
    y += line
    ramp = Rectangle(left, round(y), width, height)
    frame(ramp, (0.0, 0.0, 0.0, 0.6))
    colours: Kind = "DIVERGING" if kind == "SIGNED" else "MAGMA"
    show_difference(compared.sides, colours, 1.0, view_transform, target=ramp, overlay=True)
    title = difference_in_words(kind, amplification)
    if waits:
        title += " · " + (problem or iface_("FLIP follows when the view rests"))
    write(title, (right, y + height + 0.5 * line), 1.0)


def difference_in_words(kind: str, amplification: float) -> str:
    """What a difference is called."""
    name = {"ABSOLUTE": "Absolute difference", "SIGNED": "Signed difference", "FLIP": "FLIP error"}[kind]
    return name if amplification == 1.0 else f"{name} × {amplification:g}"


def ramp_numbers(kind: str, amplification: float) -> list[str]:
    """What is written below the colours, evenly from their left end to their right one."""
    if kind == "FLIP":
        return ["0", "0.5", "1"]
    most = 255.0 / amplification
    if kind == "SIGNED":
        return [f"−{most:.3g}", "0", iface_("{} of 255").format(f"+{most:.3g}")]
    return ["0", f"{0.5 * most:.3g}", iface_("{} of 255").format(f"{most:.3g}")]


def quality_in_words(psnr: float | None, flip: float | None) -> str:
    """The figures of all that is visible; empty when there are none yet."""
    words = [] if psnr is None else [iface_("identical") if isinf(psnr) else iface_("{:.1f} dB in view").format(psnr)]
    return " · ".join([*words, *([] if flip is None else [iface_("FLIP {:.3f}").format(flip)])])


# ---- loupe ----


def _draw_loupe(
    compared: Compared, pointer: Point, free: Rectangle, scale: float, view_transform: ViewTransformTextures
) -> None:
    """Two enlarged squares of pixels beside the pointer, and below them the values of the one in the middle."""
    sides = compared.sides
    assert sides is not None
    width, height = sides.size
    x, y = int(pointer[0]), int(pointer[1])
    if not (0 <= x < width and 0 <= y < height):
        return
    pixel = max(round(LOUPE_ENLARGEMENT * scale), 2)
    side, gap, line = LOUPE_PIXELS * pixel, round(6 * scale), round(1.5 * POINTS * scale)
    wide, high = 2 * side + 3 * gap, side + 4 * line + 2 * gap
    left, bottom = place_of_loupe((x, y), (wide, high), free, AWAY_FROM_POINTER * scale)
    box = Rectangle(round(left), round(bottom), round(wide), round(high))
    theme: Any = bpy.context.preferences.themes[0].user_interface.wcol_tooltip
    fill(box, theme.inner[:])
    frame(box, theme.outline[:])
    window = Rectangle(x - LOUPE_PIXELS // 2, y - LOUPE_PIXELS // 2, LOUPE_PIXELS, LOUPE_PIXELS)
    light = {"CLASSIC": sides.pixels[y, x, :3]}
    light["NEURAL"] = read_pixels(sides.neural.framebuffer, Rectangle(x, y, 1, 1))[0, 0, :3]
    base = box.y + gap + 3 * line
    for number, kind in enumerate(KINDS[:2]):
        target = Rectangle(box.x + gap + number * (side + gap), base + gap, side, side)
        show_difference(sides, kind, 1.0, view_transform, target=target, window=window, overlay=True)
        middle = LOUPE_PIXELS // 2 * pixel
        frame(Rectangle(target.x + middle, target.y + middle, pixel, pixel), (0.0, 0.0, 0.0, 1.0), 2.0)
        frame(Rectangle(target.x + middle, target.y + middle, pixel, pixel), (1.0, 1.0, 1.0, 1.0))
        write(SIDE_NAMES[kind], (target.x + 0.5 * side, target.y + side + 0.35 * line), 0.5)
        row = base - line * (number + 1) + 0.5 * line
        write_row(SIDE_NAMES[kind], light[kind].tolist(), box, row)
    apart = (light["NEURAL"] - light["CLASSIC"]).tolist()
    write_row("Apart", apart, box, base - 2.5 * line, signed=True)


def place_of_loupe(pointer: Point, size: Point, free: Rectangle, away: float) -> Point:
    """Its lower left corner: to the right of the pointer and below, or on the other sides, and never under a panel."""
    (x, y), (wide, high) = pointer, size
    right, top = free.x + free.width, free.y + free.height
    left = x + away if x + away + wide < right else x - away - wide
    bottom = y - away - high if y - away - high > free.y else y + away
    return max(min(left, right - wide), free.x), max(min(bottom, top - high), free.y)


def write_row(name: str, values: Sequence[float], box: Rectangle, y: float, signed: bool = False) -> None:
    """A name and three scene-linear numbers, right-aligned in columns."""
    write(name, (box.x + 0.04 * box.width, y), 0.0)
    for number, value in enumerate(values):
        text = f"{value:+.3f}" if signed else f"{value:.3f}"
        write(text.replace("-", "−"), (box.x + box.width * (0.52 + 0.22 * number), y), 1.0)
