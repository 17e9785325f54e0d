# SPDX-License-Identifier: GPL-3.0-or-later
"""COLMAP's sparse model, binary or text, with points on the surfaces: what most splat trainers open.

images/, sparse/0/{cameras,images,points3D} of the training views, and test/ likewise of the held-out ones: nothing in
the format itself tells them apart. World-to-camera with OpenCV axes, Hamilton quaternions, ids from 1, pixel centres at
+0.5, as COLMAP's page on its output format has it. Blender's world stays the world.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ...cameras import opencv_world_to_camera
from ...colour import srgb_bytes
from ..store import Dataset
from .cameras import require_perspective_or_fisheye
from .posed import Task, Written

# the models' numbers in binary files
MODELS = {"PINHOLE": 1, "OPENCV": 4, "OPENCV_FISHEYE": 5, "FULL_OPENCV": 6}


@dataclass(frozen=True)
class _Camera:
    """A model's name, a picture's size, and fx fy cx cy with the coefficients of the model."""

    model: str
    width: int
    height: int
    parameters: tuple[float, ...]


@dataclass(frozen=True)
class _Image:
    """One image's pose [qw qx qy qz, tx ty tz], its camera's number and its name."""

    pose: NDArray[np.float64]
    camera: int
    name: str


def write_binary(task: Task) -> Written:
    """Write the folder, the model as .bin files."""
    return _write(task, binary=True)


def write_text(task: Task) -> Written:
    """Write the folder, the model as .txt files."""
    return _write(task, binary=False)


def _write(task: Task, binary: bool) -> Written:
    require_perspective_or_fisheye(task.dataset, "colmap")
    written = Written()
    for place, splits in (("", ("train",)), ("test/", ("val", "test"))):
        views = [index for split, index in task.views if split in splits]
        if not views:
            continue
        for index in task.each(views):
            written.names[index] = f"{index:06d}{task.ending}"
            task.picture(index, f"{place}images/{written.names[index]}")
        cameras, numbers = _cameras(task.dataset, views)
        images = [
            _Image(_pose(task.dataset.camera_to_world[index]), number, written.names[index])
            for index, number in zip(views, numbers, strict=True)
        ]
        points = task.points.positions, srgb_bytes(task.points.colours)
        files = _binary_files(cameras, images, *points) if binary else _text_files(cameras, images, *points)
        for name, data in files.items():
            task.new_file(f"{place}sparse/0/{name}").write_bytes(data)
    written.points = len(task.points.positions)
    if not written.points:
        written.remarks.append("The dataset has no depth, so there are no points to begin splats with.")
    return written


def _cameras(dataset: Dataset, views: Sequence[int]) -> tuple[list[_Camera], list[int]]:
    """Different cameras, and of each view the number of its own, from 1."""
    rows = [_camera(dataset, index) for index in views]
    numbers = {camera: number for number, camera in enumerate(dict.fromkeys(rows), 1)}
    return list(numbers), [numbers[row] for row in rows]


def _camera(dataset: Dataset, index: int) -> _Camera:
    k1, k2, p1, p2, k3, k4 = dataset.distortion[index].tolist()
    coefficients: tuple[float, ...]
    if dataset.camera_kind == "fisheye":
        model, coefficients = "OPENCV_FISHEYE", (k1, k2, k3, k4)
    elif not any((k1, k2, p1, p2, k3, k4)):
        model, coefficients = "PINHOLE", ()
    elif k3 or k4:
        model, coefficients = "FULL_OPENCV", (k1, k2, p1, p2, k3, k4, 0.0, 0.0)
    else:
        model, coefficients = "OPENCV", (k1, k2, p1, p2)
    width, height = (int(side) for side in dataset.size[index])
    return _Camera(model, width, height, (*dataset.intrinsics[index].tolist(), *coefficients))


def _pose(camera_to_world: NDArray[np.float64]) -> NDArray[np.float64]:
    matrix = opencv_world_to_camera(camera_to_world)
    x, y, z, w = Rotation.from_matrix(matrix[:3, :3]).as_quat(canonical=True)
    return np.array([w, x, y, z, *matrix[:3, 3]])


def _text_files(
    cameras: list[_Camera], images: list[_Image], points: NDArray[np.float64], colours: NDArray[np.uint8]
) -> dict[str, bytes]:
    camera_lines = [
        f"{number} {camera.model} {camera.width} {camera.height} {' '.join(map(repr, camera.parameters))}"
        for number, camera in enumerate(cameras, 1)
    ]
    # the second line of an image lists its observations of points; it may be empty, but has to be there
    image_lines = [
        f"{number} {' '.join(repr(float(value)) for value in image.pose)} {image.camera} {image.name}\n"
        for number, image in enumerate(images, 1)
    ]
    point_lines = [
        f"{number} {x!r} {y!r} {z!r} {red} {green} {blue} 0"
        for number, ((x, y, z), (red, green, blue)) in enumerate(zip(points.tolist(), colours.tolist(), strict=True), 1)
    ]
    lines = {"cameras.txt": camera_lines, "images.txt": image_lines, "points3D.txt": point_lines}
    return {name: ("\n".join(rows) + "\n").encode() for name, rows in lines.items()}


def _binary_files(
    cameras: list[_Camera], images: list[_Image], points: NDArray[np.float64], colours: NDArray[np.uint8]
) -> dict[str, bytes]:
    camera_records = [
        struct.pack("<iiQQ", number, MODELS[camera.model], camera.width, camera.height)
        + struct.pack(f"<{len(camera.parameters)}d", *camera.parameters)
        for number, camera in enumerate(cameras, 1)
    ]
    image_records = [
        struct.pack("<i7di", number, *image.pose, image.camera) + image.name.encode() + b"\0" + struct.pack("<Q", 0)
        for number, image in enumerate(images, 1)
    ]
    point_records = [
        struct.pack("<Q3d3BdQ", number, *position, *colour, 0.0, 0)
        for number, (position, colour) in enumerate(zip(points, colours, strict=True), 1)
    ]
    records = {"cameras.bin": camera_records, "images.bin": image_records, "points3D.bin": point_records}
    return {name: struct.pack("<Q", len(rows)) + b"".join(rows) for name, rows in records.items()}
