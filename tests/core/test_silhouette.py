# SPDX-License-Identifier: GPL-3.0-or-later
"""Pixels that surfaces cover, against the same asked of each pixel's ray."""

import numpy as np
import pytest

from radiance_twin.core.cameras import Camera, look_at, pixel_grid
from radiance_twin.core.lenses import CameraModel
from radiance_twin.core.rendering.silhouette import covered as covered_by

SIZE = (48, 36)
LENSES = {
    "pinhole": (CameraModel(), 40.0),
    "distorted": (CameraModel("opencv", (-0.25, 0.05, 0.002, -0.001, 0.0, 0.0)), 40.0),
    "fisheye": (CameraModel("fisheye"), 16.0),
    "equirectangular": (CameraModel("equirectangular"), 48 / (2 * np.pi)),
}


def covered(triangles: np.ndarray, seen_by: Camera, near: float) -> np.ndarray:
    return covered_by(triangles.reshape(-1, 3), np.arange(triangles.size // 3).reshape(-1, 3), seen_by, near)


def camera(lens: str, eye: tuple[float, float, float] = (3.1, -2.3, 1.7)) -> Camera:
    model, focal = LENSES[lens]
    return Camera(look_at(eye, (0.1, 0.0, 0.2)), np.array([focal, focal, SIZE[0] / 2, SIZE[1] / 2]), SIZE, model=model)


def rays_that_hit(triangles: np.ndarray, seen_by: Camera) -> tuple[np.ndarray, np.ndarray]:
    """[H, W] whether each pixel's ray meets a triangle, and whether it all but grazes an edge (Möller and Trumbore)."""
    eye = seen_by.camera_to_world[:3, 3]
    ways = seen_by.ray_directions(pixel_grid(*SIZE)).reshape(-1, 1, 3)
    a, b, c = np.moveaxis(triangles, 1, 0)
    normal = np.cross(ways, c - a)
    span = (normal * (b - a)).sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        u = ((eye - a) * normal).sum(axis=-1) / span
        across = np.cross(eye - a, b - a)
        v = (ways * across).sum(axis=-1) / span
        far = ((c - a) * across).sum(axis=-1) / span
    inner = np.minimum(np.minimum(u, v), 1.0 - u - v)
    hit = ((inner > 0) & (far > 1e-3)).any(axis=1)
    # an edge inside of the surface belongs to two triangles, and either has the pixel
    grazed = ((np.abs(inner) < 0.02) & (far > 1e-3)).any(axis=1) & ~((inner > 0.02) & (far > 1e-3)).any(axis=1)
    return hit.reshape(SIZE[::-1]), grazed.reshape(SIZE[::-1])


def box(half: float, middle: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> np.ndarray:
    corners = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * half + middle
    squares = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    return np.array([corners[list(part)] for a, b, c, d in squares for part in ((a, b, c), (a, c, d))])


@pytest.mark.parametrize("lens", LENSES)
def test_a_box_covers_the_pixels_whose_rays_meet_it(lens: str) -> None:
    seen_by = camera(lens)
    hit, grazed = rays_that_hit(box(0.8), seen_by)
    mask = covered(box(0.8), seen_by, 0.01)
    assert hit.sum() > 10
    np.testing.assert_array_equal(mask[~grazed], hit[~grazed])
    # straight edges are exact; bent ones to a twentieth of a pixel
    assert (mask != hit).sum() <= (0 if lens == "pinhole" else 2)


@pytest.mark.parametrize("lens", LENSES)
def test_around_and_behind_the_camera(lens: str) -> None:
    """A room around the camera is everywhere; a slab that reaches behind it is cut off, not mirrored."""
    seen_by = camera(lens)
    assert covered(box(9.0), seen_by, 0.01)[seen_by.draws(pixel_grid(*SIZE))].all()
    slab = box(1.0) * [9.0, 9.0, 0.01] - [0.0, 0.0, 0.5]
    hit, grazed = rays_that_hit(slab, seen_by)
    mask = covered(slab, seen_by, 0.01)
    assert 0.2 < hit.mean() < 0.9 and (mask != hit)[~grazed].mean() < 0.005


@pytest.mark.parametrize("lens", LENSES)
def test_a_triangle_is_seen_though_none_of_its_edges_is(lens: str) -> None:
    seen_by = camera(lens)
    right, up, back, eye = seen_by.camera_to_world[:3].T
    huge = eye - back + 100.0 * np.array([-right - 0.6 * up, right - 0.6 * up, up])
    hit, grazed = rays_that_hit(huge[None], seen_by)
    assert hit.mean() > 0.3
    np.testing.assert_array_equal(covered(huge[None], seen_by, 0.01)[~grazed], hit[~grazed])


def test_over_the_seam_of_a_panorama() -> None:
    seen_by = camera("equirectangular")
    behind = tuple(2.0 * seen_by.camera_to_world[:3, 3])
    hit, grazed = rays_that_hit(box(0.8, behind), seen_by)
    assert hit[:, 0].any() and hit[:, -1].any() and not hit[:, SIZE[0] // 2].any()
    np.testing.assert_array_equal(covered(box(0.8, behind), seen_by, 0.01)[~grazed], hit[~grazed])


def test_what_is_beside_a_centre_covers_nothing() -> None:
    seen_by = camera("pinhole")
    corners = np.array([[12.3, 8.3], [12.35, 8.7], [12.6, 8.3]])  # the rectangle around them has one, they have none
    sliver = seen_by.camera_to_world[:3, 3] + 3.0 * seen_by.ray_directions(corners)
    assert not covered(sliver[None], seen_by, 0.01).any()


def test_nothing_covers_nothing() -> None:
    assert not covered(np.zeros((0, 3, 3)), camera("pinhole"), 0.1).any()
    assert not covered(box(0.5, (6.0, -4.6, 3.2)), camera("pinhole"), 0.1).any(), "behind the camera"
    assert not covered(box(0.5), camera("pinhole"), 6.0).any(), "nearer than what is cut off"
