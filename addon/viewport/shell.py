# SPDX-License-Identifier: GPL-3.0-or-later
"""The outside of a bake's bricks: drawn first, into depth alone, it tells which pixels have anything to march through.

Every ray that passes a brick passes the shell, if only to leave it again.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import gpu
import numpy as np
from numpy.typing import NDArray

# two triangles, by the corners of a face in the order of np.ndindex(2, 2)
TRIANGLES = [0, 1, 3, 0, 3, 2]


def shell_corners(seen: NDArray[np.bool_]) -> NDArray[np.float32]:
    """[6 F, 3] corners, in the cube [0, 1]³, of two triangles for each of the F faces that have a place of `seen`
    [m, m, m] on one side alone."""
    faces = []
    for axis in range(3):
        order = [axis, *(other for other in range(3) if other != axis)]
        across = np.pad(seen, 1).transpose(order)
        # of each face the lowest corner: wall i stands before place i
        lowest = np.argwhere(across[1:] != across[:-1]) - (0, 1, 1)
        corners = np.zeros((len(lowest), 4, 3), np.float32)
        corners[..., order] = lowest[:, None] + np.insert(list(np.ndindex(2, 2)), 0, 0, axis=1)
        faces.append(corners)
    return np.ascontiguousarray(np.concatenate(faces)[:, TRIANGLES].reshape(-1, 3) / np.float32(len(seen)))


def shell_of(seen: NDArray[np.bool_]) -> gpu.types.GPUBatch | None:
    """The faces of `shell_corners` on the GPU; None when there are none."""
    corners: Any = shell_corners(seen)
    if not len(corners):
        return None
    layout = gpu.types.GPUVertFormat()
    layout.attr_add(id="corner", comp_type="F32", len=3, fetch_mode="FLOAT")
    buffer = gpu.types.GPUVertBuf(layout, len=len(corners))
    buffer.attr_fill(id="corner", data=corners)
    return gpu.types.GPUBatch(type="TRIS", buf=buffer)


def draw_shell(shell: gpu.types.GPUBatch, clip_from_field: NDArray[np.float64]) -> None:
    """Set the depth of the pixels of the bound framebuffer that `shell` covers to 0.25, whether it is before the near
    plane or beyond the far one.

    Args:
        shell: of a bake.
        clip_from_field: [4, 4].
    """
    flat = clip_from_field.copy()
    flat[2] = -0.5 * flat[3]
    shader = shell_shader()
    shader.bind()
    shader.uniform_float("clip_from_field", flat.T.astype(np.float32).ravel().tolist())
    shell.draw(shader)


@cache
def shell_shader() -> gpu.types.GPUShader:
    """Draws nothing that is seen."""
    info = gpu.types.GPUShaderCreateInfo()
    info.push_constant("MAT4", "clip_from_field")
    info.vertex_in(0, "VEC3", "corner")
    info.fragment_out(0, "VEC4", "result")
    info.vertex_source("void main() { gl_Position = clip_from_field * vec4(corner, 1.0); }")
    info.fragment_source("void main() { result = vec4(0.0); }")
    return gpu.shader.create_from_info(info)
