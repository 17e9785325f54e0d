# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders a scene's views as `render` does, and measures where their time goes and what memory they leave behind."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from ...core.dataset.staging import Plan, PlannedView
from ...core.errors import Cancelled
from ...core.reporting import Reporter
from .plan import Studio, plan_views
from .randomise.changes import Changes
from .render import Pace, render_view

# views, evenly spread, whose light is rendered once more with one sample
ASKED_AGAIN = 16


def bench_views(arguments: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    """The request of this process. No view is kept: each is removed when it is done.

    What Cycles takes for sampling is what grows with the samples: some views are rendered twice, with all samples and
    with one, and the difference is that of all samples but one. What it takes for denoising is told the same way.

    Args:
        arguments: scene, staging (an empty folder), settings, as for `render_views`.

    Returns:
        views; resolution; seconds, truth_seconds: of all of them, the first one, for which Cycles builds the scene,
        left out; sampling_share, denoising_share: of a view's seconds, in the median, None where one sample is all;
        first_seconds; memory: resident bytes of this process after each view, empty where the system does not tell;
        device.

    Raises:
        UserError: the scene cannot be rendered. Cancelled: the user stopped it.
    """
    folder = Path(arguments["staging"])
    with Changes() as changes:
        plan, studio = plan_views(Path(arguments["scene"]), arguments["settings"], folder, changes)
        return _measure(plan, studio, folder, reporter)


def _measure(plan: Plan, studio: Studio, folder: Path, reporter: Reporter) -> dict[str, Any]:
    pace = Pace(reporter, plan.views, kept=0)
    again = {round((number + 1) * (len(plan.views) - 1) / ASKED_AGAIN) for number in range(ASKED_AGAIN)} - {0}
    seconds: list[float] = []
    truths: list[float] = []
    sampling: list[float] = []
    denoising: list[float] = []
    memory: list[int] = []
    for number, view in enumerate(plan.views):
        if reporter.cancelled():
            raise Cancelled("stopped; nothing is left behind")
        with pace.view_under_way(view):
            started = time.monotonic()
            light, truth = render_view(view, studio, folder)
            seconds.append(time.monotonic() - started)
        truths.append(truth)
        if number in again and view.samples > 1:
            of_one = _seconds_of_one_sample(view, studio, folder, view.denoise)
            noisy = _seconds_of_one_sample(view, studio, folder, False) if view.denoise else of_one
            sampling.append((light - of_one) / (view.samples - 1) * view.samples / seconds[-1])
            denoising.append((of_one - noisy) / seconds[-1])
        _remove(folder, [*view.files, f"{view.name}.json"])
        memory += resident_bytes()
    return {
        "views": len(plan.views),
        "resolution": list(plan.resolution),
        "first_seconds": seconds[0],
        "seconds": sum(seconds[1:]),
        "truth_seconds": sum(truths[1:]),
        "sampling_share": median(sampling) if sampling else None,
        "denoising_share": median(denoising) if denoising else None,
        "memory": memory,
        "device": plan.device,
    }


def _seconds_of_one_sample(view: PlannedView, studio: Studio, folder: Path, denoise: bool) -> float:
    once = replace(view, name="once", samples=1, denoise=denoise, truth=False, labels=False)
    seconds, _ = render_view(once, studio, folder)
    _remove(folder, [*once.files, "once.json"])
    return seconds


def resident_bytes() -> list[int]:
    """What this process holds of the machine's memory; empty where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:
        return []
    return [pages * os.sysconf("SC_PAGE_SIZE")]


def _remove(folder: Path, names: list[str]) -> None:
    for name in names:
        (folder / name).unlink(missing_ok=True)
