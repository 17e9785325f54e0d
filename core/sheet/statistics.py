# SPDX-License-Identifier: GPL-3.0-or-later
"""What a dataset amounts to, in numbers: where its cameras stand, what they cover, how large its objects are seen."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..dataset.store import Dataset
from ..dataset.writers.labels import categories_of, class_of, visible_objects
from ..rendering.coverage import degrees_to_nearest, shares
from ..rendering.covers import SPLITS

# of the longest side of the scene's bounds: what counts as one place on a surface; and pixels at the centre of the
# bounds that it is as wide as at least, so that none lies between those of a view that sees it
PLACES, PIXELS = 64, 3.0
# along each side of the bounds, with half a place beyond either end
CELLS = PLACES + 2
SOLID = 0.5
# degrees between two views, from the scene's centre, under which one adds nothing to the other
SAME = 0.5


@dataclass
class _Tally:
    """What is added up while the views are gone through."""

    covered: list[float] = field(default_factory=list)
    brightest: float = 0.0
    depths: list[NDArray[np.float32]] = field(default_factory=list)
    pixels: dict[int, list[int]] = field(default_factory=dict)
    cut: dict[int, int] = field(default_factory=dict)


def statistics(dataset: Dataset, each: Iterator[int]) -> dict[str, Any]:
    """Count everything that there is.

    Args:
        each: all view indices, one by one; progress and cancel are its matter.

    Returns:
        views {train, val, test}; poses (see `pose_spread`); frame {covered, brightest}; depth {least, median, most} or
        None; coverage (see `Coverage.result`) or None; planned (coverage before anything was rendered, see
        `core/rendering/coverage.py`) or None; objects, one dictionary each, seldom seen first; classes, name
        to how often one is seen; remarks, a sentence each.
    """
    tally, coverage = _Tally(), Coverage(dataset)
    labelled = bool(dataset.objects) and "object_index" in dataset.passes
    categories = categories_of(dataset) if labelled else []
    train = {int(index) for index in dataset.splits["train"]}
    for index in each:
        rgba, depth = dataset.rgba(index), dataset.depth(index)
        tally.covered.append(float((rgba[..., 3] > SOLID).mean()))
        tally.brightest = max(tally.brightest, float(rgba[..., :3].max()))
        seen = depth[depth > 0.0]
        tally.depths.append(seen[:: max(1, seen.size // 1000)])
        coverage.add(index, depth, index in train)
        height, width = depth.shape
        for thing in visible_objects(dataset, index, categories) if labelled else ():
            left, top, wide, high = thing.box
            tally.pixels.setdefault(thing.index, []).append(int(thing.mask.sum()))
            at_the_edge = left == 0 or top == 0 or left + wide == width or top + high == height
            tally.cut[thing.index] = tally.cut.get(thing.index, 0) + at_the_edge
    depths = np.concatenate(tally.depths) if tally.depths else np.zeros(0, np.float32)
    objects = _objects(dataset, tally) if labelled else []
    result = {
        "views": {split: len(dataset.splits[split]) for split in SPLITS},
        "poses": pose_spread(dataset),
        "frame": {"covered": _range(tally.covered), "brightest": tally.brightest},
        "depth": _range(depths) if depths.size else None,
        "coverage": coverage.result() if dataset.has_depth else None,
        "planned": dataset.configuration.get("coverage"),
        "objects": objects,
        "classes": {name: sum(one["views"] for one in objects if one["class"] == name) for name in categories},
    }
    return {**result, "remarks": _remarks(result, tally)}


def pose_spread(dataset: Dataset) -> dict[str, Any]:
    """Where the cameras stand around the centre of the scene's bounds.

    Returns:
        distance {least, median, most} in scene units; elevation {...} in degrees; directions: split to unit vectors
        from the centre; test_to_train {...}: degrees from each test view to the nearest training view, None when there
        are none; twins: pairs of views that stand and look the same.
    """
    centre = dataset.bounds.mean(axis=0)
    offsets = dataset.camera_to_world[:, :3, 3] - centre
    distances = np.linalg.norm(offsets, axis=1)
    ways = offsets / np.maximum(distances, 1e-12)[:, None]
    train, test = (ways[dataset.splits[name]] for name in ("train", "test"))
    nearest = degrees_to_nearest(test, train) if len(train) else np.zeros(0)
    return {
        "distance": _range(distances),
        "elevation": _range(np.degrees(np.arcsin(np.clip(ways[:, 2], -1.0, 1.0)))),
        "directions": {split: ways[dataset.splits[split]].round(5).tolist() for split in SPLITS},
        "test_to_train": _range(nearest) if len(nearest) else None,
        "twins": _twins(dataset),
    }


class Coverage:
    """How many training views see each place on the surfaces that any view sees.

    A place is a voxel of 1/PLACES of the longest side of the scene's bounds, or as wide as PIXELS.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        lower, upper = dataset.bounds
        away = np.linalg.norm(dataset.camera_to_world[:, :3, 3] - 0.5 * (lower + upper), axis=1)
        pixel = float(np.median(away / dataset.intrinsics[:, 0]))
        self._size = max(float((upper - lower).max()) / PLACES, PIXELS * pixel, 1e-9)
        # what lies in the faces of the bounds, as floors do, shall be in the middle of voxels and not between two
        self._lower = lower - 0.5 * self._size
        self._seen = np.zeros(CELLS**3, np.bool_)
        self._times = np.zeros(CELLS**3, np.int32)

    def add(self, index: int, depth: NDArray[np.float32], train: bool) -> None:
        """Count what one view sees. `depth`: [H, W] planar."""
        world = self._dataset.camera(index).unproject(depth)[depth > 0.0]
        cells = np.floor((world - self._lower) / self._size).astype(np.int64)
        cells = cells[((cells >= 0) & (cells < CELLS)).all(axis=1)]
        numbers = np.unique(np.ravel_multi_index(tuple(cells.T), (CELLS,) * 3))
        self._seen[numbers] = True
        if train:
            self._times[numbers] += 1

    def result(self) -> dict[str, Any]:
        """What `shares` says of the places, and their size in scene units."""
        return {**shares(self._times[self._seen]), "size": self._size}


