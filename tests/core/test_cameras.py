# SPDX-License-Identifier: GPL-3.0-or-later
"""Camera conventions: a point seen at a pixel is the point that the pixel's ray passes through."""

from typing import Any

import numpy as np
import pytest

from radiance_twin.core import cameras
from radiance_twin.core.lenses import CameraModel


def test_a_point_straight_ahead_lands_on_the_principal_point() -> None:
    camera_to_world = cameras.look_at((4.0, -3.0, 2.0), (0.5, 0.5, 0.5))
    intrinsics = cameras.intrinsics_from_lens(50.0, 36.0, 24.0, "AUTO", 0.0, 0.0, 320, 200)
    pixels, depth = cameras.project([[0.5, 0.5, 0.5]], camera_to_world, intrinsics)
    np.testing.assert_allclose(pixels[0], (160.0, 100.0), atol=1e-9)
    np.testing.assert_allclose(depth[0], np.linalg.norm([3.5, -3.5, 1.5]), rtol=1e-12)


def test_up_in_the_world_is_up_in_the_image() -> None:
    camera_to_world = cameras.look_at((0.0, -5.0, 0.0), (0.0, 0.0, 0.0))
    pixels, _ = cameras.project([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]], camera_to_world, [100.0, 100.0, 50.0, 50.0])
    assert pixels[0, 1] < 50.0 < pixels[1, 0], "v points down, u points right"


def test_rays_and_projection_are_inverse() -> None:
    random = np.random.default_rng(1)
    camera_to_world = cameras.look_at(random.normal(size=3) * 5, random.normal(size=3))
    intrinsics = [120.0, 90.0, 33.0, 51.0]
    pixels = cameras.pixel_grid(7, 5).reshape(-1, 2)
    directions = cameras.ray_directions(camera_to_world, intrinsics, pixels)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=-1), 1.0)
    points = camera_to_world[:3, 3] + directions * random.uniform(1.0, 9.0, (len(pixels), 1))
    np.testing.assert_allclose(cameras.project(points, camera_to_world, intrinsics)[0], pixels, atol=1e-9)


@pytest.mark.parametrize("kind", ["opencv", "fisheye"])
def test_a_picture_of_another_shape_shows_the_same_stretched_to_it(kind: Any) -> None:
    model = CameraModel(kind, (0.05, 0.0, 0.0, 0.0, 0.0, 0.0))
    matrix = cameras.look_at((3.0, -2.0, 1.5), (0.0, 0.0, 0.0))
    camera = cameras.Camera(matrix, np.array([90.0, 80.0, 45.0, 41.0]), (100, 80), model=model)
    points = np.random.default_rng(2).uniform(-0.8, 0.8, (40, 3))
    pixels, depth = camera.project(points)
    other, other_depth = camera.resized((50, 160)).project(points)
    assert np.allclose(other, pixels * [0.5, 2.0]) and np.array_equal(other_depth, depth)
    assert camera.resized((50, 160)).size == (50, 160)


def test_a_distance_along_the_ray_is_planar_depth_times_its_stretch() -> None:
    camera_to_world, intrinsics = cameras.look_at((3.0, 1.0, 2.0), (0.0, 0.0, 0.0)), [120.0, 90.0, 33.0, 51.0]
    pixels = cameras.pixel_grid(7, 5).reshape(-1, 2)
    points = camera_to_world[:3, 3] + 2.5 * cameras.ray_directions(camera_to_world, intrinsics, pixels)
    _, depth = cameras.project(points, camera_to_world, intrinsics)
    np.testing.assert_allclose(depth * cameras.distance_over_depth(intrinsics, pixels), 2.5)


def test_a_ray_in_the_field_goes_through_the_same_points_as_in_the_world() -> None:
    # turned, scaled and moved, as an import may have it
    world_from_field = 3.0 * cameras.look_at((0.3, -0.2, 0.9), (1.0, 2.0, 0.0))
    world_from_field[3, 3] = 1.0
    pose = cameras.look_at((3.0, 1.0, 2.0), (0.0, 0.0, 0.0))
    camera = cameras.Camera(pose, np.array([120.0, 90.0, 33.0, 51.0]), (7, 5))
    origin, ways = cameras.rays_in_field(camera, cameras.pixel_grid(7, 5), world_from_field)
    np.testing.assert_allclose(np.linalg.norm(ways, axis=-1), 1.0)
    points = (origin + 0.7 * ways).reshape(-1, 3) @ world_from_field[:3, :3].T + world_from_field[:3, 3]
    pixels, _ = cameras.project(points, camera.camera_to_world, camera.intrinsics)
    np.testing.assert_allclose(pixels, cameras.pixel_grid(7, 5).reshape(-1, 2), atol=1e-9)
    assert cameras.uniform_scale(world_from_field) == pytest.approx(3.0)
    np.testing.assert_allclose(np.linalg.norm(points - pose[:3, 3], axis=1), 0.7 * 3.0)


