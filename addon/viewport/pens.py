# SPDX-License-Identifier: GPL-3.0-or-later
"""Words, lines and discs over a 3D view, in pixels of the bound region."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import cos, pi, sin

import blf
import bpy
import gpu
from bpy.app.translations import pgettext_iface as iface_
from gpu_extras.batch import batch_for_shader

from .march import Point, Rectangle

FONT = 0
POINTS = 11
# from the corner of a view, at a scale of one
MARGIN = 12


def write(text: str, place: Point, across: float = 0.0, up: float = 0.0, colour: Sequence[float] | None = None) -> None:
    """Small type with a shadow, in the interface's language.

    Args:
        across, up: 0 … 1, which point of the text is at `place`.
        colour: of the type, RGB; that of a 3D view's words when None.
    """
    preferences = bpy.context.preferences
    text = iface_(text)
    blf.size(FONT, POINTS * preferences.system.ui_scale)
    red, green, blue = (preferences.themes[0].view_3d.space.text_hi if colour is None else colour)[:3]
    blf.color(FONT, red, green, blue, 1.0)
    blf.enable(FONT, blf.SHADOW)
    blf.shadow(FONT, 3, 0.0, 0.0, 0.0, 0.8)
    width, height = blf.dimensions(FONT, text)
    blf.position(FONT, round(place[0] - across * width), round(place[1] - up * height), 0)
    blf.draw(FONT, text)
    blf.disable(FONT, blf.SHADOW)


def fill(rectangle: Rectangle, colour: Sequence[float]) -> None:
    """A rectangle of one colour."""
    x, y, width, height = rectangle
    shader = gpu.shader.from_builtin("UNIFORM_COLOR")
    corners = [(x, y), (x + width, y), (x, y + height), (x + width, y + height)]
    gpu.state.blend_set("ALPHA")
    shader.bind()
    shader.uniform_float("color", tuple(colour))
    batch_for_shader(shader, "TRI_STRIP", {"pos": corners}).draw(shader)
    gpu.state.blend_set("NONE")


def frame(rectangle: Rectangle, colour: Sequence[float], thickness: float = 1.0) -> None:
    """A line around a rectangle, outside of it."""
    x, y, width, height = rectangle
    gap = 0.5 * thickness
    corners = [
        (x - gap, y - gap),
        (x + width + gap, y - gap),
        (x + width + gap, y + height + gap),
        (x - gap, y + height + gap),
    ]
    draw_polyline([*corners, corners[0]], colour, thickness)


def draw_polyline(points: Sequence[Point], colour: Sequence[float], thickness: float) -> None:
    """An anti-aliased line through points in pixels."""
    shader = gpu.shader.from_builtin("POLYLINE_UNIFORM_COLOR")
    gpu.state.blend_set("ALPHA")
    shader.bind()
    shader.uniform_float("viewportSize", gpu.state.viewport_get()[2:])
    shader.uniform_float("lineWidth", thickness)
    shader.uniform_float("color", tuple(colour))
    batch_for_shader(shader, "LINE_STRIP", {"pos": [(x, y, 0.0) for x, y in points]}).draw(shader)
    gpu.state.blend_set("NONE")


def fill_circle(middle: Point, radius: float, colour: Sequence[float]) -> None:
    """A disc of one colour; its rim is not anti-aliased."""
    steps = 48
    rim = [
        (middle[0] + radius * cos(2.0 * pi * step / steps), middle[1] + radius * sin(2.0 * pi * step / steps))
        for step in range(steps + 1)
    ]
    shader = gpu.shader.from_builtin("UNIFORM_COLOR")
    gpu.state.blend_set("ALPHA")
    shader.bind()
    shader.uniform_float("color", tuple(colour))
    triangles = [corner for a, b in pairwise(rim) for corner in (middle, a, b)]
    batch_for_shader(shader, "TRIS", {"pos": triangles}).draw(shader)
    gpu.state.blend_set("NONE")
