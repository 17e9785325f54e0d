# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether anything moves by itself, which optical flow needs where the camera stands."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import bpy

from .probe import any_camera, in_a_render
from .scene import visible_points


def moves_around(scene: bpy.types.Scene, frames: Iterable[int]) -> bool:
    """Whether anything that renders is elsewhere, or of another shape, in the frame before or after one of `frames`.

    The scene is as it was afterwards.
    """
    current, subframe, own = scene.frame_current, scene.frame_subframe, scene.camera
    states: dict[int, list[str]] = {}

    def state(frame: int) -> list[str]:
        if frame not in states:
            scene.frame_set(frame)
            with any_camera(scene):
                states[frame] = in_a_render(scene, _places)
        return states[frame]

    try:
        return any(state(frame) != state(frame + step) for frame in frames for step in (-1, 1))
    finally:
        scene.frame_set(current, subframe=subframe)
        scene.camera = own  # a marker may have put another in its place


def _places(depsgraph: bpy.types.Depsgraph) -> list[str]:
    """Where the points of each thing are, as a hash."""
    return sorted(hashlib.sha256(points.tobytes()).hexdigest() for _, _, _, points in visible_points(depsgraph))
