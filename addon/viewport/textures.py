# SPDX-License-Identifier: GPL-3.0-or-later
"""Arrays become textures. A 3D texture that the GPU refuses is halved until it fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import gpu
import numpy as np
from numpy.typing import NDArray

from ...core.colour import MOST_STAGES, SHAPES, Stage, ViewTransform, linear_part
from ...core.errors import UserError

Array = NDArray[np.float32]

# side of a cell of the empty-space grid, in voxels
CELL = 4
# optical thickness of the whole cube below which nobody sees anything
NEGLIGIBLE_DENSITY = 1e-2
SMALLEST_SIDE = 8
# of a view transform's stage, in show.glsl
VECTORS_PER_STAGE = 4


@dataclass(frozen=True)
class TwinTextures:
    """What the shader reads of one twin.

    Attributes:
        volume: 3D, colour (scene-linear, not premultiplied) and density per field unit, linear interpolation.
        empty_cells: 3D, for each cell of CELL³ voxels the distance in cells (maximum norm) to one that holds something.
        resolution: voxels along x, y, z.
        halvings: how often the volume was halved because the GPU refused it.
    """

    volume: gpu.types.GPUTexture
    empty_cells: gpu.types.GPUTexture
    resolution: tuple[int, int, int]
    halvings: int


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


def upload(density: NDArray[Any], colour: NDArray[Any]) -> TwinTextures:
    """Textures of a bake: density [nx, ny, nz] and colour [nx, ny, nz, 3].

    Raises:
        UserError: the GPU refuses even a small volume.
    """
    density, colour = density.astype(np.float32), colour.astype(np.float32)
    halvings = 0
    while True:
        try:
            volume = texture_3d(np.concatenate([colour, density[..., None]], axis=-1), "RGBA16F")
            empty = texture_3d(distance_to_occupied(density), "R16F")
        except (RuntimeError, ValueError, MemoryError) as error:
            if min(density.shape) < 2 * SMALLEST_SIDE:
                raise UserError(
                    f"the GPU takes no volume, not even one of {density.shape[0]} voxels ({error})"
                ) from error
            density, colour = halved(density, colour)
            halvings += 1
            continue
        x, y, z = density.shape
        return TwinTextures(volume, empty, (x, y, z), halvings)


def float_buffer(array: NDArray[np.float32]) -> gpu.types.Buffer:
    """The array's values as what the GPU is fed with, without copying them one by one."""
    values: Any = np.ascontiguousarray(array, np.float32).ravel()
    return gpu.types.Buffer("FLOAT", values.size, values)


def texture_3d(array: Array, pixel_format: Literal["RGBA16F", "RGBA32F", "R16F"]) -> gpu.types.GPUTexture:
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


def distance_to_occupied(density: Array) -> Array:
    """Distance in cells, in the maximum norm, from each cell to the nearest one that a sample could see something in.

    Args:
        density: [nx, ny, nz].

    Returns:
        [ceil(nx / CELL), ceil(ny / CELL), ceil(nz / CELL)], 0 for cells that hold something. An empty field has
        distances larger than itself.
    """
    # a sample interpolates between the voxels on its both sides: they count for the neighbouring cell, too
    occupied = np.pad(_dilated(density > NEGLIGIBLE_DENSITY), [(0, -n % CELL) for n in density.shape])
    x, y, z = (n // CELL for n in occupied.shape)
    reached = occupied.reshape(x, CELL, y, CELL, z, CELL).any(axis=(1, 3, 5))
    distance = np.zeros(reached.shape, np.float32)
    for _ in range(max(reached.shape)):
        if reached.all():
            break
        distance += ~reached
        reached = _dilated(reached)
    return distance


def halved(density: Array, colour: Array) -> tuple[Array, Array]:
    """The same field with half the voxels on each side; colours count as much as their density."""
    even = tuple(slice(0, n // 2 * 2) for n in density.shape)
    density, colour = density[even], colour[even]
    light = _mean_of_eight(colour * density[..., None])
    smaller = _mean_of_eight(density[..., None])
    plain = _mean_of_eight(colour)
    colour = np.where(smaller > 1e-6, light / np.maximum(smaller, 1e-6), plain)
    return smaller[..., 0], colour


def _mean_of_eight(array: Array) -> Array:
    x, y, z, channels = array.shape
    blocks = array.reshape(x // 2, 2, y // 2, 2, z // 2, 2, channels)
    return np.asarray(blocks.mean(axis=(1, 3, 5)), np.float32)


def _dilated(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """`mask` grown by one in all directions, diagonals included."""
    for axis in range(3):
        ahead, behind = [slice(None)] * 3, [slice(None)] * 3
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        grown = mask.copy()
        grown[tuple(ahead)] |= mask[tuple(behind)]
        grown[tuple(behind)] |= mask[tuple(ahead)]
        mask = grown
    return mask
