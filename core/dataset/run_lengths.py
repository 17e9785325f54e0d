# SPDX-License-Identifier: GPL-3.0-or-later
"""Masks as run lengths, as COCO counts them: column by column, how many pixels are outside, inside, outside ... Numpy
alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Runs = NDArray[np.uint32]


def runs_of(mask: NDArray[np.bool_]) -> Runs:
    """The runs [R] of a mask [H, W]; the first one is outside and may be 0."""
    pixels = mask.ravel(order="F")
    changes = np.flatnonzero(np.diff(pixels, prepend=False))
    return np.diff(changes, prepend=0, append=len(pixels)).astype(np.uint32)


def mask_of(runs: Runs, size: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask [H, W] of `size` (width, height).

    Raises:
        ValueError: the runs are those of a picture of another size.
    """
    width, height = size
    if int(runs.sum(dtype=np.int64)) != width * height:
        raise ValueError(f"runs of another size than {width} x {height}")
    inside = np.arange(len(runs)) % 2 == 1
    return np.repeat(inside, runs).reshape(height, width, order="F")


def split_runs(runs: Runs, counts: NDArray[np.integer[Any]]) -> dict[int, Runs]:
    """Masks that were written one after the other, by their places.

    Raises:
        ValueError: there are not as many runs as `counts` says.
    """
    if (counts < 0).any() or counts.sum() != len(runs):
        raise ValueError("runs of masks are missing")
    there = np.flatnonzero(counts)
    return dict(zip(there.tolist(), np.split(runs, np.cumsum(counts[there])[:-1]), strict=True)) if len(there) else {}


def joined_runs(masks: dict[int, Runs], count: int) -> tuple[Runs, NDArray[np.int32]]:
    """Masks one after the other, and of how many runs each of `count` places consists: what `split_runs` takes."""
    counts = np.zeros(count, np.int32)
    for place, runs in masks.items():
        counts[place] = len(runs)
    return np.concatenate([np.empty(0, np.uint32), *(masks[place] for place in sorted(masks))]), counts
