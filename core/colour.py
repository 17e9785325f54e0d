# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place for colour: scene-linear light, premultiplied alpha, and the view transform that is applied last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import UserError

Array = NDArray[np.float32]

LUT_SIZE = 65


def shaper(linear: ArrayLike, minimum: float, maximum: float) -> Array:
    """Scene-linear values to lattice positions 0..1: logarithmic between 2^minimum and 2^maximum, and 0 stays 0."""
    x = np.maximum(np.asarray(linear, np.float32), 0.0)
    scale = np.float32(1.0 / np.log2(2.0 ** (maximum - minimum) + 1.0))
    return np.clip(np.log2(x * np.float32(2.0**-minimum) + np.float32(1.0)) * scale, 0.0, 1.0)


def shaper_inverse(position: ArrayLike, minimum: float, maximum: float) -> NDArray[np.float64]:
    """Lattice positions 0..1 back to scene-linear values."""
    t = np.asarray(position, np.float64)
    return (np.exp2(t * np.log2(2.0 ** (maximum - minimum) + 1.0)) - 1.0) * 2.0**minimum


@dataclass(frozen=True)
class ViewTransform:
    """A view transform (AgX, Filmic, Standard …) with its exposure, look and gamma, baked into a table.

    Attributes:
        lut: [65, 65, 65, 3] float32 display-referred values, indexed [red, green, blue].
        shaper_min, shaper_max: the stops that `shaper` spreads over the lattice.
        display, view, look, exposure, gamma: where it came from; the table already holds all of it.
    """

    lut: Array
    shaper_min: float
    shaper_max: float
    display: str
    view: str
    look: str
    exposure: float
    gamma: float

    def apply(self, linear: ArrayLike) -> Array:
        """Scene-linear [..., 3] to display-referred [..., 3] in 0..1, by trilinear interpolation.

        NaN counts as 0 and infinity as the brightest value of the table.
        """
        linear = np.asarray(linear, np.float32)
        flat = np.nan_to_num(linear.reshape(-1, 3), nan=0.0, posinf=2.0**self.shaper_max, neginf=0.0)
        n = self.lut.shape[0]
        position = shaper(flat, self.shaper_min, self.shaper_max) * np.float32(n - 1)
        low = np.minimum(position.astype(np.int32), n - 2)
        weight = position - low
        table = self.lut.reshape(-1, 3)
        index = (low[:, 0] * n + low[:, 1]) * n + low[:, 2]
        result = np.zeros_like(flat)
        for corner in range(8):
            step = (corner >> 2 & 1, corner >> 1 & 1, corner & 1)
            share = np.ones(len(flat), np.float32)
            for axis in range(3):
                share = share * (weight[:, axis] if step[axis] else 1.0 - weight[:, axis])
            result += table[index + (step[0] * n + step[1]) * n + step[2]] * share[:, None]
        return np.clip(result, 0.0, 1.0).reshape(linear.shape)

    def to_metadata(self) -> dict[str, Any]:
        """Everything but the table, for a header."""
        return {
            "shaper_min": self.shaper_min,
            "shaper_max": self.shaper_max,
            "display": self.display,
            "view": self.view,
            "look": self.look,
            "exposure": self.exposure,
            "gamma": self.gamma,
        }

    @classmethod
    def from_metadata(cls, metadata: dict[str, Any], lut: ArrayLike) -> ViewTransform:
        """The inverse of `to_metadata`.

        Raises:
            UserError: the table or a value is missing or has the wrong shape.
        """
        table = np.ascontiguousarray(lut, np.float32)
        if table.ndim != 4 or table.shape != (*table.shape[:1] * 3, 3) or not 2 <= table.shape[0] <= 129:
            raise UserError("the view transform's table has the wrong shape; render or train again")
        if not np.isfinite(table).all():
            raise UserError("the view transform's table holds values that are no numbers; render or train again")
        try:
            low, high, exposure, gamma = (
                float(metadata[name]) for name in ("shaper_min", "shaper_max", "exposure", "gamma")
            )
            display, view, look = (str(metadata[name]) for name in ("display", "view", "look"))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"the view transform is incomplete ({error}); render or train again") from error
        if not (-64.0 <= low < high <= 64.0):
            raise UserError("the view transform's range makes no sense; render or train again")
        return cls(table, low, high, display, view, look, exposure, gamma)


def lattice(minimum: float, maximum: float, size: int = LUT_SIZE) -> Array:
    """The scene-linear colours [size, size, size, 3] at a table's nodes, indexed [red, green, blue]."""
    axis = shaper_inverse(np.linspace(0.0, 1.0, size), minimum, maximum).astype(np.float32)
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)


def standard_view_transform(exposure: float = 0.0) -> ViewTransform:
    """Blender's Standard view: the sRGB curve, clipped. For imported pictures and for tests."""
    low, high = -10.0 - exposure, 6.0 - exposure
    lut = linear_to_srgb(lattice(low, high) * np.float32(2.0**exposure)).astype(np.float32)
    return ViewTransform(lut, low, high, "sRGB", "Standard", "None", exposure, 1.0)


def linear_to_srgb(linear: ArrayLike) -> Array:
    """Scene-linear to sRGB in 0..1 (IEC 61966-2-1), clipped."""
    x = np.clip(np.asarray(linear, np.float32), 0.0, 1.0)
    return np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.power(np.maximum(x, 0.0031308), 1.0 / 2.4) - 0.055).astype(
        np.float32
    )


def srgb_to_linear(srgb: ArrayLike) -> Array:
    """The inverse of `linear_to_srgb`."""
    x = np.clip(np.asarray(srgb, np.float32), 0.0, 1.0)
    return np.where(x <= 0.04045, x / 12.92, np.power((x + 0.055) / 1.055, 2.4)).astype(np.float32)


def composite(rgba: ArrayLike, background: ArrayLike) -> Array:
    """Premultiplied scene-linear `rgba` [..., 4] over a scene-linear `background` [3]; gives [..., 3]."""
    rgba = np.asarray(rgba, np.float32)
    return rgba[..., :3] + (1.0 - rgba[..., 3:]) * np.asarray(background, np.float32)
