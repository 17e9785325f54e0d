# SPDX-License-Identifier: GPL-3.0-or-later
"""Small trainings on the CPU, what they report, and how good their twins are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from radiance_twin.core.bake.bricks import from_arrays
from radiance_twin.core.bake.march import render_bake
from radiance_twin.core.comparison.metrics import display_image, view_psnr
from radiance_twin.core.dataset.store import open_dataset
from radiance_twin.core.field.render import load_field, render_view
from radiance_twin.core.reporting import QuietReporter
from radiance_twin.core.training.recipe import Recipe
from radiance_twin.core.twin_file import read_twin

# as the product trains, with less of everything
# a training of 250 steps then fits its bake for eight
QUICK = Recipe(samples=8192, bake_steps=80)


class CountingReporter(QuietReporter):
    """Remembers figures, and asks to stop after so many progress reports."""

    def __init__(self, stop_after: int | None = None) -> None:
        super().__init__()
        self.figures: list[dict[str, float]] = []
        self._stop_after = stop_after

    def progress(self, stage: str, done: float, total: float, **figures: Any) -> None:
        self.figures.append(figures)

    def cancelled(self) -> bool:
        return self._stop_after is not None and len(self.figures) >= self._stop_after


def quality(scene: Path, twin: Path, baked: bool = False) -> float:
    """Mean PSNR over the test views, of the field or of its bake."""
    held = read_twin(twin)
    field = load_field(held, "cpu")
    figures = []
    with open_dataset(scene) as dataset:
        for index in dataset.splits["test"]:
            camera = dataset.camera(index)
            if baked:
                bricks = from_arrays(held.arrays, held.metadata)
                rgba = render_bake(bricks, held.world_from_field, camera)
            else:
                rgba, _ = render_view(field, camera)
            truth = dataset.rgba(int(index))
            shown = [display_image(image, dataset.background, dataset.view_transform) for image in (truth, rgba)]
            figures.append(view_psnr(shown[0], shown[1], truth[..., 3])[0] or np.inf)
    return float(np.mean(figures))
