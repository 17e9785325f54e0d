# SPDX-License-Identifier: GPL-3.0-or-later
"""instant-ngp: transforms.json of the training views, and test/transforms.json of the held-out ones.

Held-out views stand in a folder of their own because instant-ngp trains on every .json of the folder it opens. Scale
and offset put the scene's bounds into the unit cube in which it looks for details. No frame has a "sharpness": with
one instant-ngp would pass over missing files without a word.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .cameras import NGP, lens_words, require_perspective_or_fisheye, shared_camera
from .pictures import write_labels
from .posed import Task, Written

# how much of the unit cube the scene fills
FILLED = 0.98
# of the cube in units of the scene's own: for what stands behind it when the film is not transparent
WORLD_SCALE = 16


def write(task: Task) -> Written:
    """Write the folder.

    Raises:
        UserError: the format cannot say what these lenses are.
    """
    dataset, written = task.dataset, Written()
    require_perspective_or_fisheye(dataset, "ngp", NGP)
    # what depth means to it along a fisheye's rays is not known
    unit = task.depth_unit if dataset.has_depth and dataset.camera_kind == "opencv" else None
    frames: dict[str, dict[int, dict[str, Any]]] = {"": {}, "test/": {}}
    for split, index in task.each_view():
        place = "" if split == "train" else "test/"
        name = f"images/{index:06d}"
        written.names[index] = f"{name}{task.ending}"
        task.picture(index, f"{place}{name}{task.ending}")
        frame: dict[str, Any] = {
            "file_path": f"{name}{task.ending}",
            "transform_matrix": dataset.camera_to_world[index].tolist(),
        }
        if unit is not None:
            task.depth(index, f"{place}depth/{index:06d}.png")
            frame["depth_path"] = f"depth/{index:06d}.png"
        if not dataset.valid(index).all():
            # instant-ngp leaves out what is not black
            ignored = np.where(dataset.valid(index), 0, 255)
            write_labels(task.new_file(f"{place}images/dynamic_mask_{index:06d}.png"), ignored)
        frames[place][index] = frame
    for place, of_views in frames.items():
        if of_views:
            task.json(f"{place}transforms.json", _words(task, of_views, unit))
    if unit is not None:
        written.remarks.append("instant-ngp uses the depth only when depth_supervision_lambda is set above 0.")
    return written


def _words(task: Task, frames: dict[int, dict[str, Any]], unit: float | None) -> dict[str, Any]:
    """The file of these frames by their views."""
    dataset, indices = task.dataset, list(frames)
    lower, upper = dataset.bounds
    scale = FILLED / float((upper - lower).max())
    words: dict[str, Any] = {
        "scale": scale,
        "offset": (0.5 - scale * 0.5 * (lower + upper)).tolist(),
        "aabb_scale": 1 if dataset.film == "transparent" else WORLD_SCALE,
    }
    if dataset.camera_kind == "fisheye":
        words["is_fisheye"] = True
    if unit is not None:
        words["integer_depth_scale"] = unit
    if shared_camera(dataset, indices):
        words.update(lens_words(dataset, indices[0]))
    else:
        for index, frame in frames.items():
            frame.update(lens_words(dataset, index))
    return {**words, "frames": list(frames.values())}
