# SPDX-License-Identifier: GPL-3.0-or-later
"""Cameras of other programs' files, without their pictures: to be rendered here. Numpy alone."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .camera_file import PosedCamera, read_cameras
from .cameras import Camera
from .dataset.contents import MOST_PIXELS
from .dataset.readers import colmap_model
from .dataset.readers.posed import Lens, Unsound, frames_of, name_of, number, pose, read_json
from .dataset.readers.transforms import SPLIT_FILES, TRANSFORMS, lens_of, listed_name, require_known_camera, splits_of
from .errors import UserError
from .rendering.covers import SPLITS, split_points

Size = tuple[int, int]
# name, camera and split
Found = Iterator[tuple[str, Camera, str | None]]
# by how much the shape of a picture may differ from that of the views it is rendered as
SHAPE_TOLERANCE = 0.01
# of cameras whose file names no splits, at most this share is held out for the test, and to validate
MOST_TEST, MOST_VAL = 1 / 4, 1 / 8


def cameras_to_render(source: str, size: Size | None) -> list[PosedCamera]:
    """The cameras of a transforms*.json or a folder with some, of a folder with a COLMAP model, or of a file of ours.

    Args:
        size: of the pictures to render; what is stated for pictures of another size and the same shape is scaled.
            None: as the file says.

    Raises:
        UserError: there are none, they are of different sizes, or one of them makes no sense, has another shape, or a
            lens that cannot be rendered.
    """
    path = Path(source)
    if path.is_file() and not _is_transforms(path):
        given = read_cameras(source)
    else:
        try:
            found = list(_colmap(path) if _is_model(path) else _transforms(path, size))
        except Unsound as error:
            remedy = "" if ";" in str(error) else "; mend it"
            raise UserError(f"{source}, {error}{remedy}") from error
        given = [PosedCamera(camera, split=split, name=name) for name, camera, split in found]
    if not given:
        raise UserError(f"{source} holds no cameras; name a file that does")
    size = size or _common_size(given, source)
    if math.prod(size) > MOST_PIXELS:
        raise UserError(f"{source} asks for pictures of {size[0]} x {size[1]} pixels, more than {MOST_PIXELS:,}")
    return [replace(one, camera=_suiting(one.camera, one.name, size)) for one in given]


def splits_of_cameras(cameras: Sequence[PosedCamera], val_views: int, test_views: int) -> dict[str, list[int]]:
    """Indices of the cameras of each split: as their file names them.

    Where it names none, as many as asked are held out that stand farthest from each other, at most MOST_TEST and
    MOST_VAL of all.
    """
    named = [one.split for one in cameras]
    if any(named):
        return {split: [i for i, own in enumerate(named) if (own or "train") == split] for split in SPLITS}
    count = len(cameras)
    counts = {"test": min(test_views, int(count * MOST_TEST)), "val": min(val_views, int(count * MOST_VAL))}
    counts["train"] = count - counts["test"] - counts["val"]
    places = np.array([one.camera.camera_to_world[:3, 3] for one in cameras])
    return {split: indices.tolist() for split, indices in split_points(places, counts).items()}


def _is_transforms(path: Path) -> bool:
    try:
        words = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(words, dict) and "frames" in words


def _is_model(path: Path) -> bool:
    return path.is_dir() and not _transforms_files(path) and colmap_model.model_folder(path) is not None


def _colmap(path: Path) -> Found:
    # our own exports, and those of some programs for splats, keep held-out images in a model beside
    held_out = path / "test"
    both = colmap_model.model_folder(held_out) is not None
    yield from _model(path, "train" if both else None)
    if both:
        yield from _model(held_out, "test")


def _model(path: Path, split: str | None) -> Found:
    cameras, poses = colmap_model.cameras_and_poses(path)
    for one in poses:
        with _called(one.name):
            if one.camera not in cameras:
                raise Unsound(f"its camera {one.camera} is not in the list of cameras")
            matrix = colmap_model.camera_to_world(np.array(one.quaternion), np.array(one.translation))
            camera = _camera(matrix, colmap_model.lens_of(cameras[one.camera]))
        yield one.name, camera, split


def _transforms_files(folder: Path) -> dict[Path, str | None]:
    """The files of poses in a folder, and the split of each when there are several."""
    if (folder / TRANSFORMS).is_file():
        return {folder / TRANSFORMS: None}
    files = {folder / name: split for split, name in SPLIT_FILES.items() if (folder / name).is_file()}
    return dict.fromkeys(files) if len(files) == 1 else dict(files)


def _transforms(source: Path, size: Size | None) -> Found:
    files = _transforms_files(source) or {source / TRANSFORMS: None} if source.is_dir() else {source: None}
    for path, split in files.items():
        meta = read_json(path)
        require_known_camera(meta, path)
        named = splits_of(meta, path)
        for position, frame in enumerate(frames_of(meta, path)):
            name = name_of(frame, position)
            listed = listed_name(name)
            if named and listed not in named:
                continue  # nerfstudio does not use it either
            with _called(name):
                if not isinstance(frame, dict):
                    raise Unsound("it is no JSON object")
                lens = lens_of(meta, frame, _stated_size(meta, frame, size))
                camera = _camera(pose(frame.get("transform_matrix")), lens)
            yield name, camera, named.get(listed, split)


@contextmanager
def _called(name: str) -> Iterator[None]:
    """What is unsound in here is said of `name`."""
    try:
        yield
    except Unsound as error:
        raise Unsound(f"{name}: {error}") from error


def _stated_size(meta: dict[str, Any], frame: dict[str, Any], size: Size | None) -> Size:
    """Width and height of a frame's picture; those to be rendered when the file does not say."""
    stated = [frame.get(side, meta.get(side)) for side in "wh"]
    if size is None and None in stated:
        raise Unsound("the size of its picture (w and h) is not stated; name it by --resolution")
    usual = size or (0, 0)
    width, height = (
        own if said is None else int(number(said, side)) for own, said, side in zip(usual, stated, "wh", strict=True)
    )
    if min(width, height) < 1:
        raise Unsound(f"its picture is {width} x {height} pixels")
    return width, height


def _camera(matrix: NDArray[np.float64], lens: Lens) -> Camera:
    if any(lens.distortion[6:]):
        raise Unsound("its lens has k5 or k6, which cannot be rendered; undistort the dataset first")
    return lens.camera(matrix)


def _common_size(given: list[PosedCamera], source: str) -> Size:
    sizes = sorted({one.camera.size for one in given})
    if len(sizes) > 1:
        (width, height), (other_width, other_height) = sizes[0], sizes[-1]
        raise UserError(
            f"{source} has cameras for pictures of different sizes ({width} x {height} and {other_width} x "
            f"{other_height}), and a dataset has one; name it by --resolution"
        )
    return sizes[0]


def _suiting(camera: Camera, name: str, size: Size) -> Camera:
    shape, asked = camera.size[0] / camera.size[1], size[0] / size[1]
    if abs(shape / asked - 1.0) > SHAPE_TOLERANCE:
        raise UserError(
            f"{name} is {camera.size[0]} x {camera.size[1]} pixels, which is another shape than the {size[0]} x "
            f"{size[1]} to be rendered; render what has that shape on its own"
        )
    return camera if camera.size == size else camera.resized(size)
