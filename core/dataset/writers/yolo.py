# SPDX-License-Identifier: GPL-3.0-or-later
"""YOLO: images/{train,val,test}, labels/{train,val,test} and data.yaml.

A line an object: class from 0, then its box's middle, width and height as fractions of the picture. For poses x, y and
state (0 | 1 hidden | 2 seen) of each keypoint follow, as many for every class as the class with most of them has. For
segmentation the corners of one polygon stand in place of the box. A view in which nothing is seen has an empty file,
which says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError
from ...rendering.covers import SPLITS
from .labels import VisibleObject, categories_of, keypoint_names, visible_objects
from .outline import outline_of
from .posed import Task, Written, require_png

# what stands in a line after the class, from the object and the picture's width and height
Row = Callable[[VisibleObject, NDArray[np.int32]], list[str]]


def write(task: Task) -> Written:
    """Write the folder, with boxes.

    Raises:
        UserError: the dataset does not know its objects.
    """
    return _write(task, "yolo", _box)


def write_outlines(task: Task) -> Written:
    """Write the folder, with polygons.

    Raises:
        UserError: the dataset does not know its objects.
    """
    return _write(task, "yolo-seg", lambda thing, size: _shares(outline_of(thing.mask) / size))


def write_keypoints(task: Task) -> Written:
    """Write the folder, with boxes and keypoints.

    Raises:
        UserError: the dataset does not know its objects, or has no keypoints.
    """
    names = keypoint_names(task.dataset)
    if not names:
        raise UserError(
            f"{task.dataset.path} has no keypoints; render it again with --keypoints NAME, or choose --format yolo"
        )
    most = max(map(len, names.values()))

    def box_and_keypoints(thing: VisibleObject, size: NDArray[np.int32]) -> list[str]:
        row = _box(thing, size)
        for point in [*thing.keypoints, *[None] * most][:most]:
            u, v, state = point or (0.0, 0.0, 0)
            row += [*_shares(np.array([u, v]) / size), str(state)]
        return row

    written = _write(task, "yolo-pose", box_and_keypoints, [f"kpt_shape: [{most}, 3]"])
    listed = "; ".join(f"{category}: {', '.join(found)}" for category, found in names.items())
    written.remarks.append(f"Keypoints in their order: {listed}.")
    return written


def _box(thing: VisibleObject, size: NDArray[np.int32]) -> list[str]:
    corner, extent = np.array(thing.box[:2]), np.array(thing.box[2:])
    return _shares(np.concatenate([(corner + extent / 2) / size, extent / size]))


def _shares(values: NDArray[np.float64]) -> list[str]:
    return [f"{value:.6f}" for value in values.ravel()]


def _write(task: Task, format: str, row: Row, further: Sequence[str] = ()) -> Written:
    require_png(task, format)
    written = Written()
    categories = categories_of(task.dataset)
    for split, index in task.each_view():
        lines = [
            " ".join([str(thing.category), *row(thing, task.dataset.size[index])]) + "\n"
            for thing in visible_objects(task.dataset, index, categories)
        ]
        written.names[index] = f"{split}/{index:06d}"
        task.opaque_picture(index, f"images/{written.names[index]}.png")
        task.new_file(f"labels/{written.names[index]}.txt").write_text("".join(lines), encoding="ascii")
    # a JSON text is a YAML text, as far as it has no surrogates: names with quotes or colons are safe
    there = [split for split in SPLITS if len(task.dataset.splits[split])]
    rows = [f"{split}: images/{split}" for split in there]
    if "val" not in there and "test" in there:
        rows.append("val: images/test")  # trainers insist on one
    rows += [
        *further,
        "names:",
        *(f"  {place}: {json.dumps(name, ensure_ascii=False)}" for place, name in enumerate(categories)),
    ]
    task.new_file("data.yaml").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return written
