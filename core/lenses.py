# SPDX-License-Identifier: GPL-3.0-or-later
"""Camera models: where in a picture a lens draws what comes from some direction, and back. Numpy alone.

Places are in units of the focal length from the principal point, x to the right and y down, so that a pixel is
(cx + fx x, cy + fy y). Directions are those of a camera with OpenGL axes: it looks along -z, y is up.

opencv: x = X/Z bent by OpenCV's k1 k2 p1 p2 k3 k4 (its k4 divides by 1 + k4 r²), see `cv::projectPoints`.
fisheye: the angle from the axis, a (1 + k1 a² + k2 a⁴ + k3 a⁶ + k4 a⁸), see `cv::fisheye`; without k it is equidistant.
equirectangular: x is the longitude and -y the latitude, in radians.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Kind = Literal["opencv", "fisheye", "equirectangular"]
KINDS: tuple[str, ...] = get_args(Kind)
COEFFICIENTS = ("k1", "k2", "p1", "p2", "k3", "k4")
NO_DISTORTION = (0.0,) * 6

# up to which angle from the axis a distorted perspective is asked: beyond it no such lens draws anything
WIDEST = np.radians(85.0)
NEWTON_STEPS = 30
# what an inverted place may be off, in focal lengths
EXACT = 1e-9


def complaint(kind: str, distortion: Sequence[float]) -> str:
    """Why a kind of lens cannot be distorted like that, in words that follow `distortion`; empty when it can."""
    if kind == "equirectangular" and any(distortion):
        return "has no meaning for an equirectangular lens; leave it out"
    if kind == "fisheye" and any(distortion[2:4]):
        return "has p1 or p2, which a fisheye does not have; leave them 0"
    return ""


@dataclass(frozen=True)
class CameraModel:
    """A kind of lens and its distortion (k1 k2 p1 p2 k3 k4); `places` and `directions` undo each other."""

    kind: Kind = "opencv"
    distortion: tuple[float, ...] = NO_DISTORTION

    @property
    def is_pinhole(self) -> bool:
        """Whether straight lines stay straight."""
        return self.kind == "opencv" and not self.is_distorted

    @property
    def is_distorted(self) -> bool:
        """Whether any coefficient bends the picture."""
        return any(self.distortion)

    @property
    def has_planar_depth(self) -> bool:
        """Whether depth is measured along the axis; else it is along the ray, which may even point backwards."""
        return self.kind == "opencv"

    def places(self, directions: Array) -> Array:
        """[..., 2] where directions [..., 3] of any length are drawn; NaN where they are not."""
        x, y, z = directions[..., 0], -directions[..., 1], -directions[..., 2]
        if self.kind == "equirectangular":
            return np.stack([np.arctan2(x, z), np.arctan2(y, np.hypot(x, z))], axis=-1)
        across = np.hypot(x, y)
        angle = np.arctan2(across, z)
        if self.kind == "fisheye":
            stretch = np.divide(self._drawn_at(angle), across, out=np.ones_like(across), where=across > 0)
            places = np.stack([x * stretch, y * stretch], axis=-1)
        else:
            with np.errstate(divide="ignore", invalid="ignore"):
                places = self._bent(np.stack([x / z, y / z], axis=-1))
        places[angle > self.widest] = np.nan
        return places

    def directions(self, places: Array) -> Array:
        """[..., 3] unit directions of what is drawn at places [..., 2]; NaN where nothing is."""
        if self.kind == "equirectangular":
            longitude, latitude = places[..., 0], -places[..., 1]
            flat = np.cos(latitude)
            found = np.stack([flat * np.sin(longitude), np.sin(latitude), -flat * np.cos(longitude)], axis=-1)
            found[(np.abs(longitude) > np.pi * (1 + EXACT)) | (np.abs(latitude) > 0.5 * np.pi * (1 + EXACT))] = np.nan
            return found
        if self.kind == "fisheye":
            radius = np.hypot(places[..., 0], places[..., 1])
            angle = self._angle_at(radius)
            stretch = np.divide(np.sin(angle), radius, out=np.ones_like(radius), where=radius > 0)
            return np.stack([places[..., 0] * stretch, -places[..., 1] * stretch, -np.cos(angle)], axis=-1)
        flat = self._unbent(places) if self.is_distorted else places
        found = np.stack([flat[..., 0], -flat[..., 1], -np.ones(flat.shape[:-1])], axis=-1)
        return found / np.linalg.norm(found, axis=-1, keepdims=True)

    @cached_property
    def widest(self) -> float:
        """The angle from the axis up to which outer things are drawn farther out, radians.

        The polynomials turn back somewhere outside of the area they were fitted to; what lies beyond is drawn twice.
        """
        if not self.is_distorted:
            return np.pi if self.kind == "fisheye" else 0.5 * np.pi
        angles = np.linspace(0.0, np.pi if self.kind == "fisheye" else WIDEST, 4096)
        if self.kind == "fisheye":
            drawn = self._drawn_at(angles)
        else:
            drawn = np.tan(angles) * self._radial(np.tan(angles) ** 2)
        back = np.flatnonzero(np.diff(drawn) <= 0.0)
        return float(angles[back[0]] if len(back) else angles[-1])

    def _drawn_at(self, angle: Array) -> Array:
        """The radius at which a fisheye draws an angle from the axis."""
        k1, k2, _, _, k3, k4 = self.distortion
        square = angle**2
        return angle * (1.0 + square * (k1 + square * (k2 + square * (k3 + square * k4))))

    def _angle_at(self, radius: Array) -> Array:
        """The angle from the axis that a fisheye draws at a radius; NaN beyond the widest."""
        angle = np.asarray(radius, np.float64)
        if self.is_distorted:
            k1, k2, _, _, k3, k4 = self.distortion
            angle = np.minimum(angle, self.widest)
            for _ in range(NEWTON_STEPS):
                square = angle**2
                slope = 1.0 + square * (3 * k1 + square * (5 * k2 + square * (7 * k3 + square * 9 * k4)))
                step = (self._drawn_at(angle) - radius) / np.maximum(slope, 1e-3)
                angle = np.clip(angle - step, 0.0, self.widest)
            angle = np.where(np.abs(self._drawn_at(angle) - radius) < EXACT, angle, np.nan)
        return np.where(angle <= self.widest * (1.0 + EXACT), angle, np.nan)

    def _radial(self, square: Array) -> Array:
        """By how much a perspective lens stretches a radius, from its square."""
        k1, k2, _, _, k3, k4 = self.distortion
        return (1.0 + square * (k1 + square * (k2 + square * k3))) / (1.0 + square * k4)

    def _bent(self, places: Array) -> Array:
        """Where a perspective lens draws what a pinhole draws at `places`."""
        if not self.is_distorted:
            return places
        _, _, p1, p2, _, _ = self.distortion
        x, y = places[..., 0], places[..., 1]
        square = np.square(x) + np.square(y)
        radial = self._radial(square)
        right = x * radial + 2.0 * p1 * x * y + p2 * (square + 2.0 * x * x)
        down = y * radial + p1 * (square + 2.0 * y * y) + 2.0 * p2 * x * y
        return np.stack([right, down], axis=-1)

    def _unbent(self, places: Array) -> Array:
        """`_bent` backwards, by Newton's method with the slopes measured; NaN where nothing is drawn."""
        flat = np.array(places, np.float64)
        limit, small = np.tan(self.widest), 1e-6
        right_of, below = np.array([small, 0.0]), np.array([0.0, small])
        with np.errstate(all="ignore"):
            for _ in range(NEWTON_STEPS):
                bent = self._bent(flat)
                xx, yx = np.moveaxis((self._bent(flat + right_of) - bent) / small, -1, 0)
                xy, yy = np.moveaxis((self._bent(flat + below) - bent) / small, -1, 0)
                right, down = np.moveaxis(places - bent, -1, 0)
                step = np.stack([yy * right - xy * down, xx * down - yx * right], axis=-1)
                step /= (xx * yy - xy * yx)[..., None]
                flat += step
                # a place that no ray reaches would wander off
                length = np.linalg.norm(flat, axis=-1, keepdims=True)
                flat *= np.minimum(1.0, limit / np.maximum(length, 1e-12))
                if not (np.abs(step) > 0.1 * EXACT).any():
                    break
            off = np.abs(self._bent(flat) - places).max(axis=-1)
        flat[~(off < EXACT)] = np.nan
        return flat


PINHOLE = CameraModel()
