# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast a field learns a dataset: `python tests/bench/training_speed.py DATASET.h5 [SECONDS]`; see README.md."""

from __future__ import annotations

import os
import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
runpy.run_path(str(ROOT / "core" / "bootstrap.py"))["register"](ROOT)

import numpy as np  # noqa: E402
import torch  # noqa: E402

from radiance_twin.core.comparison.metrics import display_image, image_metrics  # noqa: E402
from radiance_twin.core.dataset.store import Dataset, open_dataset  # noqa: E402
from radiance_twin.core.field.cpu import thread_pool  # noqa: E402
from radiance_twin.core.field.device import choose_device  # noqa: E402
from radiance_twin.core.field.render import TrainedField, render_view  # noqa: E402
from radiance_twin.core.training.recipe import Recipe  # noqa: E402
from radiance_twin.core.training.run import Run, prepare  # noqa: E402

GOALS = (25.0, 28.0, 30.0)


def measure(field: TrainedField, dataset: Dataset) -> tuple[float, float]:
    """Mean PSNR over the test views, whole frame and foreground."""
    whole, foreground = [], []
    for index in dataset.splits["test"]:
        rgba, _ = render_view(field, dataset.camera_to_world[index], dataset.intrinsics[index], dataset.size[index])
        truth = dataset.rgba(int(index))
        shown = [display_image(image, dataset.background, dataset.view_transform) for image in (truth, rgba)]
        figures = image_metrics(shown[0], shown[1], truth[..., 3])
        whole.append(figures.psnr or 99.0)
        foreground.append(figures.psnr_foreground or 99.0)
    return sum(whole) / len(whole), sum(foreground) / len(foreground)


def learn(name: str, run: Run, seconds: float, dataset: Dataset, clock: Callable[[], float]) -> str:
    """Train and return one row of the table."""
    run.compile()
    reached: dict[float, float] = {}
    used, look_at = 0.0, 0.0
    while used < seconds:
        began = clock()
        run.step(used / seconds)
        used += clock() - began
        if used > look_at and run.has_validation and len(reached) < len(GOALS):
            used += waiting(run, clock)
            look_at = used + 0.02 * seconds
            psnr = run.quick_psnr()
            reached.update({goal: used for goal in GOALS if goal not in reached and psnr >= goal})
    used += waiting(run, clock)
    field = run.trained_field()
    psnr, foreground = measure(field, dataset)
    times = " | ".join(f"{reached[goal]:.1f}" if goal in reached else "–" for goal in GOALS)
    rates = f"{run.rays / used / 1e3:.1f} | {run.samples / used / 1e6:.2f} | {run.samples / run.rays:.1f}"
    memory = f"{torch.cuda.max_memory_allocated() / 2**20:.0f}" if torch.cuda.is_initialized() else "–"
    speed = frames_per_second(field, dataset, clock)
    return f"| {name} | {run.steps} | {rates} | {times} | {psnr:.2f} | {foreground:.2f} | {speed:.3g} | {memory} |"


def waiting(run: Run, clock: Callable[[], float]) -> float:
    """Seconds until a GPU has done what it was told."""
    began = clock()
    run.synchronise()
    return clock() - began


def frames_per_second(field: TrainedField, dataset: Dataset, clock: Callable[[], float]) -> float:
    """Pictures of 800×800 by the first test camera; the first of several only sets things up."""
    index = int(dataset.splits["test"][0])
    width, height = (int(value) for value in dataset.size[index])
    camera = dataset.camera_to_world[index], dataset.intrinsics[index] * 800.0 / max(width, height)

    def picture() -> float:
        began = clock()
        render_view(field, *camera, (800, 800))
        return clock() - began

    first = picture()
    if first > 1.0:
        return 1.0 / first
    return 1.0 / float(np.median([picture() for _ in range(20)]))


def main() -> None:
    path, seconds = sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 60.0
    device = choose_device("auto")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    def clock() -> float:
        # a busy machine does not spoil the figures: the processor's seconds, spread over the cores
        return time.process_time() / cores if device.type == "cpu" else time.perf_counter()

    print(f"{path}, {seconds:g} s on {device}, {cores} cores, load {os.getloadavg()[0]:.1f}\n")
    print(
        "| execution | steps | k rays/s | M samples/s | samples/ray | s to 25 dB | 28 dB | 30 dB | PSNR | foreground "
        "| 800² pictures/s | GPU MiB |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    with open_dataset(path) as dataset, thread_pool() as pool:
        for name, reference in (("fast", False), ("PyTorch reference", True)):
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
            run = prepare(dataset, device, 0, pool, Recipe(), reference, log=print)
            print(learn(name, run, seconds, dataset, clock), flush=True)


if __name__ == "__main__":
    main()
