# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose error it is: PSNR per object, and the error on the surfaces, from the held-out views that are compared."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..dataset.store import Dataset
from .error_points import ErrorPoints, join_points

# of all views together: more would not be seen, and a file of them is some 20 MB
MOST_POINTS = 600_000


class ErrorsOfObjects:
    """Takes the compared views one after another.

    A pixel is an object's when the object is what the ray through its centre hits, so that at silhouettes some of what
    lies behind counts too. Only test views are given here: the same pixels as every other figure of a comparison.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._squared, self._flip = np.zeros(1 << 16), np.zeros(1 << 16)
        self._pixels, self._views = np.zeros(1 << 16, np.int64), np.zeros(1 << 16, np.int64)
        self._parts: list[ErrorPoints] = []
        pixels = int(np.prod(dataset.size[dataset.splits["test"]], axis=1, dtype=np.int64).sum())
        self._every = max(1, math.ceil(pixels / MOST_POINTS))

    def add(
        self, index: int, classic: NDArray[np.uint8], neural: NDArray[np.uint8], flip_map: NDArray[np.float32]
    ) -> None:
        """A view's pictures [H, W, 3] as they are compared, and their ꟻLIP map [H, W]."""
        squared = np.mean((classic.astype(np.float64) - neural.astype(np.float64)) ** 2, axis=-1) / 255.0**2
        valid, number = self._dataset.valid(index), self._dataset.object_index(index)
        of_whom = number[valid]
        size = len(self._pixels)
        pixels = np.bincount(of_whom, minlength=size)
        self._pixels += pixels
        self._views += pixels > 0
        self._squared += np.bincount(of_whom, squared[valid], size)
        self._flip += np.bincount(of_whom, flip_map[valid], size)
        self._parts.append(self._points_of(index, squared, flip_map, number, valid))

    def table(self) -> list[dict[str, Any]]:
        """`objects` of metrics.json, worst PSNR first.

        Each is a dictionary with index (of the dataset's pass), names (several when objects share one), psnr (dB over
        its pixels in all views together; None when none differs), flip (mean), pixels and views (in which it is seen).
        Objects that no view sees are left out.
        """
        names: dict[int, list[str]] = {}
        for thing in self._dataset.objects:
            names.setdefault(int(thing["index"]), []).append(str(thing["name"]))
        rows = []
        for number in np.flatnonzero(self._pixels[1:]) + 1:
            pixels = int(self._pixels[number])
            squared = float(self._squared[number]) / pixels
            rows.append(
                {
                    "index": int(number),
                    "names": names.get(int(number), []),
                    "psnr": None if squared == 0.0 else -10.0 * math.log10(squared),
                    "flip": float(self._flip[number]) / pixels,
                    "pixels": pixels,
                    "views": int(self._views[number]),
                }
            )
        return sorted(rows, key=lambda row: math.inf if row["psnr"] is None else row["psnr"])

    def points(self) -> ErrorPoints:
        """The error at every pixel that shows a surface, where that surface is; none without depth."""
        return join_points(self._parts)

    def _points_of(
        self,
        index: int,
        squared: NDArray[np.float64],
        flip_map: NDArray[np.float32],
        number: NDArray[np.uint16],
        valid: NDArray[np.bool_],
    ) -> ErrorPoints:
        dataset = self._dataset
        depth = dataset.depth(index)
        rows, columns = np.nonzero(valid & (depth > 0.0))
        # each view begins elsewhere, so that thinning leaves no pattern
        chosen = slice(len(self._parts) % self._every, None, self._every)
        rows, columns = rows[chosen], columns[chosen]
        camera = dataset.camera(index)
        position = camera.unproject(depth)[rows, columns]
        normal = dataset.normal(index)[rows, columns]
        away = np.einsum("ij,ij->i", normal, position - camera.camera_to_world[:3, 3]) > 0.0
        return ErrorPoints(
            position=position,
            normal=np.where(away[:, None], -normal, normal).astype(np.float32),
            flip=flip_map[rows, columns],
            squared=squared[rows, columns].astype(np.float32),
            object_index=number[rows, columns],
            footprint=(depth[rows, columns] / dataset.intrinsics[index][0]).astype(np.float32),
        )
