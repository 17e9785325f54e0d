# SPDX-License-Identifier: GPL-3.0-or-later
"""What the viewport has drawn already, as depth-buffer values: where rays through a twin end."""

from __future__ import annotations

from typing import Any

import gpu
import numpy as np
from numpy.typing import NDArray

from .march import Rectangle
from .textures import float_buffer

Depth = NDArray[np.float32]


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
