# SPDX-License-Identifier: GPL-3.0-or-later
"""What planned views cover, and how far held-out views stand from training views. Numpy alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .dataset.staging import Plan
from .rigs import PLACED_RIGS

Array = NDArray[np.float64]


def overlap(plan: Plan, centre: ArrayLike) -> str:
    """How far each test view stands from the nearest training view, in words; empty when there are none.

    Args:
        centre: [3], of the target, from which views around it are told apart by their angle.
    """
    places = np.array([view.camera_to_world for view in plan.views]).reshape(-1, 4, 4)[:, :3, 3]
    train, test = (places[plan.splits[split]] for split in ("train", "test"))
    if not len(train) or not len(test):
        return ""
    if plan.configuration.get("rig") in PLACED_RIGS:
        apart, unit = degrees_to_nearest(test - centre, train - centre), "degrees as seen from the target"
    else:
        apart = np.sqrt(((test[:, None] - train[None]) ** 2).sum(axis=2).min(axis=1))
        unit = "scene units"
    least, middle, most = (f"{value:.3g}" for value in (apart.min(), np.median(apart), apart.max()))
    return f"From each test view to the nearest training view: {least} to {most} {unit}, median {middle}"


def degrees_to_nearest(ways: ArrayLike, others: ArrayLike) -> Array:
    """The angle [N] between each direction of `ways` [N, 3] and the nearest of `others` [M, 3], degrees."""
    first, second = (np.asarray(one, np.float64) for one in (ways, others))
    first, second = (one / np.maximum(np.linalg.norm(one, axis=1, keepdims=True), 1e-12) for one in (first, second))
    nearest: Array = np.degrees(np.arccos(np.clip((first @ second.T).max(axis=1), -1.0, 1.0)))
    return nearest
