# SPDX-License-Identifier: GPL-3.0-or-later
"""A dataset whose cameras are a sparse model of COLMAP's (see `colmap_model.py`), beside a folder with its images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ...errors import UserError
from .colmap_model import Camera, Pose, camera_to_world, cameras_and_poses, lens_of, model_files, points_of
from .pictures import picture_size
from .posed import FARTHEST, Array, PosedImage, PosedImages, Problems, Unsound, find_file

# points this far out in the distribution of each coordinate are taken for mistakes
OUTLIERS = 1.0
GROWTH = 0.05


def read(source: Path, images: Path | None, problems: Problems) -> PosedImages:
    """Read a sparse model and find its images.

    Raises:
        UserError: there is no model or no folder of images, or a file is damaged.
    """
    folder, ending = model_files(source)
    cameras, poses = cameras_and_poses(source)
    pictures = images or _images_beside(source, folder)
    found: list[PosedImage] = []
    for one in poses:
        try:
            found.append(_posed_image(one, cameras, pictures, explicit=images is not None))
        except Unsound as error:
            problems.leave_out(one.name, str(error))
    points = folder / f"points3D{ending}"
    bounds = _bounds(points_of(points)) if points.is_file() else None
    return PosedImages(found, bounds=bounds)


def _images_beside(source: Path, folder: Path) -> Path:
    for place in (source, folder, *list(folder.parents)[:3]):
        if (place / "images").is_dir():
            return place / "images"
    raise UserError(f"no folder 'images' lies beside the COLMAP model {folder}; name it by --images")


def _posed_image(image: Pose, cameras: dict[int, Camera], folder: Path, explicit: bool) -> PosedImage:
    if image.camera not in cameras:
        raise Unsound(f"its camera {image.camera} is not in the list of cameras")
    matrix = camera_to_world(np.array(image.quaternion), np.array(image.translation))
    path = find_file(folder, image.name)
    lens = lens_of(cameras[image.camera])
    size = picture_size(path)
    if size != (lens.width, lens.height):
        # smaller copies of all images are common, but only who names their folder can mean them
        scale = np.array(size) / (lens.width, lens.height)
        if not explicit or abs(scale[0] / scale[1] - 1.0) > 0.02:
            raise Unsound(f"the picture is {size[0]} x {size[1]}, but {lens.width} x {lens.height} is stated")
        sx, sy = (float(one) for one in scale)
        lens = replace(
            lens, width=size[0], height=size[1], fx=lens.fx * sx, fy=lens.fy * sy, cx=lens.cx * sx, cy=lens.cy * sy
        )
    return PosedImage(image.name, path, lens, matrix)


def _bounds(points: Array) -> Array | None:
    points = points[(np.abs(points) < FARTHEST).all(axis=1)]
    if len(points) < 8:
        return None
    lower, upper = np.percentile(points, [OUTLIERS, 100.0 - OUTLIERS], axis=0)
    margin = GROWTH * float((upper - lower).max())
    return np.stack([lower - margin, upper + margin])
