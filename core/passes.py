# SPDX-License-Identifier: GPL-3.0-or-later
"""The passes of a view: what each holds, how it is stored, and by what name it is asked for. Numpy alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# objects to a pixel that `coverage` keeps, the largest share first
COVERAGE_DEPTH = 6


@dataclass(frozen=True)
class Pass:
    """How a dataset holds one pass.

    Attributes:
        dtype: as numpy names it.
        channels: numbers to a pixel; 0 for one number without an axis of its own.
        meaning: for people.
    """

    dtype: str
    channels: int
    meaning: str


# a pass of light is an average over the pixel's samples, premultiplied like rgba; every other is of the pixel's centre
PASSES: dict[str, Pass] = {
    "rgba": Pass("f2", 4, "scene-linear light and alpha, premultiplied"),
    "depth": Pass("f4", 0, "depth along the axis, of fisheyes and panoramas along the ray; 0 where nothing was hit"),
    "normal": Pass("f2", 3, "unit normals in world space, 0 on a miss"),
    "object_index": Pass("u2", 0, "which object, 0 = background"),
    "valid": Pass("u1", 0, "which pixels are to be trained on and compared"),
    "material_index": Pass("u2", 0, "which material, 0 = background or none"),
    "class_index": Pass("u2", 0, "which class, 0 = background"),
    "position": Pass("f4", 3, "world-space points, 0 on a miss"),
    "flow_forward": Pass("f4", 2, "where the pixel's point is in the next frame's picture, minus the pixel"),
    "flow_backward": Pass("f4", 2, "where the pixel's point is in the previous frame's picture, minus the pixel"),
    "albedo": Pass("f2", 3, "colour of diffuse reflection"),
    "diffuse_direct": Pass("f2", 3, "diffuse light straight from lamps, before albedo"),
    "diffuse_indirect": Pass("f2", 3, "diffuse light that bounced, before albedo"),
    "glossy_color": Pass("f2", 3, "colour of glossy reflection"),
    "glossy_direct": Pass("f2", 3, "glossy light straight from lamps, before glossy_color"),
    "glossy_indirect": Pass("f2", 3, "glossy light that bounced, before glossy_color"),
    "transmission_color": Pass("f2", 3, "colour of transmission"),
    "transmission_direct": Pass("f2", 3, "transmitted light straight from lamps, before transmission_color"),
    "transmission_indirect": Pass("f2", 3, "transmitted light that bounced, before transmission_color"),
    "volume_direct": Pass("f2", 3, "light that volumes scatter straight from lamps"),
    "volume_indirect": Pass("f2", 3, "light that volumes scatter after bounces"),
    "emission": Pass("f2", 3, "light that surfaces emit"),
    "environment": Pass("f2", 3, "light of the world behind everything"),
    "shadow": Pass("f2", 3, "what shadow catchers leave of the light behind them; 1 without shadow"),
    "ambient_occlusion": Pass("f2", 3, "share of the sky that the surroundings leave open"),
    "coverage_index": Pass("u2", COVERAGE_DEPTH, "objects that share the pixel, the largest share first"),
    "coverage": Pass("f2", COVERAGE_DEPTH, "the share of each object of coverage_index"),
}

# those that `ViewPixels` has no attribute for
FURTHER = tuple(name for name in PASSES if name not in ("rgba", "depth", "normal", "object_index", "valid"))

# motion from picture to picture, in pixels
FLOWS = ("flow_forward", "flow_backward")

# what may be asked for, and the passes that it brings
ASKED_PASSES: dict[str, tuple[str, ...]] = {
    "albedo": ("albedo",),
    "diffuse": ("albedo", "diffuse_direct", "diffuse_indirect"),
    "glossy": ("glossy_color", "glossy_direct", "glossy_indirect"),
    "transmission": ("transmission_color", "transmission_direct", "transmission_indirect"),
    "volume": ("volume_direct", "volume_indirect"),
    "emission": ("emission",),
    "environment": ("environment",),
    "shadow": ("shadow",),
    "ambient_occlusion": ("ambient_occlusion",),
    "coverage": ("coverage_index", "coverage"),
    "position": ("position",),
    "flow": FLOWS,
    "material_index": ("material_index",),
    "class_index": ("class_index",),
}


def passes_of(asked: Iterable[str]) -> tuple[str, ...]:
    """The passes that these words of `ASKED_PASSES` bring, in the order of `PASSES`."""
    wanted = {name for word in asked for name in ASKED_PASSES[word]}
    return tuple(name for name in PASSES if name in wanted)
