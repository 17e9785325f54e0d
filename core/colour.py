# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place for colour: scene-linear light, premultiplied alpha, and the view transform that is applied last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import UserError

Array = NDArray[np.float32]

LUT_SIZE = 65
# more make no sense, and the shader has to have room for them
MOST_STAGES = 24
MOST_NODES = 129
MOST_SAMPLES = 4096
# what an infinite value counts as
BRIGHTEST = 1e20

# each kind of stage and the shape of its values; None: any number, all of them the same
SHAPES: dict[str, tuple[int | None, ...]] = {
    "matrix": (3, 4),
    "log2": (0,),
    "exp2": (0,),
    "power": (1,),
    "encode": (2,),
    "decode": (2,),
    "clamp": (2,),
    "curve": (None, 3),
    "table": (None, None, None, 3),
}


@dataclass(frozen=True)
class Stage:
    """One step of a view transform, on three channels.

    Attributes:
        kind: what happens to x.
            matrix: values [3, 4], the last column is added.
            log2, exp2: per channel; what is not above zero counts as the smallest float.
            power: max(x, 0) to the power of the value.
            decode: ((x + offset) / (1 + offset))^gamma with a straight line near zero, values (gamma, offset) (sRGB is
            2.4, 0.055: IEC 61966-2-1); encode: its inverse.
            clamp: to values (lowest, highest).
            curve: values [n, 3] at n even steps in 0..1, straight lines between and beyond.
            table: values [n, n, n, 3], indexed [red, green, blue], in 0..1 (clamped), interpolated in the six
            tetrahedra around each cell's diagonal, as OpenColorIO does it.
        values: float32.
    """

    kind: str
    values: Array

    def apply(self, x: Array) -> Array:
        """[m, 3] to [m, 3]."""
        v = self.values
        if self.kind == "matrix":
            return x @ v[:, :3].T + v[:, 3]
        if self.kind == "log2":
            return np.log2(np.maximum(x, np.finfo(np.float32).tiny))
        if self.kind == "exp2":
            return np.exp2(np.minimum(x, np.float32(100.0)))
        if self.kind == "power":
            return np.power(np.maximum(x, 0.0), v[0])
        if self.kind == "encode":
            limit, slope = linear_part(*v.tolist())
            curved = np.power(np.maximum(x, np.float32(limit * slope)), np.float32(1.0 / v[0])) * (1.0 + v[1]) - v[1]
            return np.where(x <= np.float32(limit * slope), x / np.float32(slope), curved)
        if self.kind == "decode":
            limit, slope = linear_part(*v.tolist())
            curved = np.power((np.maximum(x, np.float32(limit)) + v[1]) / (1.0 + v[1]), v[0])
            return np.where(x <= np.float32(limit), x * np.float32(slope), curved)
        if self.kind == "clamp":
            return np.clip(x, v[0], v[1])
        if self.kind == "curve":
            n = len(v)
            position = x * np.float32(n - 1)
            low = _within(position, 0, n - 2).astype(np.int32)
            channel = np.arange(3)
            below = v[low, channel]
            return below + (v[low + 1, channel] - below) * (position - low)
        return _interpolated_in_tetrahedra(v, x)


def linear_part(gamma: float, offset: float) -> tuple[float, float]:
    """Of `decode`: below which value it is a straight line, and that line's slope (OpenColorIO's moncurve)."""
    limit = offset / (gamma - 1.0)
    return limit, (gamma - 1.0) / offset * (offset * gamma / ((gamma - 1.0) * (1.0 + offset))) ** gamma


def _within(x: Array, low: float, high: float) -> Array:
    """Clamped; NaN becomes `low`."""
    return np.fmin(np.fmax(x, np.float32(low)), np.float32(high))


