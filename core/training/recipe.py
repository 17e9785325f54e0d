# SPDX-License-Identifier: GPL-3.0-or-later
"""The numbers of training. Those that were tuned were compared at equal processor time on a table-top scene
(60 views of 200×200, two cores); `tests/bench/README.md` tells how."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

# next to nothing: rows of a table that are rarely seen have small gradients, and shall move all the same
ADAM_EPSILON = 1e-15


@dataclass(frozen=True)
class Recipe:
    """How a field is trained.

    Attributes:
        samples: in a batch, about; `most_rays` of them at most. Few: in minutes the number of steps matters more
            than their noise. `samples_on_cuda`: there a step costs nearly the same for many.
        learning_rate: at the start; `final_rate` is the share of it at the end (cosine between).
        warm_up: steps until the learning rate is reached.
        betas: of Adam.
        epsilon: of the relative loss, scene-linear.
        alpha_weight: of the opacity's squared error.
        shade_above: samples with a smaller share of their pixel are not shaded.
        blind_strides: without depth, until which share of the training samples are how many times as far apart: while
            nobody knows where surfaces are, more rays are worth more than finer ones (1.9 dB more after 25 s).
        margin: occupancy cells kept around a known surface.
        occupancy_every: steps between two updates of the occupancy grid; `occupancy_every_blind` without depth.
        whole_pixels_from: share of the training after which a pixel is seen by several rays instead of one through its
            centre: 0.2 dB more at the end of two minutes, 0.7 dB less when done from the start.
        bake_steps: of fitting the bake, about as long as the preset preview trains on two cores.
        hidden: width of the networks' hidden layers.
        largest_table: logarithm of the most rows that a level of the hash encoding may have.
    """

    samples: int = 20480
    most_rays: int = 4096
    samples_on_cuda: int = 1 << 18
    learning_rate: float = 2e-2
    final_rate: float = 1.0 / 30.0
    warm_up: int = 50
    betas: tuple[float, float] = (0.9, 0.99)
    epsilon: float = 0.02
    alpha_weight: float = 1.0
    shade_above: float = 1e-4
    blind_strides: tuple[tuple[float, float], ...] = ((0.1, 4.0), (0.6, 2.0))
    margin: int = 1
    occupancy_every: int = 100
    occupancy_every_blind: int = 32
    whole_pixels_from: float = 0.7
    bake_steps: int = 400
    hidden: int = 32
    largest_table: int = 19

    def on_cuda(self) -> Recipe:
        """The same for a GPU, which has time for larger batches and a larger field."""
        samples = self.samples_on_cuda
        return replace(self, samples=samples, most_rays=samples // 4, hidden=64, largest_table=21)

    def rate(self, steps: int, progress: float) -> float:
        """The learning rate after `steps`: linear warm-up, then a cosine over `progress` 0..1 of the training."""
        cosine = 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))
        share = self.final_rate + (1.0 - self.final_rate) * cosine
        return self.learning_rate * share * min(1.0, (steps + 1) / self.warm_up)

    def stride(self, progress: float, has_depth: bool) -> float:
        """How many times the field's step samples are apart at `progress` 0..1 of the training."""
        return 1.0 if has_depth else next((times for until, times in self.blind_strides if progress < until), 1.0)


@dataclass(frozen=True)
class Scale:
    """Lengths that follow from the size of a pixel in the field.

    Attributes:
        step: distance between samples.
        cut: how far behind a known opaque surface samples are still taken.
        occupancy_resolution: cells along the cube's edge.
        finest_resolution: of the hash encoding.
        log2_table_size: of the hash encoding; a surface has about as many entries as pixels would cover it.
    """

    step: float
    cut: float
    occupancy_resolution: int
    finest_resolution: int
    log2_table_size: int


def scale_of(pixel: float, largest_table: int = 19) -> Scale:
    """The scale for pixels that are `pixel` wide where the surfaces are, field units; see `Recipe.largest_table`."""
    resolution = 2 ** round(math.log2(min(max(1.0 / pixel, 32.0), 256.0)))
    return Scale(
        step=min(max(0.8 * pixel, 1.0 / 1024.0), 1.0 / 32.0),
        cut=1.5 / resolution,
        occupancy_resolution=resolution,
        finest_resolution=round(min(max(1.2 / pixel, 48.0), 4096.0)),
        log2_table_size=round(min(max(math.log2(2.0 / pixel**2), 14.0), largest_table)),
    )
