# SPDX-License-Identifier: GPL-3.0-or-later
"""What the object index says of a view: where each object is seen; and where its keypoints are.

A pixel belongs to the object that its centre shows (the clean pass of one sample): boxes and masks are of the visible
part, and where an object is thinner than a pixel they may miss it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import classes
from ...errors import UserError
from ..labels import OUTSIDE, box_around
from ..store import Dataset

# u, v and state
Keypoint = tuple[float, float, int]


@dataclass(frozen=True)
class VisibleObject:
    """One object in one view.

    Attributes:
        place: in the dataset's table. index: its value in the object index. category: the place of its class in
            `categories_of`, from 0.
        box: left, top, width, height in pixels, of the pixels that show it, their edges included.
        mask: [H, W] the pixels that show it.
        keypoints: of its class's `keypoint_names`, each one's u, v (pixels) and state; None for those outside
            the picture.
    """

    place: int
    index: int
    category: int
    box: tuple[int, int, int, int]
    mask: NDArray[np.bool_]
    keypoints: list[Keypoint | None]


def class_of(entry: dict[str, Any]) -> str:
    """The class of an entry of the table of objects: the one it has been given, else its name less a copy's number."""
    return classes.class_of([], str(entry["name"]), str(entry.get("class") or ""))


def categories_of(dataset: Dataset) -> list[str]:
    """The names of all classes, sorted.

    Raises:
        UserError: the dataset does not know its objects.
    """
    if not dataset.objects or "object_index" not in dataset.passes:
        raise UserError(f"{dataset.path} does not know which object a pixel shows; render it from a scene")
    return sorted({class_of(entry) for entry in dataset.objects})


def visible_objects(dataset: Dataset, view: int, categories: list[str]) -> list[VisibleObject]:
    """The objects of which at least one pixel is seen, by rising index."""
    shown = dataset.object_index(view)
    places = {int(entry["index"]): place for place, entry in enumerate(dataset.objects)}
    names, named = keypoint_names(dataset), _keypoints_of_objects(dataset)
    keypoints = _keypoints_in(dataset, view)
    found = []
    for index in sorted(set(np.unique(shown).tolist()) & places.keys()):
        mask, place = shown == index, places[index]
        category = class_of(dataset.objects[place])
        numbers = [named.get(place, {}).get(name) for name in names.get(category, [])]
        points = [None if number is None else keypoints[number] for number in numbers]
        left, top, right, bottom = (int(side) for side in box_around(mask))
        box = (left, top, right - left, bottom - top)
        found.append(VisibleObject(place, index, categories.index(category), box, mask, points))
    return found


def keypoint_names(dataset: Dataset) -> dict[str, list[str]]:
    """The names of the keypoints of each class that has any, in the table's order."""
    names: dict[str, dict[str, None]] = {}
    for place, named in _keypoints_of_objects(dataset).items():
        names.setdefault(class_of(dataset.objects[place]), {}).update(dict.fromkeys(named))
    return {category: list(found) for category, found in names.items()}


def _keypoints_in(dataset: Dataset, view: int) -> list[Keypoint | None]:
    labels = dataset.labels
    if labels is None:
        return []
    pixels, _ = dataset.camera(view).project(labels.keypoints[view])
    return [
        (float(u), float(v), int(state)) if state != OUTSIDE else None
        for (u, v), state in zip(pixels, labels.keypoint_state[view], strict=True)
    ]


def _keypoints_of_objects(dataset: Dataset) -> dict[int, dict[str, int]]:
    """Of each object that has keypoints, by its place: their names, without a copy's number, and places in their table.

    So that the copies of a thing have the same names; where one object would have a name twice, the numbers stay.
    """
    table = dataset.labels.keypoint_table if dataset.labels else []
    found: dict[int, dict[str, int]] = {}
    for place in sorted({int(entry["object"]) for entry in table}):
        whole = {str(entry["name"]): number for number, entry in enumerate(table) if int(entry["object"]) == place}
        short = {classes.COPY.sub("", name): number for name, number in whole.items()}
        found[place] = short if len(short) == len(whole) else whole
    return found
