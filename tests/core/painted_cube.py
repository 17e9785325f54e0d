# SPDX-License-Identifier: GPL-3.0-or-later
"""A grey cube on a plate, ray-traced exactly, and a twin of it that is wrong on one side of the cube alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from radiance_twin.core.cameras import Camera, look_at, pixel_grid, ray_directions, world_from_field_of_bounds
from radiance_twin.core.colour import srgb_to_linear, standard_view_transform
from radiance_twin.core.dataset.contents import DatasetHeader, ViewPixels
from radiance_twin.core.dataset.writing import write_dataset

CUBE, PLATE = 7, 3  # pass indices
BOXES = {CUBE: np.array([[-0.5] * 3, [0.5] * 3]), PLATE: np.array([[-1.0, -1.0, -0.6], [1.0, 1.0, -0.5]])}
BOUNDS = np.array([[-1.0, -1.0, -0.6], [1.0, 1.0, 0.5]])
OBJECTS = [{"index": CUBE, "name": "Cube", "bounds": BOXES[CUBE].tolist()}]
OBJECTS += [{"index": PLATE, "name": "Plate", "bounds": BOXES[PLATE].tolist()}]
SIZE = 48
INTRINSICS = np.array([60.0, 60.0, SIZE / 2, SIZE / 2])
GREY, WRONG = 100, 140  # display values of 255


def trace(pose: np.ndarray, intrinsics: np.ndarray, size: tuple[int, int], wrong_side: bool = False) -> ViewPixels:
    """What a camera sees; `wrong_side` paints the cube's side that faces +x in another grey."""
    ways = ray_directions(pose, intrinsics, pixel_grid(*size)).reshape(-1, 3)
    nearest, index = np.full(len(ways), np.inf), np.zeros(len(ways), np.uint16)
    normal, display = np.zeros((len(ways), 3)), np.zeros(len(ways))
    for number, box in BOXES.items():
        with np.errstate(divide="ignore"):
            faces = (box[:, None] - pose[:3, 3]) / ways
        entry, leave = faces.min(axis=0), faces.max(axis=0).min(axis=1)
        axis, distance = entry.argmax(axis=1), entry.max(axis=1)
        hit = (distance < leave) & (distance > 0) & (distance < nearest)
        facing = -np.sign(ways[np.arange(len(ways)), axis])
        wrong = wrong_side & (number == CUBE) & (axis == 0) & (facing > 0)
        nearest, index = np.where(hit, distance, nearest), np.where(hit, number, index).astype(np.uint16)
        normal = np.where(hit[:, None], np.eye(3)[axis] * facing[:, None], normal)
        display = np.where(hit, np.where(wrong, WRONG, GREY), display)
    seen = np.isfinite(nearest)
    light = np.repeat(srgb_to_linear(display / 255.0)[:, None], 3, axis=1)
    planar = np.where(seen, nearest, 0.0) * (ways @ -pose[:3, 2])
    shape = size[::-1]
    return ViewPixels(
        np.concatenate([light, seen[:, None]], axis=1).reshape(*shape, 4).astype(np.float32),
        planar.reshape(shape).astype(np.float32),
        normal.reshape(*shape, 3).astype(np.float32),
        index.reshape(shape),
    )


def ring(degrees: Sequence[float], height: float = 1.2, distance: float = 4.0) -> list[np.ndarray]:
    """Cameras around the cube that look at it; 0 degrees is +x."""
    angles = np.radians(degrees)
    eyes = np.stack([distance * np.cos(angles), distance * np.sin(angles), np.full(len(angles), height)], axis=1)
    return [look_at(eye, (0.0, 0.0, 0.0)) for eye in eyes]


def write(path: Path, train: Sequence[np.ndarray], test: Sequence[np.ndarray], **changes: object) -> Path:
    """The right cube as a dataset."""
    poses = np.array([*train, *test])
    count = len(poses)
    values: dict[str, object] = {
        "camera_to_world": poses,
        "intrinsics": np.tile(INTRINSICS, (count, 1)),
        "size": np.full((count, 2), SIZE, np.int32),
        "frame": np.ones(count, np.int32),
        "splits": {"train": list(range(len(train))), "val": [], "test": list(range(len(train), count))},
        "world_from_field": world_from_field_of_bounds(BOUNDS),
        "bounds": BOUNDS,
        "film": "transparent",
        "view_transform": standard_view_transform(),
        "objects": OBJECTS,
        "scene_name": "cube",
        "scene_hash": "cube",
        "blender_version": "4.5.0",
    }
    header = DatasetHeader(**{**values, **changes})  # type: ignore[arg-type]
    write_dataset(path, header, (trace(pose, INTRINSICS, (SIZE, SIZE)) for pose in poses))
    return path


def wrong_twin(camera: Camera) -> np.ndarray:
    """A field's picture [H, W, 4] of the cube with the wrong side."""
    return trace(camera.camera_to_world, camera.intrinsics, camera.size, wrong_side=True).rgba
