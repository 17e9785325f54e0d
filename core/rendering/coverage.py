# SPDX-License-Identifier: GPL-3.0-or-later
"""What planned views cover, and how far held-out views stand from training views. Numpy alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..dataset.staging import Plan
from .rigs import PLACED_RIGS

Array = NDArray[np.float64]

# training views by which a place is seen too seldom to be known well
FEW = 3


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


def shares(times: ArrayLike) -> dict[str, float]:
    """How often places are seen by training views, from how often each [N] is.

    Returns:
        places; shares of them: never, once, few (2 to FEW) and more; median.
    """
    times = np.asarray(times)
    count = max(len(times), 1)
    return {
        "places": len(times),
        "never": float((times == 0).sum() / count),
        "once": float((times == 1).sum() / count),
        "few": float(((times > 1) & (times <= FEW)).sum() / count),
        "more": float((times > FEW).sum() / count),
        "median": float(np.median(times)) if len(times) else 0.0,
    }


def shares_in_words(found: dict[str, float]) -> str:
    """One line of `shares`."""
    if not found["places"]:
        return "There is no surface whose coverage could be told"
    seldom = found["few"] + found["once"]
    times = "once" if round(found["median"]) == 1 else f"{found['median']:.0f} times"
    return (
        f"Training views see a place on the surface {times} in the median; {seldom:.0%} of the "
        f"places {FEW} times or less, {found['never']:.0%} never"
    )
