# SPDX-License-Identifier: GPL-3.0-or-later
"""Both sides of a comparison on the GPU: what the view has rendered, and the twin over the same background.

Blender draws a 3D view into two pictures: scene-linear light, which goes through the view transform when it reaches the
window, and overlays, which do not. A POST_VIEW handler is given the framebuffer of the overlays only. But a PRE_VIEW
handler finds the one of the light bound, and may keep it: after the engine has drawn, it holds the very pixels that
Cycles or EEVEE has rendered, as half floats, and what is drawn into it is shown as if it had been rendered.
tests/gui/test_wipe.py holds flat emission of known colours against what is read, in a real Blender.

Where the film is transparent, Blender has laid the backdrop of the view below the render already, in the overlays, and
only where the render has nothing: a picture with another outline cannot take the render's place there. Both sides stand
before one even ground then, and the overlays are cleared.

Under Cycles the depth of the scene's objects is drawn for the overlays; where those are hidden, there is none.

Nothing here knows of regions, scenes or `bpy.context`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import gpu
import numpy as np
from numpy.typing import NDArray

from ....core.colour import MOST_STAGES
from ....core.colour_maps import diverging, magma
from ..march import Picture, Rectangle, new_picture
from ..shaders import make_shader, square
from ..textures import VECTORS_PER_STAGE, ViewTransformTextures, float_buffer
from .wipe import Wipe

Pixels = NDArray[np.float32]
Kind = Literal["CLASSIC", "NEURAL", "ABSOLUTE", "SIGNED", "FLIP", "MAGMA", "DIVERGING"]

# in the order of their numbers in difference.glsl
KINDS: tuple[Kind, ...] = ("CLASSIC", "NEURAL", "ABSOLUTE", "SIGNED", "FLIP", "MAGMA", "DIVERGING")
# scene-linear: what stands behind both sides where the film is transparent
GROUND = 0.02
WHOLE_VIEW = "uv = corner; gl_Position = vec4(corner * 2.0 - 1.0, 0.0, 1.0);"


@dataclass
class Sides:
    """What one view compares, both scene-linear, premultiplied, of all its pixels.

    Attributes:
        pixels: [height, width, 4] of the classic side, row 0 at the bottom.
        classic: the same as a texture.
        neural: the other side.
    """

    pixels: Pixels
    classic: gpu.types.GPUTexture
    neural: Picture

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.neural.size


def read_pixels(framebuffer: Any, rectangle: Rectangle) -> Pixels:
    """[height, width, 4] of a part of a framebuffer, row 0 at the bottom."""
    x, y, width, height = rectangle
    buffer = framebuffer.read_color(x, y, width, height, 4, 0, "FLOAT")
    # before 5.2 numpy gets wrong strides from a buffer of more than one dimension
    buffer.dimensions = width * height * 4
    return np.frombuffer(buffer, np.float32).reshape(height, width, 4).copy()


def new_sides(pixels: Pixels, before: Sides | None = None) -> Sides:
    """Both sides for what the view has rendered; the neural one is still to be drawn by `compose`.

    Args:
        pixels: [height, width, 4], of the classic side.
        before: of the same view, whose memory can be used again.
    """
    height, width = pixels.shape[:2]
    if before is not None and before.size == (width, height):
        if np.array_equal(before.pixels, pixels):
            return before
        neural = before.neural
    else:
        neural = new_picture((width, height))
    classic = gpu.types.GPUTexture((width, height), format="RGBA16F", data=float_buffer(pixels))
    return Sides(pixels, classic, neural)


def compose(
    sides: Sides, marched: Picture | None, rectangle: Rectangle | None, scene_depth: gpu.types.GPUTexture
) -> None:
    """Draw the neural side.

    Args:
        sides: what is drawn into.
        marched: the twin, None when it is nowhere in the view.
        rectangle: the part of the view that it is a picture of.
        scene_depth: a texture of the whole view with depth-buffer values, 1 where the classic side is background.
    """
    shader = _neural_shader()
    nowhere = marched is None or rectangle is None
    uniforms = np.array((-2.0, -2.0, 1.0, 1.0) if nowhere else rectangle, np.float32)
    with sides.neural.framebuffer.bind():
        _draw(
            shader,
            uniforms,
            picture=sides.classic if marched is None else marched.texture,
            classic=sides.classic,
            scene_depth=scene_depth,
        )


def on_ground(pixels: Pixels) -> Pixels:
    """Premultiplied pixels [height, width, 4] over the even ground, opaque."""
    result = pixels.copy()
    result[..., :3] += (1.0 - pixels[..., 3:]) * GROUND
    result[..., 3] = 1.0
    return result


def show_sides(sides: Sides, shown: Wipe | Literal["CLASSIC", "NEURAL"], whole: bool) -> None:
    """Draw into the bound framebuffer of the view's light.

    Args:
        sides: of the view.
        shown: both sides of a line, or one of them everywhere.
        whole: draw the classic side, too; otherwise what is there of it stays as it is.
    """
    # without a line every pixel is beyond it, or before it
    line = np.array([0.0, 0.0, 1.0 if shown == "CLASSIC" else -1.0, whole], np.float32)
    if isinstance(shown, Wipe):
        line[:2], line[2] = shown.normal, np.dot(shown.normal, shown.middle)
    _draw(_wipe_shader(), line, classic=sides.classic, neural=sides.neural.texture)


def show_difference(
    sides: Sides,
    kind: Kind,
    amplification: float,
    view_transform: ViewTransformTextures,
    *,
    flip: gpu.types.GPUTexture | None = None,
    target: Rectangle | None = None,
    window: Rectangle | None = None,
    overlay: bool,
) -> None:
    """Draw what the sides look like, how far they are apart, or a ramp of colours, into the bound framebuffer.

    Args:
        sides: of the view.
        kind: which of them.
        amplification: factor of a difference before it gets its colour.
        view_transform: what both sides go through.
        flip: for the kind FLIP, its map as a texture of the whole view.
        target: where to, in the view; all of it when None.
        window: the pixels of the view that are shown there, for kinds that show any; all when None.
        overlay: whether the framebuffer is that of a viewport's overlays, which Blender has yet to encode.
    """
    everything = Rectangle(0, 0, *sides.size)
    uniforms = np.zeros(12 + view_transform.stages.size, np.float32)
    uniforms[:4] = (target or everything).in_clip_space(sides.size)
    uniforms[4:8] = window or everything
    uniforms[8:12] = KINDS.index(kind), view_transform.count, amplification, overlay
    uniforms[12:] = view_transform.stages.ravel()
    _draw(
        _difference_shader(),
        uniforms,
        classic=sides.classic,
        neural=sides.neural.texture,
        flip=sides.classic if flip is None else flip,
        colours=_colours(),
        tables=view_transform.tables,
        curves=view_transform.curves,
    )


def display_images(sides: Sides, view_transform: ViewTransformTextures) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """What a screen shows of the classic and of the neural side: [height, width, 3] each, row 0 at the top."""
    picture = new_picture(sides.size)
    images = []
    for kind in KINDS[:2]:
        with picture.framebuffer.bind():
            show_difference(sides, kind, 1.0, view_transform, overlay=False)
        shown = read_pixels(picture.framebuffer, Rectangle(0, 0, *sides.size))
        images.append(np.rint(shown[::-1, :, :3] * 255.0).astype(np.uint8))
    return images[0], images[1]


def flip_texture(flip_map: NDArray[np.float32]) -> gpu.types.GPUTexture:
    """Of a map [height, width], row 0 at the top."""
    return gpu.types.GPUTexture(flip_map.shape[::-1], format="R32F", data=float_buffer(flip_map[::-1]))


def free() -> None:
    """Give back what is kept on the GPU."""
    for made in (_neural_shader, _wipe_shader, _difference_shader, _colours):
        made.cache_clear()


def _draw(shader: gpu.types.GPUShader, uniforms: NDArray[np.float32], **textures: gpu.types.GPUTexture) -> None:
    gpu.state.depth_test_set("NONE")
    gpu.state.depth_mask_set(False)
    gpu.state.blend_set("NONE")
    shader.bind()
    block = gpu.types.GPUUniformBuf(float_buffer(uniforms))
    shader.uniform_block("uniforms", block)
    for name, texture in textures.items():
        shader.uniform_sampler(name, texture)
    square(shader).draw(shader)


@cache
def _colours() -> gpu.types.GPUTexture:
    rows = np.stack([magma(), diverging()])
    values = np.concatenate([rows, np.ones_like(rows[..., :1])], axis=-1)
    return gpu.types.GPUTexture(rows.shape[1::-1], format="RGBA32F", data=float_buffer(values))


@cache
def _neural_shader() -> gpu.types.GPUShader:
    samplers = {"picture": "FLOAT_2D", "classic": "FLOAT_2D", "scene_depth": "FLOAT_2D"}
    return make_shader("neural_side", "vec4 rectangle;", samplers, WHOLE_VIEW)  # type: ignore[arg-type]


@cache
def _wipe_shader() -> gpu.types.GPUShader:
    return make_shader("wipe", "vec4 line;", {"classic": "FLOAT_2D", "neural": "FLOAT_2D"}, WHOLE_VIEW)


@cache
def _difference_shader() -> gpu.types.GPUShader:
    return make_shader(
        "difference",
        f"vec4 rectangle; vec4 window; vec4 setting; vec4 stages[{MOST_STAGES * VECTORS_PER_STAGE}];",
        {
            "classic": "FLOAT_2D",
            "neural": "FLOAT_2D",
            "flip": "FLOAT_2D",
            "colours": "FLOAT_2D",
            "tables": "FLOAT_3D",
            "curves": "FLOAT_2D",
        },
        "uv = corner; gl_Position = vec4(mix(uniforms.rectangle.xy, uniforms.rectangle.zw, corner), 0.0, 1.0);",
        "view_transform",
    )
