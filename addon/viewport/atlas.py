# SPDX-License-Identifier: GPL-3.0-or-later
"""A bake becomes textures: bricks side by side in an atlas, and an index that says where each of them is.

An atlas is filled block by block, so that the interface answers while a large one is uploaded. What the GPU refuses is
halved until it fits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import gpu
import numpy as np
from numpy.typing import NDArray

from ...core.bake.bricks import (
    CELL,
    NEGLIGIBLE_DENSITY,
    SIDE,
    Bricks,
    blocks,
    distance_to,
    halved,
    occupied_cells,
    with_borders,
)
from ...core.errors import UserError
from .shell import shell_of
from .textures import float_buffer, texture_3d

F4 = NDArray[np.float32]
AtlasFormat = Literal["RGBA16F", "RGBA8"]

# a brick with one voxel of its neighbours around it
WIDE = SIDE + 2
SMALLEST_RESOLUTION = 8
# bricks that are uploaded at once, and how many such blocks a thread prepares ahead
BLOCK = 128
AHEAD = 16


@dataclass(frozen=True)
class AtlasContents:
    """What the textures of a bake will hold.

    Attributes:
        bricks: the bake.
        texels: its `index_texels`.
        voxels: eight bytes a voxel, [k, 8, 8, 8] each: colour and the logarithm of density as half floats; then every
            eight features.
    """

    bricks: Bricks
    texels: F4
    voxels: tuple[NDArray[np.uint64], ...]


@dataclass(frozen=True)
class TwinTextures:
    """What the shader reads of one twin.

    Attributes:
        light: 3D atlas of colour (scene-linear, not premultiplied) and the logarithm of density per field unit, linear
            interpolation.
        features: 3D atlases of what the network is told, four numbers each; None without a network.
        index: 3D, a texel for each place of a brick, as `index_texels` made it.
        shell: the outside of the bricks in which something can be seen; None when there are none.
        layout: bricks along x, y, z of the atlas.
        resolution: voxels along the field's cube.
        network: [vectors, 4] as the shader reads it; None without a network.
        width: of its hidden layers; 0 without one.
        halvings: how often the bake was halved because the GPU refused it.
    """

    light: gpu.types.GPUTexture
    features: tuple[gpu.types.GPUTexture, ...] | None
    index: gpu.types.GPUTexture
    shell: gpu.types.GPUBatch | None
    layout: tuple[int, int, int]
    resolution: int
    network: F4 | None
    width: int
    halvings: int


def contents_of(bricks: Bricks) -> AtlasContents:
    """What can be made of a bake without a GPU, and in any thread."""
    light = np.empty((*bricks.density.shape, 4), np.float16)
    light[..., :3] = bricks.colour
    np.log(np.maximum(bricks.density, NEGLIGIBLE_DENSITY, dtype=np.float32), out=light[..., 3], casting="same_kind")
    voxels = [light]
    for first in range(0, bricks.features.shape[-1], 8):
        voxels.append(np.ascontiguousarray(bricks.features[..., first : first + 8]))
    return AtlasContents(bricks, index_texels(bricks), tuple(each.view(np.uint64)[..., 0] for each in voxels))


def index_texels(bricks: Bricks) -> F4:
    """[m, m, m, 4] for the m³ places of bricks: where each is in the atlas, and what can be skipped.

    Each number is a layer (z) of the brick's 4³ cells, bit x + 4 y for a cell in which something can be seen, plus 2¹⁶
    times six bits of the brick's row. Where no cell is set the row is how many places away the nearest brick with one
    is. All are integers below 2²², which float32 holds.
    """
    cells = occupied_cells(bricks)
    side = SIDE // CELL
    bits = 1 << np.arange(side * side, dtype=np.int32).reshape(side, side).T
    masks = np.einsum("kxyz,xy->kz", cells, bits)
    m = bricks.index.shape[0]
    number, mask = np.zeros((m, m, m), np.int32), np.zeros((m, m, m, side), np.int32)
    where = tuple(bricks.places.T)
    number[where], mask[where] = np.arange(bricks.count), masks
    seen = mask.any(axis=-1)
    number[~seen] = distance_to(seen)[~seen]
    return (mask + ((number[..., None] >> (6 * np.arange(side)) & 63) << 16)).astype(np.float32)


def upload(bricks: Bricks) -> TwinTextures:
    """Textures of a bake, all of them at once.

    Raises:
        UserError: the GPU refuses even a small bake.
    """
    steps = uploading(contents_of(bricks))
    while True:
        try:
            next(steps)
        except StopIteration as done:
            made: TwinTextures = done.value
            return made


def uploading(contents: AtlasContents) -> Generator[float, None, TwinTextures]:
    """Make the textures of a bake step by step; yields the part that is done.

    Raises:
        UserError: the GPU refuses even a small bake.
    """
    halvings = 0
    while True:
        try:
            return (yield from _uploading(contents, halvings))
        except (RuntimeError, ValueError, MemoryError) as error:
            bricks = contents.bricks
            if bricks.resolution % 2 or bricks.resolution < 2 * SMALLEST_RESOLUTION:
                raise UserError(
                    f"the GPU takes no volume, not even one of {bricks.resolution} voxels ({error}); "
                    "close what else uses the GPU, and load the twin again"
                ) from error
        contents = contents_of(halved(bricks))
        halvings += 1


def _uploading(contents: AtlasContents, halvings: int) -> Generator[float, None, TwinTextures]:
    bricks, texels = contents.bricks, contents.texels
    layout = layout_of(bricks.count)
    light = new_atlas(layout, "RGBA16F")
    features = tuple(new_atlas(layout, "RGBA8") for _ in range(0, bricks.features.shape[-1], 4))
    index = texture_3d(texels, "RGBA32F")
    shell = shell_of((texels.astype(np.int32) & 0xFFFF).any(axis=-1))
    with ThreadPoolExecutor(1, thread_name_prefix="radiance_twin") as thread:
        rest = blocks(bricks.count, BLOCK)
        prepared = deque((rows, thread.submit(_prepare, contents, rows)) for rows in islice(rest, AHEAD))
        while prepared:
            rows, future = prepared.popleft()
            values = future.result()
            prepared.extend((later, thread.submit(_prepare, contents, later)) for later in islice(rest, 1))
            _copy(values[0], (light,), layout, int(rows[0]))
            for number, eight in enumerate(values[1:]):
                _copy(eight, features[2 * number : 2 * number + 2], layout, int(rows[0]))
            yield float(rows[-1] + 1) / bricks.count
    network, width = None, 0
    if bricks.network is not None:
        network, width = network_vectors(bricks.network), bricks.network["b1"].size
    return TwinTextures(light, features or None, index, shell, layout, bricks.resolution, network, width, halvings)


def new_atlas(layout: tuple[int, int, int], pixel_format: AtlasFormat) -> gpu.types.GPUTexture:
    """A texture with room for bricks, not filled yet.

    Raises:
        RuntimeError: the GPU refuses it.
    """
    x, y, z = layout
    return gpu.types.GPUTexture((x * WIDE, y * WIDE, z * WIDE), format=pixel_format)


def layout_of(count: int) -> tuple[int, int, int]:
    """Bricks along x, y, z of the smallest nearly cubic atlas of `count` bricks."""
    x = max(int(np.ceil(np.cbrt(count))), 1)
    y = max(-(-count // (x * x)), 1) if count <= x * x else x
    return x, y, max(-(-count // (x * y)), 1)


def _prepare(contents: AtlasContents, rows: NDArray[Any]) -> list[F4]:
    """What is copied of some bricks: light and every eight features, each [r, 10, 10, 10, 4] (x, y, z). One number
    holds two features: the second times 256."""
    empty = np.array([0.0, 0.0, 0.0, np.log(NEGLIGIBLE_DENSITY)], np.float16).view(np.uint64)[0]
    prepared = []
    for number, values in enumerate(contents.voxels):
        outside, kind = (0, "<u2") if number else (empty, "<f2")
        bordered = np.full((len(rows), WIDE, WIDE, WIDE), outside, np.uint64)
        with_borders(contents.bricks, values, rows, bordered)
        prepared.append(bordered.view(np.dtype(kind)).reshape(*bordered.shape, 4).astype(np.float32))
    return prepared


def _copy(values: F4, atlases: Sequence[gpu.types.GPUTexture], layout: tuple[int, int, int], first_row: int) -> None:
    """Put bricks [r, 10, 10, 10, 4] (x, y, z) to where those from `first_row` on belong: light into its one atlas,
    eight features into their two."""
    # a name of its own keeps the texture until it has been copied
    size = (WIDE, WIDE, WIDE * len(values))
    block = gpu.types.GPUTexture(size, format="RGBA32F", data=float_buffer(values))
    shader = _copy_shader(len(atlases) > 1)
    shader.bind()
    shader.uniform_sampler("block", block)
    for number, atlas in enumerate(atlases):
        shader.image(f"atlas_{number}", atlas)
    shader.uniform_int("first_row", first_row)
    shader.uniform_float("layout_of_atlas", layout[:2])
    gpu.compute.dispatch(shader, 1, 1, size[2])


def network_vectors(network: dict[str, F4]) -> F4:
    """[vectors, 4]: the network's arrays one behind the other, rows of three numbers padded to four."""
    rows = [np.atleast_2d(network[name]) for name in ("w1", "b1", "w2", "b2", "w3", "b3")]
    padded = [np.pad(array, [(0, 0), (0, -array.shape[1] % 4)]).reshape(-1, 4) for array in rows]
    return np.concatenate(padded).astype(np.float32)


def free() -> None:
    """Give back the shaders; they are made anew when something is uploaded."""
    _copy_shader.cache_clear()


@cache
def _copy_shader(of_features: bool) -> gpu.types.GPUShader:
    info = gpu.types.GPUShaderCreateInfo()
    info.local_group_size(WIDE, WIDE, 1)
    info.sampler(0, "FLOAT_3D", "block")
    info.image(0, "RGBA8" if of_features else "RGBA16F", "FLOAT_3D", "atlas_0", qualifiers={"WRITE"})
    if of_features:
        info.define("FEATURES", "1")
        info.image(1, "RGBA8", "FLOAT_3D", "atlas_1", qualifiers={"WRITE"})
    info.push_constant("INT", "first_row")
    info.push_constant("VEC2", "layout_of_atlas")
    info.compute_source(Path(__file__).with_name("copy.glsl").read_text(encoding="utf-8"))
    return gpu.shader.create_from_info(info)
