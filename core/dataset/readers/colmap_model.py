# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of COLMAP's sparse models, text and binary, as its page on the output format has them. Numpy alone.

Poses are world-to-camera with OpenCV axes (x right, y down, z forward) and Hamilton quaternions; pixel centres at +0.5.
COLMAP's world stays the world. Rigs and frames (COLMAP 3.12 and later) repeat what `images` says and are not read.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UserError, reason_of
from .posed import Array, Lens, Unsound, pose, sound_lens

# name, number of parameters; a model's number in binary files is its place in this list
MODELS = (
    ("SIMPLE_PINHOLE", 3),
    ("PINHOLE", 4),
    ("SIMPLE_RADIAL", 4),
    ("RADIAL", 5),
    ("OPENCV", 8),
    ("OPENCV_FISHEYE", 8),
    ("FULL_OPENCV", 12),
    ("FOV", 5),
    ("SIMPLE_RADIAL_FISHEYE", 4),
    ("RADIAL_FISHEYE", 5),
    ("THIN_PRISM_FISHEYE", 12),
    ("RAD_TAN_THIN_PRISM_FISHEYE", 16),
    ("SIMPLE_DIVISION", 4),
    ("DIVISION", 5),
    ("SIMPLE_FISHEYE", 3),
    ("FISHEYE", 4),
    ("EUCM", 6),
    ("EQUIRECTANGULAR", 2),
)
PARAMETERS = dict(MODELS)
# those that OpenCV's two lens models hold; their distortion parameters come in its order
ONE_FOCAL_LENGTH = (
    "SIMPLE_PINHOLE",
    "SIMPLE_RADIAL",
    "RADIAL",
    "SIMPLE_FISHEYE",
    "SIMPLE_RADIAL_FISHEYE",
    "RADIAL_FISHEYE",
)
TWO_FOCAL_LENGTHS = ("PINHOLE", "OPENCV", "FULL_OPENCV", "FISHEYE", "OPENCV_FISHEYE")
PLACES = ("", "sparse/0", "sparse", "colmap/sparse/0", "colmap/sparse", "0")
LONGEST_NAME = 4096
LONGEST_LINE = 1 << 26


@dataclass(frozen=True)
class Camera:
    """One line of cameras.txt."""

    model: str
    width: int
    height: int
    parameters: tuple[float, ...]


@dataclass(frozen=True)
class Pose:
    """The first of an image's two lines in images.txt: world to camera."""

    name: str
    camera: int
    quaternion: tuple[float, float, float, float]
    translation: tuple[float, float, float]


def model_folder(source: Path) -> Path | None:
    """Where below `source` a sparse model lies, if one does."""
    for place in PLACES:
        folder = source / place
        if any((folder / f"cameras{ending}").is_file() for ending in (".bin", ".txt")):
            return folder
    return None


def cameras_and_poses(source: Path) -> tuple[dict[int, Camera], list[Pose]]:
    """A model's cameras by their numbers, and its images' poses by their names.

    Raises:
        UserError: there is no model, nothing in it, or a file is damaged.
    """
    folder, ending = model_files(source)
    cameras = dict((_binary_cameras if ending == ".bin" else _text_cameras)(folder / f"cameras{ending}"))
    poses = list((_binary_images if ending == ".bin" else _text_images)(folder / f"images{ending}"))
    if not poses:
        raise UserError(f"{folder / f'images{ending}'} holds no image; there is nothing to import")
    return cameras, sorted(poses, key=lambda image: image.name)


def model_files(source: Path) -> tuple[Path, str]:
    """The folder of a model and the ending of its files."""
    folder = model_folder(source if source.is_dir() else source.parent)
    if folder is None:
        raise UserError(f"{source} holds no COLMAP model (cameras.txt or cameras.bin); name the folder that does")
    return folder, ".bin" if (folder / "cameras.bin").is_file() else ".txt"


def camera_to_world(quaternion: Array, translation: Array) -> Array:
    """[4, 4] with OpenGL axes from COLMAP's world-to-camera quaternion (w x y z) and translation.

    Raises:
        Unsound: not finite, or a quaternion of length 0.
    """
    if not (np.isfinite(quaternion).all() and np.isfinite(translation).all()):
        raise Unsound("the pose is not finite")
    length = np.linalg.norm(quaternion)
    if length < 1e-9:
        raise Unsound("the pose's quaternion is zero")
    w, x, y, z = quaternion / length
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    matrix = np.eye(4)
    matrix[:3, :3] = rotation.T @ np.diag([1.0, -1.0, -1.0])
    matrix[:3, 3] = -rotation.T @ translation
    return pose(matrix)


def lens_of(camera: Camera) -> Lens:
    """A COLMAP camera as a lens.

    Raises:
        Unsound: a model that OpenCV does not know, or values that make no sense.
    """
    p = camera.parameters
    if not np.isfinite(p).all():
        raise Unsound("its camera's parameters are not finite")
    if camera.model in ONE_FOCAL_LENGTH:
        (fx, cx, cy), distortion = p[:3], p[3:]
        fy = fx
    elif camera.model in TWO_FOCAL_LENGTHS:
        (fx, fy, cx, cy), distortion = p[:4], p[4:]
    else:
        raise Unsound(f"its camera model {camera.model} cannot be imported; undistort the images with COLMAP")
    if camera.width < 1 or camera.height < 1:
        raise Unsound("its camera has no size")
    fisheye = "FISHEYE" in camera.model
    return sound_lens(Lens(camera.width, camera.height, fx, fy, cx, cy, fisheye, tuple(distortion)))


