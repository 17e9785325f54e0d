# SPDX-License-Identifier: GPL-3.0-or-later
"""What the transforms.json of instant-ngp and of nerfstudio have in common: frames with a file, a pose and a lens."""

from __future__ import annotations

import math
from pathlib import Path, PurePosixPath
from typing import Any

from ...errors import UserError
from ...rendering.covers import SPLITS
from .posed import Lens, Unsound, find_file, number, sound_lens

TRANSFORMS = "transforms.json"
# of NeRF-Synthetic, one file a split
SPLIT_FILES = {split: f"transforms_{split}.json" for split in SPLITS}
# of nerfstudio, the files of each split in one transforms.json
SPLIT_LISTS = {split: f"{split}_filenames" for split in SPLITS}
# of pictures whose names have none, the first that exists
ENDINGS = ("", ".png", ".jpg", ".jpeg", ".exr", ".hdr", ".webp", ".tif", ".tiff")
# instant-ngp's flags of cameras that are no central projection onto a plane, and nerfstudio's names of pinholes
OTHER_CAMERAS = ("latlong", "equirectangular", "orthographic", "ftheta_p0", "is_equirectangular")
PERSPECTIVE = ("PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV")
FISHEYE = ("OPENCV_FISHEYE", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE")


def transforms_file(source: Path) -> Path:
    """The transforms.json that `source` is, or that lies in it."""
    return source / TRANSFORMS if source.is_dir() else source


def require_known_camera(meta: dict[str, Any], path: Path) -> None:
    """Refuse cameras that no pinhole can stand for.

    Raises:
        UserError: which.
    """
    for name in OTHER_CAMERAS:
        if meta.get(name):
            raise UserError(f"{path} has cameras of the kind {name}, which cannot be imported; use perspective images")
    model = meta.get("camera_model", "OPENCV")
    if model not in (*PERSPECTIVE, *FISHEYE):
        raise UserError(f"{path} has the camera model {model!r}, which cannot be imported; undistort its images first")


def splits_of(meta: dict[str, Any], path: Path) -> dict[str, str]:
    """The split of each picture by its `listed_name`, as nerfstudio's lists say; empty when there are none.

    Raises:
        UserError: a list is none, or names what another one has.
    """
    splits: dict[str, str] = {}
    for split, key in SPLIT_LISTS.items():
        names = meta.get(key, [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise UserError(f"{path}: {key} is no list of file names; mend it or leave it out")
        for name in map(listed_name, names):
            # nerfstudio itself has one list for val and test; a test view is the one that must stay unseen
            if splits.get(name, split) == "train" != split:
                raise UserError(f"{path}: {name} is in train_filenames and in {key}; mend it")
            splits[name] = split
    return splits


def listed_name(name: str) -> str:
    """A file's name as nerfstudio compares its lists with its frames: slashes forward, no "./"."""
    return PurePosixPath(name.replace("\\", "/")).as_posix()


def picture_of(frame: dict[str, Any], root: Path, images: Path | None) -> Path:
    """The picture that a frame names, in the dataset's folder or in the one that was given for the images.

    Raises:
        Unsound: it is missing or lies elsewhere.
    """
    name = frame.get("file_path")
    if images is None:
        return find_file(root, name, ENDINGS)
    try:
        return find_file(images, name, ENDINGS)
    except Unsound:
        # a folder given by --images is the folder in which the files lie, whatever the dataset called it
        return find_file(images, str(name).replace("\\", "/").rpartition("/")[2], ENDINGS)


def lens_of(meta: dict[str, Any], frame: dict[str, Any], size: tuple[int, int]) -> Lens:
    """The lens of a frame whose picture has this size: its own values first, then those of the whole file.

    Raises:
        Unsound: values that are missing, make no sense or do not fit the picture.
    """

    def value(*names: str) -> float | None:
        for source in (frame, meta):
            for name in names:
                if source.get(name) is not None:
                    return number(source[name], name)
        return None

    width, height = size
    stated = (value("w"), value("h"))
    if stated != (None, None) and (stated[0] or width, stated[1] or height) != (width, height):
        said = " x ".join("?" if side is None else f"{side:g}" for side in stated)
        raise Unsound(f"the picture is {width} x {height}, but {said} is stated")
    fx = _focal(value("fl_x"), value("camera_angle_x"), value("x_fov"), width)
    fy = _focal(value("fl_y"), value("camera_angle_y"), value("y_fov"), height)
    fx, fy = fx or fy, fy or fx
    if fx is None or fy is None:
        raise Unsound("there is no focal length (fl_x or camera_angle_x)")
    cx, cy = value("cx"), value("cy")
    k1, k2, k3, k4, p1, p2 = (value(name) or 0.0 for name in ("k1", "k2", "k3", "k4", "p1", "p2"))
    model = frame.get("camera_model", meta.get("camera_model", "OPENCV"))
    if model not in (*PERSPECTIVE, *FISHEYE):
        raise Unsound(f"its camera model {model!r} cannot be imported; undistort it first")
    fisheye = model in FISHEYE or bool(frame.get("is_fisheye", meta.get("is_fisheye", False)))
    if model in ("PINHOLE", "SIMPLE_PINHOLE"):
        k1 = k2 = k3 = k4 = p1 = p2 = 0.0
    if not fisheye and k4:
        raise Unsound("k4 of a perspective lens means different things to different programs; undistort it first")
    cx, cy = width / 2 if cx is None else cx, height / 2 if cy is None else cy
    distortion = (k1, k2, k3, k4) if fisheye else (k1, k2, p1, p2, k3)
    return sound_lens(Lens(width, height, fx, fy, cx, cy, fisheye, distortion))


def _focal(pixels: float | None, radians: float | None, degrees: float | None, side: int) -> float | None:
    """Focal length in pixels, given as such or as the whole angle of view over `side` pixels."""
    if pixels is not None:
        return pixels
    angle = math.radians(degrees) if radians is None and degrees is not None else radians
    if angle is None:
        return None
    if not 0.0 < angle < math.pi:
        raise Unsound(f"the angle of view is {angle:g} radians")
    return 0.5 * side / math.tan(0.5 * angle)
