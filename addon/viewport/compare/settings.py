# SPDX-License-Identifier: GPL-3.0-or-later
"""What a workspace compares in its 3D views, and what each view shows of it.

The settings belong to the workspace, as the layout of its areas does: they are saved with the file, a maximised area
keeps them, and undo leaves them alone.
"""

from __future__ import annotations

from math import pi
from typing import Any, Literal

import bpy

from ..redraw import redraw
from ..twin import is_twin, twins_of
from .wipe import Wipe

Shown = Literal["CLASSIC", "NEURAL", "WIPE", "DIFFERENCE"]

OWN_ENGINE = "RADIANCE_TWIN"
MOST_AMPLIFICATION = 64.0

MODE_ITEMS = (
    ("OFF", "Off", "Twins stand among the scene's objects"),
    ("WIPE", "Wipe", "The render on one side of a line, the twin on the other. Drag the line, or turn it by its ring"),
    ("BLINK", "Blink", "The whole view shows one side; hold J for the other"),
    ("DIFFERENCE", "Difference", "How far render and twin are apart, pixel by pixel, as the screen shows them"),
    ("SPLIT", "Split", "Two linked views side by side: the render in the left one, the twin in the right one"),
)
SIDE_ITEMS = (
    ("NEURAL", "Neural", "The twin, in the whole view"),
    ("CLASSIC", "Classic", "The render, in the whole view"),
)
DIFFERENCE_ITEMS = (
    ("ABSOLUTE", "Absolute", "The largest difference of the three channels"),
    ("SIGNED", "Signed", "The mean of the three channels: blue where the twin is darker, orange where it is brighter"),
    ("FLIP", "FLIP", "What a viewer notices who flips between both, measured by the worker when the view rests"),
)


def _changed(_self: Any, _context: bpy.types.Context) -> None:
    redraw()


def _mode_changed(self: RadianceTwinComparison, context: bpy.types.Context) -> None:
    space = context.space_data
    if self.mode != "OFF" and isinstance(space, bpy.types.SpaceView3D):
        space.shading.type = "RENDERED"
        space.overlay.show_overlays = True
    redraw()


class RadianceTwinComparison(bpy.types.PropertyGroup):
    """Of one workspace: `workspace.radiance_twin_comparison`."""

    mode: bpy.props.EnumProperty(
        name="Compare",
        description="How rendered views show the classic render and its twin",
        items=MODE_ITEMS,
        update=_mode_changed,
    )
    middle: bpy.props.FloatVectorProperty(
        name="Position",
        description="Where the line's handle is: shares of the view's width and height",
        size=2,
        default=(0.5, 0.5),
        min=0.0,
        max=1.0,
        step=1,
        precision=3,
        update=_changed,
    )
    angle: bpy.props.FloatProperty(
        name="Angle",
        description="Of the line; at 0° it is upright with the render on its left",
        subtype="ANGLE",
        min=-pi,
        max=pi,
        step=100,
        precision=1,
        update=_changed,
    )
    difference: bpy.props.EnumProperty(
        name="Difference", description="Which difference is shown", items=DIFFERENCE_ITEMS, update=_changed
    )
    amplification: bpy.props.FloatProperty(
        name="Amplification",
        description="How much is made of a difference before it gets its colour; + and − change it",
        default=4.0,
        min=1.0,
        max=MOST_AMPLIFICATION,
        soft_max=32.0,
        precision=1,
        step=100,
        update=_changed,
    )
    on_hold: bpy.props.EnumProperty(
        name="Hold J For", description="What the whole view shows while J is held", items=SIDE_ITEMS, update=_changed
    )
    loupe: bpy.props.BoolProperty(
        name="Loupe",
        description="Both sides beside the pointer, enlarged, with the values of the pixel under it",
        update=_changed,
    )


# whether the key for the other side is down; of the session, never saved
_held = False


def hold(down: bool) -> None:
    """Say whether the key for the other side is down."""
    global _held
    _held = down
    redraw()


def comparison_of(workspace: bpy.types.WorkSpace) -> RadianceTwinComparison:
    """The settings of `workspace`."""
    return workspace.radiance_twin_comparison  # type: ignore[attr-defined]


def compared_twin(context: bpy.types.Context) -> bpy.types.Object | None:
    """The twin that is held against the render: the active one, else the first in the view layer; also a hidden one."""
    active = context.view_layer.objects.active
    return active if is_twin(active) else next(twins_of(context.view_layer.objects), None)


def why_not(context: bpy.types.Context) -> str:
    """Why this 3D view cannot show a comparison; empty when it can."""
    space = context.space_data
    if not isinstance(space, bpy.types.SpaceView3D):
        return "Point at a 3D view"
    if compared_twin(context) is None:
        return "Load a twin first"
    if context.scene.render.engine == OWN_ENGINE:
        return "Choose Cycles or EEVEE as the render engine: the twin is held against it"
    if space.shading.type != "RENDERED":
        return "Set this view to Rendered: that is what the twin is held against"
    if not space.overlay.show_overlays:
        return "Show this view's overlays: the comparison is one"
    return ""


def is_compared(context: bpy.types.Context) -> bool:
    """Whether the 3D view of the context shows a comparison."""
    return comparison_of(context.workspace).mode != "OFF" and not why_not(context)


def shown_in(context: bpy.types.Context) -> Shown:
    """What the 3D view of the context shows; it has to be compared."""
    settings = comparison_of(context.workspace)
    views = rendered_views(context.screen)
    return shown(settings.mode, settings.on_hold, _held, views.index(context.area) if context.area in views else 0)


def shown(mode: str, on_hold: str, held: bool, number: int) -> Shown:
    """What a view shows.

    Args:
        mode, on_hold: of RadianceTwinComparison.
        held: whether the key is down.
        number: of the view, counted from the left.
    """
    if mode == "SPLIT":
        # the key swaps the two
        return "CLASSIC" if (number == 0) != held else "NEURAL"
    other: Shown = "CLASSIC" if on_hold == "NEURAL" else "NEURAL"
    if mode == "BLINK":
        return on_hold if held else other  # type: ignore[return-value]
    return on_hold if held else mode  # type: ignore[return-value]


def rendered_views(screen: bpy.types.Screen) -> list[bpy.types.Area]:
    """The areas of a screen that show a rendered 3D view, from left to right, then from top to bottom."""
    areas = [
        area
        for area in screen.areas
        if isinstance(area.spaces.active, bpy.types.SpaceView3D) and area.spaces.active.shading.type == "RENDERED"
    ]
    return sorted(areas, key=lambda area: (area.x, -area.y))


def wipe_of(settings: RadianceTwinComparison, region: bpy.types.Region) -> Wipe:
    """The line, in pixels of the region."""
    x, y = settings.middle
    return Wipe((x * region.width, y * region.height), settings.angle)


def register() -> None:
    bpy.utils.register_class(RadianceTwinComparison)
    pointer = bpy.props.PointerProperty(type=RadianceTwinComparison)
    bpy.types.WorkSpace.radiance_twin_comparison = pointer  # type: ignore[attr-defined]


def unregister() -> None:
    del bpy.types.WorkSpace.radiance_twin_comparison  # type: ignore[attr-defined]
    bpy.utils.unregister_class(RadianceTwinComparison)
