# SPDX-License-Identifier: GPL-3.0-or-later
"""BOP, for pose estimation: {train,val,test}/000000 with scene_camera, scene_gt and scene_gt_info, and models/.

The format of the BOP toolkit's page: millimetres, OpenCV axes, pixel centres at whole numbers, depth as 16-bit PNG
whose steps scene_camera tells. Poses have no scale: a model is an object as large as it stands in the scene, about its
own origin. Copies of the same class, box and size are one model; an object that changes its size is one model a size.
Models are the points that the views show, with normals and colours and no faces.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist

from ...cameras import opencv_camera_matrix, opencv_world_to_camera
from ...ply import points_ply
from ..store import Dataset
from ..surface_points import SOLID
from .cameras import shared_camera
from .objects import PosedObject, posed_objects, require_posed
from .pictures import write_labels
from .posed import Task, Written

Array = NDArray[np.float64]

SCENE = "000000"
# of one model, from all views together
MOST_POINTS = 20_000
# points are left out that are farther beside a box than this share of it; a model that loses more than so many is told
BESIDE, SOME = 0.005, 0.01


@dataclass
class _Model:
    """What of the scene is one model: its class, the corners of its box and its points, unturned, as large as there.

    `outside` counts the points that were left out because they lie outside of the box.
    """

    category: str
    corners: Array
    points: list[tuple[Array, Array, NDArray[np.float32]]] = field(default_factory=list)
    outside: int = 0

    @property
    def count(self) -> int:
        """How many points there are."""
        return sum(len(positions) for positions, *_ in self.points)


def write(task: Task) -> Written:
    """Write the folder.

    Raises:
        UserError: the dataset has no labels, or lenses that the format cannot say.
    """
    dataset, written = task.dataset, Written()
    labels = require_posed(task, "bop")
    millimetres = 1000.0 * dataset.unit_scale
    depth_scale = task.depth_unit * millimetres
    models: list[_Model] = []
    files: dict[str, dict[str, dict[str, Any]]] = {}
    for split, index in task.each_view():
        place = f"{split}/{SCENE}"
        written.names[index] = f"{place}/{index:06d}"
        task.opaque_picture(index, f"{place}/rgb/{index:06d}.png")
        task.depth(index, f"{place}/depth/{index:06d}.png")
        objects = posed_objects(dataset, index, labels)
        numbers = [_model_of(thing, models) for thing in objects]
        _add_points(dataset, index, objects, [models[number] for number in numbers], len(task.views))
        seen = dataset.object_index(index)
        for number, thing in enumerate(objects):
            shown, name = seen == thing.index, f"{index:06d}_{number:06d}.png"
            write_labels(task.new_file(f"{place}/mask_visib/{name}"), np.where(shown, 255, 0))
            if labels.amodal_masks is not None:
                whole = dataset.amodal_mask(index, thing.place)
                write_labels(task.new_file(f"{place}/mask/{name}"), np.where(shown if whole is None else whole, 255, 0))
        scene = files.setdefault(place, {"scene_camera": {}, "scene_gt": {}, "scene_gt_info": {}})
        world_to_camera = opencv_world_to_camera(dataset.camera_to_world[index])
        scene["scene_camera"][str(index)] = {
            "cam_K": opencv_camera_matrix(dataset.intrinsics[index]).ravel().tolist(),
            "depth_scale": depth_scale,
            "cam_R_w2c": world_to_camera[:3, :3].ravel().tolist(),
            "cam_t_w2c": (world_to_camera[:3, 3] * millimetres).tolist(),
        }
        scene["scene_gt"][str(index)] = [
            {
                "cam_R_m2c": (world_to_camera[:3, :3] @ thing.rotation).ravel().tolist(),
                "cam_t_m2c": ((world_to_camera @ thing.object_to_world[:, 3])[:3] * millimetres).tolist(),
                "obj_id": number + 1,
            }
            for number, thing in zip(numbers, objects, strict=True)
        ]
        scene["scene_gt_info"][str(index)] = [_info(thing) for thing in objects]
    for place, contents in files.items():
        for name, words in contents.items():
            task.json(f"{place}/{name}.json", words)
    _write_camera(task, depth_scale)
    _write_models(task, models, millimetres)
    unseen = sum(not model.count for model in models)
    if unseen:
        written.remarks.append(f"{unseen} models are no more than the corners of their boxes: no view shows them.")
    written.points = sum(model.count for model in models)
    for model in models:
        if model.outside > SOME * (model.count + model.outside):
            written.remarks.append(f"{model.category} changes its shape, and BOP's models are rigid.")
    written.remarks.append("Models are the points that the views show, without faces.")
    if labels.amodal_masks is None:
        written.remarks.append("The dataset was rendered before whole masks were kept: there is no mask/.")
    if not shared_camera(dataset, [index for _, index in task.views]):
        written.remarks.append(
            "The views' cameras differ: camera.json is the first one's, scene_camera.json has them all."
        )
    return written


def _model_of(thing: PosedObject, models: list[_Model]) -> int:
    corners = thing.local_corners @ thing.stretch
    size = max(float(np.abs(corners).max()), 1e-12)
    for number, model in enumerate(models):
        if model.category == thing.category and np.allclose(model.corners, corners, rtol=0.0, atol=1e-5 * size):
            return number
    models.append(_Model(thing.category, corners))
    return len(models) - 1


def _add_points(dataset: Dataset, view: int, objects: list[PosedObject], models: list[_Model], views: int) -> None:
    """Give each model what one view shows of it, turned and moved back into the model's own space."""
    rgba, depth, seen = dataset.rgba(view), dataset.depth(view), dataset.object_index(view)
    world = dataset.camera(view).unproject(depth)
    normals = dataset.normal(view).astype(np.float64)
    for thing, model in zip(objects, models, strict=True):
        rows, columns = np.nonzero((seen == thing.index) & (depth > 0.0) & (rgba[..., 3] > SOLID))
        share = -(-MOST_POINTS // views)
        if len(rows) > share:
            kept = np.random.default_rng([view, thing.index]).choice(len(rows), share, replace=False)
            rows, columns = rows[kept], columns[kept]
        positions = (world[rows, columns] - thing.object_to_world[:3, 3]) @ thing.rotation
        room = BESIDE * float(np.ptp(model.corners, axis=0).max())
        lower, upper = model.corners.min(axis=0) - room, model.corners.max(axis=0) + room
        inside = ((positions > lower) & (positions < upper)).all(axis=1)
        model.outside += int((~inside).sum())
        rows, columns = rows[inside], columns[inside]
        model.points.append((positions[inside], normals[rows, columns] @ thing.rotation, rgba[rows, columns, :3]))


def _info(thing: PosedObject) -> dict[str, Any]:
    return {
        "bbox_obj": _corner_and_size(thing.amodal_box),
        "bbox_visib": _corner_and_size(thing.visible_box),
        "px_count_all": thing.amodal_pixels,
        "px_count_valid": thing.amodal_pixels,
        "px_count_visib": thing.visible_pixels,
        "visib_fract": thing.visible_fraction,
    }


def _corner_and_size(box: NDArray[np.float32]) -> list[int]:
    if not np.isfinite(box).all():
        return [-1, -1, -1, -1]
    left, top, right, bottom = (round(float(side)) for side in box)
    return [left, top, right - left, bottom - top]


def _write_camera(task: Task, depth_scale: float) -> None:
    first = task.views[0][1]
    (fx, _, cx), (_, fy, cy), _ = opencv_camera_matrix(task.dataset.intrinsics[first]).tolist()
    width, height = (int(side) for side in task.dataset.size[first])
    words = {"fx": fx, "fy": fy, "cx": cx, "cy": cy, "width": width, "height": height}
    task.json("camera.json", {**words, "depth_scale": depth_scale})


def _write_models(task: Task, models: list[_Model], millimetres: float) -> None:
    infos = {}
    for number, model in enumerate(models, 1):
        if not model.count:  # always hidden, or thinner than pixels: at least its box
            model.points.append((model.corners, np.zeros((8, 3)), np.zeros((8, 3), np.float32)))
        positions, normals, colours = (np.concatenate(parts) for parts in zip(*model.points, strict=True))
        ply = points_ply(positions * millimetres, normals, colours.astype(np.float32))
        task.new_file(f"models/obj_{number:06d}.ply").write_bytes(ply)
        lower, size = model.corners.min(axis=0) * millimetres, np.ptp(model.corners, axis=0) * millimetres
        infos[str(number)] = {
            "diameter": _diameter(positions) * millimetres,
            **{f"min_{axis}": float(value) for axis, value in zip("xyz", lower, strict=True)},
            **{f"size_{axis}": float(value) for axis, value in zip("xyz", size, strict=True)},
            "name": model.category,
        }
    task.json("models/models_info.json", infos)


def _diameter(points: Array) -> float:
    """The largest distance between two of the points [N, 3]."""
    try:
        points = points[ConvexHull(points).vertices]
    except QhullError:  # flat, or few: the box around them instead
        points = np.stack([points.min(axis=0), points.max(axis=0)])
    return float(pdist(points).max())
