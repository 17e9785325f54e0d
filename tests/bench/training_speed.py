# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast a field learns a dataset: `python tests/bench/training_speed.py DATASET.h5`; see README.md."""

from __future__ import annotations

import argparse
import copy
import json
import os
import platform
import resource
import runpy
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent.parent
runpy.run_path(str(ROOT / "core" / "bootstrap.py"))["register"](ROOT)

from radiance_twin.core.comparison.metrics import display_image, psnr  # noqa: E402
from radiance_twin.core.dataset.store import Dataset, open_dataset  # noqa: E402
from radiance_twin.core.field.cpu import thread_count, thread_pool  # noqa: E402
from radiance_twin.core.field.render import TrainedField, render_view  # noqa: E402
from radiance_twin.core.training import run as training_run  # noqa: E402
from radiance_twin.core.training.cpu_execution import CpuExecution  # noqa: E402
from radiance_twin.core.training.execution import Execution  # noqa: E402
from radiance_twin.core.training.recipe import Recipe  # noqa: E402
from radiance_twin.core.training.torch_execution import TorchExecution  # noqa: E402

GOALS = (25.0, 28.0, 30.0, 32.0)
EXECUTIONS = ("fast", "reference", "cuda", "cuda-reference")
# rows of a level's table (logarithm) and width of the hidden layers; "recipe" leaves both to the recipe
MODELS = {"recipe": None, "small": (15, 32), "full": (19, 64)}
SIDE_BY_SIDE_STEPS = 8
SIDE_BY_SIDE_RAYS = 1024


def prepare(
    dataset: Dataset, pool: ThreadPoolExecutor, model: str, execution: str, recipe: Recipe, seed: int
) -> training_run.Run:
    """A run of one execution, with the field's size as asked for."""
    size = MODELS[model]
    if size is not None:
        scale_of, field_config = training_run.scale_of, training_run.FieldConfig
        training_run.scale_of = lambda *given: replace(scale_of(*given), log2_table_size=size[0])
        training_run.FieldConfig = lambda **given: field_config(**{**given, "hidden": size[1]})
    device = torch.device("cuda" if execution.startswith("cuda") else "cpu")
    reference = execution.endswith("reference")
    return training_run.prepare(
        dataset, device, seed, pool, recipe, reference, log=lambda text: print(text, file=sys.stderr)
    )


def measure(field: TrainedField, dataset: Dataset, views: int) -> tuple[float, float]:
    """Mean PSNR over so many test views, whole frame and foreground."""
    whole, foreground = [], []
    test = dataset.splits["test"]
    for index in test[np.linspace(0, len(test) - 1, min(views, len(test))).round().astype(int)]:
        rgba, _ = render_view(field, dataset.camera(index))
        truth = dataset.rgba(int(index))
        shown = [display_image(image, dataset.background, dataset.view_transform) for image in (truth, rgba)]
        solid = truth[..., 3] > 0.01
        whole.append(psnr(shown[0], shown[1]) or 99.0)
        foreground.append(psnr(shown[0][solid], shown[1][solid]) or 99.0)
    return sum(whole) / len(whole), sum(foreground) / len(foreground)


def pictures_per_second(field: TrainedField, dataset: Dataset) -> float:
    """Of 800×800 by the first test camera; the first of several only sets things up."""
    index = int(dataset.splits["test"][0])
    camera = dataset.camera(index).resized((800, 800))

    def picture() -> float:
        began = time.perf_counter()
        render_view(field, camera)
        return time.perf_counter() - began

    first = picture()
    if first > 1.0:
        return 1.0 / first
    return 1.0 / float(np.median([picture() for _ in range(20)]))


def clock_of(given: argparse.Namespace) -> Callable[[], float]:
    """Seconds of the clock, or of the processor spread over its cores."""
    if not given.processor_time:
        return time.perf_counter
    cores = thread_count()
    return lambda: time.process_time() / cores


def learn(given: argparse.Namespace, model: str, execution: str) -> dict[str, Any]:
    """Train, and return one row of the table."""
    clock = clock_of(given)
    with open_dataset(given.dataset) as dataset, thread_pool() as pool:
        run = prepare(dataset, pool, model, execution, Recipe(), given.seed)
        run.compile()
        reached: dict[float, float] = {}
        used, share, look_at = 0.0, 0.0, 0.0
        while share < 1.0:
            began = clock()
            run.step(share)
            used += clock() - began
            share = run.steps / given.steps if given.steps else used / given.seconds
            if share > look_at and run.has_validation and len(reached) < len(GOALS):
                look_at = share + 0.02
                began = clock()
                run.synchronise()
                used += clock() - began
                value = run.quick_psnr()
                reached.update({goal: used for goal in GOALS if goal not in reached and value >= goal})
        began = clock()
        run.synchronise()  # a GPU may not have done yet what it was told
        used += clock() - began
        field = run.trained_field()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
        gpu = torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_initialized() else None
        whole, foreground = measure(field, dataset, given.test_views)
        return {
            "model": model,
            "execution": execution,
            "steps": run.steps,
            "rays": run.rays / used,
            "samples": run.samples / used,
            "reached": [reached.get(goal) for goal in GOALS],
            "psnr": whole,
            "foreground": foreground,
            "peak": peak,
            "pictures": pictures_per_second(field, dataset),
            "gpu": gpu,
        }


