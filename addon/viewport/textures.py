# SPDX-License-Identifier: GPL-3.0-or-later
"""Arrays become textures: any, and those that a view transform is read from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import gpu
import numpy as np
from numpy.typing import NDArray

from ...core.colour import MOST_STAGES, SHAPES, Stage, ViewTransform, linear_part

Array = NDArray[np.float32]

# of a view transform's stage, in show.glsl
VECTORS_PER_STAGE = 4


@dataclass(frozen=True)
class ViewTransformTextures:
    """What the shader reads of one view transform.

    Attributes:
        tables: 3D, all tables, one behind the other along z.
        curves: 2D, one curve in each row.
        stages: [MOST_STAGES, VECTORS_PER_STAGE, 4]; of each stage its kind's number in SHAPES, then its values.
        count: how many there are.
    """

    tables: gpu.types.GPUTexture
    curves: gpu.types.GPUTexture
    stages: Array
    count: int


def float_buffer(array: NDArray[np.float32]) -> gpu.types.Buffer:
    """The array's values as what the GPU is fed with, without copying them one by one."""
    values: Any = np.ascontiguousarray(array, np.float32).ravel()
    return gpu.types.Buffer("FLOAT", values.size, values)


def texture_3d(array: Array, pixel_format: Literal["RGBA8", "RGBA16F", "RGBA32F"]) -> gpu.types.GPUTexture:
    """A 3D texture of an array [x, y, z] or [x, y, z, channels]."""
    # OpenGL's order: x runs fastest
    return gpu.types.GPUTexture(array.shape[:3], format=pixel_format, data=float_buffer(np.swapaxes(array, 0, 2)))


def view_transform_textures(view_transform: ViewTransform) -> ViewTransformTextures:
    """What the shader needs to do what `ViewTransform.apply` does."""
    of = {kind: [stage.values for stage in view_transform.stages if stage.kind == kind] for kind in ("table", "curve")}
    # in full precision: a step of half of it is seen where a table holds logarithms
    side = max((len(table) for table in of["table"]), default=1)
    tables = np.zeros((side, side, max(sum(map(len, of["table"])), 1), 4), np.float32)
    curves = np.zeros((max(len(of["curve"]), 1), max((len(curve) for curve in of["curve"]), default=1), 4), np.float32)
    stages = np.zeros((MOST_STAGES, VECTORS_PER_STAGE, 4), np.float32)
    layer = row = 0
    for index, stage in enumerate(view_transform.stages):
        stages[index] = _uniforms_of(stage, layer if stage.kind == "table" else row)
        n = len(stage.values)
        if stage.kind == "table":
            tables[:n, :n, layer : layer + n, :3] = stage.values
            layer += n
        elif stage.kind == "curve":
            curves[row, :n, :3] = stage.values
            row += 1
    height, width = curves.shape[:2]
    return ViewTransformTextures(
        texture_3d(tables, "RGBA32F"),
        gpu.types.GPUTexture((width, height), format="RGBA32F", data=float_buffer(curves)),
        stages,
        len(view_transform.stages),
    )


def _uniforms_of(stage: Stage, place: int) -> Array:
    """[VECTORS_PER_STAGE, 4]; `place` is where a table or curve begins in its texture."""
    vectors = np.zeros((VECTORS_PER_STAGE, 4), np.float32)
    vectors[0, 0] = list(SHAPES).index(stage.kind)
    if stage.kind == "matrix":
        vectors[1:] = stage.values
    elif stage.kind in ("curve", "table"):
        vectors[0, 1:3] = place, len(stage.values)
    else:
        vectors[0, 1 : 1 + len(stage.values)] = stage.values
        if stage.kind in ("encode", "decode"):
            vectors[1, :2] = linear_part(*stage.values.tolist())
    return vectors
