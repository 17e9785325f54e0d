# SPDX-License-Identifier: GPL-3.0-or-later
"""nerfstudio: one transforms.json with splits, depth in millimetres, masks and initial points.

Poses stay in Blender's world: "orientation_override" keeps nerfstudio from turning them; so that it does not move or
scale them either, train with --center-method none --auto-scale-poses False.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ply import points_ply
from ...rendering.covers import SPLITS
from .cameras import NERFSTUDIO, lens_words, require_perspective_or_fisheye, shared_camera
from .pictures import DEPTH_STEP
from .posed import Task, Written

MODELS = {"opencv": "OPENCV", "fisheye": "OPENCV_FISHEYE"}
KEEP_THE_WORLD = "--orientation-method none --center-method none --auto-scale-poses False"


def write(task: Task) -> Written:
    """Write the folder.

    Raises:
        UserError: the format cannot say what these lenses are.
    """
    dataset, written = task.dataset, Written()
    require_perspective_or_fisheye(dataset, "nerfstudio", NERFSTUDIO)
    views = [index for _, index in task.views]
    masked = any(not dataset.valid(index).all() for index in views)
    frames: list[dict[str, Any]] = []
    for index in task.each(views):
        name = f"images/{index:06d}{task.ending}"
        written.names[index] = name
        task.picture(index, name)
        frame: dict[str, Any] = {"file_path": name, "transform_matrix": dataset.camera_to_world[index].tolist()}
        if masked:  # all frames or none
            task.valid(index, f"masks/{index:06d}.png")
            frame["mask_path"] = f"masks/{index:06d}.png"
        if dataset.has_depth:
            frame["depth_file_path"] = _depth_in_millimetres(task, index)
        frames.append(frame)
    words: dict[str, Any] = {"camera_model": MODELS[dataset.camera_kind], "orientation_override": "none"}
    if shared_camera(dataset, views):
        words.update(lens_words(dataset, views[0]))
    else:
        for index, frame in zip(views, frames, strict=True):
            frame.update(lens_words(dataset, index))
    points = task.points
    if len(points.positions):
        task.new_file("points.ply").write_bytes(points_ply(points.positions, points.normals, points.colours))
        words["ply_file_path"] = "points.ply"
        written.points = len(points.positions)
    for split in SPLITS:
        words[f"{split}_filenames"] = [written.names[index] for name, index in task.views if name == split]
    words["frames"] = frames
    task.json("transforms.json", words)
    written.remarks.append(f"To keep Blender's world, train with nerfstudio-data {KEEP_THE_WORLD}.")
    if task.ending == ".exr":
        written.remarks.append("nerfstudio reads no EXR by itself; its default pictures are PNG.")
    return written


def _depth_in_millimetres(task: Task, index: int) -> str:
    """Write planar depth in the unit that nerfstudio expects when it is told none; the file's name."""
    if task.depth_unit == DEPTH_STEP:
        name = f"depth/{index:06d}.png"
        task.depth(index, name)
    else:  # too far for 16 bits, or too near for whole millimetres
        name = f"depth/{index:06d}.npy"
        np.save(task.new_file(name), (task.planar_depth(index) / DEPTH_STEP).astype(np.float32))
    return name
