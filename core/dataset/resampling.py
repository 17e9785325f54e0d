# SPDX-License-Identifier: GPL-3.0-or-later
"""Rendered pictures become what a lens draws that Cycles does not have: see `core/stand_in.py`.

Light becomes the mean over each pixel's area. What must not be averaged is that of the pixel's centre. Between rendered
pixels of one surface depth, normals and flow are interpolated. Elsewhere, as at edges, the nearest of them decides:
depth is that of the plane through what it shows, by its normal. Indices are those of the nearest one everywhere.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cameras import Camera, pixel_grid
from ..lenses import CameraModel
from ..passes import FLOWS, PASSES
from .contents import ViewPixels
from .staging import PlannedView

F4 = NDArray[np.float32]
F8 = NDArray[np.float64]
Bool = NDArray[np.bool_]

LIGHT = tuple(name for name, one in PASSES.items() if one.dtype == "f2" and one.channels in (3, 4) and name != "normal")
# light is the mean over so many places along each side of a pixel
PLACES = 4
# at an edge, by how much the plane through the nearest rendered pixel may change its depth: normals may be bumpy
STEEPEST = 0.1
# rows of a picture whose coverage is added up together
ROWS = 64
# a step of depth between neighbours is a jump when those beside it are so many times smaller
JUMP = 3.0


def through_the_lens(pixels: ViewPixels, view: PlannedView, size: tuple[int, int]) -> ViewPixels:
    """A planned view's picture of `size` from what Blender rendered; `valid` says where its lens draws anything."""
    camera = view.camera(size)
    if camera.model.is_pinhole:
        return pixels
    if view.stand_in is not None:
        pixels = _resampling(_key(camera), _key(view.rendered_camera(size))).view(pixels, camera.camera_to_world)
    drawn = view.draws(size)
    passes = {name: getattr(pixels, name) for name in ("rgba", "depth", "normal", "object_index")}
    kept: dict[str, Any] = {name: _only(drawn, image) for name, image in passes.items() if image is not None}
    kept["further"] = {name: _only(drawn, image) for name, image in pixels.further.items()}
    return replace(pixels, **kept, valid=drawn)


def _only(drawn: Bool, image: NDArray[Any]) -> NDArray[Any]:
    return np.where(drawn.reshape(drawn.shape + (1,) * (image.ndim - 2)), image, 0).astype(image.dtype)


Key = tuple[CameraModel, tuple[float, ...], tuple[int, int]]


def _key(camera: Camera) -> Key:
    return camera.model, tuple(camera.intrinsics.tolist()), camera.size


@lru_cache(maxsize=4)
def _resampling(drawn: Key, rendered: Key) -> Resampling:
    """Kept from view to view: most have the same lens."""
    cameras = (Camera(np.eye(4), np.array(focal), size, model=model) for model, focal, size in (drawn, rendered))
    return Resampling(*cameras)


