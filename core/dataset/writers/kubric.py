# SPDX-License-Identifier: GPL-3.0-or-later
"""A clip a split as Kubric writes it: train/, val/ and test/ with numbered passes, data_ranges.json and metadata.json.

rgba_, segmentation_ (palette; 0 is the background, then the instances in metadata's order), depth_ (TIFF, float32,
distances from the camera's centre), normal_ (16-bit, world space, (n + 1) · 65535 / 2), forward_flow_, backward_flow_
(16-bit, rows before columns, between the least and the greatest of the clip that data_ranges.json tells); passes that
Kubric does not know are EXR or PNG under their own names. Cameras have OpenGL axes and quaternions w x y z; K is for a
picture of one by one, its y upwards and its depth negative.
"""

from __future__ import annotations

import colorsys
import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial.transform import Rotation

from ...cameras import distance_over_depth, pixel_grid
from ...errors import UserError
from ...rendering.covers import SPLITS
from ..store import Dataset
from .cameras import shared_camera
from .objects import PosedObject, posed_objects, require_posed
from .posed import Task, Written

Array = NDArray[np.float64]

# Kubric's depth of the background
FAR = 1e10
# of the sensor, millimetres: only its ratio to the focal length can be seen
SENSOR = 36.0
FLOWS = {"flow_forward": "forward_flow", "flow_backward": "backward_flow"}
THEIRS = {"depth", "normal", "object_index", *FLOWS}


def write(task: Task) -> Written:
    """Write the folder.

    Raises:
        UserError: the dataset has no labels or bent lenses, a clip's cameras differ in more than their place, or there
            are too many objects.
    """
    labels = require_posed(task, "kubric")
    written = Written()
    clips = {split: [int(index) for index in task.dataset.splits[split]] for split in SPLITS}
    for split, views in clips.items():
        if views and not shared_camera(task.dataset, views):
            raise UserError(
                f"the {split} views have different lenses, and Kubric knows one a clip; choose --format folder"
            )
    objects = {index: posed_objects(task.dataset, index, labels) for _, index in task.views}
    instances = {split: _instances(task.dataset, [objects[index] for index in views]) for split, views in clips.items()}
    most = max(map(len, instances.values()))
    if most > 255:
        raise UserError(f"{most} objects are in the pictures, and Kubric knows 255; choose --format bop or folder")
    ranges = {split: _flow_ranges(task.dataset, views) for split, views in clips.items() if views}
    numbers = {index: number for views in clips.values() for number, index in enumerate(views)}
    for split, index in task.each_view():
        number = numbers[index]
        written.names[index] = f"{split}/{number:05d}"
        task.picture(index, f"{split}/rgba_{number:05d}.png", alpha=True)
        _write_passes(task, index, f"{split}/{{}}_{number:05d}", instances[split], ranges[split])
    for split, views in clips.items():
        if views:
            words = _metadata(task.dataset, views, instances[split], [objects[index] for index in views])
            task.json(f"{split}/metadata.json", words)
            task.json(f"{split}/data_ranges.json", ranges[split])
    written.remarks.append(
        "A clip's frames are the split's views in their order, whether the scene moves between them or not."
    )
    apart = [split for split, views in clips.items() if (np.diff(task.dataset.frame[views]) != 1).any()]
    if apart and any(ranges.values()):
        written.remarks.append(
            f"Flow leads to the scene's next frame, which is not always the next one of the {' and '.join(apart)} clip."
        )
    return written


def _instances(dataset: Dataset, frames: list[list[PosedObject]]) -> list[dict[str, Any]]:
    """The entries of the objects that are in the picture at least once, in the table's order."""
    seen = {thing.index for objects in frames for thing in objects}
    return [entry for entry in dataset.objects if int(entry["index"]) in seen]


def _flow_ranges(dataset: Dataset, views: list[int]) -> dict[str, dict[str, float]]:
    ranges = {}
    for name, theirs in FLOWS.items():
        if name in dataset.passes:
            extremes = [
                (float(flow.min()), float(flow.max())) for flow in (_flow(dataset, name, view) for view in views)
            ]
            lowest, highest = np.array(extremes).T
            ranges[theirs] = {"min": float(lowest.min()), "max": float(highest.max())}
    return ranges


def _flow(dataset: Dataset, name: str, view: int) -> NDArray[np.float32]:
    """[H, W, 2] rows before columns; 0 where it is not known."""
    return np.nan_to_num(dataset.pixels(name, view).astype(np.float32))[..., ::-1]


