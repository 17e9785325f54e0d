# SPDX-License-Identifier: GPL-3.0-or-later
"""A scene that numpy ray-traces exactly, as a dataset: a striped ball on a checkered slab, under a sun."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from radiance_twin.core.cameras import Camera, look_at, pixel_grid, world_from_field_of_bounds
from radiance_twin.core.colour import standard_view_transform
from radiance_twin.core.dataset.contents import DatasetHeader, ViewPixels
from radiance_twin.core.dataset.writing import write_dataset
from radiance_twin.core.lenses import PINHOLE, CameraModel

CENTRE, RADIUS = np.array([0.1, -0.1, 0.45]), 0.4
SLAB = np.array([[-0.8, -0.8, -0.15], [0.8, 0.8, 0.05]])
BOUNDS = np.array([[-0.8, -0.8, -0.15], [0.8, 0.8, 0.85]])
SUN = np.array([0.5, -0.4, 0.77])


def trace(origins: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scene-linear colour [R, 3] and distance [R] (infinite on a miss) along unit rays."""
    to_ball = origins - CENTRE
    middle = (to_ball * directions).sum(axis=1)
    discriminant = middle**2 - (to_ball**2).sum(axis=1) + RADIUS**2
    ball = np.where(discriminant > 0, -middle - np.sqrt(np.maximum(discriminant, 0)), np.inf)
    with np.errstate(divide="ignore"):
        faces = (SLAB[:, None] - origins) / directions
    entry, leave = faces.min(axis=0).max(axis=1), faces.max(axis=0).min(axis=1)
    slab = np.where((entry < leave) & (entry > 0), entry, np.inf)
    distance = np.minimum(ball, slab)
    points = origins + np.where(np.isfinite(distance), distance, 0.0)[:, None] * directions
    normals = (points - CENTRE) / RADIUS
    axis = faces.min(axis=0).argmax(axis=1)
    flat = np.zeros_like(points)
    flat[np.arange(len(points)), axis] = -np.sign(directions[np.arange(len(points)), axis])
    on_ball = (ball < slab)[:, None]
    normals = np.where(on_ball, normals, flat)
    stripes = np.where(np.sin(12 * points[:, 2:]) > 0, [0.8, 0.2, 0.1], [0.1, 0.3, 0.7])
    checks = np.where((np.floor(points * 4)[:, :2].sum(axis=1) % 2 == 0)[:, None], 0.6, 0.1)
    light = 0.4 + 1.2 * np.maximum(normals @ SUN, 0.0)[:, None]
    colour = np.where(on_ball, stripes, checks) * light
    return np.where(np.isfinite(distance)[:, None], colour, 0.0), distance


def sky(directions: np.ndarray) -> np.ndarray:
    """Scene-linear radiance [R, 3] of what surrounds the scene."""
    return np.stack([0.3 + 0.2 * directions[:, 2], 0.4 + 0.1 * directions[:, 0], 0.8 + 0.0 * directions[:, 1]], axis=1)


def view(camera: Camera, film: str, depth: bool) -> ViewPixels:
    """One view with nine samples to a pixel; depth at the pixel's centre. Black where the lens draws nothing."""
    pixels, eye = pixel_grid(*camera.size), camera.camera_to_world[:3, 3]
    height, width = pixels.shape[:2]
    drawn = camera.draws(pixels)
    rgba = np.zeros((height * width, 4))
    for shift in np.ndindex(3, 3):
        directions = _directions(camera, pixels + (np.array(shift) - 1) / 3)
        colour, distance = trace(np.broadcast_to(eye, directions.shape), directions)
        hit = np.isfinite(distance)[:, None]
        if film == "world":
            colour, hit = np.where(hit, colour, sky(directions)), np.ones_like(hit)
        rgba += np.concatenate([colour, hit], axis=1) / 9
    directions = _directions(camera, pixels)
    _, distance = trace(np.broadcast_to(eye, directions.shape), directions)
    distance = np.where(np.isfinite(distance), distance, 0.0).reshape(height, width)
    seen = np.where(drawn, distance / np.where(drawn, camera.distance_over_depth(pixels), 1.0), 0.0)
    return ViewPixels(
        (rgba.reshape(height, width, 4) * drawn[..., None]).astype(np.float32),
        seen.astype(np.float32) if depth else None,
        valid=None if camera.model.is_pinhole else drawn,
    )


def _directions(camera: Camera, pixels: np.ndarray) -> np.ndarray:
    directions = camera.ray_directions(pixels).reshape(-1, 3)
    return np.where(np.isfinite(directions), directions, -camera.camera_to_world[:3, 2])


def cameras(count: int, turn: float) -> list[np.ndarray]:
    """Camera-to-world matrices [4, 4] around the upper hemisphere."""
    result = []
    for index in range(count):
        height, angle = 0.1 + 0.8 * (index + 0.5) / count, (index + turn) * 2.399963
        flat = np.sqrt(1 - height**2)
        outward = np.array([flat * np.cos(angle), flat * np.sin(angle), height])
        result.append(look_at(np.array([0.0, 0.0, 0.35]) + 3.0 * outward, [0.0, 0.0, 0.35]))
    return result


def write(
    path: Path,
    views: int = 24,
    size: int = 40,
    film: str = "transparent",
    depth: bool = True,
    background: tuple[float, float, float] = (0.0, 0.0, 0.0),
    model: CameraModel = PINHOLE,
    focal: float = 1.3,
) -> Path:
    """The scene as a dataset with `views` training views, two for validation and two for testing.

    `focal` is in units of the picture's side.
    """
    matrices = np.array(cameras(views, 0.0) + cameras(2, 0.4) + cameras(2, 0.7))
    count = len(matrices)
    intrinsics = np.array([focal * size, focal * size, size / 2, size / 2])
    header = DatasetHeader(
        camera_to_world=matrices,
        intrinsics=np.tile(intrinsics, (count, 1)),
        size=np.full((count, 2), size, np.int32),
        frame=np.zeros(count, np.int32),
        splits={"train": list(range(views)), "val": [views, views + 1], "test": [views + 2, views + 3]},
        world_from_field=world_from_field_of_bounds(BOUNDS),
        bounds=BOUNDS,
        film=film,
        background=background,
        view_transform=standard_view_transform(),
        scene_name="analytic",
        scene_hash="0" * 64,
        camera_kind=model.kind,
        distortion=np.tile(model.distortion, (count, 1)),
    )

    def pixels(matrix: np.ndarray) -> ViewPixels:
        return view(Camera(matrix, intrinsics, (size, size), model=model), film, depth)

    with ThreadPoolExecutor() as pool:
        write_dataset(path, header, pool.map(pixels, matrices))
    return path
