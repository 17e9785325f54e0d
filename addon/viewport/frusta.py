# SPDX-License-Identifier: GPL-3.0-or-later
"""Cameras drawn as pyramids of lines over the 3D views: nothing of the scene, so that nothing is saved or undone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import bpy
import gpu
import numpy as np
from gpu_extras.batch import batch_for_shader
from numpy.typing import NDArray

from ...core.cameras import Camera
from .redraw import redraw

# corners of the picture, in shares of its width and height, and a roof over its upper edge
CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.5, -0.3]])
# pairs of points: 0 is the eye, then the corners
EDGES = np.array([(0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (2, 3), (3, 4), (4, 1), (1, 5), (5, 2)])
WIDTH = 1.5
# a picture of one by one that spans 90 degrees: fx fy cx cy
WIDE = (0.5, 0.5, 0.5, 0.5)


# their ends [2 N, 3], and their colour
Lines = tuple[NDArray[np.float32], tuple[float, float, float, float]]


@dataclass
class _State:
    handle: Any = None
    lines: list[Lines] = field(default_factory=list)
    batches: list[tuple[Any, tuple[float, float, float, float]]] | None = None


_state = _State()


def lines_of(cameras: Sequence[Camera], length: float) -> NDArray[np.float32]:
    """Ends [20 N, 3] of the lines of N cameras, two after the other.

    A lens that draws angles, and may see what is behind it, is drawn as a pyramid of 90 degrees.

    Args:
        length: from the eye to the drawn picture, world units.
    """
    ends = []
    for camera in cameras:
        fx, fy, cx, cy = camera.intrinsics if camera.model.kind == "opencv" else WIDE
        pixels = CORNERS * (camera.size if camera.model.kind == "opencv" else (1.0, 1.0))
        corners = np.stack([(pixels[:, 0] - cx) / fx, -(pixels[:, 1] - cy) / fy, -np.ones(len(pixels))], axis=-1)
        local = np.concatenate([np.zeros((1, 3)), length * corners])
        ends.append((local @ camera.camera_to_world[:3, :3].T + camera.camera_to_world[:3, 3])[EDGES].reshape(-1, 3))
    return np.concatenate(ends).astype(np.float32)


def show(lines: list[Lines]) -> None:
    """Draw these from now on; none: nothing any more."""
    _state.lines, _state.batches = lines, None
    if lines and _state.handle is None:
        _state.handle = bpy.types.SpaceView3D.draw_handler_add(_draw, (), "WINDOW", "POST_VIEW")
    elif not lines and _state.handle is not None:
        bpy.types.SpaceView3D.draw_handler_remove(_state.handle, "WINDOW")
        _state.handle = None
    redraw()


def shown() -> list[Lines]:
    """What is drawn."""
    return _state.lines


def _draw() -> None:
    space: Any = bpy.context.space_data
    if space.overlay.show_overlays:
        draw()


def draw() -> None:
    """Draw into the bound framebuffer with the matrices that are set."""
    shader = gpu.shader.from_builtin("POLYLINE_UNIFORM_COLOR")
    if _state.batches is None:
        _state.batches = [(_batch(shader, ends), colour) for ends, colour in _state.lines]
    gpu.state.blend_set("ALPHA")
    gpu.state.depth_test_set("LESS_EQUAL")
    shader.bind()
    shader.uniform_float("viewportSize", gpu.state.viewport_get()[2:])
    shader.uniform_float("lineWidth", WIDTH * bpy.context.preferences.system.ui_scale)
    for batch, colour in _state.batches:
        shader.uniform_float("color", colour)
        batch.draw(shader)
    gpu.state.depth_test_set("NONE")
    gpu.state.blend_set("NONE")


def _batch(shader: Any, ends: Any) -> Any:
    return batch_for_shader(shader, "LINES", {"pos": ends})
