# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads back formats that tell where objects stand: the corners of their boxes, projected by what the files say.

The readers know each format's conventions and nothing of the writers; what they find is held against the dataset's own
labels and cameras.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial.transform import Rotation

from ..cameras import Camera
from ..dataset.store import Dataset
from ..dataset.writers.kitti import upright_box
from ..dataset.writers.objects import PosedObject, posed_objects, require_labels
from ..errors import UserError
from .read_back import MOST_ERROR

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FoundObject:
    """An object of a view as read: what the format calls it, and the pixels [8, 2] of its box's corners."""

    label: str
    corners: Array


def require_same_objects(dataset: Dataset, folder: Path, format: str) -> float:
    """By how many pixels a corner of an object's box is off at most; boxes that reach behind the camera are left out.

    Raises:
        UserError: an object is missing, or is another one, or a corner is off by more than MOST_ERROR.
    """
    labels = require_labels(dataset, format)
    reading = OBJECTS[format]
    worst, views = 0.0, set()
    for view, found in reading.read(dataset, folder):
        expected = [thing for thing in posed_objects(dataset, view, labels) if reading.holds(thing)]
        if [one.label for one in found] != [reading.label(thing) for thing in expected]:
            raise UserError(f"the objects of view {view} do not read back as {format}; please report this")
        camera = dataset.camera(view)
        for one, thing in zip(found, expected, strict=True):
            corners, depth = camera.project(thing.corners)
            error = reading.off(one.corners, corners, thing, camera) if (depth > 0.0).all() else 0.0
            if not error <= MOST_ERROR:
                raise UserError(
                    f"{thing.name} of view {view} reads back {error:.3g} pixels off, more than {MOST_ERROR}, so "
                    f"nothing was written; {format} cannot say where it stands, choose another format"
                )
            worst = max(worst, error)
        views.add(view)
    missing = {int(index) for indices in dataset.splits.values() for index in indices} - views
    if missing:
        raise UserError(f"view {min(missing)} was written and cannot be read back as {format}; please report this")
    return worst


def _in_order(found: Array, expected: Array, thing: PosedObject, camera: Camera) -> float:
    return float(np.linalg.norm(found - expected, axis=1).max())


def _upright(found: Array, expected: Array, thing: PosedObject, camera: Camera) -> float:
    """Corners in any order; where the object is tilted against the camera, by how much they are not around it."""
    if upright_box(thing, camera, 1.0).tight:
        return float(np.linalg.norm(found[:, None] - expected, axis=2).min(axis=0).max())
    outside = np.maximum(found.min(axis=0) - expected.min(axis=0), expected.max(axis=0) - found.max(axis=0))
    return max(float(outside.max()), 0.0)


def _read_bop(dataset: Dataset, folder: Path) -> Iterator[tuple[int, list[FoundObject]]]:
    labels = require_labels(dataset, "bop")
    millimetres = 1000.0 * dataset.unit_scale
    infos = json.loads((folder / "models" / "models_info.json").read_text(encoding="utf-8"))
    boxes = {}
    for number, info in infos.items():
        lower = np.array([info[f"min_{axis}"] for axis in "xyz"])
        boxes[number] = np.array([lower, lower + [info[f"size_{axis}"] for axis in "xyz"]])
        _require_inside(folder / "models" / f"obj_{int(number):06d}.ply", boxes[number])
    for scene in sorted(folder.glob("*/000000")):
        cameras, truth = (
            json.loads((scene / f"{name}.json").read_text(encoding="utf-8")) for name in ("scene_camera", "scene_gt")
        )
        infos_of = json.loads((scene / "scene_gt_info.json").read_text(encoding="utf-8"))
        for image, poses in truth.items():
            k = np.reshape(cameras[image]["cam_K"], (3, 3))
            things = posed_objects(dataset, int(image), labels)
            found = []
            for number, (pose, thing) in enumerate(zip(poses, things, strict=False)):
                _require_same_masks(dataset, scene, int(image), number, thing, infos_of[image][number])
                # what the format's model is of the object: its own box, as large as it stands in the scene
                model = thing.local_corners @ thing.stretch * millimetres
                box = boxes[str(pose["obj_id"])]
                if np.abs([model.min(axis=0) - box[0], model.max(axis=0) - box[1]]).max() > 1e-3 * np.ptp(box):
                    raise UserError(
                        f"the model of {thing.name} reads back with another size as bop; please report this"
                    )
                seen = model @ np.reshape(pose["cam_R_m2c"], (3, 3)).T + pose["cam_t_m2c"]
                pixels = seen @ k.T
                # OpenCV's pixels have their centres at whole numbers
                corners = pixels[:, :2] / pixels[:, 2:] + 0.5
                found.append(FoundObject(infos[str(pose["obj_id"])]["name"], corners))
            yield int(image), found


