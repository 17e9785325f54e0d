# SPDX-License-Identifier: GPL-3.0-or-later
"""The shaders that draw twins, tried on what is known exactly, with this very GPU and driver. Needs a GPU context."""

from __future__ import annotations

from math import erf

import gpu
import numpy as np
from numpy.typing import NDArray

from ...core.bake.bricks import bricks_of_grid
from ...core.colour import ViewTransform
from .atlas import upload
from .compare.sides import read_pixels
from .depth import depth_texture
from .march import Picture, PlacedTwin, Rectangle, march, new_picture, show
from .textures import float_buffer, view_transform_textures

SIZE = 64
# a Gaussian cloud in the middle of the field, which is the cube [-1, 1]³ of the world
PEAK, DEVIATION = 30.0, 0.09
WORLD_FROM_FIELD = np.array([[2.0, 0, 0, -1], [0, 2.0, 0, -1], [0, 0, 2.0, -1], [0, 0, 0, 1]])
EYE, NEAR, FAR, ZOOM = 3.0, 0.5, 10.0, 3.0


def colour_error(view_transform: ViewTransform) -> float:
    """How far the shader's colours are from the view transform in numpy: of 255, for 99 of 100 random colours."""
    rng = np.random.default_rng(2)
    light = np.exp2(rng.uniform(-8.0, 4.0, (SIZE, SIZE, 3))).astype(np.float16).astype(np.float32)
    rgba = np.concatenate([light, np.ones((SIZE, SIZE, 1), np.float32)], axis=-1)
    source = gpu.types.GPUTexture((SIZE, SIZE), format="RGBA16F", data=float_buffer(rgba))
    target = new_picture((SIZE, SIZE), "RGBA32F")
    with target.framebuffer.bind():
        target.framebuffer.clear(color=(0.0, 0.0, 0.0, 1.0))
        rectangle = Rectangle(0, 0, SIZE, SIZE)
        show(Picture(source, None, target.size), rectangle, target.size, view_transform_textures(view_transform), False)
    errors = np.abs(_read(target)[..., :3] - view_transform.apply(light)).max(axis=-1)
    return float(np.percentile(errors, 99) * 255.0)


def depth_error() -> float:
    """How far from a plane in the scene's depth rays through a twin end, as a share of the distance; at most.

    Each ray through a Gaussian cloud that is cut at `s` behind its closest approach `b` to the middle has the opacity
    1 - exp(-peak deviation √(2π) exp(-b² / 2 deviation²) Φ(s / deviation)): what differs from it is put down to `s`.
    """
    n = 64
    axis = (np.arange(n) + 0.5) / n - 0.5
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    density = PEAK * np.exp(-(x**2 + y**2 + z**2) / (2 * DEVIATION**2))
    twin = PlacedTwin(upload(bricks_of_grid(density, np.ones((n, n, n, 3)))), WORLD_FROM_FIELD)
    view = np.eye(4)
    view[2, 3] = -EYE
    projection = np.zeros((4, 4))
    projection[0, 0] = projection[1, 1] = ZOOM
    projection[2, 2:] = -(FAR + NEAR) / (FAR - NEAR), -2 * FAR * NEAR / (FAR - NEAR)
    projection[3, 2] = -1.0
    clip = projection @ (0.0, 0.0, -EYE, 1.0)  # the plane goes through the cloud's middle
    plane = np.full((SIZE, SIZE), (clip[2] / clip[3]) * 0.5 + 0.5, np.float32)
    target = new_picture((SIZE, SIZE), "RGBA32F")
    rectangle = Rectangle(0, 0, SIZE, SIZE)
    march([twin], view, projection, target.size, rectangle, target, depth_texture(plane))
    alpha = _read(target)[..., 3].astype(np.float64)

    pixels = ((np.arange(SIZE) + 0.5) / SIZE * 2.0 - 1.0) / ZOOM
    slope = np.hypot(*np.meshgrid(pixels, pixels))
    # in field units: how far rays pass the middle, and how far behind that they meet the plane
    length = np.sqrt(1.0 + slope**2)
    past = EYE * slope / length / 2.0
    beyond = EYE * slope**2 / length / 2.0
    across = PEAK * DEVIATION * np.sqrt(2 * np.pi) * np.exp(-(past**2) / (2 * DEVIATION**2))
    share = 0.5 * (1.0 + np.vectorize(erf)(beyond / (DEVIATION * np.sqrt(2.0))))
    expected = 1.0 - np.exp(-across * share)
    per_length = (1.0 - expected) * PEAK * np.exp(-(past**2 + beyond**2) / (2 * DEVIATION**2))
    seen = per_length > 0.1 * per_length.max()
    return float(2.0 * np.max(np.abs(alpha - expected)[seen] / per_length[seen]) / EYE)


def renderer() -> str:
    """What draws: GPU and graphics interface."""
    return f"{gpu.platform.renderer_get()}, {gpu.platform.backend_type_get()}"


def _read(picture: Picture) -> NDArray[np.float32]:
    """[height, width, 4], row 0 at the bottom."""
    with picture.framebuffer.bind():
        return read_pixels(picture.framebuffer, Rectangle(0, 0, *picture.size))
