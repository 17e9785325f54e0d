# SPDX-License-Identifier: GPL-3.0-or-later
"""The two passes on the GPU: march the fields into a picture, show the picture through the view transform.

Nothing here knows of regions, scenes or `bpy.context`: viewport, tests and whatever comes later hand in matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NamedTuple

import gpu
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...core.bake.bricks import FEW, MANY, TOLD
from ...core.cameras import corners_of_bounds
from ...core.colour import MOST_STAGES
from .atlas import TwinTextures
from .shaders import Samplers, make_shader, square
from .shell import draw_shell, shell_shader
from .textures import VECTORS_PER_STAGE, ViewTransformTextures, float_buffer, texture_3d

# samples per voxel; the numpy reference uses the same
SAMPLES_PER_VOXEL = 2.0
# corners of the field's cube, in the order of a twin's box
CUBE = corners_of_bounds([[0.0] * 3, [1.0] * 3])
# floats of a view's uniforms before those of the network
UNIFORMS = 68

# a place in a viewport, pixels from its lower left corner
Point = tuple[float, float]


class Rectangle(NamedTuple):
    """Part of a viewport in pixels, from its lower left corner."""

    x: int
    y: int
    width: int
    height: int

    def in_clip_space(self, size: tuple[int, int]) -> NDArray[np.float64]:
        """Left, bottom, right, top, −1 … 1, in a viewport of `size`."""
        left, bottom, width, height = self
        return np.array([left, bottom, left + width, bottom + height]) / (*size, *size) * 2.0 - 1.0


@dataclass(frozen=True)
class Picture:
    """Pixels on the GPU that light is marched into: scene-linear, premultiplied.

    Attributes:
        depth: of the framebuffer, which does not keep it; needed by `march` alone.
    """

    texture: gpu.types.GPUTexture
    framebuffer: Any
    size: tuple[int, int]
    depth: gpu.types.GPUTexture | None = None


@dataclass(frozen=True)
class Layer:
    """A frame of a field as this very view sees it.

    Attributes:
        texture: scene-linear, premultiplied.
        depth: planar, scene units, 0 where it is not known.
        rectangle: the part of the viewport that it shows.
        number: another one for each layer that is made.
        back: what `depth` is larger than the view's own depth, scene units.
    """

    texture: gpu.types.GPUTexture
    depth: gpu.types.GPUTexture
    rectangle: Rectangle
    number: int
    back: float = 0.0


@dataclass(frozen=True)
class PlacedTwin:
    """A twin and where it stands.

    Attributes:
        textures: on the GPU.
        world_from_field: [4, 4], the object's matrix times the field's own; any affine matrix that can be inverted.
        layer: its field's own frame, drawn instead of marching the bake; None when there is none.
        world_from_crop: [4, 4], takes the cube [0, 1]³ to the box outside of which the bake is not drawn; None when all
            of it is.
    """

    textures: TwinTextures
    world_from_field: NDArray[np.float64]
    layer: Layer | None = None
    world_from_crop: NDArray[np.float64] | None = None


def screen_rectangle(
    placed: Sequence[PlacedTwin], view_matrix: ArrayLike, projection_matrix: ArrayLike, size: tuple[int, int]
) -> Rectangle | None:
    """The smallest rectangle of a viewport of `size` in which the twins can be seen; None when that is nowhere."""
    width, height = size
    clip_from_world = np.asarray(projection_matrix, np.float64) @ np.asarray(view_matrix, np.float64)
    lower, upper = np.full(2, np.inf), np.full(2, -np.inf)
    for one in placed:
        clip_from_field = clip_from_world @ one.world_from_field
        clip = CUBE @ clip_from_field[:, :3].T + clip_from_field[:, 3]
        # all corners beyond one side of the view, or before its near plane
        if (clip[:, :2] > clip[:, 3:]).all(axis=0).any() or (clip[:, :3] < -clip[:, 3:]).all(axis=0).any():
            continue
        behind = clip[:, 3] <= 1e-6
        # a corner behind the eye projects to anywhere: take all there is
        ndc = np.array([(-1.0, -1.0), (1.0, 1.0)]) if behind.any() else clip[:, :2] / clip[:, 3:]
        lower, upper = np.minimum(lower, ndc.min(axis=0)), np.maximum(upper, ndc.max(axis=0))
    if not (lower < upper).all():
        return None
    pixels = np.clip((np.stack([lower, upper]) * 0.5 + 0.5), 0.0, 1.0) * (width, height)
    left, bottom = (int(v) for v in np.floor(pixels[0]))
    right, top = (int(v) for v in np.ceil(pixels[1]))
    if right <= left or top <= bottom:
        return None
    return Rectangle(left, bottom, right - left, top - bottom)


def new_picture(size: tuple[int, int], pixel_format: Literal["RGBA16F", "RGBA32F"] = "RGBA16F") -> Picture:
    """An empty picture."""
    # not a GPUOffScreen: making one takes the bound framebuffer away from whoever is drawing
    texture = gpu.types.GPUTexture(size, format=pixel_format)
    depth = gpu.types.GPUTexture(size, format="DEPTH_COMPONENT32F")
    return Picture(texture, gpu.types.GPUFrameBuffer(depth_slot=depth, color_slots=texture), size, depth)


def march(
    placed: Sequence[PlacedTwin],
    view_matrix: ArrayLike,
    projection_matrix: ArrayLike,
    size: tuple[int, int],
    rectangle: Rectangle,
    target: Picture,
    scene_depth: gpu.types.GPUTexture | None = None,
    rows: tuple[float, float] = (0.0, 1.0),
    grid_line_width: int = 0,
    count_fetches: bool = False,
) -> None:
    """March the twins into `target`, or lay their frames into it: scene-linear and premultiplied.

    Args:
        placed: what to draw; the farthest is drawn first.
        view_matrix: [4, 4] view from world.
        projection_matrix: [4, 4] clip from view, perspective or orthographic, OpenGL's depth −1 … 1.
        size: width and height of the viewport in pixels.
        rectangle: the part of the viewport that `target` holds, whatever number of pixels `target` has.
        target: where to.
        scene_depth: a texture of `rectangle` with depth-buffer values 0 … 1 (1 = nothing there), at which rays end.
        rows: the part of `target` to draw, as fractions of its height from the bottom; the rest keeps what it had.
        grid_line_width: of the viewport's floor grid in pixels; it does not count as part of `scene_depth`. 0: no grid.
        count_fetches: instead of light, fill red with how many texels the last twin that was drawn read.
    """
    view, projection = np.asarray(view_matrix, np.float64), np.asarray(projection_matrix, np.float64)
    shared = _uniforms_of_view(view, projection, size, rectangle)
    shared[23] = scene_depth is not None
    shared[32:34] = rows
    shared[40] = grid_line_width
    clip_from_world = _into(rectangle.in_clip_space(size)) @ projection @ view
    with target.framebuffer.bind():
        gpu.state.blend_set("NONE")
        if rows[0] == 0.0:
            target.framebuffer.clear(color=(0.0, 0.0, 0.0, 0.0))
        # light that is already there shines through what is drawn in front of it
        gpu.state.blend_set("ALPHA_PREMULT")
        for one in sorted(placed, key=lambda twin: -_distance(twin, view)):
            if not _limit_to_shell(one, target, clip_from_world):
                continue
            features, width = one.textures.features or (), one.textures.width
            shader = _march_shader(4 * len(features), width, count_fetches) if one.layer is None else _layer_shader()
            shader.bind()
            # a name of its own keeps the buffer until it has been drawn with
            buffer = gpu.types.GPUUniformBuf(float_buffer(_uniforms_of_twin(one, shared, view, size)))
            shader.uniform_block("uniforms", buffer)
            if one.layer is None:
                shader.uniform_sampler("atlas_light", one.textures.light)
                for number, four in enumerate(features or (_no_features(),) * 2):
                    shader.uniform_sampler(f"atlas_features_{number}", four)
                shader.uniform_sampler("brick_index", one.textures.index)
            else:
                shader.uniform_sampler("frame", one.layer.texture)
                shader.uniform_sampler("frame_depth", one.layer.depth)
            shader.uniform_sampler("scene_depth", _no_depth() if scene_depth is None else scene_depth)
            square(shader).draw(shader)
        gpu.state.depth_test_set("NONE")
        gpu.state.blend_set("NONE")


def _limit_to_shell(one: PlacedTwin, target: Picture, clip_from_world: NDArray[np.float64]) -> bool:
    """Let what is drawn next pass only where there are bricks; whether there are any. A field's frame is all drawn."""
    gpu.state.depth_test_set("NONE")
    gpu.state.depth_mask_set(False)
    if one.layer is not None:
        return True
    if one.textures.shell is None:
        return False
    gpu.state.depth_test_set("ALWAYS")
    gpu.state.depth_mask_set(True)
    gpu.state.color_mask_set(False, False, False, False)
    target.framebuffer.clear(depth=1.0)
    draw_shell(one.textures.shell, clip_from_world @ one.world_from_field)
    gpu.state.color_mask_set(True, True, True, True)
    gpu.state.depth_mask_set(False)
    # the square is drawn at 0.5, between the shell and what was cleared
    gpu.state.depth_test_set("GREATER")
    return True