def _require_same_masks(
    dataset: Dataset, scene: Path, view: int, number: int, thing: PosedObject, info: dict[str, Any]
) -> None:
    """Hold what is written of an object's pixels against the dataset, and the counts against what is written."""
    seen = dataset.object_index(view) == thing.index
    masks = {"mask_visib": (seen, info["px_count_visib"])}
    if dataset.labels is not None and dataset.labels.amodal_masks is not None:
        whole = dataset.amodal_mask(view, thing.place)
        masks["mask"] = (seen if whole is None else whole, info["px_count_all"])
    for folder, (expected, count) in masks.items():
        path = scene / folder / f"{view:06d}_{number:06d}.png"
        if not np.array_equal(np.asarray(Image.open(path)) > 0, expected) or expected.sum() != count:
            raise UserError(f"{folder}/{path.name} does not read back as bop; please report this")


def _require_inside(model: Path, box: Array) -> None:
    points = np.asarray(trimesh.load(model).vertices)
    room = 1e-2 * max(float(np.ptp(box, axis=0).max()), 1e-9)
    if len(points) and ((points < box[0] - room) | (points > box[1] + room)).any():
        raise UserError(f"{model.name} has points outside of its object; please report this")


def _read_kitti(dataset: Dataset, folder: Path) -> Iterator[tuple[int, list[FoundObject]]]:
    for path in sorted((folder / "training" / "label_2").glob("*.txt")):
        calibration = (folder / "training" / "calib" / path.name).read_text(encoding="ascii")
        rows = dict(line.split(": ") for line in calibration.splitlines())
        projection = np.array(rows["P2"].split(), np.float64).reshape(3, 4)
        found = []
        for line in path.read_text(encoding="utf-8").splitlines():
            label, *numbers = line.split()
            height, width, length, x, y, z, turn = map(float, numbers[7:])
            # the eight corners of the development kit: about the middle of the bottom, y downwards
            across = 0.5 * length * np.array([1, 1, -1, -1, 1, 1, -1, -1])
            along = 0.5 * width * np.array([1, -1, -1, 1, 1, -1, -1, 1])
            up = -height * np.array([0, 0, 0, 0, 1, 1, 1, 1])
            turned = Rotation.from_euler("y", turn).apply(np.stack([across, up, along], axis=1))
            pixels = np.insert(turned + np.array([x, y, z]), 3, 1.0, axis=1) @ projection.T
            found.append(FoundObject(label, pixels[:, :2] / pixels[:, 2:] + 0.5))
        yield int(path.stem), found


def _read_kubric(dataset: Dataset, folder: Path) -> Iterator[tuple[int, list[FoundObject]]]:
    for path in sorted(folder.glob("*/metadata.json")):
        words = json.loads(path.read_text(encoding="utf-8"))
        camera, k = words["camera"], np.array(words["camera"]["K"])
        for frame, view in enumerate(words["metadata"]["views"]):
            w, *xyz = camera["quaternions"][frame]
            pose = Rotation.from_quat([*xyz, w])
            found = []
            for instance in words["instances"]:
                if instance["bboxes_3d"][frame] is not None:
                    seen = pose.inv().apply(np.array(instance["bboxes_3d"][frame]) - camera["positions"][frame]) @ k.T
                    size = [words["metadata"]["width"], words["metadata"]["height"]]
                    found.append(FoundObject(instance["asset_id"], seen[:, :2] / seen[:, 2:] * size))
            yield int(view), found


@dataclass(frozen=True)
class _Format:
    """How a format is read, which objects of a view it holds, what it calls them, and what counts as off."""

    read: Callable[[Dataset, Path], Iterator[tuple[int, list[FoundObject]]]]
    holds: Callable[[PosedObject], bool] = lambda thing: True
    label: Callable[[PosedObject], str] = lambda thing: thing.category
    off: Callable[[Array, Array, PosedObject, Camera], float] = _in_order


OBJECTS: dict[str, _Format] = {
    "bop": _Format(_read_bop),
    "kitti": _Format(
        _read_kitti,
        holds=lambda thing: thing.visible_pixels > 0,
        label=lambda thing: "_".join(thing.category.split()),
        off=_upright,
    ),
    "kubric": _Format(_read_kubric, label=lambda thing: thing.name),
}
