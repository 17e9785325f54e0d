# SPDX-License-Identifier: GPL-3.0-or-later
"""A dataset becomes a twin."""

from __future__ import annotations

import math
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch

from ... import __version__
from ..bake import bake_field
from ..comparison.metrics import display_image, image_metrics
from ..dataset.digest import dataset_digest
from ..dataset.store import Dataset, open_dataset
from ..errors import Cancelled, UsageError
from ..field.cpu import thread_pool
from ..field.device import choose_device
from ..field.model import config_metadata, field_arrays
from ..field.occupancy import occupancy_bits
from ..field.render import TrainedField, render_view
from ..files import require_writable_file
from ..reporting import Reporter
from ..twin_file import write_twin
from .recipe import Recipe
from .run import Run, prepare

# seconds between two reports of progress
REPORT_EVERY = 0.5
RECIPE = Recipe()


@dataclass(frozen=True)
class TrainSettings:
    """What to train, and for how long.

    Attributes:
        dataset: the .h5. output: the .twin.
        seconds: of training, counted from the first step.
        steps: instead of seconds, when given; the same seed on the CPU then gives the same field.
        device: auto | cpu | cuda.
        seed: of every random choice.
    """

    dataset: str
    output: str
    seconds: float = 120.0
    steps: int | None = None
    device: str = "auto"
    seed: int = 0


def train(settings: TrainSettings, reporter: Reporter, recipe: Recipe = RECIPE) -> dict[str, Any]:
    """Train a field on a dataset's training views and write it with its bake as a `.twin`.

    Returns:
        steps, seconds (each stage's), psnr and psnr_foreground over the val views (None without any), bytes, device.

    Raises:
        UsageError: a setting makes no sense.
        UserError: the dataset or the device cannot be used, the training diverged, or the twin cannot be written.
        Cancelled: what was trained until then was written first, unless nothing was.
    """
    _check(settings)
    output = Path(settings.output)
    require_writable_file(output)
    device = choose_device(settings.device)
    clock = Clock()
    with open_dataset(settings.dataset) as dataset, thread_pool() as pool:
        run = prepare(dataset, device, settings.seed, pool, recipe)
        clock.lap("loading")
        run.compile()
        clock.lap("compiling")
        reporter.log(run.describe())
        cancelled = _loop(run, settings, reporter)
        clock.lap("training")
        if cancelled and not run.steps:
            raise Cancelled
        field = run.trained_field()
        views = validate(field, dataset, reporter, cancelled)
        clock.lap("evaluating")
        reporter.progress("bake", 0.0, 1.0)
        fit_steps = recipe.bake_steps // 4 if cancelled else recipe.bake_steps
        baking = time.perf_counter()

        def baked_so_far(step: int) -> None:
            spent = time.perf_counter() - baking
            reporter.progress("bake", step, fit_steps, seconds_left=spent / step * (fit_steps - step))

        reporter.progress("bake", 0, fit_steps)
        baked = bake_field(field, run.rays_for_bake(), pool, fit_steps, baked_so_far)
        reporter.progress("bake", 1.0, 1.0)
        clock.lap("baking")
        clock.seconds["training"] = run.seconds
        metadata = _metadata(dataset, field, run, settings, views, clock, device)
        arrays = {**field_arrays(field.model), **occupancy_bits(field.occupied), **baked}
        arrays["view_transform/lut"] = dataset.view_transform.lut
        write_twin(output, metadata, arrays)
        clock.lap("writing")
    if cancelled:
        raise Cancelled
    mean = {name: _mean([view[name] for view in views]) for name in ("psnr", "psnr_foreground")}
    reporter.log("seconds: " + ", ".join(f"{name} {value:.1f}" for name, value in clock.seconds.items()))
    return {
        "output": str(output),
        "steps": run.steps,
        "seconds": round(run.seconds, 3),
        "stages": {name: round(value, 3) for name, value in clock.seconds.items()},
        **mean,
        "bytes": output.stat().st_size,
        "device": str(device),
    }


