# SPDX-License-Identifier: GPL-3.0-or-later
"""A view's camera, objects and labels as a dictionary: for formats that carry one JSON a view."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...lenses import COEFFICIENTS
from ..store import Dataset
from .labels import class_of

CONVENTION = (
    "camera_to_world: OpenGL axes (x right, y up, -z forward), z up; pixel centres at +0.5; depth: planar z, of "
    "fisheye and equirectangular lenses along the ray; lens: OpenCV's models, equirectangular by longitude and latitude"
)


def record_of(dataset: Dataset, split: str, index: int) -> dict[str, Any]:
    """Index, split, frame, size, camera and the table of objects of one view, ready for JSON."""
    return {
        "index": index,
        "split": split,
        "frame": int(dataset.frame[index]),
        "size": [int(side) for side in dataset.size[index]],
        "camera_to_world": dataset.camera_to_world[index].tolist(),
        "intrinsics": [float(value) for value in dataset.intrinsics[index]],
        "lens": {
            "kind": dataset.camera_kind,
            **dict(zip(COEFFICIENTS, dataset.distortion[index].tolist(), strict=True)),
        },
        "convention": CONVENTION,
        "objects": [
            {
                "index": int(entry["index"]),
                "name": str(entry["name"]),
                "class": class_of(entry),
                **_labels(dataset, index, place),
            }
            for place, entry in enumerate(dataset.objects)
        ],
        **_keypoints(dataset, index),
    }


def _labels(dataset: Dataset, view: int, place: int) -> dict[str, Any]:
    """Of one object: its box in its own space, where that stands, and how much of it is seen; None for what is not."""
    labels = dataset.labels
    if labels is None:
        return {}
    return {
        "local_bounds": dataset.objects[place].get("local_bounds"),
        "object_to_world": _known(labels.object_to_world[view, place]),
        "visible_pixels": int(labels.visible_pixels[view, place]),
        "amodal_pixels": int(labels.amodal_pixels[view, place]),
        "visible_box": _known(labels.visible_box[view, place]),
        "amodal_box": _known(labels.amodal_box[view, place]),
    }


def _keypoints(dataset: Dataset, view: int) -> dict[str, Any]:
    labels = dataset.labels
    if labels is None or not labels.keypoint_table:
        return {}
    states = ("outside", "hidden", "seen")
    return {
        "keypoints": [
            {
                "name": str(entry["name"]),
                "object": str(dataset.objects[entry["object"]]["name"]),
                "position": _known(position),
                "state": states[state],
            }
            for entry, position, state in zip(
                labels.keypoint_table, labels.keypoints[view], labels.keypoint_state[view], strict=True
            )
        ]
    }


def _known(values: NDArray[Any]) -> list[Any] | None:
    return values.tolist() if np.isfinite(values).all() else None