def _into(part: NDArray[np.float64]) -> NDArray[np.float64]:
    """[4, 4]: a part of clip space (left, bottom, right, top) becomes all of it."""
    left, bottom, right, top = part
    matrix = np.diag([2.0 / (right - left), 2.0 / (top - bottom), 1.0, 1.0])
    matrix[:2, 3] = (right + left) / (left - right), (top + bottom) / (bottom - top)
    return matrix


def _uniforms_of_view(
    view: NDArray[np.float64], projection: NDArray[np.float64], size: tuple[int, int], rectangle: Rectangle
) -> NDArray[np.float32]:
    """What march.glsl and layer.glsl are told of a view, in the order of `_view_shader`'s vectors."""
    uniforms = np.zeros(UNIFORMS, np.float32)
    orthographic = abs(projection[3, 3]) > 0.5
    offset = (-projection[0, 3], -projection[1, 3]) if orthographic else (projection[0, 2], projection[1, 2])
    world_from_view = np.linalg.inv(view)
    uniforms[16:20] = projection[0, 0], projection[1, 1], *offset
    uniforms[20:23] = projection[2, 2], projection[2, 3], orthographic
    uniforms[24:28] = rectangle.in_clip_space(size)
    uniforms[36:40] = world_from_view[2]
    # Blender moves the grid's depth back a little, more at a slant: seen from a height of 1, by less than 0.025
    uniforms[41] = 2e-3 / projection[1, 1] if orthographic else 0.03 * abs(world_from_view[2, 3])
    uniforms[50] = 1.0 / SAMPLES_PER_VOXEL
    return uniforms


