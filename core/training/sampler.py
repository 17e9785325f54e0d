# SPDX-License-Identifier: GPL-3.0-or-later
"""The training pixels in memory, and batches of rays through them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cameras import Camera, pixel_grid, uniform_scale
from ..dataset.store import Dataset
from ..errors import UserError
from ..field.cpu_rays import gather_rays

F4 = NDArray[np.float32]

# distance of a pixel behind which nothing is known
NOTHING = np.float32(1e30)


@dataclass
class Rays:
    """A batch of rays in field coordinates.

    Attributes:
        origins, directions: [R, 3], unit directions.
        targets: [R, 4] scene-linear, with `behind` behind them; the fourth is the opacity that the field shall have,
            negative where it is not known.
        last: [R] samples beyond this distance along the ray are left out (`NOTHING`: none are).
        together: so many rays that follow one another are one pixel, whose colour is their mean.
        behind: [3] what stands behind the field; zero for a field that has a background of its own.
    """

    origins: F4
    directions: F4
    targets: F4
    last: F4
    together: int = 1
    behind: F4 = field(default_factory=lambda: np.zeros(3, np.float32))


@dataclass
class ViewPixels:
    """All pixels of some views, one view after another, rows from the top: 9 bytes a pixel, 13 with depth.

    Attributes:
        rgba: [P, 4] f2 scene-linear, premultiplied, and opacity as in `Rays.targets`.
        distances: [P] along the ray to the first hit, field units, `NOTHING` where none is known; [0] without depth.
        valid: [P] which pixels may be trained on; the others prove nothing about what is empty either.
        first_pixel: [V + 1] i8.
        widths: [V] i4.
        rotations: [V, 3, 3] camera to field axes, without scale. centres: [V, 3] in the field. intrinsics: [V, 4].
        ways: [P, 3] unit directions in the field through the pixels' centres (0: the lens draws nothing) when a camera
            is no pinhole; [0, 3]: all are, and rotations and intrinsics tell.
        beyond: [P] pixels whose light may come from behind their hits (see `see_through.py`); [0]: there are none.
        background: [3] scene-linear, what the views are shown over.
    """

    rgba: NDArray[np.float16]
    distances: F4
    valid: NDArray[np.bool_]
    first_pixel: NDArray[np.int64]
    widths: NDArray[np.int32]
    rotations: F4
    centres: F4
    intrinsics: F4
    ways: F4 = field(default_factory=lambda: np.zeros((0, 3), np.float32))
    beyond: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    background: F4 = field(default_factory=lambda: np.zeros(3, np.float32))

    @property
    def count(self) -> int:
        return len(self.rgba)

    @property
    def has_depth(self) -> bool:
        """Whether any pixel knows its distance."""
        return len(self.distances) > 0

    @property
    def farthest(self) -> F4:
        """[P] the largest distance that a pixel's light can come from: its and its eight neighbours'. Made anew."""
        result = np.full(self.count, NOTHING)
        if self.has_depth:
            for part, width in self.views():
                result[part] = over_neighbours(self.distances[part], width, np.maximum)
        if len(self.beyond):
            result[self.beyond] = NOTHING
        return result

    def views(self) -> Iterator[tuple[slice, int]]:
        """Each view's pixels and width."""
        for view, width in enumerate(self.widths):
            yield slice(self.first_pixel[view], self.first_pixel[view + 1]), int(width)

    def footprint(self) -> float:
        """Width of a pixel where the surfaces are (where the cube's middle is, when no depth is known), field units."""
        focal = self.intrinsics[:, :2].mean(axis=1)
        if not self.has_depth:
            middle = np.linalg.norm(self.centres - 0.5, axis=1)
            return float(np.median(np.maximum(middle, 0.25) / focal))
        some = np.arange(0, self.count, max(1, self.count // 1_000_000))
        some = some[self.distances[some] < NOTHING]
        view = np.searchsorted(self.first_pixel, some, side="right") - 1
        return float(np.median(self.distances[some] / focal[view]))

    def rays(self, pixels: NDArray[np.integer[Any]], shifts: F4 | None = None, cut: float | None = None) -> Rays:
        """Rays through `pixels` [R], to their `distances`.

        Args:
            shifts: [R, 2] moves the rays from the pixels' centres, in pixels.
            cut: let opaque pixels' rays end so far behind the farthest hit among the pixel and its eight neighbours
                (its light comes from no farther), and the others, and those `beyond`, never.
        """
        count = len(pixels)
        origins, directions = np.empty((count, 3), np.float32), np.empty((count, 3), np.float32)
        nearest, farthest = np.full(count, NOTHING), np.full(count, NOTHING)
        gather_rays(
            pixels,
            self.first_pixel,
            self.widths,
            self.rotations,
            self.centres,
            self.intrinsics,
            self.ways,
            self.distances,
            np.zeros((count, 2), np.float32) if shifts is None else shifts,
            origins,
            directions,
            nearest,
            farthest,
        )
        targets = self.rgba[pixels].astype(np.float32)
        targets[:, :3] += (1.0 - targets[:, 3:]) * self.background
        if cut is None:
            return Rays(origins, directions, targets, nearest, behind=self.background)
        known = (farthest < NOTHING) & (targets[:, 3] > 0.99)
        if len(self.beyond):
            known &= ~self.beyond[pixels]
        last = np.where(known, farthest + np.float32(cut), NOTHING)
        return Rays(origins, directions, targets, last, behind=self.background)


def load_pixels(dataset: Dataset, views: NDArray[np.int64]) -> ViewPixels:
    """Read `views` of a dataset into memory.

    Raises:
        UserError: there is no view, or a view holds nothing finite.
    """
    if not len(views):
        raise UserError(f"{dataset.path} has no training views; render it with --views 1 or more")
    field_from_world = np.linalg.inv(dataset.world_from_field)
    scale = uniform_scale(field_from_world)
    turned = field_from_world[:3, :3] / scale
    widths, heights = dataset.size[views].T.astype(np.int64)
    first = np.concatenate([[0], np.cumsum(widths * heights)])
    # filled view by view, so that nothing is held twice
    rgba, valid = np.empty((first[-1], 4), np.float16), np.empty(first[-1], np.bool_)
    # where "no depth" may mean "not measured", depth cannot tell the sky from a surface
    has_depth = dataset.has_depth and (dataset.depth_complete or dataset.film == "transparent")
    distances = np.empty(first[-1] if has_depth else 0, np.float32)
    rotations, centres = np.empty((len(views), 3, 3), np.float32), np.empty((len(views), 3), np.float32)
    ways = np.empty((0 if dataset.all_pinholes else first[-1], 3), np.float32)
    for position, index in enumerate(views):
        part = slice(first[position], first[position + 1])
        colour, width = dataset.rgba(int(index)).reshape(-1, 4), int(widths[position])
        camera = dataset.camera(int(index))
        if not np.isfinite(colour).all():
            raise UserError(f"view {int(index)} of {dataset.path} holds values that are not finite; render it again")
        counts = dataset.valid(int(index)).reshape(-1)
        if dataset.film == "world":
            colour[:, 3] = -1.0
        if has_depth:
            distance = _along_the_ray(dataset.depth(int(index)), camera, scale).reshape(-1)
            distance[~counts] = NOTHING
            distances[part] = distance
            if dataset.film == "world":
                colour[:, 3] = _opacity_from_hits(distance, width)
        colour[~counts] = (0.0, 0.0, 0.0, 1.0)  # opaque, for all that is known
        rgba[part], valid[part] = colour, counts
        if len(ways):
            ways[part] = np.nan_to_num(camera.ray_directions(pixel_grid(*camera.size))).reshape(-1, 3) @ turned.T
        matrix = camera.camera_to_world
        rotations[position] = turned @ (matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0))
        centres[position] = field_from_world[:3, :3] @ matrix[:3, 3] + field_from_world[:3, 3]
    intrinsics = dataset.intrinsics[views].astype(np.float32)
    if not (distances < NOTHING).any():
        distances = distances[:0]
    # pictures with the world in them have nothing else behind them
    background = np.zeros(3, np.float32) if dataset.film == "world" else dataset.background
    widths = widths.astype(np.int32)
    return ViewPixels(
        rgba, distances, valid, first, widths, rotations, centres, intrinsics, ways, background=background
    )


def _opacity_from_hits(distance: F4, width: int) -> F4:
    """What the film "world" does not tell: 1 where a pixel and its neighbours hit something, 0 where none does."""
    if not (distance < NOTHING).any():
        return np.full_like(distance, -1.0)
    nearest, farthest = (over_neighbours(distance, width, choose) for choose in (np.minimum, np.maximum))
    return np.where(farthest < NOTHING, 1.0, np.where(nearest >= NOTHING, 0.0, -1.0)).astype(np.float32)


def over_neighbours(image: NDArray[Any], width: int, choose: np.ufunc) -> NDArray[Any]:
    """`choose` (np.minimum or np.maximum) over each pixel of a flat image [h·w] and its eight neighbours."""
    padded = np.pad(image.reshape(-1, width), 1, mode="edge")
    rows = choose(choose(padded[:-2], padded[1:-1]), padded[2:])
    result: NDArray[Any] = choose(choose(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:]).reshape(-1)
    return result


def _along_the_ray(depth: F4, camera: Camera, scale: float) -> F4:
    """Depth [H, W] of a camera (world units) to distance along each pixel's ray (field units)."""
    stretch = camera.distance_over_depth(pixel_grid(*camera.size))
    known = np.isfinite(depth) & (depth > 0) & np.isfinite(stretch)
    return np.where(known, np.where(known, depth, 0.0) * stretch * scale, NOTHING).astype(np.float32)