def side_by_side(given: argparse.Namespace, model: str) -> dict[str, Any]:
    """The very same batches, from the same field after a third of the training, through the fast execution and through
    the reference: seconds of each for a thousand rays."""
    clock = clock_of(given)
    with open_dataset(given.dataset) as dataset, thread_pool() as pool:
        recipe = Recipe()
        run = prepare(dataset, pool, model, "fast", recipe, given.seed)
        run.compile()
        began = clock()
        while (share := (clock() - began) / given.seconds) < 1.0 / 3.0:
            run.step(share)
        trained = run.trained_field()
        random = np.random.default_rng(0)
        cut = 1.5 / len(trained.occupied)
        batches = []
        for _ in range(SIDE_BY_SIDE_STEPS):
            pixels = random.choice(np.flatnonzero(run.pixels.rgba[:, 3] != 0), SIDE_BY_SIDE_RAYS)
            batches.append((run.pixels.rays(pixels, cut=cut), random.random(SIDE_BY_SIDE_RAYS, dtype=np.float32)))
        executions: dict[str, Callable[[Any], Execution]] = {
            "fast": lambda model: CpuExecution(model, trained.occupied, trained.step, recipe, pool),
            "reference": lambda model: TorchExecution(model, trained.occupied, trained.step, recipe),
        }
        result: dict[str, Any] = {"model": model}
        for name, make in executions.items():
            execution = make(copy.deepcopy(trained.model))
            execution.step(*batches[0], 1e-3)
            began, samples = clock(), 0
            for rays, jitter in batches[1:]:
                samples += execution.step(rays, jitter, 1e-3)[1]
            seconds = (clock() - began) / (len(batches) - 1) / SIDE_BY_SIDE_RAYS
            result[name] = (seconds * 1e6, samples / (len(batches) - 1) / SIDE_BY_SIDE_RAYS)
        return result


def in_a_process_of_its_own(*task: str) -> dict[str, Any]:
    """One row measured by this same file, so that one row's memory and caches are not another's."""
    command = [sys.executable, __file__, *sys.argv[1:], "--task", *task]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
    row: dict[str, Any] = json.loads(answer)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", metavar="DATASET.h5")
    parser.add_argument("--seconds", type=float, default=60.0, help="of training for each row (%(default)s)")
    parser.add_argument("--steps", type=int, help="of training for each row, instead of seconds")
    parser.add_argument("--seed", type=int, default=0, help="of every random choice (%(default)s)")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["recipe"])
    parser.add_argument("--executions", nargs="+", choices=EXECUTIONS, default=["fast", "reference"])
    parser.add_argument("--test-views", type=int, default=6, help="held-out views for the PSNR (%(default)s)")
    parser.add_argument("--side-by-side", action="store_true", help="also the same batches through both executions")
    parser.add_argument("--processor-time", action="store_true", help="the processor's seconds instead of the clock's")
    parser.add_argument("--task", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.task:
        what, model, *execution = given.task
        print(json.dumps(learn(given, model, *execution) if what == "learn" else side_by_side(given, model)))
        return
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    clock = "the processor's" if given.processor_time else "the clock's"
    length = f"{given.steps} steps, {clock} seconds" if given.steps else f"{given.seconds:g} of {clock} seconds"
    print(f"{given.dataset}, {length}, seed {given.seed}, {platform.machine()}, load {load:.1f}\n")
    goals = " | ".join(f"s to {goal:g} dB" for goal in GOALS)
    print(
        f"| model | execution | steps | k rays/s | M samples/s | samples/ray | {goals} | PSNR | foreground "
        "| 800² pictures/s | peak MiB | GPU MiB |"
    )
    print("|---" * (11 + len(GOALS)) + "|")
    for model in given.models:
        for execution in given.executions:
            row = in_a_process_of_its_own("learn", model, execution)
            rates = f"{row['rays'] / 1e3:.1f} | {row['samples'] / 1e6:.2f} | {row['samples'] / row['rays']:.1f}"
            times = " | ".join("–" if value is None else f"{value:.1f}" for value in row["reached"])
            gpu = "–" if row["gpu"] is None else f"{row['gpu']:.0f}"
            quality = f"{row['psnr']:.2f} | {row['foreground']:.2f} | {row['pictures']:.3g} | {row['peak']:.0f} | {gpu}"
            print(f"| {model} | {execution} | {row['steps']} | {rates} | {times} | {quality} |", flush=True)
    if not given.side_by_side:
        return
    print("\n| model | fast µs/ray | samples/ray | reference µs/ray | samples/ray | ratio |\n|---|---|---|---|---|---|")
    for model in given.models:
        row = in_a_process_of_its_own("side", model)
        fast, reference = row["fast"], row["reference"]
        ratio = reference[0] / fast[0]
        figures = f"{fast[0]:.1f} | {fast[1]:.1f} | {reference[0]:.1f} | {reference[1]:.1f} | {ratio:.1f}"
        print(f"| {model} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
