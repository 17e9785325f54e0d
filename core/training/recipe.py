# SPDX-License-Identifier: GPL-3.0-or-later
"""The numbers of training. Those that were tuned were compared at equal processor time on a table-top scene
(60 views of 200×200, two cores); `tests/bench/README.md` tells how."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """How a field is trained.

    Attributes:
        rays: in a batch. Few: at the start the number of steps matters more than their noise. `rays_on_cuda`: there
            a step costs the same for many.
        learning_rate: at the start; `final_rate` is the share of it at the end (cosine between).
        warm_up: steps until the learning rate is reached.
        betas: of Adam.
        epsilon: of the relative loss, scene-linear.
        alpha_weight: of the opacity's squared error.
        shade_above: samples with a smaller share of their pixel are not shaded.
        margin: occupancy cells kept around a known surface.
        occupancy_every: steps between two updates of the occupancy grid.
        bake_steps: of fitting the bake to the field.
    """

    rays: int = 2048
    rays_on_cuda: int = 16384
    learning_rate: float = 2e-2
    final_rate: float = 1.0 / 30.0
    warm_up: int = 50
    betas: tuple[float, float] = (0.9, 0.99)
    epsilon: float = 0.02
    alpha_weight: float = 1.0
    shade_above: float = 1e-4
    margin: int = 1
    occupancy_every: int = 100
    bake_steps: int = 120
    decay: float = 0.0
    blur: float = 0.0


@dataclass(frozen=True)
class Scale:
    """Lengths that follow from the size of a pixel in the field.

    Attributes:
        step: distance between samples.
        cut: how far behind a known opaque surface samples are still taken.
        occupancy_resolution: cells along the cube's edge.
        finest_resolution: of the hash encoding.
    """

    step: float
    cut: float
    occupancy_resolution: int
    finest_resolution: int


def scale_of(pixel: float) -> Scale:
    """The scale for pixels that are `pixel` wide where the surfaces are, field units."""
    resolution = 2 ** round(math.log2(min(max(1.0 / pixel, 32.0), 256.0)))
    return Scale(
        step=min(max(0.8 * pixel, 1.0 / 1024.0), 1.0 / 32.0),
        cut=1.5 / resolution,
        occupancy_resolution=resolution,
        finest_resolution=round(min(max(2.0 / pixel, 64.0), 4096.0)),
    )