def _camera(model: str, width: int, height: int, parameters: tuple[float, ...], path: Path) -> Camera:
    expected = PARAMETERS.get(model)
    if expected is not None and expected != len(parameters):
        raise _damaged(path, f"{len(parameters)} parameters for {model}, which has {expected}")
    return Camera(model, width, height, parameters)


def _damaged(path: Path, what: object) -> UserError:
    return UserError(f"{path} is damaged ({what}); export the model again")


def points_of(path: Path) -> Array:
    """[N, 3] of a file of points, text or binary.

    Raises:
        UserError: it is damaged.
    """
    return (_binary_points if path.suffix == ".bin" else _text_points)(path)


# --- text


def _lines(path: Path) -> Iterator[str]:
    """Lines without their ends, comments left out; a line that is empty may mean something."""
    try:
        with open(path, encoding="utf-8") as file:
            while line := file.readline(LONGEST_LINE):
                if len(line) == LONGEST_LINE:
                    raise _damaged(path, "a line is absurdly long")
                if not line.startswith("#"):
                    yield line.strip()
    except OSError as error:
        raise UserError(f"cannot read {path} ({reason_of(error)}); export it again") from error
    except UnicodeDecodeError as error:
        raise _damaged(path, "not text") from error


def _text_cameras(path: Path) -> Iterator[tuple[int, Camera]]:
    for line in _lines(path):
        words = line.split()
        if not words:
            continue
        try:
            number, model, width, height = int(words[0]), words[1], int(words[2]), int(words[3])
            parameters = tuple(float(word) for word in words[4:])
        except (ValueError, IndexError) as error:
            raise _damaged(path, error) from error
        yield number, _camera(model, width, height, parameters, path)


def _text_images(path: Path) -> Iterator[Pose]:
    lines = _lines(path)
    for line in lines:
        if not line:
            continue
        words = line.split(maxsplit=9)
        try:
            w, x, y, z, tx, ty, tz = (float(word) for word in words[1:8])
            yield Pose(words[9], int(words[8]), (w, x, y, z), (tx, ty, tz))
        except (ValueError, IndexError) as error:
            raise _damaged(path, error) from error
        next(lines, None)  # the image's points, which may be none


def _text_points(path: Path) -> Array:
    try:
        points = [[float(word) for word in line.split(maxsplit=4)[1:4]] for line in _lines(path) if line]
        return np.array(points, np.float64).reshape(-1, 3)
    except ValueError as error:
        raise _damaged(path, error) from error


# --- binary, little-endian


class _Bytes:
    """A binary file that never yields more than it holds."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = open(path, "rb")  # noqa: SIM115 (closed in __exit__)
        except OSError as error:
            raise UserError(f"cannot read {path} ({reason_of(error)}); export the model again") from error
        self._left = os.fstat(self._file.fileno()).st_size

    def __enter__(self) -> _Bytes:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def take(self, layout: str) -> tuple[Any, ...]:
        size = struct.calcsize(layout)
        if size > self._left:
            raise _damaged(self.path, "it ends too early")
        self._left -= size
        return struct.unpack(layout, self._file.read(size))

    def count(self, least: int) -> int:
        """A number of records of at least so many bytes each."""
        number = int(self.take("<Q")[0])
        if number * least > self._left:
            raise _damaged(self.path, f"it claims {number} records and holds {self._left} bytes")
        return number

    def skip(self, size: int) -> None:
        if size > self._left:
            raise _damaged(self.path, "it ends too early")
        self._left -= size
        self._file.seek(size, os.SEEK_CUR)

    def text(self) -> str:
        """Text up to a zero byte."""
        letters = bytearray()
        while (letter := self.take("<c")[0]) != b"\0":
            letters += letter
            if len(letters) > LONGEST_NAME:
                raise _damaged(self.path, "a name is absurdly long")
        try:
            return letters.decode("utf-8")
        except UnicodeDecodeError as error:
            raise _damaged(self.path, "a name is not text") from error


def _binary_cameras(path: Path) -> Iterator[tuple[int, Camera]]:
    with _Bytes(path) as data:
        for _ in range(data.count(least=48)):
            number, model, width, height = data.take("<IiQQ")
            if not 0 <= model < len(MODELS):
                raise UserError(f"{path} has a camera model (number {model}) that cannot be imported; undistort first")
            name, parameters = MODELS[model]
            yield number, _camera(name, width, height, data.take(f"<{parameters}d"), path)


def _binary_images(path: Path) -> Iterator[Pose]:
    with _Bytes(path) as data:
        for _ in range(data.count(least=73)):
            _, w, x, y, z, tx, ty, tz, camera = data.take("<I7dI")
            name = data.text()
            data.skip(data.count(least=24) * 24)
            yield Pose(name, camera, (w, x, y, z), (tx, ty, tz))


def _binary_points(path: Path) -> Array:
    with _Bytes(path) as data:
        points = np.empty((data.count(least=51), 3))
        for row in points:
            row[:] = data.take("<Q3d3Bd")[1:4]
            data.skip(data.count(least=8) * 8)
        return points
