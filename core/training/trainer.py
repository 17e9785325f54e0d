# SPDX-License-Identifier: GPL-3.0-or-later
"""A dataset becomes a twin."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ..bake.bricks import from_arrays, metadata_of, to_arrays
from ..bake.make import bake_bricks
from ..bake.picture import bake_over_background
from ..cameras import Camera
from ..comparison.metrics import display_image, view_psnr
from ..dataset.digest import dataset_digest
from ..dataset.store import Dataset, open_dataset
from ..errors import Cancelled, UsageError
from ..field.cpu import thread_pool
from ..field.device import choose_device
from ..field.render import TrainedField, render_view
from ..files import require_ending, require_writable_file
from ..locks import locked
from ..presets import BAKES, PRESETS, preset_seconds
from ..rendering.rules import scene_changes
from ..reporting import Reporter, followed, time_left
from ..twin_file import write_twin
from .metadata import arrays_of_twin, metadata_of_twin
from .recipe import Recipe
from .resume import Earlier, read_earlier
from .run import Run, prepare
from .unfinished import Unfinished

# seconds between two reports of progress
REPORT_EVERY = 0.5
RECIPE = Recipe()
MOST_PSNR = 100
# about what two cores do in the time of that preset
STEPS_OF_A_PREVIEW = 2400


@dataclass(frozen=True)
class TrainSettings:
    """What to train, and for how long.

    Attributes:
        dataset: the .h5. output: the .twin.
        preset: draft | preview | final: how long, when no number says it. None is preview.
        seconds: of training, counted from the first step.
        steps: instead of seconds; the same seed on the CPU then gives the same field.
        until_psnr: stop as soon as the val views reach it, in dB; the seconds (final's, unless given) are the limit.
        resume: a .twin of the same scene to go on from; its seconds and steps count as the first part of the whole.
        device: auto | cpu | cuda.
        seed: of every random choice.
        bake: normal | small: how large what the viewport draws may be.
        skip_damaged: use the sound views of a damaged dataset.
    """

    dataset: str
    output: str
    preset: str | None = None
    seconds: float | None = None
    steps: int | None = None
    until_psnr: float | None = None
    resume: str | None = None
    device: str = "auto"
    seed: int = 0
    bake: str = "normal"
    skip_damaged: bool = False


class Onlooker(Protocol):
    """Somebody who watches a field while it is trained. What that costs is not training time."""

    def begin(self, dataset: Dataset) -> None:
        """Training is about to begin."""

    def look(self, run: Run) -> None:
        """Called between two steps."""

    def has_enough(self) -> bool:
        """Whether to train no further, and to finish the twin with what there is."""


def train(
    settings: TrainSettings, reporter: Reporter, recipe: Recipe = RECIPE, onlooker: Onlooker | None = None
) -> dict[str, Any]:
    """Train a field on a dataset's training views and write it with its bake as a `.twin`.

    Returns:
        steps, seconds (with those that it went on from), stages (seconds of each in this run), psnr and psnr_foreground
        over the val views (None without any), the same of the bake, bytes, device; reached: whether `until_psnr` was,
        None when it was not asked for.

    Raises:
        UsageError: a setting makes no sense.
        UserError: the dataset or the device cannot be used, the training diverged, or the twin cannot be written. What
            was trained until then may lie in an unfinished twin beside it (see unfinished.py).
        Cancelled: what was trained until then lies in an unfinished twin, unless nothing was.
    """
    _check(settings)
    output = Path(settings.output)
    require_writable_file(output)
    device = choose_device(settings.device)
    clock = Clock()
    skip = reporter.log if settings.skip_damaged else None
    with locked(output), open_dataset(settings.dataset, skip) as dataset, thread_pool() as pool:
        _look_at(dataset, settings, reporter)
        reporter.progress("prepare", 0, 2, text="loading the views")
        earlier = read_earlier(settings.resume, dataset, device) if settings.resume else None
        unfinished = Unfinished(output, settings.resume, dataset, earlier, reporter)
        run = prepare(
            dataset, device, settings.seed, pool, recipe, start=earlier.field if earlier else None, log=reporter.log
        )
        clock.lap("loading")
        reporter.progress("prepare", 1, 2, text="compiling; that takes longer the first time")
        run.compile()
        reporter.progress("prepare", 2, 2)
        clock.lap("compiling")
        reporter.log(run.describe())
        goal = _goal(settings, device, earlier)
        if earlier is not None and any(earlier.spent.values()):
            reporter.log(
                f"Going on with a training that did not come to its end: {goal.total:.4g} {goal.unit} are left"
            )
        if onlooker is not None:
            onlooker.begin(dataset)
        with unfinished.left_when_stopped(run):
            ended = _loop(run, goal, reporter, onlooker, lambda: unfinished.look(run))
            clock.lap("training")
            field = run.trained_field()
            views = validate(
                lambda camera: render_view(field, camera, cancelled=reporter.cancelled)[0], dataset, reporter
            )
            clock.lap("evaluating")
            steps = _bake_steps(settings, recipe, run, device, earlier)
            bake, baked = _bake(field, run, settings, dataset, pool, steps, reporter)
            clock.lap("baking")
            clock.seconds["training"] = run.seconds
            told = {
                "seed": settings.seed,
                "device": str(device),
                "stages": {name: round(value, 3) for name, value in clock.seconds.items()},
                "views": views,
                # a damaged dataset has none
                "dataset_digest": "" if settings.skip_damaged else dataset_digest(dataset.path),
            }
            metadata = metadata_of_twin(dataset, field, run, earlier, told)
            write_twin(output, {**metadata, "bake": bake}, {**arrays_of_twin(field, dataset), **baked})
        unfinished.remove()
        clock.lap("writing")
    mean = _means(views)
    if mean["psnr"] is not None and bake["psnr"] is not None:
        reporter.log(f"The bake reaches {bake['psnr']:.2f} dB on the val views, the field {mean['psnr']:.2f} dB")
    reached = None if settings.until_psnr is None else ended == "reached"
    if reached is False:
        reporter.log(f"The val views did not reach {settings.until_psnr:g} dB within {goal.done(run):.4g} {goal.unit}")
    reporter.log("Seconds: " + ", ".join(f"{name} {value:.1f}" for name, value in clock.seconds.items()))
    return {
        "output": str(output),
        "steps": metadata["training"]["steps"],
        "seconds": metadata["training"]["seconds"],
        "stages": {name: round(value, 3) for name, value in clock.seconds.items()},
        **mean,
        "bake": bake,
        "reached": reached,
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
    require_ending(settings.output, ".twin")
    if settings.preset is not None and settings.preset not in PRESETS:
        raise UsageError(f"unknown preset {settings.preset!r}; use {', '.join(PRESETS)}")
    if settings.steps is not None and settings.steps < 1:
        raise UsageError(f"cannot train {settings.steps} steps; ask for 1 or more")
    if settings.seconds is not None and not 0 < settings.seconds < math.inf:
        raise UsageError(f"cannot train for {settings.seconds} seconds; ask for more than 0")
    if settings.seconds is not None and settings.steps is not None:
        raise UsageError("cannot train for both --seconds and --steps; give one of them")
    if settings.until_psnr is not None and not 0 < settings.until_psnr < MOST_PSNR:
        raise UsageError(f"cannot train until {settings.until_psnr} dB; ask for more than 0 and less than {MOST_PSNR}")
    if settings.bake not in BAKES:
        raise UsageError(f"unknown bake {settings.bake!r}; use {', '.join(BAKES)}")
    if settings.seed < 0:
        raise UsageError(f"the seed is {settings.seed}; use 0 or more")


def _look_at(dataset: Dataset, settings: TrainSettings, reporter: Reporter) -> None:
    """Refuse what this dataset cannot be asked for, and say what will disappoint."""
    if settings.until_psnr is not None and not len(dataset.splits["val"]):
        raise UsageError(f"{settings.dataset} has no val views to measure --until-psnr on; use --seconds")
    if scene_changes(dataset.configuration.get("randomise", ())):
        reporter.log(
            "The scene differs from view to view, of which a field learns the mean at best; "
            'render with per = "scene" in the rules of randomise to train a twin'
        )


@dataclass(frozen=True)
class Goal:
    """When a training is done.

    Attributes:
        total: of `unit` ("seconds" or "steps"), in this run; what an unfinished training had of it is not given again.
        before: of the same, spent by the training that is resumed.
        until_psnr: or when the val views reach it.
    """

    unit: str
    total: float
    before: float
    until_psnr: float | None

    def done(self, run: Run) -> float:
        """How much of `total` is spent."""
        return float(run.steps) if self.unit == "steps" else run.seconds

    def progress(self, run: Run) -> float:
        """0..1 of the whole training, the resumed part included."""
        return (self.before + self.done(run)) / (self.before + self.total)


def _goal(settings: TrainSettings, device: torch.device, earlier: Earlier | None) -> Goal:
    if settings.steps is not None:
        left = settings.steps - (earlier.spent["steps"] if earlier else 0)
        return Goal("steps", max(left, 0), earlier.steps if earlier else 0, settings.until_psnr)
    # who asks for a quality wants to wait for it
    preset = settings.preset or ("preview" if settings.until_psnr is None else "final")
    seconds = settings.seconds or preset_seconds(preset, device.type == "cuda")
    left = seconds - (earlier.spent["seconds"] if earlier else 0.0)
    return Goal("seconds", max(left, 0.0), earlier.seconds if earlier else 0.0, settings.until_psnr)


def _loop(run: Run, goal: Goal, reporter: Reporter, onlooker: Onlooker | None, keep: Callable[[], None]) -> str:
    """Train until it is "reached" (the PSNR), "spent" (the time or the steps) or "enough"; calls `keep` often.

    Raises:
        Cancelled: the user stopped it.
    """
    report_at = 0.0
    psnr_at = 0.0
    figures: dict[str, Any] = {}
    while True:
        if goal.done(run) >= goal.total:
            run.synchronise()
            reporter.progress("train", goal.total, goal.total, seconds_left=0.0, steps=run.steps, **figures)
            return "spent"
        if reporter.cancelled():
            raise Cancelled
        run.step(goal.progress(run))
        if onlooker is not None:
            onlooker.look(run)
            if onlooker.has_enough():
                run.synchronise()
                return "enough"
        if run.seconds >= report_at:
            report_at = run.seconds + REPORT_EVERY
            keep()
            if run.has_validation and run.seconds >= psnr_at:
                whole = run.seconds / goal.done(run) * goal.total
                psnr_at = run.seconds + max(1.0, 0.02 * run.seconds if goal.until_psnr else 0.05 * whole)
                figures["psnr"] = run.quick_psnr()
                if goal.until_psnr is not None and figures["psnr"] >= goal.until_psnr:
                    return "reached"
            done = goal.done(run)
            reporter.progress(
                "train",
                min(done, goal.total),
                goal.total,
                seconds_left=max(run.seconds / done * (goal.total - done), 0.0),
                steps=run.steps,
                rays_per_second=run.rays / run.seconds,
                **figures,
            )


def _bake_steps(
    settings: TrainSettings, recipe: Recipe, run: Run, device: torch.device, earlier: Earlier | None
) -> int:
    """More of them for a field that took longer than the preset preview, fewer for a draft."""
    share = (run.seconds + (earlier.seconds if earlier else 0.0)) / preset_seconds("preview", device.type == "cuda")
    if settings.steps is not None:
        # the same field has the same bake, however long it took
        share = (run.steps + (earlier.steps if earlier else 0)) / STEPS_OF_A_PREVIEW
    return max(round(min(max(share, 0.05), 3.0) * recipe.bake_steps), 1)


def _bake(
    field: TrainedField,
    run: Run,
    settings: TrainSettings,
    dataset: Dataset,
    pool: ThreadPoolExecutor,
    steps: int,
    reporter: Reporter,
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The field's bake as a twin holds it: what stands of it in twin.json, with its PSNR, and its arrays.

    Raises:
        Cancelled: the user stopped it.
    """
    began = time.monotonic()

    def told(done: float, total: float) -> None:
        if reporter.cancelled():
            raise Cancelled
        reporter.progress("bake", done, total, seconds_left=time_left(time.monotonic() - began, done, total))

    bricks = bake_bricks(field, run.pixels, run.chosen, pool, settings.bake, steps, seed=settings.seed, told=told)
    metadata, arrays = metadata_of(bricks), to_arrays(bricks)
    # what the file holds is measured, not what was fitted
    stored = from_arrays(arrays, {"bake": metadata})
    views = validate(lambda camera: bake_over_background(stored, field, camera, pool), dataset, reporter)
    return {**metadata, **_means(views)}, arrays


def validate(
    draw: Callable[[Camera], NDArray[np.float32]], dataset: Dataset, reporter: Reporter
) -> list[dict[str, Any]]:
    """PSNR of what is drawn for each val view (None when it is infinite).

    Raises:
        Cancelled: the user stopped it.
    """
    views = []
    for index in followed(dataset.splits["val"].tolist(), "evaluate", reporter):
        rgba = draw(dataset.camera(int(index)))
        truth = dataset.rgba(int(index))
        shown = [display_image(image, dataset.background, dataset.view_transform) for image in (truth, rgba)]
        whole, foreground = view_psnr(shown[0], shown[1], truth[..., 3], dataset.valid(int(index)))
        views.append({"index": int(index), "psnr": whole, "psnr_foreground": foreground})
    return views


def _means(views: list[dict[str, Any]]) -> dict[str, float | None]:
    return {name: _mean([view[name] for view in views]) for name in ("psnr", "psnr_foreground")}


def _mean(values: list[float | None]) -> float | None:
    finite = [value for value in values if value is not None]
    return round(sum(finite) / len(finite), 3) if finite else None
