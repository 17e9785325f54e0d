# SPDX-License-Identifier: GPL-3.0-or-later
"""Directions that cover a sphere, or a part of it, and their division into splits. Numpy alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SPLITS = ("train", "val", "test")
GOLDEN_ANGLE = np.pi * (3.0 - np.sqrt(5.0))


def fibonacci(count: int, heights: tuple[float, float] = (-1.0, 1.0)) -> Array:
    """`count` points [n, 3] that cover the unit sphere between two heights z evenly.

    The spherical Fibonacci lattice: equal steps in height (so equal areas, by Archimedes), the golden angle between
    neighbours. R. Swinbank and R. J. Purser, "Fibonacci grids", Q. J. R. Meteorol. Soc. 132, 2006.
    """
    return on_sphere(_between(heights, (np.arange(count) + 0.5) / max(count, 1)), np.arange(count) * GOLDEN_ANGLE)


def hammersley(count: int, heights: tuple[float, float], angles: tuple[float, float]) -> Array:
    """`count` points [n, 3] of the Hammersley set, which fills any part of the unit sphere evenly.

    Heights z in equal steps, angles around it by van der Corput's sequence. J. M. Hammersley, "Monte Carlo methods for
    solving multivariable problems", Ann. N. Y. Acad. Sci. 86, 1960.
    """
    return on_sphere(
        _between(heights, (np.arange(count) + 0.5) / max(count, 1)), _between(angles, van_der_corput(count))
    )


def uniform(count: int, heights: tuple[float, float], angles: tuple[float, float], seed: int) -> Array:
    """`count` random points [n, 3], each spot of that part of the unit sphere as likely as any other."""
    # each point from its own number: the first hundred of a thousand are those of a hundred
    draws = np.array([np.random.default_rng([seed, number]).random(2) for number in range(count)]).reshape(-1, 2)
    return on_sphere(_between(heights, draws[:, 0]), _between(angles, draws[:, 1]))


def rings(count: int, number: int, heights: tuple[float, float], angles: tuple[float, float]) -> Array:
    """`count` points [n, 3] on `number` rings at equal steps of elevation, as many on each as its length deserves."""
    lowest, highest = np.arcsin(np.clip(heights, -1.0, 1.0))
    elevations = lowest + (np.arange(number) + 0.5) / number * (highest - lowest)
    lengths = np.cos(elevations)
    ends = np.round(np.cumsum(lengths) / lengths.sum() * count).astype(int)
    found = []
    for elevation, first, end in zip(elevations, [0, *ends[:-1]], ends, strict=True):
        steps = (np.arange(end - first) + 0.5) / max(end - first, 1)
        found.append(on_sphere(np.full(end - first, np.sin(elevation)), _between(angles, steps)))
    return np.concatenate(found)


def spiral(count: int, turns: float, heights: tuple[float, float], start: float = 0.0) -> Array:
    """`count` points [n, 3] on a line that climbs from one height to the other in `turns` turns, evenly along it.

    Args:
        start: the angle around z at which it begins, radians.
    """
    lowest, highest = np.arcsin(np.clip(heights, -1.0, 1.0))
    fine = np.linspace(0.0, 1.0, 4096)
    line = on_sphere(np.sin(lowest + fine * (highest - lowest)), start + 2 * np.pi * turns * fine)
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    along = np.interp((np.arange(count) + 0.5) / max(count, 1) * length[-1], length, fine)
    return on_sphere(np.sin(lowest + along * (highest - lowest)), start + 2 * np.pi * turns * along)


def van_der_corput(count: int) -> Array:
    """The first `count` numbers 0 … 1 of van der Corput's sequence in base 2: the digits of n mirrored at the point."""
    numbers, values, share = np.arange(count), np.zeros(count), 0.5
    while numbers.any():
        values += (numbers & 1) * share
        numbers, share = numbers >> 1, share / 2
    return values


def on_sphere(heights: Array, angles: Array) -> Array:
    """Unit vectors [n, 3] at heights z and angles around z in radians."""
    radius = np.sqrt(np.maximum(1.0 - heights**2, 0.0))
    return np.stack([radius * np.cos(angles), radius * np.sin(angles), heights], axis=-1)


def farthest_points(points: Array, count: int, taken: list[int]) -> list[int]:
    """`count` of `points` [n, 3] that are farthest from each other and from those `taken`, as their indices.

    Farthest-point sampling: T. F. Gonzalez, "Clustering to minimize the maximum intercluster distance", Theor. Comput.
    Sci. 38, 1985. It starts at the point nearest to the mean of all, so that it depends on nothing but the points.
    """
    chosen: list[int] = []
    nearest = np.full(len(points), np.inf)

    def take(index: int) -> None:
        np.minimum(nearest, np.linalg.norm(points - points[index], axis=1), out=nearest)
        # never again, although others may stand at the very same place
        nearest[index] = -1.0

    for index in taken:
        take(index)
    for _ in range(count):
        if np.isinf(nearest).all():
            index = int(np.linalg.norm(points - points.mean(axis=0), axis=1).argmin())
        else:
            index = int(nearest.argmax())
        chosen.append(index)
        take(index)
    return chosen


def split_points(points: Array, counts: dict[str, int]) -> dict[str, NDArray[np.int64]]:
    """Indices of each split: test views as far from each other as can be, then val views, the rest trains."""
    test = farthest_points(points, counts["test"], [])
    val = farthest_points(points, counts["val"], test)
    held_out = {*test, *val}
    train = [index for index in range(len(points)) if index not in held_out]
    return {
        "train": np.array(train[: counts["train"]], np.int64),
        "val": np.array(sorted(val), np.int64),
        "test": np.array(sorted(test), np.int64),
    }


def _between(ends: tuple[float, float], share: Array) -> Array:
    return ends[0] + share * (ends[1] - ends[0])
