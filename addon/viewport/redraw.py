# SPDX-License-Identifier: GPL-3.0-or-later
"""Letting the 3D views be drawn again, now or in a while."""

from __future__ import annotations

import bpy


def redraw() -> None:
    """Let all 3D views be drawn again."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                area.tag_redraw()


def redraw_after(seconds: float) -> None:
    """Let them be drawn again in a while."""
    if not bpy.app.timers.is_registered(redraw):
        bpy.app.timers.register(redraw, first_interval=seconds)


def unregister() -> None:
    if bpy.app.timers.is_registered(redraw):
        bpy.app.timers.unregister(redraw)
