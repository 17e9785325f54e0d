# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures through fisheyes, panoramas and distorting lenses, held against what can be computed by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest

from radiance_twin.addon import compat
from radiance_twin.addon.studio.render import render_views
from radiance_twin.core.cameras import Camera, pixel_grid
from radiance_twin.core.dataset import staging
from radiance_twin.core.dataset.contents import ViewPixels
from radiance_twin.core.dataset.cycles import view_pixels
from radiance_twin.core.dataset.resampling import through_the_lens
from radiance_twin.core.errors import UserError
from radiance_twin.core.reporting import QuietReporter

from .scenes import add_ball, add_box, add_camera, animate, make_emitter, new_scene, nodes_of, read_exr, request, save

LAMPS = np.array([[0.5, 0.2, 0.3], [-0.4, -0.5, 0.1], [0.1, 0.3, -0.6]])
LAMP = 0.15
# rays along each side of a pixel, of the reference
FINE = 16
BENT = [-0.3, 0.08, 0.004, -0.003, 0.01, 0.02]
SETTINGS: dict[str, dict[str, Any]] = {
    "distorted": {"distortion": BENT, "resolution": [64, 48]},
    "distorted portrait with a K matrix": {
        "distortion": BENT,
        "resolution": [40, 60],
        "intrinsics": [52.0, 47.0, 22.5, 27.0],
    },
    "fisheye": {"camera_model": "fisheye", "resolution": [64, 48]},
    "fisheye with a K matrix": {
        "camera_model": "fisheye",
        "resolution": [48, 56],
        "intrinsics": [25.0, 31.0, 22.0, 30.0],
        "fisheye_fov": 220.0,
    },
    "distorted fisheye": {
        "camera_model": "fisheye",
        "resolution": [64, 48],
        "fisheye_fov": 160.0,
        "distortion": [0.06, -0.01, 0.0, 0.0, 0.002, 0.0],
    },
    "equirectangular": {"camera_model": "equirectangular", "resolution": [96, 48]},
}


def rendered(tmp_path: Path, **settings: Any) -> list[tuple[Camera, ViewPixels]]:
    """Save the scene and render it: each view's camera and passes as a dataset would have them."""
    scene = save(tmp_path / "scene.blend")
    render_views(request(scene, tmp_path / "views", **settings), QuietReporter())
    plan = staging.read_plan(tmp_path / "views")
    if plan.views[0].stand_in is not None:
        pytest.importorskip("cv2", reason="distorted pictures are made by the worker, whose Python this is not")
    found = []
    for view in plan.views:
        beauty, truth = (read_exr(tmp_path / "views" / name) for name in view.pictures)
        pixels = through_the_lens(view_pixels(plan, beauty, truth, {}), view, plan.resolution)
        found.append((view.camera(plan.resolution), pixels))
    return found


def add_lamps() -> None:
    """One red, one green, one blue."""
    for number, place in enumerate(LAMPS):
        lamp = add_ball("Lamp", LAMP, place, segments=32)
        make_emitter(lamp, 10.0)
        colour = [float(channel == number) for channel in range(3)]
        nodes_of(lamp.data.materials[0])["Emission"].inputs["Color"].default_value = (*colour, 1.0)


def centroid(light: np.ndarray) -> np.ndarray:
    """Where light [H, W] is in the mean, pixels."""
    grid = pixel_grid(light.shape[1], light.shape[0])
    where: np.ndarray = (grid * light[..., None]).sum(axis=(0, 1)) / light.sum()
    return where


