# SPDX-License-Identifier: GPL-3.0-or-later
"""Rigs: rules that place cameras around a target, or choose frames of an animated camera. Numpy alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .cameras import look_at
from .errors import UserError

Array = NDArray[np.float64]

# rigs that stand around a target; `animated` follows the scene's own camera instead
PLACED_RIGS = ("hemisphere", "sphere", "orbit")
RIGS = (*PLACED_RIGS, "animated")
SPLITS = ("train", "val", "test")

MARGIN = 1.1
ORBIT_ELEVATION = np.radians(30.0)
GOLDEN_ANGLE = np.pi * (3.0 - np.sqrt(5.0))
CANDIDATE_TURNS = 64


def place_cameras(rig: str, counts: dict[str, int], centre: ArrayLike, distance: float) -> dict[str, Array]:
    """Camera-to-world matrices [n, 4, 4] of each split, all of them `distance` away from `centre` and looking at it."""
    centre = np.asarray(centre, np.float64)
    return {
        split: np.array([look_at(centre + distance * way, centre) for way in ways]).reshape(-1, 4, 4)
        for split, ways in directions(rig, counts).items()
    }


def directions(rig: str, counts: dict[str, int]) -> dict[str, Array]:
    """Unit vectors [n, 3] from the target to the cameras of each split.

    Args:
        rig: one of PLACED_RIGS.
        counts: of "train", "val" and "test" views.
    """
    if rig == "orbit":
        total = sum(counts.values())
        return {split: _ring(slots * (2.0 * np.pi / total)) for split, slots in interleave(counts).items()}
    placed: dict[str, Array] = {}
    for split in SPLITS:
        points = fibonacci(counts[split], upper_half=rig == "hemisphere")
        placed[split] = _turn_away(points, np.concatenate([np.zeros((0, 3)), *placed.values()]))
    return placed


def fibonacci(count: int, upper_half: bool = False) -> Array:
    """`count` points [n, 3] that cover the unit sphere evenly, or its upper half.

    The spherical Fibonacci lattice: equal steps in height (so equal areas, by Archimedes), the golden angle between
    neighbours. R. Swinbank and R. J. Purser, "Fibonacci grids", Q. J. R. Meteorol. Soc. 132, 2006.
    """
    step = (np.arange(count) + 0.5) / max(count, 1)
    height = step if upper_half else 2.0 * step - 1.0
    angle = np.arange(count) * GOLDEN_ANGLE
    radius = np.sqrt(1.0 - height**2)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), height], axis=-1)


def interleave(counts: dict[str, int]) -> dict[str, NDArray[np.int64]]:
    """Slots 0 .. total-1 of one sequence, shared out so that each split is spread evenly over it."""
    entries = sorted(((i + 0.5) / counts[split], split) for split in SPLITS for i in range(counts[split]))
    return {
        split: np.array([slot for slot, (_, owner) in enumerate(entries) if owner == split], np.int64)
        for split in SPLITS
    }


def choose_frames(first: int, last: int, step: int, counts: dict[str, int]) -> dict[str, NDArray[np.int64]]:
    """Frames of each split, evenly spread over the frames first, first + step .. last.

    Raises:
        UserError: there are fewer frames than views.
    """
    frames = np.arange(first, last + 1, step)
    total = sum(counts.values())
    if len(frames) < total:
        held_out = counts["val"] + counts["test"]
        raise UserError(
            f"the animation has {len(frames)} frames, too few for {total} views ({counts['train']} to train and "
            f"{held_out} held out); ask for fewer views or lengthen the frame range"
        )
    chosen = frames[np.round(np.linspace(0, len(frames) - 1, total)).astype(np.int64)]
    return {split: chosen[slots] for split, slots in interleave(counts).items()}


def fitting_distance(radius: float, intrinsics: ArrayLike, width: int, height: int) -> float:
    """How far away a sphere fits into the picture, with 10 % margin, whatever the lens shift.

    Raises:
        UserError: the shift moves the centre out of the picture.
    """
    fx, fy, cx, cy = np.asarray(intrinsics, np.float64)
    narrowest = np.arctan(min(cx / fx, (width - cx) / fx, cy / fy, (height - cy) / fy))
    if narrowest <= 1e-3:
        raise UserError("the camera's lens shift moves the target out of the picture; set Shift X and Y to 0")
    return float(MARGIN * radius / np.sin(narrowest))


def _ring(angles: Array) -> Array:
    across = np.cos(ORBIT_ELEVATION)
    up = np.full(len(angles), np.sin(ORBIT_ELEVATION))
    return np.stack([across * np.cos(angles), across * np.sin(angles), up], axis=-1)


def _turn_away(points: Array, others: Array) -> Array:
    """`points` turned about the vertical so that the nearest of `others` is as far away as can be."""
    if not len(points) or not len(others):
        return points
    best, best_closeness = points, np.inf
    for turn in np.arange(CANDIDATE_TURNS) * (2.0 * np.pi / CANDIDATE_TURNS):
        c, s = np.cos(turn), np.sin(turn)
        turned = points @ np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
        closeness = float((turned @ others.T).max())
        if closeness < best_closeness - 1e-9:
            best, best_closeness = turned, closeness
    return best
