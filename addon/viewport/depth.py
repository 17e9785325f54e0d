# SPDX-License-Identifier: GPL-3.0-or-later
"""What the viewport has drawn already, as depth-buffer values: where rays through a twin end."""

from __future__ import annotations

from typing import Any

import gpu
import numpy as np
from numpy.typing import ArrayLike, NDArray

from .march import Rectangle
from .textures import float_buffer

Depth = NDArray[np.float32]

GRID_BIAS = 0.03


def read_depth(rectangle: Rectangle) -> Depth:
    """[height, width] values 0 … 1 (1 = nothing there) of the bound framebuffer, row 0 at the bottom."""
    left, bottom, width, height = rectangle
    buffer: Any = gpu.state.active_framebuffer_get().read_depth(left, bottom, width, height)
    # before 5.2 numpy gets wrong strides from a buffer of more than one dimension
    buffer.dimensions = width * height
    return np.frombuffer(buffer, np.float32).reshape(height, width).copy()


def depth_texture(depth: Depth) -> gpu.types.GPUTexture:
    """The texture that `march` reads them from."""
    return gpu.types.GPUTexture(depth.shape[::-1], format="R32F", data=float_buffer(depth))


def without_grid(
    depth: Depth,
    rectangle: Rectangle,
    size: tuple[int, int],
    view_matrix: ArrayLike,
    projection_matrix: ArrayLike,
    line_width: int,
) -> Depth:
    """`depth` without the lines of the viewport's floor grid, which are faint but count as solid in the buffer.

    Whatever lies near the plane z = 0 and is narrower than a line becomes as deep as what is around it; a real floor on
    that plane is wide and stays.

    Args:
        depth: [height, width] of `rectangle` in a viewport of `size`.
        line_width: of the grid in pixels.
    """
    projection = np.asarray(projection_matrix, np.float64)
    world_from_clip = np.linalg.inv(projection @ np.asarray(view_matrix, np.float64))
    left, bottom, width, height = rectangle
    x = (left + np.arange(width) + 0.5) / size[0] * 2.0 - 1.0
    y = (bottom + np.arange(height) + 0.5) / size[1] * 2.0 - 1.0
    z, one = (
        (row[0] * x + row[3] - row[2])[None, :] + (row[1] * y)[:, None] + 2.0 * row[2] * depth
        for row in world_from_clip[2:]
    )
    # Blender moves the grid's depth back a little, more at a slant; relative to the eye's height that is below 2.5 %
    if abs(projection[3, 3]) > 0.5:
        tolerance = 2e-3 / projection[1, 1]
    else:
        tolerance = GRID_BIAS * abs(np.linalg.inv(np.asarray(view_matrix, np.float64))[2, 3]) * one
    on_floor = (np.abs(z) < tolerance) & (depth < 1.0)
    if not on_floor.any():
        return depth
    closed = _extreme_around(_extreme_around(depth, line_width, np.maximum), line_width, np.minimum)
    return np.where(on_floor, closed, depth)


def _extreme_around(depth: Depth, line_width: int, extreme: np.ufunc) -> Depth:
    """The largest or smallest value within `line_width` pixels, for each pixel."""
    for axis in (0, 1):
        found = depth.copy()
        for step in range(1, min(line_width, depth.shape[axis] - 1) + 1):
            ahead, behind = [slice(None)] * 2, [slice(None)] * 2
            ahead[axis], behind[axis] = slice(step, None), slice(None, -step)
            for here, there in ((ahead, behind), (behind, ahead)):
                extreme(found[tuple(here)], depth[tuple(there)], out=found[tuple(here)])
        depth = found
    return depth