def test_rays_of_an_orthographic_camera_are_parallel_and_a_pixel_is_always_as_wide() -> None:
    world_from_field = 3.0 * cameras.look_at((0.3, -0.2, 0.9), (1.0, 2.0, 0.0))
    world_from_field[3, 3] = 1.0
    # as seen from a twin's own space, which is half as large as the world: the camera seems twice as large
    pose = cameras.look_at((3.0, 1.0, 2.0), (0.0, 0.0, 0.0)) @ np.diag([2.0, 2.0, 2.0, 1.0])
    camera = cameras.Camera(pose, np.array([20.0, 10.0, 3.0, 2.5]), (7, 5), orthographic=True)
    pixels = cameras.pixel_grid(7, 5)
    origins, ways = cameras.rays_in_field(camera, pixels, world_from_field)
    np.testing.assert_allclose(np.linalg.norm(ways, axis=-1), 1.0)
    points = (origins + 0.7 * ways).reshape(-1, 3) @ world_from_field[:3, :3].T + world_from_field[:3, 3]
    local = (points - pose[:3, 3]) @ np.linalg.inv(pose[:3, :3]).T
    u, v = pixels.reshape(-1, 2).T
    np.testing.assert_allclose(local[:, 0] * 20.0 + 3.0, u)
    np.testing.assert_allclose(2.5 - local[:, 1] * 10.0, v)
    np.testing.assert_allclose(local[:, 2], -0.7 * 3.0 / 2.0)
    larger = camera.resized((14, 10))
    assert larger.orthographic and larger.intrinsics.tolist() == [40.0, 20.0, 6.0, 5.0]


@pytest.mark.parametrize("eye", [(0.0, 0.0, 5.0), (0.0, 0.0, -5.0), (1.0, 2.0, 3.0)])
def test_look_at_is_a_rotation_even_straight_from_above(eye: tuple[float, float, float]) -> None:
    matrix = cameras.look_at(eye, (0.0, 0.0, 0.0))
    np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(matrix[:3, :3]), 1.0)
    np.testing.assert_allclose(-matrix[:3, 2], -np.array(eye) / np.linalg.norm(eye))


def test_portrait_auto_fits_the_sensor_to_the_longer_side() -> None:
    # the case that other exporters get wrong: 600 x 800 with 50 mm on 36 mm is 1111 pixels, not 833
    fx, fy, cx, cy = cameras.intrinsics_from_lens(50.0, 36.0, 24.0, "AUTO", 0.0, 0.0, 600, 800)
    np.testing.assert_allclose((fx, fy, cx, cy), (50 / 36 * 800, 50 / 36 * 800, 300, 400))


def test_the_corners_of_a_box_have_its_x_slowest_and_its_z_fastest() -> None:
    corners = cameras.corners_of_bounds([[0.0, 2.0, 4.0], [1.0, 3.0, 5.0]])
    assert corners[:3].tolist() == [[0.0, 2.0, 4.0], [0.0, 2.0, 5.0], [0.0, 3.0, 4.0]] and corners[4, 0] == 1.0


def test_the_field_cube_holds_the_bounds_with_a_margin() -> None:
    bounds = np.array([[-1.0, -2.0, 0.0], [3.0, 1.0, 0.5]])
    matrix = cameras.world_from_field_of_bounds(bounds)
    corners = np.array([[0.0, 0.0, 0.0, 1.0], [1.0, 1.0, 1.0, 1.0]]) @ matrix.T
    np.testing.assert_allclose(corners[:, :3].mean(axis=0), bounds.mean(axis=0))
    np.testing.assert_allclose(corners[1, :3] - corners[0, :3], 4.0 * 1.02)