def _uniforms_of_twin(
    one: PlacedTwin, shared: NDArray[np.float32], view: NDArray[np.float64], size: tuple[int, int]
) -> NDArray[np.float32]:
    """Those of a view and of a twin in it."""
    uniforms = shared.copy()
    view_from_field = view @ one.world_from_field
    uniforms[:16] = np.linalg.inv(view_from_field).T.ravel()
    uniforms[34] = -(view_from_field @ (0.5, 0.5, 0.5, 1.0))[2]
    if one.layer is not None:
        uniforms[28:32] = one.layer.rectangle.in_clip_space(size)
        uniforms[35] = one.layer.back
    uniforms[44:48] = *one.textures.layout, one.textures.resolution
    if one.world_from_crop is not None:
        uniforms[49] = 1.0
        uniforms[52:68] = np.linalg.inv(view @ one.world_from_crop).T.ravel()
    if one.layer is None and one.textures.network is not None:
        uniforms = np.concatenate([uniforms, one.textures.network.ravel()])
    return uniforms


def show(
    picture: Picture,
    rectangle: Rectangle,
    size: tuple[int, int],
    view_transform: ViewTransformTextures,
    overlay: bool,
) -> None:
    """Draw a marched picture into the bound framebuffer.

    Args:
        picture: what was marched, stretched over `rectangle`.
        rectangle: where it belongs in the framebuffer of `size`.
        view_transform: what turns its light into what is shown.
        overlay: whether the framebuffer is that of a viewport's overlays, which Blender has yet to encode.
    """
    uniforms = np.zeros(8 + view_transform.stages.size, np.float32)
    uniforms[:4] = rectangle.in_clip_space(size)
    uniforms[4:6] = view_transform.count, overlay
    uniforms[8:] = view_transform.stages.ravel()
    shader = _show_shader()
    gpu.state.depth_test_set("NONE")
    gpu.state.depth_mask_set(False)
    gpu.state.blend_set("ALPHA_PREMULT")
    shader.bind()
    buffer = gpu.types.GPUUniformBuf(float_buffer(uniforms))
    shader.uniform_block("uniforms", buffer)
    shader.uniform_sampler("picture", picture.texture)
    shader.uniform_sampler("tables", view_transform.tables)
    shader.uniform_sampler("curves", view_transform.curves)
    square(shader).draw(shader)
    gpu.state.blend_set("NONE")