def _write_passes(
    task: Task, index: int, name: str, instances: list[dict[str, Any]], ranges: dict[str, dict[str, float]]
) -> None:
    dataset = task.dataset
    segments = np.zeros(2**16, np.uint8)
    segments[[int(entry["index"]) for entry in instances]] = np.arange(1, len(instances) + 1)
    picture = Image.fromarray(segments[dataset.object_index(index)], "P")
    picture.putpalette(_palette(len(instances)))
    picture.save(task.new_file(f"{name.format('segmentation')}.png"))
    depth = dataset.depth(index)
    stretch = distance_over_depth(dataset.intrinsics[index], pixel_grid(depth.shape[1], depth.shape[0]))
    distance = np.where(depth > 0.0, depth * stretch, FAR).astype(np.float32)
    Image.fromarray(distance).save(task.new_file(f"{name.format('depth')}.tiff"))
    if "normal" in dataset.passes:
        _write_16_bit(task, f"{name.format('normal')}.png", (dataset.normal(index) + 1.0) / 2.0)
    for kind in task.passes:
        if kind not in THEIRS:
            task.pixels(kind, index, name.format(kind))
    for ours, theirs in FLOWS.items():
        if theirs in ranges:
            least, most = ranges[theirs]["min"], ranges[theirs]["max"]
            flow = (_flow(dataset, ours, index) - least) / max(most - least, 1e-12)
            _write_16_bit(
                task, f"{name.format(theirs)}.png", np.concatenate([flow, np.zeros_like(flow[..., :1])], axis=-1)
            )


def _write_16_bit(task: Task, name: str, shares: NDArray[np.float32]) -> None:
    """Three channels [H, W, 3] of 0 … 1."""
    steps = np.rint(np.clip(shares, 0.0, 1.0) * 65535.0).astype(np.uint16)
    cv2.imwrite(str(task.new_file(name)), steps[..., ::-1])  # OpenCV has blue first


def _palette(count: int) -> list[int]:
    hues = [colorsys.hls_to_rgb(number * 0.618034 % 1.0, 0.55, 0.7) for number in range(count)]
    return [0, 0, 0, *(round(255 * value) for hue in hues for value in hue)]


def _metadata(
    dataset: Dataset, views: list[int], instances: list[dict[str, Any]], frames: list[list[PosedObject]]
) -> dict[str, Any]:
    width, height = (int(side) for side in dataset.size[views[0]])
    fx, fy, cx, cy = (float(value) for value in dataset.intrinsics[views[0]])
    poses = dataset.camera_to_world[views]
    return {
        "metadata": {
            "width": width,
            "height": height,
            "resolution": [width, height],
            "num_frames": len(views),
            "num_instances": len(instances),
            "scene": dataset.scene_name,
            "seed": dataset.seed,
            "views": views,
            "frames": [int(dataset.frame[view]) for view in views],
        },
        "camera": {
            "focal_length": SENSOR * fx / width,
            "sensor_width": SENSOR,
            "field_of_view": 2.0 * math.atan(0.5 * width / fx),
            "K": [[fx / width, 0.0, -cx / width], [0.0, -fy / height, -cy / height], [0.0, 0.0, -1.0]],
            "positions": poses[:, :3, 3].tolist(),
            "quaternions": [_quaternion(pose[:3, :3]) for pose in poses],
        },
        "instances": [_instance(dataset, views, entry, frames) for entry in instances],
    }


def _instance(
    dataset: Dataset, views: list[int], entry: dict[str, Any], frames: list[list[PosedObject]]
) -> dict[str, Any]:
    """An object through the clip; null in frames where none of it is in the picture, behind others or not."""
    index = int(entry["index"])
    things = [next((thing for thing in objects if thing.index == index), None) for objects in frames]
    there = next(thing for thing in things if thing is not None)
    boxes = [(number, thing) for number, thing in enumerate(things) if thing is not None and thing.visible_pixels]
    return {
        "asset_id": there.name,
        "category": there.category,
        "positions": [thing and thing.object_to_world[:3, 3].tolist() for thing in things],
        "quaternions": [thing and _quaternion(thing.rotation) for thing in things],
        "bboxes_3d": [thing and thing.corners.tolist() for thing in things],
        "image_positions": [
            thing and _shares(dataset, view, thing.object_to_world[None, :3, 3])
            for view, thing in zip(views, things, strict=True)
        ],
        "visibility": [thing.visible_pixels if thing else 0 for thing in things],
        "bboxes": [_rows_and_columns(thing.visible_box, dataset.size[views[0]]) for _, thing in boxes],
        "bbox_frames": [number for number, _ in boxes],
    }


def _quaternion(rotation: Array) -> list[float]:
    x, y, z, w = Rotation.from_matrix(rotation).as_quat(canonical=True).tolist()
    return [w, x, y, z]


def _shares(dataset: Dataset, view: int, point: Array) -> list[float] | None:
    """Where a point [1, 3] of the world is in a picture of one by one; None behind the camera."""
    pixels, depth = dataset.camera(view).project(point)
    return (pixels[0] / dataset.size[view]).tolist() if depth[0] > 0.0 else None


def _rows_and_columns(box: NDArray[np.float32], size: NDArray[np.int32]) -> list[float]:
    left, top, right, bottom = (box / np.tile(size, 2)).tolist()
    return [top, left, bottom, right]
