# SPDX-License-Identifier: GPL-3.0-or-later
"""NeRF-Synthetic: transforms_train.json, transforms_val.json, transforms_test.json and folders of PNG.

The format that `load_blender.py` of the original NeRF reads: one camera_angle_x for all, square pixels, the principal
point in the middle, file_path without an ending, straight alpha in every picture.
"""

from __future__ import annotations

import math

import numpy as np

from ...errors import UserError
from ...rendering.covers import SPLITS
from .cameras import require_pinholes, shared_camera
from .posed import Task, Written, require_png

# pixels by which a camera may differ from what the format can say
TOLERANCE = 1e-3


def write(task: Task) -> Written:
    """Write the folder.

    Raises:
        UserError: the format cannot say what these cameras are, or a split has no view that could stand in for it.
    """
    require_png(task, "nerf")
    require_pinholes(task.dataset, "nerf")
    dataset = task.dataset
    _require_sayable(task)
    written = Written()
    splits = {split: [int(index) for index in dataset.splits[split]] for split in SPLITS}
    if not splits["train"] or not (splits["val"] or splits["test"]):
        raise UserError("NeRF-Synthetic needs training views and held-out views; render with --test-views 1 or more")
    for split, indices in splits.items():
        written.names |= {index: f"./{split}/r_{number}" for number, index in enumerate(indices)}
    for index in task.each(written.names):
        # the original loader composites by the last channel, whatever that is
        task.picture(index, f"{written.names[index]}.png", alpha=True)
    # the original loader opens all three files
    for empty, other in (("val", "test"), ("test", "val")):
        if not splits[empty]:
            splits[empty] = splits[other]
            written.remarks.append(f"There are no {empty} views; transforms_{empty}.json lists those of {other}.")
    width, fx = int(dataset.size[0][0]), float(dataset.intrinsics[0][0])
    for split, indices in splits.items():
        frames = [
            {"file_path": written.names[index], "transform_matrix": dataset.camera_to_world[index].tolist()}
            for index in indices
        ]
        words = {"camera_angle_x": 2.0 * math.atan(0.5 * width / fx), "frames": frames}
        task.json(f"transforms_{split}.json", words)
    return written


def _require_sayable(task: Task) -> None:
    dataset = task.dataset
    views = [index for _, index in task.views]
    instead = "choose --format ngp or nerfstudio"
    if not shared_camera(dataset, views):
        raise UserError(f"the views have different cameras, and NeRF-Synthetic knows one for all; {instead}")
    fx, fy, cx, cy = dataset.intrinsics[views[0]]
    width, height = dataset.size[views[0]]
    if abs(fx - fy) / fx * max(width, height) > TOLERANCE:
        raise UserError(f"the pixels are not square, and NeRF-Synthetic knows no others; {instead}")
    if np.abs([cx - width / 2, cy - height / 2]).max() > TOLERANCE:
        raise UserError(f"the lens is shifted, which NeRF-Synthetic cannot say; {instead}")
