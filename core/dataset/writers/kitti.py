# SPDX-License-Identifier: GPL-3.0-or-later
"""KITTI's 3D objects: training/{image_2,label_2,calib} and ImageSets/{train,val,test}.txt.

The format of the readme of KITTI's object development kit: camera axes x right, y down, z forward, metres; a box by
height, width, length, the middle of its bottom and its turn about the camera's y axis, 0 where the object's x axis
points to the right; pixel centres at whole numbers, the right and bottom pixel included. All four cameras are one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...cameras import Camera, opencv_camera_matrix, opencv_world_to_camera
from ...rendering.covers import SPLITS
from .objects import PosedObject, posed_objects, require_posed
from .posed import Task, Written

Array = NDArray[np.float64]

# of what would be seen of an object with nothing before it: below the first it counts as partly, below the second as
# largely occluded
PARTLY, LARGELY = 0.9, 0.5
# x forward, y left, z up, as KITTI's laser scanner has it, where the camera stands
CAMERA_FROM_SCANNER = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])


@dataclass(frozen=True)
class UprightBox:
    """The smallest box around an object that is turned about the camera's y axis only.

    Attributes:
        size: height, width, length. bottom: [3] the middle of its bottom. turn: rotation_y, radians.
        tight: whether its corners are those of the object's own box.
    """

    size: tuple[float, float, float]
    bottom: Array
    turn: float
    tight: bool


def write(task: Task) -> Written:
    """Write the folder.

    Raises:
        UserError: the dataset has no labels, or lenses that the format cannot say.
    """
    dataset, written = task.dataset, Written()
    labels = require_posed(task, "kitti")
    boxes = loose = 0
    for _, index in task.each_view():
        name = f"{index:06d}"
        written.names[index] = name
        task.opaque_picture(index, f"training/image_2/{name}.png")
        camera = dataset.camera(index)
        lines = []
        for thing in posed_objects(dataset, index, labels):
            if thing.visible_pixels:
                box = upright_box(thing, camera, dataset.unit_scale)
                lines.append(_line(thing, camera, box))
                boxes, loose = boxes + 1, loose + (not box.tight)
        text = "\n".join(lines) + "\n" if lines else ""
        task.new_file(f"training/label_2/{name}.txt").write_text(text, encoding="utf-8")
        task.new_file(f"training/calib/{name}.txt").write_text(_calibration(camera), encoding="ascii")
    for split in SPLITS:
        lines = [f"{index:06d}\n" for index in dataset.splits[split]]
        task.new_file(f"ImageSets/{split}.txt").write_text("".join(lines), encoding="ascii")
    if loose:
        written.remarks.append(
            f"KITTI's boxes turn about the camera's y axis only: {loose} of {boxes} objects are tilted against it, and "
            "have the smallest such box around them. Level cameras have none of these."
        )
    written.remarks.append("KITTI does not say where cameras stand in the world.")
    return written


def upright_box(thing: PosedObject, camera: Camera, metres: float) -> UprightBox:
    """The box that KITTI can say of an object, in metres."""
    world_to_camera = opencv_world_to_camera(camera.camera_to_world)
    corners = (thing.corners @ world_to_camera[:3, :3].T + world_to_camera[:3, 3]) * metres
    axes = world_to_camera[:3, :3] @ thing.rotation
    # the object's x axis says where it heads; its y axis where that one stands on end
    heading = axes[:, 0] if np.hypot(axes[0, 0], axes[2, 0]) > 1e-3 else axes[:, 1]
    turn = math.atan2(-heading[2], heading[0])
    turned = turned_about_y(turn)
    level = corners @ turned
    lower, upper = level.min(axis=0), level.max(axis=0)
    length, height, width = (upper - lower).tolist()
    bottom = turned @ np.array([0.5 * (lower[0] + upper[0]), upper[1], 0.5 * (lower[2] + upper[2])])
    # a corner of a tight box is lowest or highest along every axis
    off = np.minimum(level - lower, upper - level).max()
    return UprightBox((height, width, length), bottom, turn, bool(off < 1e-5 * max(length, height, width)))


def turned_about_y(turn: float) -> Array:
    """[3, 3] the rotation that KITTI's rotation_y means."""
    c, s = math.cos(turn), math.sin(turn)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


def _line(thing: PosedObject, camera: Camera, box: UprightBox) -> str:
    width, height = camera.size
    left, top, right, bottom = np.clip(thing.amodal_box, 0.0, [width, height, width, height]).tolist()
    occluded = 0 if thing.visible_fraction >= PARTLY else 1 if thing.visible_fraction >= LARGELY else 2
    alpha = box.turn - math.atan2(box.bottom[0], box.bottom[2])
    alpha = math.remainder(alpha, 2.0 * math.pi)
    numbers = [alpha, left, top, right - 1.0, bottom - 1.0, *box.size, *box.bottom.tolist(), box.turn]
    kind = "_".join(thing.category.split())
    return f"{kind} {_truncated(thing, camera):.4f} {occluded} " + " ".join(f"{number:.6f}" for number in numbers)


def _truncated(thing: PosedObject, camera: Camera) -> float:
    """Which share of the rectangle around the object's box lies outside of the picture; all where it reaches behind."""
    pixels, depth = camera.project(thing.corners)
    if (depth <= 0.0).any():
        return 1.0
    lower, upper = pixels.min(axis=0), pixels.max(axis=0)
    inside = np.clip(upper, 0.0, camera.size) - np.clip(lower, 0.0, camera.size)
    return float(1.0 - np.prod(inside) / max(float(np.prod(upper - lower)), 1e-12))


def _calibration(camera: Camera) -> str:
    beside = np.zeros((3, 1))
    projection = np.hstack([opencv_camera_matrix(camera.intrinsics), beside])
    rows = {
        **dict.fromkeys(("P0", "P1", "P2", "P3"), projection),
        "R0_rect": np.eye(3),
        "Tr_velo_to_cam": np.hstack([CAMERA_FROM_SCANNER, beside]),
        "Tr_imu_to_velo": np.hstack([np.eye(3), beside]),
    }
    return "".join(f"{name}: {' '.join(f'{value:.12e}' for value in row.ravel())}\n" for name, row in rows.items())
