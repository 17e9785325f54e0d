# SPDX-License-Identifier: GPL-3.0-or-later
"""Rendered pictures become what a lens draws that Cycles does not have: see `core/stand_in.py`.

Light becomes the mean over each pixel's area. What must not be averaged is that of the pixel's centre: depth, normals
and positions are interpolated between rendered pixels of one surface, and are those of the nearest one elsewhere;
indices are those of the nearest one everywhere.
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
# a step of depth between neighbours is a jump when those beside it are so many times smaller
JUMP = 3.0


def through_the_lens(pixels: ViewPixels, view: PlannedView, size: tuple[int, int]) -> ViewPixels:
    """A planned view's picture of `size` from what Blender rendered; `valid` says where its lens draws anything."""
    camera = view.camera(size)
    if camera.model.is_pinhole:
        return pixels
    if view.stand_in is not None:
        pixels = _resampling(_key(camera), _key(view.rendered_camera(size))).view(pixels)
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

    def view(self, pixels: ViewPixels) -> ViewPixels:
        """All passes of a view; what the lens does not draw is of no meaning."""
        if pixels.depth is None or pixels.normal is None or pixels.object_index is None:
            return replace(pixels, rgba=self.light(pixels.rgba))
        hit = pixels.depth > 0
        # of a plane, the inverse of planar depth grows evenly from pixel to pixel
        inverse = np.where(hit, 1.0 / np.where(hit, pixels.depth, 1.0), 0.0).astype(np.float64)
        smooth = self.smooth(inverse, pixels.object_index)
        at = np.where(smooth, self._between(inverse[..., None])[..., 0], 1.0)

        def surface(image: NDArray[Any]) -> F4:
            between = self._between(image * inverse[..., None]) / at[..., None]
            return np.where(smooth[..., None], between, self.nearest(image)).astype(np.float32)

        def further(name: str, image: NDArray[Any]) -> NDArray[Any]:
            if name in LIGHT:
                return self.light(np.asarray(image, np.float32))
            if name in FLOWS:
                return self.flow(image)
            return surface(image) if name == "position" else self.nearest(image)

        normal = surface(pixels.normal)
        length = np.linalg.norm(normal, axis=-1, keepdims=True)
        return replace(
            pixels,
            rgba=self.light(pixels.rgba),
            depth=np.where(smooth, 1.0 / at, self.nearest(pixels.depth)).astype(np.float32),
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

    def nearest(self, image: NDArray[Any]) -> NDArray[Any]:
        """What the rendered pixel nearest to each pixel's centre holds."""
        taken: NDArray[Any] = image[self._nearest]
        return taken

    def flow(self, flow: F4) -> F4:
        """[H, W, 2] of the nearest rendered pixel, from and to where the lens draws it; 0 where it leaves the lens."""
        rows, columns = self._nearest
        start = np.stack([columns, rows], axis=-1) + 0.5
        places = (start, start + flow[rows, columns])
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