def free() -> None:
    """Give back the shaders; they are made anew when something is drawn."""
    for made in (_march_shader, _layer_shader, _show_shader, shell_shader, _no_depth, _no_features, square):
        made.cache_clear()


def _distance(twin: PlacedTwin, view: NDArray[np.float64]) -> float:
    centre = view @ twin.world_from_field @ (0.5, 0.5, 0.5, 1.0)
    return float(np.linalg.norm(centre[:3]))


@cache
def _no_depth() -> gpu.types.GPUTexture:
    return gpu.types.GPUTexture((1, 1), format="R32F", data=float_buffer(np.ones(1, np.float32)))


@cache
def _no_features() -> gpu.types.GPUTexture:
    return texture_3d(np.zeros((1, 1, 1, 4), np.float32), "RGBA8")


@cache
def _march_shader(features: int, width: int, count_fetches: bool) -> gpu.types.GPUShader:
    samplers: Samplers = {"atlas_light": "FLOAT_3D", "brick_index": "FLOAT_3D", "scene_depth": "FLOAT_2D"}
    samplers |= {f"atlas_features_{number}": "FLOAT_3D" for number in range((features or FEW) // 4)}
    has_network = features > 0
    defines = {
        "NETWORK": has_network,
        "MANY": features == MANY,
        "HIDDEN_64": width == 64,
        "COUNT_FETCHES": count_fetches,
    }
    # as `network_vectors` lays them out
    vectors = (TOLD[features] + 2 + width) * width // 4 + width + 1 if has_network else 0
    return _view_shader("march", samplers, [name for name, is_set in defines.items() if is_set], vectors)


@cache
def _layer_shader() -> gpu.types.GPUShader:
    return _view_shader("layer", {"frame": "FLOAT_2D", "frame_depth": "FLOAT_2D", "scene_depth": "FLOAT_2D"})


def _view_shader(name: str, samplers: Samplers, defines: Sequence[str] = (), network: int = 0) -> gpu.types.GPUShader:
    vectors = ("lens", "range", "rectangle", "grid", "rows", "height", "floor_grid", "atlas", "setting")
    return make_shader(
        name,
        "mat4 field_from_view; "
        + " ".join(f"vec4 {vector};" for vector in vectors)
        + " mat4 crop_from_view;"
        + (f" vec4 network[{network}];" if network else ""),
        samplers,
        "uv = vec2(corner.x, mix(uniforms.rows.x, uniforms.rows.y, corner.y));"
        "gl_Position = vec4(uv * 2.0 - 1.0, 0.0, 1.0);",
        "depth",
        defines=defines,
    )


@cache
def _show_shader() -> gpu.types.GPUShader:
    return make_shader(
        "show",
        f"vec4 rectangle; vec4 setting; vec4 stages[{MOST_STAGES * VECTORS_PER_STAGE}];",
        {"picture": "FLOAT_2D", "tables": "FLOAT_3D", "curves": "FLOAT_2D"},
        "uv = corner; gl_Position = vec4(mix(uniforms.rectangle.xy, uniforms.rectangle.zw, corner), 0.0, 1.0);",
        "view_transform",
    )