class Resampling:
    """Takes what `rendered` saw to the pixels of `camera`, which has the same pose and another lens."""

    def __init__(self, camera: Camera, rendered: Camera) -> None:
        self._camera, self._rendered = camera, rendered
        ways = camera.local_directions(pixel_grid(*camera.size))
        drawn = np.isfinite(ways[..., 0])
        ways[~drawn] = (0.0, 0.0, -1.0)
        # in OpenCV's pixels, which have their centres at whole numbers
        self._places = rendered.intrinsics[2:] + rendered.intrinsics[:2] * rendered.model.places(ways) - 0.5
        self._right, self._down = (_slope(self._places, drawn, axis) for axis in (1, 0))
        corner = np.clip(np.floor(self._places), 0, np.array(rendered.size) - 2).astype(np.int64)
        self._share = self._places - corner
        self._x, self._y = np.moveaxis(corner, -1, 0)
        nearest = np.stack(self._nearest[::-1], axis=-1) + 0.5
        self._ways, self._ways_of_nearest = ways, rendered.local_directions(nearest)
        if rendered.model.has_planar_depth:
            self._ways, self._ways_of_nearest = (one / -one[..., 2:] for one in (ways, self._ways_of_nearest))

    def view(self, pixels: ViewPixels, camera_to_world: F8) -> ViewPixels:
        """All passes of a view from a camera [4, 4]; what the lens does not draw is of no meaning."""
        if pixels.depth is None or pixels.normal is None or pixels.object_index is None:
            return replace(pixels, rgba=self.light(pixels.rgba))
        hit = pixels.depth > 0
        # of a plane, the inverse of planar depth grows evenly from pixel to pixel
        inverse = np.where(hit, 1.0 / np.where(hit, pixels.depth, 1.0), 0.0).astype(np.float64)
        smooth = self.smooth(inverse, pixels.object_index)
        at = np.where(smooth, self._between(inverse[..., None])[..., 0], 1.0)

        depth = np.where(smooth, 1.0 / at, self.at_edges(pixels.depth, pixels.normal @ camera_to_world[:3, :3]))

        coverage: dict[str, NDArray[Any]] = {}
        if "coverage" in pixels.further:
            both = self.coverage(pixels.further["coverage_index"], pixels.further["coverage"])
            coverage = dict(zip(("coverage_index", "coverage"), both, strict=True))

        def further(name: str, image: NDArray[Any]) -> NDArray[Any]:
            if name in LIGHT:
                return self.light(np.asarray(image, np.float32))
            if name in FLOWS:
                return self.flow(image, smooth)
            if name in coverage:
                return coverage[name]
            return places() if name == "position" else self.nearest(image)

        def places() -> F4:
            found = self._ways * depth[..., None] @ camera_to_world[:3, :3].T + camera_to_world[:3, 3]
            return np.where(depth[..., None] > 0.0, found, 0.0).astype(np.float32)

        between = self._between(pixels.normal * inverse[..., None]) / at[..., None]
        normal = np.where(smooth[..., None], between, self.nearest(pixels.normal)).astype(np.float32)
        length = np.linalg.norm(normal, axis=-1, keepdims=True)
        return replace(
            pixels,
            rgba=self.light(pixels.rgba),
            depth=depth.astype(np.float32),
            normal=np.divide(normal, length, out=np.zeros_like(normal), where=length > 1e-3),
            object_index=self.nearest(pixels.object_index),
            further={name: further(name, image) for name, image in pixels.further.items()},
        )

    def light(self, image: F4) -> F4:
        """The mean [H, W, channels] of a rendered image over each pixel's area."""
        import cv2  # the tests of lenses that Cycles has do without

        shifts = (np.arange(PLACES) + 0.5) / PLACES - 0.5
        total = np.zeros((*self._share.shape[:2], image.shape[-1]), np.float32)
        for right in shifts:
            for down in shifts:
                at = (self._places + right * self._right + down * self._down).astype(np.float32)
                taken = cv2.remap(image, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
                total += taken.reshape(total.shape)
        return total / np.float32(PLACES**2)

    def coverage(self, index: NDArray[np.uint16], share: F4) -> tuple[NDArray[np.uint16], F4]:
        """Objects [H, W, N] of each pixel's area and the share of each, the largest first.

        They are those of the rendered pixels in which PLACES² places of the pixel lie.

        Args:
            index, share: rendered.
        """
        new_index, new_share = self.nearest(index), self.nearest(share)
        shifts = (np.arange(PLACES) + 0.5) / PLACES - 0.5
        last = np.array(share.shape[1::-1]) - 1
        for first in range(0, len(new_index), ROWS):
            rows = slice(first, first + ROWS)
            at = [
                np.clip(np.rint(self._places[rows] + right * self._right[rows] + down * self._down[rows]), 0, last)
                for right in shifts
                for down in shifts
            ]
            columns_and_rows = np.moveaxis(np.stack(at, axis=2).astype(np.int64), -1, 0)
            seen = index[columns_and_rows[1], columns_and_rows[0]]
            parts = share[columns_and_rows[1], columns_and_rows[0]]
            # in most pixels there is one object, or none
            mixed = (seen[..., 0] != seen[..., :1, 0]).any(axis=-1) | (parts[..., 0] != parts[..., :1, 0]).any(axis=-1)
            if mixed.any():
                added = _added_up(
                    seen[mixed].reshape(mixed.sum(), -1), parts[mixed].reshape(mixed.sum(), -1), share.shape[-1]
                )
                new_index[rows][mixed], new_share[rows][mixed] = added
        return new_index, new_share

    def nearest(self, image: NDArray[Any]) -> NDArray[Any]:
        """What the rendered pixel nearest to each pixel's centre holds."""
        taken: NDArray[Any] = image[self._nearest]
        return taken

    def at_edges(self, depth: F4, normal: F4) -> F8:
        """The depth [H, W] of the planes through what the nearest rendered pixels show.

        Of a plane, the inverse of depth is proportional to its normal times the ray.

        Args:
            normal: rendered, in the camera's own axes.
        """
        facing = self.nearest(normal)
        there, here = (np.sum(facing * ways, axis=-1) for ways in (self._ways_of_nearest, self._ways))
        ratio = np.divide(there, here, out=np.ones_like(there), where=np.abs(there - here) < STEEPEST * np.abs(here))
        changed: F8 = self.nearest(depth) * ratio
        return changed

    def flow(self, flow: F4, smooth: Bool) -> F4:
        """[H, W, 2] from and to where the lens draws both ends; 0 where it leaves the lens.

        Args:
            smooth: where it is interpolated; elsewhere it is that of the nearest rendered pixel.
        """
        rows, columns = self._nearest
        start = np.where(smooth[..., None], self._places + 0.5, np.stack([columns, rows], axis=-1) + 0.5)
        places = (start, start + np.where(smooth[..., None], self._between(flow), flow[rows, columns]))
        first, last = (self._camera.project(self._rendered.local_directions(place))[0] for place in places)
        return np.nan_to_num(last - first).astype(np.float32)

    def smooth(self, inverse: F8, index: NDArray[Any]) -> Bool:
        """[H, W]: pixels whose centre lies among four rendered pixels of one surface.

        They show the same object, and the depth between them grows as it does beside them.

        Args:
            inverse: of the rendered depth, 0 where nothing was hit. index: rendered, of objects.
        """
        x, y = self._x, self._y
        across, downwards = _no_jump(inverse), _no_jump(inverse.T).T
        good = across[y, x] & across[y + 1, x] & downwards[y, x] & downwards[y, x + 1]
        for row, column in ((y, x), (y, x + 1), (y + 1, x), (y + 1, x + 1)):
            good &= (inverse[row, column] > 0) & (index[row, column] == index[y, x])
        return good

    @property
    def _nearest(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return self._y + (self._share[..., 1] >= 0.5), self._x + (self._share[..., 0] >= 0.5)

    def _between(self, image: NDArray[Any]) -> F8:
        """[H, W, channels] interpolated in double precision: OpenCV knows 32 places between two pixels alone."""
        x, y, right, down = self._x, self._y, self._share[..., :1], self._share[..., 1:]
        above = (1.0 - right) * image[y, x] + right * image[y, x + 1]
        below = (1.0 - right) * image[y + 1, x] + right * image[y + 1, x + 1]
        between: F8 = (1.0 - down) * above + down * below
        return between


def _added_up(index: NDArray[np.uint16], share: F4, most: int) -> tuple[NDArray[np.uint16], F4]:
    """Of pixels with objects [N, K] in PLACES² places and their shares: at most `most` [N, most], the largest first."""
    objects = np.setdiff1d(index, [0])
    total = np.stack([np.where(index == one, share, 0.0).sum(axis=1) for one in objects], axis=1) / PLACES**2
    total = np.pad(total, ((0, 0), (0, most)))
    order = np.argsort(-total, axis=1, kind="stable")[:, :most]
    found = np.take_along_axis(total, order, axis=1)
    return np.where(found > 0.0, np.pad(objects, (0, most))[order], 0).astype(np.uint16), found.astype(np.float32)


def _slope(places: F8, drawn: Bool, axis: int) -> F8:
    """How far the places [H, W, 2] of neighbouring pixels lie apart along an axis, per pixel."""
    slope = np.asarray(np.gradient(places, axis=axis))
    # beside what is not drawn, the places are not those of the picture
    slope[~(np.roll(drawn, 1, axis) & np.roll(drawn, -1, axis) & drawn)] = 0.0
    return slope


def _no_jump(values: F8) -> Bool:
    """[H, W]: whether the step from each value to the one on its right is like the steps beside it."""
    step = np.abs(np.diff(values, axis=1))
    beside = np.maximum(np.pad(step, ((0, 0), (1, 0)))[:, :-1], np.pad(step, ((0, 0), (0, 1)))[:, 1:])
    result: Bool = np.pad(step <= JUMP * beside + 1e-4 * values[:, 1:], ((0, 0), (0, 1)))
    return result
