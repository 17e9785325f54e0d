# SPDX-License-Identifier: GPL-3.0-or-later
"""A view's camera and objects as a dictionary: for formats that carry one JSON a view."""

from __future__ import annotations

from typing import Any

from ..store import Dataset
from .labels import class_of

CONVENTION = "camera_to_world: OpenGL axes (x right, y up, -z forward), z up; pixel centres at +0.5; depth: planar z"


def record_of(dataset: Dataset, split: str, index: int) -> dict[str, Any]:
    """Index, split, frame, size, camera and the table of objects of one view, ready for JSON."""
    return {
        "index": index,
        "split": split,
        "frame": int(dataset.frame[index]),
        "size": [int(side) for side in dataset.size[index]],
        "camera_to_world": dataset.camera_to_world[index].tolist(),
        "intrinsics": [float(value) for value in dataset.intrinsics[index]],
        "convention": CONVENTION,
        "objects": [
            {"index": int(entry["index"]), "name": str(entry["name"]), "class": class_of(entry)}
            for entry in dataset.objects
        ],
    }
