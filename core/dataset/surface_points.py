# SPDX-License-Identifier: GPL-3.0-or-later
"""Points on the surfaces that a dataset's depth shows, with their colours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .store import Dataset

# pixels that are less opaque show several surfaces at once
SOLID = 0.99


@dataclass(frozen=True)
class SeenPoints:
    """Points in the world.

    Attributes:
        positions: [N, 3] float64, scene units.
        normals: [N, 3] float64, unit; 0 where the dataset has none.
        colours: [N, 3] float32, scene-linear.
    """

    positions: NDArray[np.float64]
    normals: NDArray[np.float64]
    colours: NDArray[np.float32]


def seen_points(dataset: Dataset, count: int, seed: int = 0) -> SeenPoints:
    """About `count` points, as many from each training view, at random pixels with a depth.

    Without depth in the dataset there are none.
    """
    views = [int(index) for index in dataset.splits["train"]]
    if not dataset.has_depth or not views:
        return SeenPoints(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 3), np.float32))
    share = -(-count // len(views))
    found = [_points_of_view(dataset, index, share, np.random.default_rng([seed, index])) for index in views]
    positions, normals, colours = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return SeenPoints(positions, normals, colours.astype(np.float32))


def _points_of_view(
    dataset: Dataset, index: int, share: int, random: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float32]]:
    rgba, depth = dataset.rgba(index), dataset.depth(index)
    rows, columns = np.nonzero((depth > 0.0) & (rgba[..., 3] > SOLID) & dataset.valid(index))
    if len(rows) > share:
        kept = random.choice(len(rows), share, replace=False)
        rows, columns = rows[kept], columns[kept]
    world = dataset.camera(index).unproject(depth)
    return world[rows, columns], dataset.normal(index)[rows, columns].astype(np.float64), rgba[rows, columns, :3]
