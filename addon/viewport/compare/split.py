# SPDX-License-Identifier: GPL-3.0-or-later
"""The split: a 3D view becomes two that look alike, the render in the left one, the twin in the right one.

Blender has no linked views. Each view that is drawn says from where it looks; the one that has moved since takes all
the others of its screen with it, from a timer, for nothing may be changed while drawing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bpy

from .settings import comparison_of, rendered_views

# of RegionView3D and of SpaceView3D: all that the picture of a view depends on but the size of its area
OF_VIEW = (
    "view_perspective",
    "view_location",
    "view_rotation",
    "view_distance",
    "view_camera_offset",
    "view_camera_zoom",
)
OF_SPACE = ("lens", "clip_start", "clip_end", "camera", "use_local_camera")


# of a screen that was split by us: only what we have made is closed
MARK = "radiance_twin_split"


def settle_soon(context: bpy.types.Context) -> None:
    """Called while drawing: when areas or views are not as they should be, see to it right afterwards."""
    if _is_unsettled(context.window) and not bpy.app.timers.is_registered(settle):
        bpy.app.timers.register(settle, first_interval=0.0)


def settle() -> None:
    """Split what is to be split, close what is not any more, and let the others look from where one was moved to."""
    for window in bpy.context.window_manager.windows:
        if not _is_unsettled(window):
            continue
        settings, made = comparison_of(window.workspace), bool(window.screen.get(MARK, False))
        views = rendered_views(window.screen)
        if settings.mode != "SPLIT":
            del window.screen[MARK]
            if len(views) > 1:
                with _in(window, views[1]):
                    bpy.ops.screen.area_close()
        elif len(views) > 1:
            follow(window.screen)
        elif made:
            # one of the two was closed, or shows something else now
            del window.screen[MARK]
            settings.mode = "OFF"
        else:
            before = set(window.screen.areas)
            with _in(window, views[0]):
                # beyond the middle, for the new area to be the right one, which is closed in the end
                bpy.ops.screen.area_split(direction="VERTICAL", factor=0.501)
            for area in set(window.screen.areas) - before:
                # Blender never starts a second live render by itself
                space: Any = area.spaces.active
                space.shading.type = "RENDERED"
                # one sidebar is enough beside two halves
                space.show_region_ui = False
            window.screen[MARK] = True


def _is_unsettled(window: bpy.types.Window) -> bool:
    if window.screen.show_fullscreen:
        # a maximised area has a screen of its own, and gives it back as it was
        return False
    if comparison_of(window.workspace).mode != "SPLIT":
        return bool(window.screen.get(MARK, False))
    # two views that the user has made are as good as a split
    known, views = _together.get(window.screen.as_pointer()), rendered_views(window.screen)
    return len(views) == 1 or any(look_of(area) != known for area in views)


# from where the views of a screen looked when they were last alike
_together: dict[int, tuple[Any, ...]] = {}


def follow(screen: bpy.types.Screen) -> None:
    """Let the rendered views of a screen look from where the one looks that has moved."""
    views, known = rendered_views(screen), _together.get(screen.as_pointer())
    moved = next((area for area in views if look_of(area) != known), None)
    if moved is None:
        return
    for area in views:
        if look_of(area) != look_of(moved):
            _copy(moved.spaces.active, area.spaces.active)
            area.tag_redraw()
    _together[screen.as_pointer()] = look_of(moved)


def look_of(area: bpy.types.Area) -> tuple[Any, ...]:
    """From where a 3D view looks; compares."""
    space: Any = area.spaces.active
    return (
        *(_value(getattr(space.region_3d, name)) for name in OF_VIEW),
        *(_value(getattr(space, name)) for name in OF_SPACE),
    )


def _copy(source: Any, target: Any) -> None:
    for name in OF_VIEW:
        setattr(target.region_3d, name, getattr(source.region_3d, name))
    for name in OF_SPACE:
        setattr(target, name, getattr(source, name))
    target.region_3d.update()


def _value(value: Any) -> Any:
    return tuple(value) if hasattr(value, "__len__") and not isinstance(value, str) else value


@contextmanager
def _in(window: bpy.types.Window, area: bpy.types.Area) -> Iterator[None]:
    region = next(region for region in area.regions if region.type == "WINDOW")
    with bpy.context.temp_override(window=window, area=area, region=region):
        yield


def unregister() -> None:
    if bpy.app.timers.is_registered(settle):
        bpy.app.timers.unregister(settle)
    _together.clear()
