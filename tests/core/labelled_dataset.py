# SPDX-License-Identifier: GPL-3.0-or-later
"""A ball and a slab at known places as a dataset with all its passes, each pixel one exact ray."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from radiance_twin.core.cameras import pixel_grid, ray_directions, world_from_field_of_bounds
from radiance_twin.core.colour import standard_view_transform
from radiance_twin.core.dataset.contents import DatasetHeader, ViewPixels
from radiance_twin.core.dataset.writing import write_dataset

from .analytic_scene import BOUNDS, CENTRE, RADIUS, cameras, trace

WIDTH, HEIGHT = 48, 36
SHIFTED = np.array([60.0, 55.0, 20.5, 17.0])
CENTRED = np.array([60.0, 60.0, WIDTH / 2, HEIGHT / 2])
OBJECTS = [{"index": 3, "name": "Ball.001"}, {"index": 7, "name": 'Slab "old": 1'}]


def view(matrix: np.ndarray, intrinsics: np.ndarray) -> ViewPixels:
    """One view with one sample to a pixel, its depth, normals and objects known exactly."""
    directions = ray_directions(matrix, intrinsics, pixel_grid(WIDTH, HEIGHT)).reshape(-1, 3)
    colour, distance = trace(np.broadcast_to(matrix[:3, 3], directions.shape), directions)
    hit = np.isfinite(distance)
    points = matrix[:3, 3] + np.where(hit, distance, 0.0)[:, None] * directions
    on_ball = hit & (np.abs(np.linalg.norm(points - CENTRE, axis=1) - RADIUS) < 1e-6)
    normals = np.where(on_ball[:, None], (points - CENTRE) / RADIUS, np.where(hit[:, None], [0.0, 0.0, 1.0], 0.0))
    shape = (HEIGHT, WIDTH)
    return ViewPixels(
        np.concatenate([colour, hit[:, None]], axis=1).reshape(*shape, 4).astype(np.float32),
        (np.where(hit, distance, 0.0) * (directions @ -matrix[:3, 2])).reshape(shape).astype(np.float32),
        normals.reshape(*shape, 3).astype(np.float32),
        np.where(on_ball, 3, np.where(hit, 7, 0)).reshape(shape).astype(np.uint16),
    )


def write(path: Path, intrinsics: np.ndarray, truth: bool = True) -> Path:
    """Six training views, one to validate and two to test."""
    matrices = np.array(cameras(9, 0.3))
    header = DatasetHeader(
        camera_to_world=matrices,
        intrinsics=np.tile(intrinsics, (9, 1)),
        size=np.tile(np.array([WIDTH, HEIGHT], np.int32), (9, 1)),
        frame=np.zeros(9, np.int32),
        splits={"train": [0, 1, 2, 4, 5, 6], "val": [3], "test": [7, 8]},
        world_from_field=world_from_field_of_bounds(BOUNDS),
        bounds=BOUNDS,
        film="transparent",
        view_transform=standard_view_transform(),
        objects=OBJECTS if truth else [],
    )
    views = [view(matrix, intrinsics) for matrix in matrices]
    write_dataset(path, header, views if truth else [ViewPixels(one.rgba) for one in views])
    return path
