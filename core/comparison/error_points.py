# SPDX-License-Identifier: GPL-3.0-or-later
"""The twin's error on the scene's surfaces: points with their error, a file of them, and any place between them."""

from __future__ import annotations

# numpy alone: Blender reads this too
import itertools
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..array_zip import BROKEN, read_array
from ..errors import UserError

# twice the mean distance between points: fewer than about four points say little about a place
SPREAD = 2.0
# a hundredth of a point says nothing of a place
LEAST = 0.01
# a cell's number in one integer, three axes of so many bits
BITS = 20


@dataclass(frozen=True)
class ErrorPoints:
    """Where the surfaces are that views see, and how far the twin is off there.

    Attributes:
        position: [N, 3] float64, world.
        normal: [N, 3] float32, unit, towards the camera that saw it; 0 where the dataset knows none.
        flip: [N] float32, ꟻLIP of the pixel, 0..1.
        squared: [N] float32, mean squared error of the pixel's display colour, 0..1.
        object_index: [N] uint16, as in the dataset; 0 when it knows none.
        footprint: [N] float32, how wide the pixel is there, world units.
    """

    position: NDArray[np.float64]
    normal: NDArray[np.float32]
    flip: NDArray[np.float32]
    squared: NDArray[np.float32]
    object_index: NDArray[np.uint16]
    footprint: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.position)

    @property
    def spacing(self) -> float:
        """How fine the error is known, world units."""
        return SPREAD * float(np.median(self.footprint)) if len(self) else 1.0


def join_points(parts: list[ErrorPoints]) -> ErrorPoints:
    """All of several views' points; of none, none."""
    if not parts:
        none = np.zeros(0, np.float32)
        return ErrorPoints(np.zeros((0, 3)), np.zeros((0, 3), np.float32), none, none, none.astype(np.uint16), none)
    names = ErrorPoints.__dataclass_fields__
    joined: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return ErrorPoints(**joined)


def write_error_points(path: Path, points: ErrorPoints) -> None:
    """Write them as .npz.

    Raises:
        OSError: it cannot be written.
    """
    np.savez_compressed(
        path, allow_pickle=False, **{name: getattr(points, name) for name in ErrorPoints.__dataclass_fields__}
    )


def read_error_points(path: str | os.PathLike[str]) -> ErrorPoints:
    """Read what `write_error_points` wrote.

    Raises:
        UserError: missing, damaged, or foreign.
    """
    try:
        with zipfile.ZipFile(path) as file:
            names = ErrorPoints.__dataclass_fields__
            points = ErrorPoints(**{name: read_array(file, file.getinfo(f"{name}.npy"), Path(path)) for name in names})
    except (OSError, KeyError, *BROKEN) as error:
        raise UserError(f"{path} holds no errors of surfaces; compare again") from error
    count = len(points.position) if points.position.ndim else -1
    for name in ErrorPoints.__dataclass_fields__:
        values = getattr(points, name)
        shape = (count, 3) if name in ("position", "normal") else (count,)
        if values.shape != shape or values.dtype.kind not in "fiu" or not np.isfinite(values).all():
            raise UserError(f"{path} is damaged ({name}); compare again")
    return points


class SurfaceError:
    """The error at any place near the points of one object, smooth from place to place.

    Each point gives its error to the eight corners of the cell that it lies in, and a place takes the weighted mean of
    the corners around it: trilinear both ways, so that many views of one place become their mean.
    """

    def __init__(self, position: ArrayLike, error: ArrayLike, spacing: float) -> None:
        """position: [N, 3]. error: [N]. spacing: of the corners, in the same units."""
        position = np.asarray(position, np.float64).reshape(-1, 3)
        self._spacing = spacing
        self._lowest = position.min(axis=0) - spacing if len(position) else np.zeros(3)
        corners, weights = self._corners(position)
        self._known, place = np.unique(corners, return_inverse=True)
        place = place.reshape(corners.shape)
        self._weight = np.bincount(place.ravel(), weights.ravel(), len(self._known))
        spread = weights * np.asarray(error, np.float64)[:, None]
        self._sum = np.bincount(place.ravel(), spread.ravel(), len(self._known))

    def at(self, position: ArrayLike) -> NDArray[np.float32]:
        """The error [M] at places [M, 3]; NaN where no point is near."""
        position = np.asarray(position, np.float64).reshape(-1, 3)
        if not len(self._known):
            return np.full(len(position), np.nan, np.float32)
        corners, weights = self._corners(position)
        place = np.minimum(np.searchsorted(self._known, corners), len(self._known) - 1)
        weights = np.where(self._known[place] == corners, weights, 0.0)
        weight, total = ((weights * values[place]).sum(axis=1) for values in (self._weight, self._sum))
        error: NDArray[np.float32] = np.divide(
            total, weight, out=np.full(len(position), np.nan), where=weight > LEAST
        ).astype(np.float32)
        return error

    def _corners(self, position: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Numbers [N, 8] of the corners around each place, -1 outside of what can be numbered, and their weights."""
        scaled = (position - self._lowest) / self._spacing
        cell = np.floor(scaled)
        part = scaled - cell
        numbers, weights = [], []
        for corner in itertools.product((0, 1), repeat=3):
            at = cell + corner
            inside = ((at >= 0) & (at < 1 << BITS)).all(axis=1)
            x, y, z = np.where(inside[:, None], at, 0).astype(np.int64).T
            numbers.append(np.where(inside, (x << 2 * BITS) | (y << BITS) | z, -1))
            weights.append(np.prod(np.where(corner, part, 1.0 - part), axis=1))
        return np.stack(numbers, axis=1), np.stack(weights, axis=1)
