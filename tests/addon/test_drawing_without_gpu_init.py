# SPDX-License-Identifier: GPL-3.0-or-later
"""The shaders in the oldest Blender that we support: before 5.2 only a render engine gets a GPU without a window."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import bpy
import numpy as np
import pytest

from radiance_twin.addon.viewport.atlas import upload
from radiance_twin.addon.viewport.march import PlacedTwin, Rectangle, march, new_picture, show
from radiance_twin.addon.viewport.textures import view_transform_textures
from radiance_twin.core.bake.bricks import Bricks, bricks_of_grid
from radiance_twin.core.bake.march import render_bake
from radiance_twin.core.cameras import Camera, look_at
from radiance_twin.core.colour import standard_view_transform

SIZE = (48, 32)
INTRINSICS = (60.0, 60.0, 24.0, 16.0)
CAMERA = look_at((1.5, -1.8, 1.4), (0.5, 0.5, 0.5))
PROJECTION = np.array([[2.5, 0, 0, 0], [0, 3.75, 0, 0], [0, 0, -1.002, -0.2002], [0, 0, -1, 0]])


def field(random_bricks: Any) -> Bricks:
    """A cloud whose colour is its place and the direction it is seen from."""
    n = 32
    axis = (np.arange(n) + 0.5) / n
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    density = 40.0 * np.exp(-((grid - 0.5) ** 2).sum(axis=-1) / 0.02)
    bricks = bricks_of_grid(density, grid)
    features = np.full((*bricks.density.shape, 8), 100, np.uint8)
    return replace(bricks, features=features, network=random_bricks(resolution=8).network)


def draw_both_passes(bricks: Bricks) -> tuple[Any, Any]:
    """What was marched and what is shown, [height, width, 4] each."""
    placed = [PlacedTwin(upload(bricks), np.eye(4))]
    whole = Rectangle(0, 0, *SIZE)
    light, screen = new_picture(SIZE), new_picture(SIZE)
    march(placed, np.linalg.inv(CAMERA), PROJECTION, SIZE, whole, light)
    view_transform = standard_view_transform()
    with screen.framebuffer.bind():
        screen.framebuffer.clear(color=(0.0, 0.0, 0.0, 0.0))
        show(light, whole, SIZE, view_transform_textures(view_transform), overlay=False)
    found = []
    for picture in (light, screen):
        with picture.framebuffer.bind():
            buffer = picture.framebuffer.read_color(0, 0, *SIZE, 4, 0, "FLOAT")
        buffer.dimensions = SIZE[0] * SIZE[1] * 4
        found.append(np.frombuffer(buffer, np.float32).reshape(SIZE[1], SIZE[0], 4)[::-1].copy())
    return found[0], found[1]


def test_the_shaders_draw_what_numpy_draws(random_bricks):
    bricks = field(random_bricks)
    results: list[Any] = []

    class Engine(bpy.types.RenderEngine):
        bl_idname = "RADIANCE_TWIN_TEST"
        bl_label = "Test"
        bl_use_gpu_context = True

        def render(self, _depsgraph: bpy.types.Depsgraph) -> None:
            try:
                results.append(draw_both_passes(bricks))
            except Exception as error:
                results.append(error)

    bpy.ops.wm.read_factory_settings()
    bpy.utils.register_class(Engine)
    try:
        scene = bpy.context.scene
        scene.render.engine = Engine.bl_idname
        scene.render.resolution_x, scene.render.resolution_y = SIZE
        bpy.ops.render.render()
    finally:
        bpy.ops.wm.read_factory_settings()
        bpy.utils.unregister_class(Engine)
    (result,) = results
    if isinstance(result, Exception):
        raise result
    light, screen = result
    expected = render_bake(bricks, np.eye(4), Camera(CAMERA, np.array(INTRINSICS), SIZE))
    assert expected[..., 3].max() > 0.95
    assert np.abs(light - expected).max() < 5e-3
    seen = expected[..., 3] > 0.05
    colour = expected[..., :3][seen] / expected[..., 3:][seen]
    shown = screen[..., :3][seen] / screen[..., 3:][seen]
    assert shown == pytest.approx(standard_view_transform().apply(colour), abs=0.01)
