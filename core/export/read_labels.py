# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads back formats that tell what is seen of objects in the picture: boxes, masks and keypoints.

The readers know each format's conventions and nothing of the writers; what they find is held against the object index
and the labels of the dataset.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from scipy.ndimage import binary_fill_holes

from ..dataset.store import Dataset
from ..dataset.writers.labels import Keypoint, VisibleObject, categories_of, visible_objects
from ..errors import UserError
from .read_back import MOST_ERROR


@dataclass(frozen=True)
class FoundMask:
    """A mask as read: [H, W], or outlines [N, 2] in pixels or shares of the picture; solid: holes are lost in them."""

    mask: NDArray[np.bool_] | None = None
    outlines: list[NDArray[np.float64]] | None = None
    solid: bool = False


@dataclass(frozen=True)
class FoundLabel:
    """A label as read: class from 0; then what the format has, in pixels or shares of the picture.

    Attributes:
        box: left, top, width and height. seen: what is visible of it. whole: all of it, hidden or not.
        keypoints: u, v and state of those that are in the picture.
    """

    category: int
    box: NDArray[np.float64] | None = None
    seen: FoundMask | None = None
    whole: FoundMask | None = None
    keypoints: list[Keypoint] | None = None
    shares: bool = False


def require_same_labels(dataset: Dataset, folder: Path, format: str) -> None:
    """Hold the written boxes and masks against the object index.

    Raises:
        UserError: an object is missing or elsewhere.
    """
    categories = categories_of(dataset)
    for split, indices in dataset.splits.items():
        read = LABELS[format](folder, split) if len(indices) else {}
        for index in (int(view) for view in indices):
            expected = visible_objects(dataset, index, categories)
            found = read.get(index, [])
            if len(found) != len(expected) or not all(
                _is_same(label, thing, dataset.amodal_mask(index, thing.place), dataset.size[index])
                for label, thing in zip(found, expected, strict=True)
            ):
                raise UserError(f"the labels of view {index} do not read back as {format}; please report this")


def _is_same(label: FoundLabel, thing: VisibleObject, whole: NDArray[np.bool_] | None, size: NDArray[np.int32]) -> bool:
    scale = size if label.shares else np.ones(2)
    found = [(u * scale[0], v * scale[1], state) for u, v, state in label.keypoints or []]
    points = [] if label.keypoints is None else [point for point in thing.keypoints if point]
    return (
        label.category == thing.category
        and (label.box is None or np.abs(label.box * np.tile(scale, 2) - thing.box).max() < MOST_ERROR)
        and (label.seen is None or _is_mask(label.seen, thing.mask, scale))
        and (label.whole is None or (whole is not None and _is_mask(label.whole, whole, scale)))
        and len(found) == len(points)
        and all(np.abs(np.subtract(one, other)).max() < MOST_ERROR for one, other in zip(found, points, strict=True))
    )


def _is_mask(found: FoundMask, expected: NDArray[np.bool_], scale: NDArray[Any]) -> bool:
    mask, (height, width) = found.mask, expected.shape
    if found.outlines is not None:
        mask = np.any([_filled(outline * scale, width, height) for outline in found.outlines], axis=0)
    if found.solid:
        expected = binary_fill_holes(expected, structure=np.ones((3, 3)))
    return mask is not None and np.array_equal(mask, expected)


def _filled(outline: NDArray[np.float64], width: int, height: int) -> NDArray[np.bool_]:
    """[height, width] pixels whose centres have an odd number of the polygon's edges to their left."""
    following = np.roll(outline, -1, axis=0)
    down = (outline[:, 1] < following[:, 1])[:, None]
    (x, y), (end_x, end_y) = np.where(down, outline, following).T, np.where(down, following, outline).T
    first, behind = (np.ceil(np.clip(side, 0, height) - 0.5).astype(int) for side in (y, end_y))
    count = behind - first
    edge = np.repeat(np.arange(len(outline)), count)
    rows = first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
    crossing = x[edge] + (rows + 0.5 - y[edge]) / (end_y - y)[edge] * (end_x - x)[edge]
    edges = np.zeros((height, width + 1), np.int64)
    np.add.at(edges, (rows, np.clip(np.ceil(crossing - 0.5), 0, width).astype(int)), 1)
    filled: NDArray[np.bool_] = np.cumsum(edges, axis=1)[:, :width] % 2 == 1
    return filled


def _coco_labels(folder: Path, split: str) -> dict[int, list[FoundLabel]]:
    with contextlib.redirect_stdout(io.StringIO()):  # the library talks
        read = COCO(folder / "annotations" / f"instances_{split}.json")
    return {
        image - 1: [
            FoundLabel(
                one["category_id"] - 1,
                np.array(one["bbox"]),
                seen=_segmentation(read, one),
                whole=_segmentation(read, {**one, "segmentation": one["amodal_segmentation"]})
                if "amodal_segmentation" in one
                else None,
                keypoints=_triples(one["keypoints"], 0.5) if "keypoints" in one else None,
            )
            for one in read.loadAnns(read.getAnnIds(imgIds=[image]))
        ]
        for image in read.getImgIds()
    }


def _segmentation(read: COCO, one: dict[str, Any]) -> FoundMask:
    if isinstance(one["segmentation"], dict):
        return FoundMask(read.annToMask(one).astype(np.bool_))
    return FoundMask(outlines=[np.reshape(ring, (-1, 2)) for ring in one["segmentation"]], solid=True)


def _yolo_labels(folder: Path, split: str) -> dict[int, list[FoundLabel]]:
    return {view: [_boxed(*row) for row in rows] for view, rows in _yolo_rows(folder, split)}


def _boxed(category: int, numbers: list[float]) -> FoundLabel:
    x, y, width, height, *points = numbers
    box = np.array([x - width / 2, y - height / 2, width, height])
    return FoundLabel(category, box, keypoints=_triples(points, 0.0) if points else None, shares=True)


def _yolo_outlines(folder: Path, split: str) -> dict[int, list[FoundLabel]]:
    return {
        view: [
            FoundLabel(category, seen=FoundMask(outlines=[np.reshape(numbers, (-1, 2))]), shares=True)
            for category, numbers in rows
        ]
        for view, rows in _yolo_rows(folder, split)
    }


def _yolo_rows(folder: Path, split: str) -> Iterator[tuple[int, list[tuple[int, list[float]]]]]:
    """Of each view the class and the numbers of each line."""
    for path in (folder / "labels" / split).glob("*.txt"):
        lines = [line.split() for line in path.read_text(encoding="ascii").splitlines()]
        yield int(path.stem), [(int(category), [float(number) for number in numbers]) for category, *numbers in lines]


def _triples(numbers: list[float], first_centre: float) -> list[Keypoint]:
    """Keypoints from rows of x, y, state, without those that are not in the picture."""
    rows = zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True)
    return [(x + first_centre, y + first_centre, int(state)) for x, y, state in rows if state]


LABELS: dict[str, Callable[[Path, str], dict[int, list[FoundLabel]]]] = {
    "coco": _coco_labels,
    "coco-polygons": _coco_labels,
    "yolo": _yolo_labels,
    "yolo-seg": _yolo_outlines,
    "yolo-pose": _yolo_labels,
}