class Clock:
    """Seconds of each stage, one after another."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """End a stage."""
        now = time.perf_counter()
        self.seconds[stage] = now - self._last
        self._last = now


def _check(settings: TrainSettings) -> None:
    if settings.steps is not None and settings.steps < 1:
        raise UsageError(f"cannot train {settings.steps} steps; ask for 1 or more")
    if settings.steps is None and not 0 < settings.seconds < math.inf:
        raise UsageError(f"cannot train for {settings.seconds} seconds; ask for more than 0")
    if settings.seed < 0:
        raise UsageError(f"the seed is {settings.seed}; use 0 or more")


def _loop(run: Run, settings: TrainSettings, reporter: Reporter) -> bool:
    """Train until the time or the steps are up. Returns whether it was cancelled."""
    total = float(settings.steps) if settings.steps else settings.seconds
    report_at = 0.0
    psnr_at = 0.0
    figures: dict[str, Any] = {}
    while True:
        done = float(run.steps) if settings.steps else run.seconds
        if done >= total:
            return False
        if reporter.cancelled():
            return True
        run.step(done / total)
        if run.seconds >= report_at:
            report_at = run.seconds + REPORT_EVERY
            if run.has_validation and run.seconds >= psnr_at:
                psnr_at = run.seconds + max(2.0, 0.05 * settings.seconds)
                figures["psnr"] = run.quick_psnr()
            done = float(run.steps) if settings.steps else run.seconds
            left = run.seconds / done * (total - done)
            reporter.progress(
                "train",
                min(done, total),
                total,
                seconds_left=max(left, 0.0),
                steps=run.steps,
                rays_per_second=run.rays / run.seconds,
                **figures,
            )


def validate(field: TrainedField, dataset: Dataset, reporter: Reporter, hurry: bool = False) -> list[dict[str, Any]]:
    """PSNR of each val view (None when it is infinite); of the first alone in a hurry."""
    views = []
    chosen = dataset.splits["val"][: 1 if hurry else None]
    for number, index in enumerate(chosen):
        reporter.progress("evaluate", number, len(chosen))
        rgba, _ = render_view(field, dataset.camera_to_world[index], dataset.intrinsics[index], dataset.size[index])
        truth = dataset.rgba(int(index))
        shown = [display_image(image, dataset.background, dataset.view_transform) for image in (truth, rgba)]
        figures = image_metrics(shown[0], shown[1], truth[..., 3])
        views.append({"index": int(index), "psnr": figures.psnr, "psnr_foreground": figures.psnr_foreground})
    return views


def _mean(values: list[float | None]) -> float | None:
    finite = [value for value in values if value is not None]
    return round(sum(finite) / len(finite), 3) if finite else None


def _metadata(
    dataset: Dataset,
    field: TrainedField,
    run: Run,
    settings: TrainSettings,
    views: list[dict[str, Any]],
    clock: Clock,
    device: torch.device,
) -> dict[str, Any]:
    return {
        "scene_name": dataset.scene_name,
        "model": config_metadata(field.model.config),
        "march": {"step": field.step, "occupancy_resolution": field.occupied.shape[0]},
        "world_from_field": field.world_from_field.tolist(),
        "bounds": dataset.bounds.tolist(),
        "film": dataset.film,
        "background": dataset.background.tolist(),
        "bake": {"kind": "grid", "resolution": 128},
        "view_transform": dataset.view_transform.to_metadata(),
        "training": {
            "seconds": round(run.seconds, 3),
            "steps": run.steps,
            "rays": run.rays,
            "samples": run.samples,
            "stages": {name: round(value, 3) for name, value in clock.seconds.items()},
            "views": views,
            "seed": settings.seed,
            "device": str(device),
            "scene_hash": dataset.scene_hash,
            "blender": dataset.blender_version,
            "dataset_digest": dataset_digest(dataset.path),
            "software": {
                "radiance_twin": __version__,
                "python": platform.python_version(),
                "torch": torch.__version__,
                "numpy": np.__version__,
                "numba": numba.__version__,
            },
        },
    }