def light_is_where_the_camera_says(camera: Camera, pixels: ViewPixels) -> None:
    """The lamps' centroids, against those of the rays that hit them by the camera's own rule."""
    width, height = camera.size
    fine = camera.resized((width * FINE, height * FINE))
    ways = fine.ray_directions(pixel_grid(*fine.size))
    away = LAMPS - camera.camera_to_world[:3, 3]
    b = ways @ away.T
    inside = b**2 - (away**2).sum(axis=1) + LAMP**2
    distance = np.where((b > 0) & (inside > 0), b - np.sqrt(np.maximum(inside, 0.0)), np.inf)
    measured = 0
    for number in range(len(LAMPS)):
        hit = np.isfinite(distance[..., number]) & (distance[..., number] == distance.min(axis=-1))
        if hit.sum() < np.isfinite(distance[..., number]).sum():
            continue  # partly behind another one
        measured += 1
        expected = hit.reshape(height, FINE, width, FINE).mean(axis=(1, 3))
        off = centroid(pixels.rgba[..., number]) - centroid(expected)
        assert np.abs(off).max() < 0.02
    assert measured >= 2


@pytest.mark.parametrize("name", SETTINGS)
def test_a_light_is_seen_where_its_camera_says(tmp_path: Path, name: str) -> None:
    new_scene()
    add_lamps()
    add_camera((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    for camera, pixels in rendered(tmp_path, rig="orbit", views=1, samples=1024, **SETTINGS[name]):
        light_is_where_the_camera_says(camera, pixels)


@pytest.mark.parametrize("name", ["fisheye", "distorted fisheye"])
def test_what_is_valid_of_a_fisheye_has_nothing_of_what_is_beyond_its_circle(tmp_path: Path, name: str) -> None:
    """There Cycles renders opaque black."""
    new_scene()
    add_ball("Ball", 0.1, (0.0, 0.0, 0.0))
    settings = {**SETTINGS[name], "fisheye_fov": 180.0}
    for camera, pixels in rendered(tmp_path, rig="orbit", views=1, samples=16, film="transparent", **settings):
        from_middle = np.linalg.norm(pixel_grid(*camera.size) - camera.intrinsics[2:], axis=-1)
        valid = np.asarray(pixels.valid)
        furthest = from_middle[valid].max()
        assert valid.any() and not valid.all() and furthest > 20.0
        assert not pixels.rgba[valid & (from_middle > furthest - 3.0)].any()


@pytest.mark.parametrize("name", ["distorted", "fisheye with a K matrix", "distorted fisheye", "equirectangular"])
def test_depth_normal_and_index_are_those_of_the_pixels_rays(tmp_path: Path, name: str) -> None:
    """Of a ball, under depth of field that blurs the light."""
    scene, radius, centre = new_scene(), 1.0, np.array([0.3, 0.0, 0.2])
    add_ball("Ball", radius, centre, segments=128)
    camera_object = add_camera((2.2, -1.6, 1.1), (1.1, 0.05, 0.9))
    animate(camera_object, "location", (2.2, -1.6, 1.1), (2.0, -1.8, 1.0))
    dof = camera_object.data.dof
    dof.use_dof, dof.focus_distance, dof.aperture_fstop = True, 0.5, 0.5
    scene.render.use_motion_blur = True
    settings = {**SETTINGS[name], "rig": "animated", "film": "transparent"}
    for camera, pixels in rendered(tmp_path, samples=64, **settings):
        grid = pixel_grid(*camera.size)
        ways, eye = camera.ray_directions(grid), camera.camera_to_world[:3, 3]
        assert pixels.valid is not None and pixels.depth is not None and pixels.normal is not None
        seen = pixels.valid & camera.draws(grid)
        assert 0.5 < seen.mean() <= 1.0
        b = ways @ (eye - centre)
        inside = b**2 - (((eye - centre) ** 2).sum() - radius**2)
        hit = seen & (inside > 0) & (b < 0)
        # a few pixels inside the silhouette: at it, the nearest of the rendered pixels decides
        surely = seen & (inside > 0.15) & (b < 0)
        assert surely.sum() > 50
        assert ((pixels.depth > 0) == hit)[seen].mean() > 0.98
        points = camera.unproject(pixels.depth)[surely] - centre
        height = np.linalg.norm(points, axis=-1, keepdims=True)
        tilt = np.degrees(np.linalg.norm(pixels.normal[surely] - points / height, axis=-1))
        # what is interpolated between so few pixels is as flat as they are large
        assert np.abs(height - radius).max() < (5e-3 if camera.model.is_distorted else 1e-4)
        assert tilt.max() < (0.5 if camera.model.is_distorted else 0.1)
        assert np.median(np.abs(height - radius)) < 2e-3 and np.median(tilt) < 0.1
        assert pixels.object_index is not None and (pixels.object_index[surely] == 1).all()
        assert not pixels.rgba[~seen].any() and not pixels.depth[~seen].any()
        sharp = (pixels.rgba[..., 3] > 0.02) & (pixels.rgba[..., 3] < 0.98)
        assert sharp.sum() > 30, "the light is out of focus"


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("FISHEYE_EQUIDISTANT", {"fisheye_fov": 2.6}),
        ("EQUIRECTANGULAR", {"longitude_min": -1.3, "longitude_max": 1.1, "latitude_min": -0.9, "latitude_max": 0.8}),
        ("FISHEYE_LENS_POLYNOMIAL", {"fisheye_fov": 3.0, "fisheye_polynomial_k1": -0.08, "sensor_fit": "VERTICAL"}),
    ],
    ids=["equidistant", "a part of an equirectangular", "polynomial"],
)
def test_the_scenes_own_panorama_is_followed(tmp_path: Path, kind: str, data: dict[str, Any]) -> None:
    scene = new_scene()
    add_lamps()
    camera_object = add_camera((1.5, -1.1, 0.9), (1.1, 0.05, 0.95), shift_x=0.03, shift_y=-0.02)
    animate(camera_object, "location", (1.5, -1.1, 0.9), (1.4, -1.3, 0.8))
    camera_object.data.type = "PANO"
    panorama = compat.panorama_of(camera_object.data)
    panorama.panorama_type = kind
    for number in (0, 2, 3, 4):
        setattr(panorama, f"fisheye_polynomial_k{number}", 0.0)
    for name, value in data.items():
        setattr(panorama if hasattr(panorama, name) else camera_object.data, name, value)
    scene.render.resolution_x, scene.render.resolution_y = 60, 48
    for camera, pixels in rendered(
        tmp_path, rig="animated", views=2, resolution=[60, 48], samples=1024, film="transparent"
    ):
        light_is_where_the_camera_says(camera, pixels)


