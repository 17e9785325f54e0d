# SPDX-License-Identifier: GPL-3.0-or-later
"""From light to what is seen: the view transform in the shader, and a twin among real objects."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
import pytest
from mathutils import Matrix
from numpy.typing import NDArray

from radiance_twin.addon.view_transform import bake_table, bake_view_transform, displayed
from radiance_twin.addon.viewport.atlas import upload
from radiance_twin.addon.viewport.depth import read_depth
from radiance_twin.addon.viewport.draw import draw
from radiance_twin.addon.viewport.march import Picture, PlacedTwin, Rectangle, show
from radiance_twin.addon.viewport.textures import float_buffer, view_transform_textures
from radiance_twin.core.bake.bricks import bricks_of_grid
from radiance_twin.core.cameras import look_at
from radiance_twin.core.colour import ViewTransform, srgb_to_linear, stages_of, standard_view_transform

SIZE = (128, 96)
# of each square of three pixels
MIDDLE = np.s_[1::3, 1::3]


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


@pytest.mark.parametrize(
    ("view", "look"),
    [
        ("Standard", "None"),
        ("Standard", "Low Contrast"),
        ("AgX", "None"),
        ("AgX", "AgX - Punchy"),
        ("AgX", "AgX - Medium High Contrast"),
        ("AgX", "AgX - Greyscale"),
        ("Filmic", "None"),
        ("Filmic", "Very High Contrast"),
        ("Khronos PBR Neutral", "None"),
        ("Raw", "None"),
    ],
)
def test_light_is_shown_as_numpy_and_as_blender_show_it(scene, shown, view, look):
    settings = scene.view_settings
    settings.view_transform, settings.look, settings.exposure = view, look, 0.7
    rgba, light = random_light()
    view_transform = bake_view_transform(scene)
    seen = shown(rgba, view_transform)[MIDDLE]
    assert np.abs(seen - view_transform.apply(light)).max() < 0.1 / 255
    assert np.abs(seen - displayed(scene, light)).max() < 0.2 / 255


def test_curves_are_shown_as_numpy_and_as_blender_show_them(scene, shown):
    settings = scene.view_settings
    settings.view_transform, settings.gamma, settings.use_curve_mapping = "AgX", 1.3, True
    settings.curve_mapping.curves[0].points.new(0.4, 0.2)
    settings.curve_mapping.curves[3].points.new(0.3, 0.5)
    settings.curve_mapping.update()
    rgba, light = random_light()
    view_transform = bake_view_transform(scene)
    assert [stage.kind for stage in view_transform.stages].count("curve") == 2
    seen = shown(rgba, view_transform)[MIDDLE]
    assert np.percentile(np.abs(seen - view_transform.apply(light)), 99.9) < 0.1 / 255
    assert np.percentile(np.abs(seen - displayed(scene, light)), 99.9) < 0.2 / 255


def test_a_table_of_many_nodes_is_shown_as_numpy_shows_it(scene, shown):
    rgba, light = random_light()
    view_transform = bake_table(scene)
    assert np.abs(shown(rgba, view_transform)[MIDDLE] - view_transform.apply(light)).max() < 0.1 / 255


def test_every_kind_of_stage_is_that_of_numpy(shown):
    """Each one alone, with values that no configuration of Blender holds."""
    rng = np.random.default_rng(4)
    curve, small, large = rng.random((9, 3)), rng.random((3, 3, 3, 3)), rng.random((7, 7, 7, 3))
    cases = [
        [("matrix", rng.uniform(-0.2, 0.5, (3, 4)))],
        [("log2", ()), ("matrix", np.eye(3, 4) / 20 + [0, 0, 0, 0.5])],
        [("clamp", (-3.0, 1.0)), ("exp2", ()), ("matrix", np.eye(3, 4) / 2)],
        [("power", [0.3])],
        [("encode", [2.2, 0.1])],
        [("decode", [2.2, 0.1])],
        [("clamp", (0.2, 0.4))],
        [("matrix", np.eye(3, 4) / 2), ("curve", curve)],
        # the second curve and the second table lie elsewhere in their textures
        [("curve", curve), ("clamp", (0.0, 1.0)), ("curve", rng.random((5, 3)))],
        [("table", small), ("table", large)],
        [("table", large), ("table", small)],
    ]
    rgba, light = random_light()
    for steps in cases:
        view_transform = ViewTransform(stages_of(steps), "", "", "", 0.0, 1.0)
        difference = np.abs(shown(rgba, view_transform)[MIDDLE] - view_transform.apply(light))
        # a steep curve makes much of the last bit
        assert np.percentile(difference, 99.9) < 0.1 / 255, steps[0][0]


def random_light() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Opaque RGBA [96, 128, 4] that half floats hold, a few components negative or zero, and its RGB in the MIDDLE.

    Squares of three pixels are of one colour: a picture is read with interpolation, whose last bits would mix a colour
    with a neighbour a thousand times as bright.
    """
    rng = np.random.default_rng(1)
    light = np.exp2(rng.uniform(-9.0, 7.0, (SIZE[1] // 3, -(-SIZE[0] // 3), 3)))
    light *= rng.choice([1.0] * 8 + [-1.0, 0.0], light.shape)
    light = light.astype(np.float16).astype(np.float32)
    squares = light.repeat(3, axis=0).repeat(3, axis=1)[: SIZE[1], : SIZE[0]]
    return np.dstack([squares, np.ones(squares.shape[:2], np.float32)]), squares[MIDDLE]


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
    n = 128
    solid = np.zeros((n, n, n))
    solid[1:-1, 1:-1, 1:-1] = 5000.0
    textures = upload(bricks_of_grid(solid, np.full((n, n, n, 3), (1.0, 0.0, 0.0))))
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
