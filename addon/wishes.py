# SPDX-License-Identifier: GPL-3.0-or-later
"""The timer that has fulfilled what 3D views wish: frames of fields, maps of FLIP, and the cameras of the rig."""

from __future__ import annotations

import bpy

from . import exact_frames, flip_maps, rig_preview

SECONDS_BETWEEN_TICKS = 0.05
SECONDS_BETWEEN_LOOKS = 0.25


def _tick() -> float:
    # frames first: a map of what will be replaced in a moment is of no use to anybody
    waiting = [step() for step in (exact_frames.step, flip_maps.step)]
    # at its own pace: settings that were the same at two looks are at rest
    rig_preview.step()
    return SECONDS_BETWEEN_TICKS if any(waiting) else SECONDS_BETWEEN_LOOKS


def register() -> None:
    # the background has neither timers nor views
    if not bpy.app.background:
        bpy.app.timers.register(_tick, first_interval=SECONDS_BETWEEN_LOOKS, persistent=True)


def unregister() -> None:
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)
    exact_frames.forget()
    flip_maps.forget()
