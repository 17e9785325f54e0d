# SPDX-License-Identifier: GPL-3.0-or-later
"""From light to what is seen: the view transform in the shader, and a twin among real objects."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
import pytest
from mathutils import Matrix
from numpy.typing import NDArray

from radiance_twin.addon.view_transform import bake_view_transform
from radiance_twin.addon.viewport.depth import read_depth
from radiance_twin.addon.viewport.draw import draw
from radiance_twin.addon.viewport.march import Picture, PlacedTwin, Rectangle, show
from radiance_twin.addon.viewport.textures import float_buffer, upload, view_transform_textures
from radiance_twin.core.cameras import look_at
from radiance_twin.core.colour import ViewTransform, srgb_to_linear, standard_view_transform

SIZE = (128, 96)


@pytest.fixture
def scene() -> Any:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    return bpy.context.scene


@pytest.fixture
def shown(gpu: Any, pixels_of: Any) -> Any:
    """What a framebuffer holds after light [height, width, 4] was shown in it, [height, width, 3]."""

    def show_over(
        rgba: Any, view_transform: ViewTransform, background: float = 0.0, pixel_format: Any = "RGBA32F"
    ) -> NDArray[np.float32]:
        light = gpu.types.GPUTexture(SIZE, format="RGBA16F", data=float_buffer(np.float32(rgba[::-1])))
        texture = gpu.types.GPUTexture(SIZE, format=pixel_format)
        framebuffer = gpu.types.GPUFrameBuffer(color_slots=texture)
        textures = view_transform_textures(view_transform)
        with framebuffer.bind():
            framebuffer.clear(color=(background, background, background, 1.0))
            overlay = pixel_format == "SRGB8_A8"
            show(Picture(light, None, SIZE), Rectangle(0, 0, *SIZE), SIZE, textures, overlay)
        return pixels_of(framebuffer, SIZE)[..., :3]

    return show_over


@pytest.mark.parametrize("view", ["Standard", "AgX", "Filmic"])
def test_light_is_shown_as_numpy_shows_it(scene, shown, view):
    scene.view_settings.view_transform = view
    scene.view_settings.exposure = 0.7
    view_transform = bake_view_transform(scene)
    rng = np.random.default_rng(1)
    light = np.exp2(rng.uniform(-8.0, 4.0, (SIZE[1], SIZE[0], 3))).astype(np.float16).astype(np.float32)
    rgba = np.dstack([light, np.ones(light.shape[:2])])
    assert np.abs(shown(rgba, view_transform) - view_transform.apply(light)).max() < 0.5 / 255


def test_what_blender_makes_of_an_overlay_is_what_the_table_says(shown):
    """Overlays are stored sRGB-encoded; Blender reads them as linear light and encodes that with a power of 2.2."""
    view_transform = standard_view_transform()
    light = np.broadcast_to(np.geomspace(4e-3, 1.5, SIZE[0])[None, :, None], (SIZE[1], SIZE[0], 3))
    rgba = np.dstack([light, np.ones(light.shape[:2])])
    # reading does not decode: these are the stored bytes
    stored = shown(rgba, view_transform, pixel_format="SRGB8_A8")
    assert np.abs(srgb_to_linear(stored) ** (1 / 2.2) - view_transform.apply(light)).max() < 1.2 / 255


def test_half_transparent_light_lies_over_what_was_there(shown):
    view_transform = standard_view_transform()
    rgba = np.zeros((SIZE[1], SIZE[0], 4), np.float32)
    rgba[:] = 0.2, 0.1, 0.05, 0.5
    expected = 0.5 * view_transform.apply([0.4, 0.2, 0.1]) + 0.5 * 0.3
    assert shown(rgba, view_transform, background=0.3)[40, 40] == pytest.approx(expected, abs=2e-3)


def test_a_twin_hides_and_is_hidden_by_real_objects(gpu, scene, projection_of, pixels_of):
    """Blender draws a wall before and one behind the twin; the twin is drawn over that as in the viewport."""
    n = 32
    solid = np.full((n, n, n), 800.0, np.float32)
    textures = upload(solid, np.broadcast_to(np.float32((1.0, 0.0, 0.0)), (n, n, n, 3)))
    world_from_field = np.diag([2.0, 2.0, 2.0, 1.0])
    world_from_field[:3, 3] = -1.0
    # seen from −y: the left half of the view is behind the near wall, the far wall is behind everything
    for location in ((-15.0, -3.0, 0.0), (0.0, 4.0, 0.0)):
        bpy.ops.mesh.primitive_plane_add(size=30.0, location=location, rotation=(np.pi / 2, 0.0, 0.0))
    view = np.linalg.inv(look_at((0.0, -10.0, 0.0), (0.0, 0.0, 0.0)))
    projection = projection_of((150.0, 150.0, 64.0, 48.0), SIZE)
    screen = bpy.context.window_manager.windows[0].screen
    area = next(area for area in screen.areas if area.type == "VIEW_3D")
    region = next(region for region in area.regions if region.type == "WINDOW")
    space = area.spaces.active
    space.shading.type = "SOLID"
    space.overlay.show_overlays = False
    offscreen = gpu.types.GPUOffScreen(*SIZE, format="RGBA16F")
    offscreen.draw_view3d(scene, bpy.context.view_layer, space, region, Matrix(view), Matrix(projection))
    with offscreen.bind():
        framebuffer = gpu.state.active_framebuffer_get()
        before = pixels_of(framebuffer, SIZE)
        depth = read_depth(Rectangle(0, 0, *SIZE))
        draw(
            view,
            projection,
            SIZE,
            [PlacedTwin(textures, world_from_field)],
            standard_view_transform(),
            scene_depth=depth,
        )
        after = pixels_of(framebuffer, SIZE)
    changed = np.abs(after - before).max(axis=-1) > 0.05
    assert depth.max() < 1.0  # the far wall fills the view
    assert changed[48, 70:75].all()
    assert after[48, 70:75] == pytest.approx(np.broadcast_to((1.0, 0.0, 0.0, 1.0), (5, 4)), abs=5e-3)
    assert not changed[:, :63].any()  # hidden by the near wall
    assert not changed[:, 85:].any()  # beside the twin
    assert not changed[:28].any()  # above it
