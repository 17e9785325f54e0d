# SPDX-License-Identifier: GPL-3.0-or-later
"""A way around what a dataset shows, found from its cameras alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..cameras import Camera, look_at
from ..dataset.store import Dataset
from ..errors import UserError

Array = NDArray[np.float64]

# of the distance to what is looked at: cameras that miss it by more look at nothing together
FURTHEST_MISS = 0.35
LEAST_LOOKING = 0.9
# the rig that follows the scene's own camera
ANIMATED = "animated"


def orbit_of(dataset: Dataset, count: int, size: tuple[int, int]) -> list[Camera]:
    """`count` cameras of `size` on a circle around what the dataset's cameras look at, as high and as far as they are.

    A dataset from an animated camera has a way of its own: then its cameras are taken, in the order of their frames.

    Raises:
        UserError: the cameras do not look at one thing.
    """
    poses = dataset.camera_to_world
    if dataset.configuration.get("rig") == ANIMATED:
        order = np.argsort(dataset.frame, kind="stable")
        chosen = order[np.linspace(0, len(order) - 1, count).round().astype(np.int64)]
        return [dataset.camera(int(index)).resized(size) for index in chosen]
    eyes, forward = poses[:, :3, 3], -poses[:, :3, 2] / np.linalg.norm(poses[:, :3, 2], axis=1, keepdims=True)
    centre = nearest_point(eyes, forward)
    away = eyes - centre
    distance = np.linalg.norm(away, axis=1)
    miss = np.linalg.norm(np.cross(away, forward), axis=1) / np.maximum(distance, 1e-9)
    looking = (miss < FURTHEST_MISS) & ((-away * forward).sum(axis=1) > 0.0)
    if not np.isfinite(centre).all() or looking.mean() < LEAST_LOOKING:
        raise UserError(
            f"the cameras of {dataset.path} do not stand around one thing, so that there is nothing to turn around; "
            "leave --turntable out"
        )
    up = poses[:, :3, 1].mean(axis=0)
    up /= np.linalg.norm(up)
    height = float(np.median(away @ up / distance))
    # two directions across `up`; the first is that of the first camera, so that the film begins where the dataset does
    first = away[0] - (away[0] @ up) * up
    if np.linalg.norm(first) < 1e-6 * distance[0]:
        first = np.cross(up, (1.0, 0.0, 0.0) if abs(up[0]) < 0.9 else (0.0, 1.0, 0.0))
    first /= np.linalg.norm(first)
    second = np.cross(up, first)
    across, far = np.sqrt(1.0 - height**2), float(np.median(distance))
    pattern = dataset.camera(0).resized(size)
    cameras = []
    for angle in np.arange(count) * (2.0 * np.pi / count):
        eye = centre + far * (across * (np.cos(angle) * first + np.sin(angle) * second) + height * up)
        cameras.append(replace(pattern, camera_to_world=look_at(eye, centre, up)))
    return cameras


def nearest_point(origins: Array, directions: Array) -> Array:
    """The point [3] with the least squared distance to all lines, through `origins` [N, 3] along unit `directions`.

    NaN when the lines are parallel.
    """
    # each line's projector onto what lies across it
    across = np.eye(3) - directions[:, :, None] * directions[:, None, :]
    matrix = across.sum(axis=0)
    if np.linalg.cond(matrix) > 1e6:
        return np.full(3, np.nan)
    return np.linalg.solve(matrix, (across @ origins[:, :, None]).sum(axis=0)[:, 0])
