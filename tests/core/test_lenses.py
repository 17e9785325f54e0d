# SPDX-License-Identifier: GPL-3.0-or-later
"""Camera models: OpenCV draws the same points at the same pixels, and every ray leads back to its pixel."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from radiance_twin.core.cameras import Camera, look_at, pixel_grid, project, rays_in_field
from radiance_twin.core.lenses import CameraModel

SIZE = (64, 48)
POSE = look_at((3.0, -2.0, 1.5), (0.2, 0.1, 0.3))
# a wide lens with all coefficients, k1 k2 p1 p2 k3 k4, and a fisheye of about 200 degrees across
BENT = CameraModel("opencv", (-0.25, 0.06, 0.002, -0.003, 0.01, 0.03))
FISHEYE = CameraModel("fisheye", (0.04, -0.01, 0.0, 0.0, 0.002, -0.0003))
CAMERAS = {
    "distorted": Camera(POSE, np.array([40.0, 42.0, 30.0, 25.0]), SIZE, model=BENT),
    "fisheye": Camera(POSE, np.array([20.0, 18.0, 33.0, 22.0]), SIZE, model=FISHEYE),
    "equidistant": Camera(POSE, np.array([20.0, 20.0, 32.0, 24.0]), SIZE, model=CameraModel("fisheye")),
    "equirectangular": Camera(
        POSE, np.array([64 / (2 * np.pi), 48 / np.pi, 32.0, 24.0]), SIZE, model=CameraModel("equirectangular")
    ),
}


def seen_points(camera: Camera, count: int = 500) -> np.ndarray:
    """Points of the world in front of a camera, within 50 degrees of its axis."""
    random = np.random.default_rng(0)
    local = np.concatenate([random.uniform(-0.8, 0.8, (count, 2)), -np.ones((count, 1))], axis=1)
    return local * random.uniform(0.5, 5.0, (count, 1)) @ camera.camera_to_world[:3, :3].T + POSE[:3, 3]


@pytest.mark.parametrize("name", ["distorted", "fisheye", "equidistant"])
def test_points_are_drawn_where_opencv_draws_them(name: str) -> None:
    camera = CAMERAS[name]
    fx, fy, cx, cy = camera.intrinsics
    points = seen_points(camera)
    # OpenCV's axes: y down, z forwards; its pixels have their centres at whole numbers
    world_to_camera = np.linalg.inv(camera.camera_to_world @ np.diag([1.0, -1.0, -1.0, 1.0]))
    turn, move = cv2.Rodrigues(world_to_camera[:3, :3])[0], world_to_camera[:3, 3]
    matrix = np.array([[fx, 0, cx - 0.5], [0, fy, cy - 0.5], [0, 0, 1]])
    k = np.array([*camera.model.distortion, 0.0, 0.0])  # OpenCV counts on to k6
    if name == "distorted":
        drawn, _ = cv2.projectPoints(points, turn, move, matrix, k)
    else:
        drawn, _ = cv2.fisheye.projectPoints(points[:, None], turn, move, matrix, k[[0, 1, 4, 5]])
    np.testing.assert_allclose(camera.project(points)[0], drawn[:, 0] + 0.5, atol=1e-9)


@pytest.mark.parametrize("name", CAMERAS)
def test_a_point_on_a_pixels_ray_is_drawn_at_that_pixel_with_its_depth(name: str) -> None:
    camera, grid = CAMERAS[name], pixel_grid(*SIZE)
    drawn = camera.draws(grid)
    assert drawn.mean() > 0.9
    ways = camera.ray_directions(grid)
    assert np.isnan(ways[~drawn]).all()
    points = POSE[:3, 3] + 2.5 * ways[drawn]
    pixels, depth = camera.project(points)
    np.testing.assert_allclose(pixels, grid[drawn], atol=1e-6)
    np.testing.assert_allclose(depth * camera.distance_over_depth(grid[drawn]), 2.5)
    picture = np.full(drawn.shape, np.nan)
    picture[drawn] = depth
    np.testing.assert_allclose(camera.unproject(picture)[drawn], points)
    if name == "distorted":
        np.testing.assert_allclose(depth, (points - POSE[:3, 3]) @ -POSE[:3, 2])
    else:
        np.testing.assert_allclose(depth, 2.5)  # planar depth would be 0 at 90 degrees and negative behind


def test_a_lens_without_coefficients_is_the_pinhole_to_the_last_bit() -> None:
    camera = Camera(POSE, np.array([40.0, 42.0, 30.0, 25.0]), SIZE)
    points = seen_points(camera)
    for ours, pinhole in zip(camera.project(points), project(points, POSE, camera.intrinsics), strict=True):
        assert np.array_equal(ours, pinhole)


def test_panoramas_see_what_lies_beside_and_behind() -> None:
    around = CAMERAS["equirectangular"]
    right, back, up = POSE[:3, :3].T[0], POSE[:3, 2], POSE[:3, 1]
    pixels, depth = around.project(POSE[:3, 3] + 2.0 * np.array([right, 0.6 * back + 0.8 * up, -back]))
    assert pixels[[0, 2]] == pytest.approx(np.array([[48.0, 24.0], [32.0, 24.0]]))
    assert pixels[1, 1] == pytest.approx(24.0 - np.arcsin(0.8) * 48.0 / np.pi)
    assert depth == pytest.approx(2.0)
    fisheye, _ = CAMERAS["equidistant"].project(POSE[:3, 3] + right[None] - 0.5 * POSE[:3, 2])
    assert fisheye[0, 0] == pytest.approx(32.0 + 20.0 * np.arctan2(1.0, 0.5))


@pytest.mark.parametrize("model", [CameraModel("opencv", (-0.4, 0.0, 0.0, 0.0, 0.0, 0.0)), FISHEYE], ids=str)
def test_what_a_polynomial_would_draw_twice_is_not_drawn(model: CameraModel) -> None:
    """Outer things are drawn farther out, up to an angle; places beyond it show nothing."""
    angles = np.linspace(0.0, 1.02 * model.widest, 500)
    local = np.stack([np.sin(angles), np.zeros(500), -np.cos(angles)], axis=-1)
    places = model.places(local)
    drawn = np.isfinite(places[:, 0])
    assert np.array_equal(drawn, angles <= model.widest)
    assert (np.diff(places[drawn, 0]) > 0.0).all()
    beyond = np.nanmax(places[:, 0]) + np.array([-0.01, 0.01])
    assert np.isfinite(model.directions(np.stack([beyond, 0.0 * beyond], axis=-1))[:, 0]).tolist() == [True, False]


def test_rays_that_a_lens_does_not_draw_go_along_its_axis() -> None:
    camera = Camera(POSE, np.array([8.0, 8.0, 32.0, 24.0]), SIZE, model=CameraModel("fisheye"))
    _, ways = rays_in_field(camera, pixel_grid(*SIZE), np.eye(4))
    drawn = camera.draws(pixel_grid(*SIZE))
    assert 0.5 < drawn.mean() < 0.9
    np.testing.assert_allclose(ways[~drawn], np.broadcast_to(-POSE[:3, 2], ways[~drawn].shape))
