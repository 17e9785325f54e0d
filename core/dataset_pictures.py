# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage: a dataset's cameras and small pictures of what they saw, for a Blender that has no h5py.

views.json             which dataset it is of, its bounds, background and view transform, and each view
view_transform.npz     the arrays of the view transform
render_000012.png      what the view shows on a screen, over the dataset's background
depth_000012.png       its depth, near is bright, if the dataset has any

Blender's viewport draws pinholes alone: a view of a bent lens is listed as the pinhole that stands in its place, with
pictures as that would see them.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .camera_file import camera_words
from .cameras import Camera, pixel_grid
from .comparison.metrics import display_image
from .dataset.store import Dataset, open_dataset
from .files import require_writable_folder, write_json
from .lenses import CameraModel
from .rendering.covers import SPLITS
from .reporting import Reporter, followed
from .sheet.pictures import depth_picture, depth_range

LIST = "views.json"
FORMAT, VERSION = "radiance-twin-pictures", 2
LONGEST_SIDE = 400
# degrees along the longer side, at most, of the pinhole that stands for a bent lens
WIDEST = 100


@dataclass(frozen=True)
class PicturesSettings:
    """What to look at.

    Attributes:
        dataset: the .h5. output: the folder; what is there already of the same dataset is kept.
    """

    dataset: str
    output: str


def write_pictures(settings: PicturesSettings, reporter: Reporter) -> dict[str, Any]:
    """Write the pictures and the list of the views.

    Returns:
        folder, views (how many).

    Raises:
        UserError: no dataset, or a folder that cannot be written.
        Cancelled: nothing is listed; the next call begins again.
    """
    folder = require_writable_folder(Path(settings.output))
    with open_dataset(settings.dataset) as dataset:
        stamp = stamp_of(settings.dataset)
        if listed_stamp(folder) != stamp:
            (folder / LIST).unlink(missing_ok=True)
            reach = depth_range(dataset) if dataset.has_depth else None
            views = [
                _write_view(folder, dataset, index, reach)
                for index in followed(range(dataset.count), "look", reporter, "view", "stopped; nothing was loaded")
            ]
            np.savez(folder / "view_transform.npz", allow_pickle=False, **dataset.view_transform.arrays())
            listed = {
                "format": FORMAT,
                "version": VERSION,
                "dataset": os.path.abspath(settings.dataset),
                "stamp": stamp,
                "bounds": dataset.bounds.tolist(),
                "straightened": not dataset.all_pinholes,
                "depth": reach,
                "background": [float(value) for value in dataset.background],
                "view_transform": dataset.view_transform.to_metadata(),
                "views": views,
            }
            # last, so that a list that is there is complete
            write_json(folder / LIST, listed)
        return {"folder": str(folder), "views": dataset.count}


def stamp_of(dataset: str) -> str:
    """What tells a dataset that was written anew."""
    found = os.stat(dataset)
    return f"{found.st_size} {found.st_mtime_ns}"


def listed_stamp(folder: Path) -> str:
    """That of the dataset whose pictures lie in a folder; empty when there are none."""
    try:
        listed = json.loads((folder / LIST).read_text("utf-8"))
        return str(listed["stamp"]) if listed["version"] == VERSION else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _write_view(folder: Path, dataset: Dataset, index: int, reach: tuple[float, float] | None) -> dict[str, Any]:
    camera, rgba, depth = dataset.camera(index), dataset.rgba(index), dataset.depth(index)
    if not camera.model.is_pinhole:
        lens = camera.model, camera.size, tuple(camera.intrinsics.tolist())
        pinhole, places = straightened(*lens, dataset.valid(index).tobytes())
        camera = replace(pinhole, camera_to_world=camera.camera_to_world)
        rgba = np.asarray(cv2.remap(rgba, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
        depth = np.asarray(cv2.remap(depth, places, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE))
    scale = min(1.0, LONGEST_SIDE / max(camera.size))
    small = (max(1, round(camera.size[0] * scale)), max(1, round(camera.size[1] * scale)))
    shown = {"picture": Image.fromarray(display_image(rgba, dataset.background, dataset.view_transform))}
    if reach is not None:
        shown["depth"] = depth_picture(depth, *reach)
    names = {kind: f"{'render' if kind == 'picture' else kind}_{index:06d}.png" for kind in shown}
    for kind, image in shown.items():
        (image if small == camera.size else image.resize(small, Image.Resampling.BOX)).save(folder / names[kind])
    split = next((split for split in SPLITS if index in dataset.splits[split]), "")
    of_picture = camera_words(camera.resized(small))
    return {"index": index, "split": split, "frame": int(dataset.frame[index]), **names, **of_picture}


@lru_cache(maxsize=1)  # most views of a dataset have one lens, and finding its pinhole takes as long as drawing a view
def straightened(
    model: CameraModel, size: tuple[int, int], intrinsics: tuple[float, ...], valid: bytes
) -> tuple[Camera, NDArray[np.float32]]:
    """The pinhole in the place of a bent lens that sees the most of what that has drawn, and nothing else.

    Args:
        valid: [H, W] bool, where the lens has drawn anything.

    Returns:
        The pinhole, at the world's origin; and where in the lens's picture each of its pixels is, [H, W, 2] with
        centres at whole numbers.
    """
    (width, height), (fx, fy, cx, cy) = size, intrinsics
    camera = Camera(np.eye(4), np.array(intrinsics), size, model=model)
    drawn = np.frombuffer(valid, np.bool_).reshape(height, width)
    pixels = pixel_grid(width, height)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])

    def places(straight: Camera, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        ways = straight.ray_directions(pixels).reshape(-1, 3)
        return camera.project(ways)[0].reshape(pixels.shape)

    for degrees in range(WIDEST, 0, -1):
        focal = 0.5 * max(width, height) / math.tan(0.5 * math.radians(degrees))
        straight = Camera(np.eye(4), np.array([focal, focal * fy / fx, cx, cy]), size)
        column, row = np.nan_to_num(np.floor(places(straight, border)), nan=-1.0).astype(int).T
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        if inside.all() and drawn[row, column].all():
            break
    return straight, (places(straight, pixels) - 0.5).astype(np.float32)