def test_a_lens_that_is_not_known_is_refused_in_words(tmp_path: Path) -> None:
    new_scene()
    add_box("Box")
    camera = add_camera((3.0, 0.0, 0.0), (1.0, 0.0, 1.0))
    animate(camera, "location", (3.0, 0.0, 0.0), (4.0, 0.0, 0.0))
    camera.data.type = "PANO"
    compat.panorama_of(camera.data).panorama_type = "MIRRORBALL"
    scene = save(tmp_path / "scene.blend")
    with pytest.raises(UserError, match="no camera that is perspective, equidistant fisheye or equirectangular"):
        render_views(request(scene, tmp_path / "views", rig="animated"), QuietReporter())


def test_the_image_circle_is_as_wide_as_asked(tmp_path: Path) -> None:
    new_scene()
    add_box("Box")
    [(camera, pixels), *_] = rendered(
        tmp_path, rig="orbit", camera_model="fisheye", fisheye_fov=150.0, resolution=[40, 30], film="world"
    )
    angle = np.linalg.norm((pixel_grid(40, 30) - camera.intrinsics[2:]) / camera.intrinsics[:2], axis=-1)
    assert camera.intrinsics == pytest.approx([30 / math.radians(150.0)] * 2 + [20.0, 15.0], rel=1e-6)
    assert pixels.valid is not None
    # all of a valid pixel's light is from within the circle, and little of it is lost by that
    rim = math.radians(150.0) / 30
    assert pixels.valid[angle <= math.radians(75.0) - 2.2 * rim].all()
    assert not pixels.valid[angle > math.radians(75.0) - 1.5 * rim].any()
    assert pixels.rgba[pixels.valid][:, 3].min() == 1.0 and not pixels.rgba[~pixels.valid].any()
    assert bpy.context.scene.camera is not None
