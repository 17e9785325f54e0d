# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a twin is looked at from to be exported, and what its field shows there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..cameras import Camera, look_at, pixel_grid, rays_in_field
from ..dataset.store import Dataset
from ..errors import Cancelled, UserError
from ..field.render import MIDDLE, TrainedField, look
from ..lenses import PINHOLE
from ..rendering.covers import fibonacci
from ..reporting import Reporter, followed
from ..twin_file import Twin
from .any_lens import cube_around

F4 = NDArray[np.float32]

# without a dataset: cameras all around, with this many pixels to a side
AROUND = 64
AROUND_PIXELS = 192
# more views cost time and add nothing that the others do not show
MOST_CAMERAS = 120
RAYS_PER_BLOCK = 4096
# shots are this much finer than the views, with one ray to a pixel: a mean over a pixel has no depth at silhouettes.
# Many large views are shot coarser, so that a processor needs minutes, not hours
FINER = 2.0
MOST_RAYS = 12_000_000
# pixels with more alpha show a surface
SOMETHING = 0.25


@dataclass(frozen=True)
class Shot:
    """What the field shows to one camera.

    Attributes:
        rgba: [H, W, 4] scene-linear, premultiplied.
        depth: [H, W] planar, scene units, 0 where there is nothing.
    """

    camera: Camera
    rgba: F4
    depth: F4


def cameras_of(dataset: Dataset, split: str, most: int) -> list[Camera]:
    """The cameras of a split, at most `most` of them, evenly chosen; pinholes that stand for other lenses."""
    views = dataset.splits[split]
    chosen = views[np.linspace(0, len(views) - 1, min(most, len(views))).round().astype(np.int64)]
    return [pinhole for index in chosen for pinhole in pinholes_of(dataset.camera(index))]


def pinholes_of(camera: Camera) -> list[Camera]:
    """What stands for a camera where points are projected by a matrix, and only the field is looked at.

    Of a distorted lens the same without distortion; of one that draws angles the six faces of a cube around it, with as
    many pixels to a radian in their middles.
    """
    if camera.model.kind == "opencv":
        return [camera if camera.model.is_pinhole else replace(camera, model=PINHOLE)]
    return cube_around(camera)


def export_cameras(twin: Twin, dataset: Dataset | None) -> list[Camera]:
    """From where to look: the training views' cameras, or, without a dataset, a sphere around what was trained.

    Raises:
        UserError: the dataset has no training views.
    """
    if dataset is not None:
        if not len(dataset.splits["train"]):
            raise UserError(f"{dataset.path} has no training views to look from; leave --dataset out")
        return cameras_of(dataset, "train", MOST_CAMERAS)
    lower, upper = twin.bounds
    centre, radius = 0.5 * (lower + upper), 0.5 * float(np.linalg.norm(upper - lower))
    pixels = float(AROUND_PIXELS)
    intrinsics = np.array([1.3 * pixels, 1.3 * pixels, 0.5 * pixels, 0.5 * pixels])
    # far enough that the whole ball around the box is in the picture
    distance = radius / np.sin(np.arctan(0.5 / 1.3)) * 1.05
    return [
        Camera(look_at(centre + distance * way, centre), intrinsics, (AROUND_PIXELS, AROUND_PIXELS))
        for way in fibonacci(AROUND)
    ]


def take_shots(field: TrainedField, cameras: Sequence[Camera], reporter: Reporter) -> list[Shot]:
    """Look at the field from every camera, through the middle of each pixel.

    Raises:
        Cancelled: the reporter said so.
    """
    pixels = sum(camera.size[0] * camera.size[1] for camera in cameras)
    finer = min(FINER, float(np.sqrt(MOST_RAYS / pixels)))
    shots = []
    for given in followed(cameras, "look", reporter, "view"):
        width, height = (max(round(finer * side), 1) for side in given.size)
        camera = given.resized((width, height))
        shots.append(Shot(camera, *look(field, camera, MIDDLE, SOMETHING, reporter.cancelled)))
    return shots


def field_rays(
    cameras: Sequence[Camera], world_from_field: NDArray[np.float64], most: int, reporter: Reporter
) -> Iterator[tuple[F4, F4]]:
    """Blocks of origins and directions [R, 3] in field coordinates through the cameras' pixels, about `most` in all.

    Raises:
        Cancelled: the reporter said so.
    """
    total = sum(camera.size[0] * camera.size[1] for camera in cameras)
    every = max(1, total // most)
    for number, camera in enumerate(cameras):
        if reporter.cancelled():
            raise Cancelled
        # a shifted start in every view: pixels next to each other all get their turn
        pixels = pixel_grid(*camera.size).reshape(-1, 2)[number % every :: every]
        origin, directions = rays_in_field(camera, pixels, world_from_field)
        for first in range(0, len(directions), RAYS_PER_BLOCK):
            block = directions[first : first + RAYS_PER_BLOCK].astype(np.float32)
            yield np.ascontiguousarray(np.broadcast_to(origin, block.shape), np.float32), block