def _interpolated_in_tetrahedra(table: Array, x: Array) -> Array:
    n = table.shape[0]
    position = _within(x, 0.0, 1.0) * np.float32(n - 1)
    low = np.minimum(position.astype(np.int32), n - 2)
    along = position - low
    # from the cell's first corner to its last one, along the axis with the largest part first
    order = np.argsort(-along, axis=1, kind="stable")
    along = np.take_along_axis(along, order, axis=1)
    steps = np.array([n * n, n, 1])[order]
    index = (low[:, 0] * n + low[:, 1]) * n + low[:, 2]
    nodes = table.reshape(-1, 3)
    result = nodes[index] * (1.0 - along[:, :1])
    for axis in range(3):
        index = index + steps[:, axis]
        share = along[:, axis] - (along[:, axis + 1] if axis < 2 else 0.0)
        result += nodes[index] * share[:, None]
    return result


@dataclass(frozen=True)
class ViewTransform:
    """A view transform (AgX, Filmic, Standard …) with its exposure, look, gamma and curves, as stages in a row.

    Attributes:
        stages: from scene-linear to display-referred values.
        display, view, look, exposure, gamma: where it came from; the stages already hold all of it.
    """

    stages: tuple[Stage, ...]
    display: str
    view: str
    look: str
    exposure: float
    gamma: float

    def apply(self, linear: ArrayLike) -> Array:
        """Scene-linear [..., 3] to display-referred [..., 3] in 0..1. NaN counts as 0, infinity as very bright."""
        linear = np.asarray(linear, np.float32)
        flat = np.clip(np.nan_to_num(linear.reshape(-1, 3), nan=0.0), -BRIGHTEST, BRIGHTEST)
        result = np.empty_like(flat)
        # a part at a time: what lies between the stages stays in the processor's cache
        for start in range(0, len(flat), 1 << 15):
            part = flat[start : start + (1 << 15)]
            # the very bright may leave the range of floats: they are clamped in the end
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                for stage in self.stages:
                    part = stage.apply(part)
            result[start : start + (1 << 15)] = _within(part, 0.0, 1.0)
        return result.reshape(linear.shape)

    def arrays(self) -> dict[str, Array]:
        """The stages' values by name: "stage_00" and so on, without those that have none."""
        return {f"stage_{i:02}": stage.values for i, stage in enumerate(self.stages) if stage.values.size}

    def to_metadata(self) -> dict[str, Any]:
        """Everything but `arrays`, for a header."""
        return {
            "stages": " ".join(stage.kind for stage in self.stages),
            "display": self.display,
            "view": self.view,
            "look": self.look,
            "exposure": self.exposure,
            "gamma": self.gamma,
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any], arrays: Mapping[str, ArrayLike]) -> ViewTransform:
        """The inverse of `to_metadata` and `arrays`. Also takes what was written before there were stages: a `lut`.

        Raises:
            UserError: an array or a value is missing or has the wrong shape.
        """
        try:
            if "lut" in arrays:
                stages = _stages_of_old(metadata, arrays["lut"])
            else:
                kinds = str(metadata["stages"]).split()
                if len(kinds) > MOST_STAGES:
                    raise UserError("the view transform has too many stages; render or train again")
                stages = [_stage(kind, arrays.get(f"stage_{i:02}", ())) for i, kind in enumerate(kinds)]
            display, view, look = (str(metadata[name]) for name in ("display", "view", "look"))
            exposure, gamma = (float(metadata[name]) for name in ("exposure", "gamma"))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise UserError(f"the view transform is incomplete ({error}); render or train again") from error
        return cls(tuple(stages), display, view, look, exposure, gamma)


def _stage(kind: str, values: ArrayLike) -> Stage:
    """A stage of somebody else's, or UserError."""
    if kind not in SHAPES:
        raise UserError(f"the view transform has a stage {kind!r} that is unknown; update Radiance Twin")
    array = np.ascontiguousarray(values, np.float32)
    shape = SHAPES[kind]
    free = {have for have, want in zip(array.shape, shape, strict=False) if want is None}
    limit = MOST_NODES if kind == "table" else MOST_SAMPLES
    fits = array.ndim == len(shape) and all(w in (None, h) for h, w in zip(array.shape, shape, strict=True))
    if not fits or len(free) > 1 or any(not 2 <= n <= limit for n in free):
        raise UserError(f"the view transform's {kind} has the wrong shape; render or train again")
    if not np.isfinite(array).all():
        raise UserError(f"the view transform's {kind} holds values that are no numbers; render or train again")
    if kind in ("encode", "decode") and not (array[0] > 1.0 and array[1] > 0.0):
        raise UserError(f"the view transform's {kind} makes no sense; render or train again")
    return Stage(kind, array)


