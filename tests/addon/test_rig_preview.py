# SPDX-License-Identifier: GPL-3.0-or-later
"""The rig's cameras shown over the viewport, and how often they see the surface, before anything is rendered."""

from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest

from radiance_twin.addon import compat, rig_preview
from radiance_twin.addon.properties import render_arguments, settings_of
from radiance_twin.addon.studio import heat
from radiance_twin.addon.studio.plan import plan_views
from radiance_twin.addon.studio.randomise.changes import Changes
from radiance_twin.addon.viewport import frusta
from radiance_twin.core import cameras

from .scenes import SETTINGS, add_camera, animate, save


@pytest.fixture
def cube(extension: None) -> None:
    """Blender's first scene, and cameras of the rig around its cube."""
    settings = settings_of(bpy.context.scene)
    settings.views, settings.val_views, settings.test_views = 12, 1, 3


def at_rest() -> None:
    """As many looks as it takes until the cameras are shown."""
    while rig_preview.step():
        pass


def eyes(number: int) -> np.ndarray:
    """Where the cameras of the first, second ... split stand."""
    return frusta.shown()[number][0].reshape(-1, 2 * len(frusta.EDGES), 3)[:, 0]


def test_a_pyramid_goes_through_the_corners_of_the_picture() -> None:
    poses = np.array([cameras.look_at((4, 1, 2), (0, 0, 0)), cameras.look_at((0, -3, 0), (0, 0, 1))])
    intrinsics = np.array([[90.0, 110.0, 20.0, 60.0], [50.0, 50.0, 32.0, 24.0]])
    lenses = [cameras.Camera(pose, lens, (64, 48)) for pose, lens in zip(poses, intrinsics, strict=True)]
    lines = frusta.lines_of(lenses, 0.5).reshape(2, -1, 2, 3)
    for pose, lens, ends in zip(poses, intrinsics, lines, strict=True):
        pixels, depth = cameras.project(ends[:4, 1], pose, lens)
        assert pixels == pytest.approx(np.array([[0, 0], [64, 0], [64, 48], [0, 48]]), abs=1e-3)
        assert depth == pytest.approx(0.5, abs=1e-6)
        assert ends[:4, 0] == pytest.approx(np.tile(pose[:3, 3], (4, 1)), abs=1e-6)


@pytest.mark.parametrize("lens", ["PERSP", "PANO"])
def test_cameras_are_shown_where_they_will_render(lens: Any, cube: None, tmp_path: Path) -> None:
    scene = bpy.context.scene
    scene.camera.data.type = lens
    panorama = compat.panorama_of(scene.camera.data)
    panorama.panorama_type, panorama.fisheye_fov = "FISHEYE_EQUIDISTANT", np.radians(60.0)
    # a fisheye is stretched to the picture that is rendered, which is not the scene's own
    scene.render.resolution_x, scene.render.resolution_y = 1080, 1920
    bpy.context.window_manager.radiance_twin_show_cameras = True
    assert rig_preview.in_words() == "12 train, 1 val, 3 test"
    assert len(bpy.data.objects) == 3, "nothing of it is in the file"
    shown = np.concatenate([eyes(number) for number in range(3)])
    settings = {**SETTINGS, **render_arguments(settings_of(bpy.context.scene))}
    with Changes() as changes:
        plan, _ = plan_views(save(tmp_path / "cube.blend"), settings, tmp_path, changes)
    planned = np.array([view.camera_to_world for view in plan.views])[:, :3, 3]
    assert shown == pytest.approx(planned, abs=1e-4)


def test_cameras_follow_the_settings_and_the_scene(cube: None) -> None:
    manager, settings = bpy.context.window_manager, settings_of(bpy.context.scene)
    manager.radiance_twin_show_cameras = True
    settings.views = 7
    at_rest()
    assert len(eyes(0)) == 7
    first = eyes(0)
    bpy.data.objects["Cube"].location.x = 5.0
    bpy.context.view_layer.update()
    at_rest()
    assert eyes(0) - first == pytest.approx(np.tile((5.0, 0, 0), (7, 1)), abs=1e-4)
    settings.target = "OBJECT"
    settings.target_object = bpy.data.objects["Camera"]
    at_rest()
    assert frusta.shown() == [] and "nothing of the target Camera renders" in rig_preview.in_words()
    manager.radiance_twin_show_cameras = False
    assert frusta.shown() == [] and not rig_preview.step()


def test_an_animated_camera_is_shown_and_the_scene_stays_where_it_is(cube: None) -> None:
    scene, settings = bpy.context.scene, settings_of(bpy.context.scene)
    animate(add_camera((0, -8, 0), (np.pi / 2, 0, 0)), "location", (-1, -8, 0), (1, -8, 0))
    scene.frame_end = 20
    scene.frame_set(3)
    scene.timeline_markers.new("Cut", frame=5).camera = bpy.data.objects["Camera.001"]
    settings.rig = "animated"
    # moved by hand, and without a keyframe as yet
    moved = bpy.data.objects["Camera.001"]
    moved.location.z = 3.0
    bpy.context.view_layer.update()
    bpy.context.window_manager.radiance_twin_show_cameras = True
    assert moved.location.z == 3.0 and len(bpy.data.scenes) == 1
    assert eyes(0)[:, 1] == pytest.approx(-8.0) and np.ptp(eyes(0)[:, 0]) > 1.0
    assert (scene.frame_current, scene.camera.name) == (3, "Camera.001")
    assert scene.timeline_markers[0].camera is not None
    bpy.context.view_layer.update()  # as Blender does next
    assert not rig_preview.step(), "looking at its frames counts as no change"
    at_rest()
    assert not rig_preview.step()


def test_painted_coverage_is_black_where_no_camera_looks(cube: None) -> None:
    settings = settings_of(bpy.context.scene)
    settings.rig, settings.elevation, settings.azimuth = "cover", (0.1, 1.2), (-0.5, 0.5)
    bpy.ops.radiance_twin.paint_coverage()
    mesh = bpy.data.objects[heat.NAME].data
    place, times = np.empty(3 * len(mesh.vertices), np.float32), np.empty(len(mesh.vertices), np.float32)
    mesh.vertices.foreach_get("co", place)
    mesh.attributes[heat.COVERAGE].data.foreach_get("value", times)
    place = place.reshape(-1, 3)
    inner = (np.abs(np.sort(np.abs(place), axis=1)[:, :2]) < 0.5).all(axis=1)
    assert times[inner & (place[:, 0] > 0.99)] == pytest.approx(12.0), "all look at the front"
    assert times[inner & (place[:, 0] < -0.99)] == pytest.approx(0.0, abs=1e-6), "and none at the back"
    assert heat.shown(heat.COVERAGE) and heat.shown(heat.ERROR) is None
    # what is painted stands in nobody's way
    bpy.context.window_manager.radiance_twin_show_cameras = True
    painted = eyes(0)
    bpy.ops.radiance_twin.remove_error()
    at_rest()
    assert eyes(0) == pytest.approx(painted) and bpy.data.objects.get(heat.NAME) is None