def _objects(dataset: Dataset, tally: _Tally) -> list[dict[str, Any]]:
    objects = []
    for entry in dataset.objects:
        index = int(entry["index"])
        pixels = tally.pixels.get(index, [])
        objects.append(
            {
                "index": index,
                "name": str(entry["name"]),
                "class": class_of(entry),
                "views": len(pixels),
                "pixels": _range(pixels) if pixels else None,
                "cut": tally.cut.get(index, 0),
            }
        )
    return sorted(objects, key=lambda one: (one["views"], one["name"]))


def _twins(dataset: Dataset) -> list[list[int]]:
    """Pairs of views whose cameras stand within a thousandth of the scene's size and look the same way."""
    places, axes = dataset.camera_to_world[:, :3, 3], -dataset.camera_to_world[:, :3, 2]
    size = max(float(np.linalg.norm(dataset.bounds[1] - dataset.bounds[0])), 1e-9)
    order = np.lexsort(places.T)
    pairs = []
    for first, second in itertools.pairwise(order):
        near = np.linalg.norm(places[first] - places[second]) < 1e-3 * size
        if near and axes[first] @ axes[second] > np.cos(np.radians(SAME)):
            pairs.append(sorted((int(first), int(second))))
    return sorted(pairs)


def _range(values: ArrayLike) -> dict[str, float]:
    numbers = np.asarray(values, np.float64)
    return {"least": float(numbers.min()), "median": float(np.median(numbers)), "most": float(numbers.max())}


def _remarks(result: dict[str, Any], tally: _Tally) -> list[str]:
    """What somebody should look at before training."""
    remarks = []
    empty = sum(share == 0.0 for share in tally.covered)
    if empty:
        remarks.append(f"{empty} views show nothing; move their cameras or leave them out.")
    unseen = [one["name"] for one in result["objects"] if not one["views"]]
    if unseen:
        remarks.append(f"{_listed(unseen)} {'is' if len(unseen) == 1 else 'are'} seen by no view.")
    coverage = result["coverage"]
    if coverage and coverage["never"] > 0.02:
        remarks.append(
            f"{coverage['never']:.0%} of the surfaces that held-out views show are seen by no training view; add views."
        )
    if result["poses"]["twins"]:
        first, second = result["poses"]["twins"][0]
        remarks.append(
            f"{len(result['poses']['twins'])} pairs of views look the same way from one place, for example {first} and "
            f"{second}."
        )
    nearest = result["poses"]["test_to_train"]
    if nearest and nearest["median"] < SAME:
        remarks.append("Test views stand where training views stand: they do not judge anything new.")
    return remarks


def _listed(names: Sequence[str], most: int = 3) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
