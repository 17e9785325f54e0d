# SPDX-License-Identifier: GPL-3.0-or-later
"""COCO: annotations/instances_{train,val,test}.json with compressed run lengths or polygons, and PNG.

The format of the data page of COCO and of pycocotools, which encodes the masks: column-major runs, boxes as
[left, top, width, height], areas in pixels. One annotation an object and view, of its visible part. A dataset with
labels adds amodal_bbox, amodal_segmentation (all of it, hidden or not) and visible_fraction, which are no part of the
standard, and keypoints as COCO has them of people: names by category, [x, y, 0 | 1 hidden | 2 seen] of each, pixel
centres at whole numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as run_lengths

from ...rendering.covers import SPLITS
from ..store import Dataset
from .labels import Keypoint, categories_of, keypoint_names, visible_objects
from .outline import outer_rings
from .posed import Task, Written, require_png


def write(task: Task) -> Written:
    """Write the folder, with masks as run lengths.

    Raises:
        UserError: the dataset does not know its objects.
    """
    return _write(task, "coco", _run_lengths)


def write_polygons(task: Task) -> Written:
    """Write the folder, with masks as polygons.

    Raises:
        UserError: the dataset does not know its objects.
    """
    written = _write(task, "coco-polygons", _polygons)
    written.remarks.append("COCO's polygons cannot say holes: what is seen through an object counts as the object.")
    return written


def _run_lengths(mask: NDArray[np.bool_]) -> dict[str, Any]:
    runs = run_lengths.encode(np.asfortranarray(mask, np.uint8))
    return {"size": runs["size"], "counts": runs["counts"].decode("ascii")}


def _polygons(mask: NDArray[np.bool_]) -> list[list[float]]:
    return [ring.ravel().tolist() for ring in outer_rings(mask)]


def _write(task: Task, format: str, segmentation_of: Callable[[NDArray[np.bool_]], Any]) -> Written:
    require_png(task, format)
    written = Written()
    categories = categories_of(task.dataset)
    names = keypoint_names(task.dataset)
    content: dict[str, dict[str, Any]] = {
        split: {
            "info": {"description": task.dataset.scene_name, "version": "1.0"},
            "licenses": [],
            "categories": [
                {
                    "id": place + 1,
                    "name": name,
                    "supercategory": name,  # there is nothing above a class
                    **({"keypoints": names[name], "skeleton": []} if name in names else {}),
                }
                for place, name in enumerate(categories)
            ],
            "images": [],
            "annotations": [],
        }
        for split in SPLITS
        if len(task.dataset.splits[split])
    }
    for split, index in task.each_view():
        width, height = (int(side) for side in task.dataset.size[index])
        name = f"{index:06d}.png"
        task.opaque_picture(index, f"{split}/{name}")
        written.names[index] = f"{split}/{name}"
        content[split]["images"].append({"id": index + 1, "file_name": name, "width": width, "height": height})
        for thing in visible_objects(task.dataset, index, categories):
            content[split]["annotations"].append(
                {
                    # the same object of the same view has the same number, whatever else is written
                    "id": (index + 1) * 65536 + thing.index,
                    "image_id": index + 1,
                    "category_id": thing.category + 1,
                    "iscrowd": 0,
                    "area": int(thing.mask.sum()),
                    "bbox": list(thing.box),
                    "segmentation": segmentation_of(thing.mask),
                    **_amodal(task.dataset, index, thing.place, segmentation_of),
                    **_keypoints(thing.keypoints),
                }
            )
    for split, words in content.items():
        task.json(f"annotations/instances_{split}.json", words, indent=None)
    return written


def _amodal(
    dataset: Dataset, view: int, place: int, segmentation_of: Callable[[NDArray[np.bool_]], Any]
) -> dict[str, Any]:
    """All of an object that the picture would show if it were alone, and which share is seen; nothing when unknown."""
    if dataset.labels is None or not dataset.labels.amodal_pixels[view, place]:
        return {}
    left, top, right, bottom = dataset.labels.amodal_box[view, place].tolist()
    fraction = float(dataset.labels.visible_fraction[view, place])
    words = {"amodal_bbox": [left, top, right - left, bottom - top], "visible_fraction": fraction}
    mask = dataset.amodal_mask(view, place)
    return words if mask is None else {**words, "amodal_segmentation": segmentation_of(mask)}


def _keypoints(points: list[Keypoint | None]) -> dict[str, Any]:
    if not points:
        return {}
    rows = [(point[0] - 0.5, point[1] - 0.5, point[2]) if point else (0.0, 0.0, 0) for point in points]
    return {"keypoints": [number for row in rows for number in row], "num_keypoints": len(points) - points.count(None)}