def _stages_of_old(metadata: Mapping[str, Any], lut: ArrayLike) -> list[Stage]:
    low, high = float(metadata["shaper_min"]), float(metadata["shaper_max"])
    if not (-64.0 <= low < high <= 64.0):
        raise UserError("the view transform's range makes no sense; render or train again")
    return table_stages(_stage("table", lut).values, low, high)


def matrix_stage(matrix: ArrayLike, offset: ArrayLike = 0.0) -> Stage:
    """A stage of a matrix [3, 3], or of one factor for all channels, and what is added then."""
    values = np.zeros((3, 4), np.float32)
    values[:, :3] = matrix if np.ndim(matrix) else np.eye(3) * np.asarray(matrix)
    values[:, 3] = offset
    return Stage("matrix", values)


def stages_of(steps: Iterable[tuple[str, ArrayLike]]) -> tuple[Stage, ...]:
    """Stages from kinds and values of any precision."""
    return tuple(Stage(kind, np.ascontiguousarray(values, np.float32)) for kind, values in steps)


def table_stages(lut: ArrayLike, minimum: float, maximum: float) -> list[Stage]:
    """The stages of a table whose nodes are `lattice(minimum, maximum)`.

    They lie logarithmically between 2^minimum and 2^maximum, and the first one is 0.
    """
    return [
        matrix_stage(2.0**-minimum, 1.0),
        Stage("log2", np.zeros(0, np.float32)),
        matrix_stage(1.0 / np.log2(2.0 ** (maximum - minimum) + 1.0)),
        Stage("table", np.ascontiguousarray(lut, np.float32)),
    ]


def lattice(minimum: float, maximum: float, size: int = LUT_SIZE) -> Array:
    """The scene-linear colours [size, size, size, 3] at the nodes of `table_stages`, indexed [red, green, blue]."""
    position = np.linspace(0.0, 1.0, size)
    axis = (np.exp2(position * np.log2(2.0 ** (maximum - minimum) + 1.0)) - 1.0) * 2.0**minimum
    return np.stack(np.meshgrid(*[axis.astype(np.float32)] * 3, indexing="ij"), axis=-1)


def standard_view_transform(exposure: float = 0.0) -> ViewTransform:
    """Blender's Standard view: the sRGB curve, clipped. For imported pictures and for tests."""
    stages = (matrix_stage(2.0**exposure), Stage("encode", np.array([2.4, 0.055], np.float32)))
    return ViewTransform(stages, "sRGB", "Standard", "None", exposure, 1.0)


def linear_to_srgb(linear: ArrayLike) -> Array:
    """Scene-linear to sRGB in 0..1 (IEC 61966-2-1), clipped."""
    x = np.clip(np.asarray(linear, np.float32), 0.0, 1.0)
    return np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.power(np.maximum(x, 0.0031308), 1.0 / 2.4) - 0.055).astype(
        np.float32
    )


def srgb_bytes(linear: ArrayLike) -> NDArray[np.uint8]:
    """Scene-linear colours as 8-bit sRGB; what is brighter than 1 is cut off."""
    encoded: NDArray[np.uint8] = np.rint(linear_to_srgb(np.clip(linear, 0.0, 1.0)) * 255.0).astype(np.uint8)
    return encoded


def srgb_to_linear(srgb: ArrayLike) -> Array:
    """The inverse of `linear_to_srgb`."""
    x = np.clip(np.asarray(srgb, np.float32), 0.0, 1.0)
    return np.where(x <= 0.04045, x / 12.92, np.power((x + 0.055) / 1.055, 2.4)).astype(np.float32)


def composite(rgba: ArrayLike, background: ArrayLike) -> Array:
    """Premultiplied scene-linear `rgba` [..., 4] over a scene-linear `background` [3]; gives [..., 3]."""
    rgba = np.asarray(rgba, np.float32)
    return rgba[..., :3] + (1.0 - rgba[..., 3:]) * np.asarray(background, np.float32)
