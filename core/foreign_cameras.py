# SPDX-License-Identifier: GPL-3.0-or-later
"""Cameras of other programs' files, without their pictures: to be rendered here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .camera_file import PosedCamera, read_cameras
from .cameras import Camera
from .dataset.readers import colmap_model as colmap
from .dataset.readers.posed import Lens, Unsound, frames_of, name_of, number, pose, read_json
from .dataset.readers.transforms import TRANSFORMS, lens_of, require_known_camera
from .errors import UserError

Size = tuple[int, int]
# by how much the shape of a picture may differ from that of the views it is rendered as
SHAPE_TOLERANCE = 0.01


def cameras_to_render(source: str, size: Size, frame: int) -> list[PosedCamera]:
    """The cameras of a file of ours, of a transforms*.json, or of a folder with one or with a COLMAP model.

    Args:
        size: of the pictures to render; what is stated for pictures of another size and the same shape is scaled.
        frame: of the scene, where the file says none.

    Raises:
        UserError: there are none, or one of them makes no sense, has another shape or is no pinhole.
    """
    path = Path(source)
    if path.is_file() and not _is_transforms(path):
        return read_cameras(source)
    try:
        found = list(_colmap(path) if _model_of(path) else _transforms(path, size))
    except Unsound as error:
        raise UserError(f"{source}: {error}; mend it") from error
    return [PosedCamera(_suiting(camera, name, size), frame) for name, camera in found]


def _is_transforms(path: Path) -> bool:
    try:
        words = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(words, dict) and "frames" in words


def _model_of(path: Path) -> Path | None:
    return colmap.model_folder(path) if path.is_dir() and not (path / TRANSFORMS).is_file() else None


def _colmap(path: Path) -> Iterator[tuple[str, Camera]]:
    cameras, poses = colmap.cameras_and_poses(path)
    for one in poses:
        if one.camera not in cameras:
            raise Unsound(f"the camera {one.camera} of {one.name} is not in the list of cameras")
        matrix = colmap.camera_to_world(np.array(one.quaternion), np.array(one.translation))
        yield one.name, _pinhole(matrix, colmap.lens_of(cameras[one.camera]), one.name)


def _transforms(path: Path, size: Size) -> Iterator[tuple[str, Camera]]:
    path = path / TRANSFORMS if path.is_dir() else path
    meta = read_json(path)
    require_known_camera(meta, path)
    for position, frame in enumerate(frames_of(meta, path)):
        name = name_of(frame, position)
        if not isinstance(frame, dict):
            raise Unsound(f"{name} is no JSON object")
        width, height = (
            int(number(frame.get(side, meta.get(side, own)), side)) for side, own in zip("wh", size, strict=True)
        )
        yield name, _pinhole(pose(frame.get("transform_matrix")), lens_of(meta, frame, (width, height)), name)


def _pinhole(matrix: NDArray[np.float64], lens: Lens, name: str) -> Camera:
    if not lens.is_pinhole:
        raise Unsound(f"{name} has a distorted lens; undistort the dataset first")
    return lens.camera(matrix)


def _suiting(camera: Camera, name: str, size: Size) -> Camera:
    shape, asked = camera.size[0] / camera.size[1], size[0] / size[1]
    if abs(shape / asked - 1.0) > SHAPE_TOLERANCE:
        raise UserError(
            f"{name} is {camera.size[0]} x {camera.size[1]} pixels, which is another shape than the dataset's "
            f"{size[0]} x {size[1]}; render a dataset of that shape first"
        )
    return camera if camera.size == size else camera.resized(size)
