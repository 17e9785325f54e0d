# SPDX-License-Identifier: GPL-3.0-or-later
"""A dataset to try training on: a ball, half red and half blue, lit from above."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..cameras import look_at, pixel_grid, ray_directions, world_from_field_of_bounds
from ..colour import standard_view_transform
from ..dataset.contents import DatasetHeader, ViewPixels
from ..dataset.writing import write_dataset
from ..rendering.rigs import directions

RADIUS = 0.8
BOUNDS = np.array([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]])
VIEWS = {"train": 12, "val": 2, "test": 1}


def write_scene(path: Path, size: int = 48) -> None:
    """Write it: VIEWS of size×size pixels, from all around."""
    outward = directions("sphere", VIEWS)
    cameras = np.array([look_at(3.0 * way, (0.0, 0.0, 0.0)) for split in VIEWS for way in outward[split]])
    intrinsics = np.array([1.4 * size, 1.4 * size, size / 2, size / 2])
    count = len(cameras)
    ends = np.cumsum(list(VIEWS.values()))
    header = DatasetHeader(
        camera_to_world=cameras,
        intrinsics=np.tile(intrinsics, (count, 1)),
        size=np.full((count, 2), size, np.int32),
        frame=np.zeros(count, np.int32),
        splits={name: list(range(end - VIEWS[name], end)) for name, end in zip(VIEWS, ends.tolist(), strict=True)},
        world_from_field=world_from_field_of_bounds(BOUNDS),
        bounds=BOUNDS,
        film="transparent",
        view_transform=standard_view_transform(),
    )

    def views() -> Iterator[ViewPixels]:
        for camera in cameras:
            yield view(camera, intrinsics, size)

    write_dataset(path, header, views())


def view(camera: NDArray[np.float64], intrinsics: NDArray[np.float64], size: int) -> ViewPixels:
    """One view: rgba scene-linear and planar depth, exact at each pixel's centre."""
    rays = ray_directions(camera, intrinsics, pixel_grid(size, size))
    eye = camera[:3, 3]
    middle = -(rays @ eye)
    inside = RADIUS**2 - (eye @ eye - middle**2)
    hit = inside > 0.0
    distance = middle - np.sqrt(np.maximum(inside, 0.0))
    normals = (eye + distance[..., None] * rays) / RADIUS
    base = np.where(normals[..., :1] > 0.0, [0.8, 0.1, 0.1], [0.1, 0.2, 0.8])
    light = base * (0.6 + 0.4 * normals[..., 2:])
    rgba = np.concatenate([light, np.ones((size, size, 1))], axis=-1) * hit[..., None]
    depth = np.where(hit, distance * -(rays @ camera[:3, 2]), 0.0)
    return ViewPixels(rgba.astype(np.float32), depth.astype(np.float32))
