# SPDX-License-Identifier: GPL-3.0-or-later
"""The numbers of training, each with what it was measured to do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """How a field is trained.

    Attributes:
        rays: in a batch.
        step: distance between samples, field units.
        learning_rate: at the start; `final_rate` is the share of it at the end (cosine between).
        betas: of Adam.
        epsilon: of the relative loss, scene-linear.
        alpha_weight: of the opacity's squared error.
        shade_above: samples with a smaller share of their pixel are not shaded.
        margin: occupancy cells kept around a known surface.
    """

    rays: int = 4096
    step: float = 1.0 / 256.0
    learning_rate: float = 1e-2
    final_rate: float = 1.0 / 30.0
    betas: tuple[float, float] = (0.9, 0.99)
    epsilon: float = 0.02
    alpha_weight: float = 1.0
    shade_above: float = 1e-4
    margin: int = 1
    warm_up: int = 50
    occupancy_every: int = 100
    cut: float = 1.5 / 128
