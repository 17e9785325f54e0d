# SPDX-License-Identifier: GPL-3.0-or-later
"""What the object index says of a view: where each object is seen.

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
from ..store import Dataset


@dataclass(frozen=True)
class VisibleObject:
    """One object in one view.

    Attributes:
        index: its value in the object index. category: the place of its class in `categories_of`, from 0.
        box: left, top, width, height in pixels, of the pixels that show it, their edges included.
        mask: [H, W] the pixels that show it.
    """

    index: int
    category: int
    box: tuple[int, int, int, int]
    mask: NDArray[np.bool_]


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
    labels = dataset.object_index(view)
    place = {int(entry["index"]): categories.index(class_of(entry)) for entry in dataset.objects}
    found = []
    for index in sorted(set(np.unique(labels).tolist()) & place.keys()):
        mask = labels == index
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        left, top = int(columns[0]), int(rows[0])
        box = (left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1)
        found.append(VisibleObject(index, place[index], box, mask))
    return found
