# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders the views of a scene that are missing, one by one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bpy

from ...core.dataset import staging
from ...core.dataset.staging import Plan, PlannedView
from ...core.errors import Cancelled, UserError
from ...core.rendering.coverage import overlap
from ...core.reporting import Reporter
from .. import compat
from .cameras import Lens
from .plan import Studio, plan_views
from .randomise.changes import Changes
from .sight import complaints, named

SECONDS_BETWEEN_HEARTBEATS = 1.0


def render_views(arguments: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    """The request of this process.

    Args:
        arguments: scene (path of the .blend), staging (folder), settings (core/rendering/render.py's as a dictionary),
            skip (names of views that made Blender crash), only (names of the views to render, None: all).

    Returns:
        rendered, kept: how many views. seconds: of rendering. device: what rendered.

    Raises:
        UserError, Cancelled: see core/rendering/render.py.
    """
    if bpy.app.version < compat.OLDEST:
        raise UserError(f"Blender {bpy.app.version_string} is too old; 4.5 or newer is needed")
    folder = Path(arguments["staging"])
    reporter.log(f"Blender {bpy.app.version_string} opens {Path(arguments['scene']).name}")
    with Changes() as changes:
        plan, studio = plan_views(Path(arguments["scene"]), arguments["settings"], folder, changes)
        return _render_asked(plan, studio, arguments, reporter)


def _render_asked(plan: Plan, studio: Studio, arguments: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    folder = Path(arguments["staging"])
    only = arguments["only"]
    _tell(plan, studio, arguments["settings"], only, reporter)
    missing = staging.missing_views(folder, plan)
    kept = len(plan.work) - len(missing)
    if kept:
        reporter.log(f"{kept} of {len(plan.work)} views are rendered already")
    wanted = [view for view in missing if view.name not in arguments["skip"] and (only is None or view.name in only)]
    seconds = render_missing(wanted, studio, folder, reporter, kept if only is None else 0)
    return {"rendered": len(wanted), "kept": kept, "seconds": seconds, "device": plan.device}


def _tell(plan: Plan, studio: Studio, settings: dict[str, Any], only: Sequence[str] | None, reporter: Reporter) -> None:
    """What is good to know, and what is going to be rendered."""
    _say_remarks(studio, reporter)
    for line in named(complaints(plan, studio.sight)):
        reporter.log(line)
    if studio.missing:
        reporter.log(f"Missing files that the scene needs: {len(studio.missing)}, for example {studio.missing[0]}")
    counts = {split: len(indices) for split, indices in plan.splits.items()}
    width, height = plan.resolution
    denoised = "Open Image Denoise" if plan.configuration["denoise"] else "not denoised"
    which = f"{len(plan.views)}" if only is None else f"{len(only)} of {len(plan.views)}"
    reporter.log(
        f"Rendering {which} views on {plan.device}: "
        f"{settings['rig']}, {width}x{height}, "
        f"{counts['train']} to train at {settings['samples']} samples, {counts['val']} val and {counts['test']} test "
        f"at {settings['reference_samples']}, {denoised}, film {plan.film}"
    )
    apart = overlap(plan, studio.sight.centre)
    if apart:
        reporter.log(apart)


def _say_remarks(studio: Studio, reporter: Reporter) -> None:
    while studio.remarks:
        reporter.log(studio.remarks.pop(0))


def render_missing(
    missing: list[PlannedView],
    studio: Studio,
    folder: Path,
    reporter: Reporter,
    kept: int = 0,
    stage: str = "render",
) -> float:
    """Render `missing`; each is done when its record is written. Returns the seconds that it took.

    Args:
        kept: how many views of the same work were rendered before: progress counts them as done.
        stage: what progress calls it.

    Raises:
        UserError: Cycles failed or a file cannot be written; the views before it are kept.
        Cancelled: the user stopped it.
    """
    started = time.monotonic()
    pace = Pace(reporter, missing, kept, stage)
    for view in missing:
        if reporter.cancelled():
            raise Cancelled("stopped")
        with pace.view_under_way(view):
            render_view(view, studio, folder)
        _say_remarks(studio, reporter)
    return time.monotonic() - started


def render_view(view: PlannedView, studio: Studio, folder: Path) -> tuple[float, float]:
    """Render one view; it is done when its record is written. Returns the seconds of its light and of its truth."""
    if view.moving:
        studio.scene.frame_set(view.frame)
    with studio.randomiser.view(view.draw, studio.remarks):
        return _render_as_it_is(view, studio, folder)


def _render_as_it_is(view: PlannedView, studio: Studio, folder: Path) -> tuple[float, float]:
    started = time.monotonic()
    studio.camera.put(view.camera_to_world, Lens(**view.lens))  # type: ignore[arg-type]
    studio.passes.set_for_light(view.rendered_samples, view.seed, view.denoise)
    studio.passes.render_to(folder / view.pictures[0])
    light, truth = time.monotonic() - started, 0.0
    if view.truth:
        studio.camera.use_depth_of_field(False)
        if view.around:
            studio.camera.move(*((one["camera_to_world"], Lens(**one["lens"])) for one in view.around))
        studio.passes.set_for_truth()
        studio.passes.render_to(folder / view.pictures[1])
        if view.labels:
            studio.labeller.write(view, folder / view.labels_file)
        truth = time.monotonic() - started - light
    staging.write_record(folder, view, light, truth)
    return light, truth


class Pace:
    """Tells how far the rendering is; the time left is that of the samples left."""

    def __init__(self, reporter: Reporter, missing: list[PlannedView], kept: int, stage: str = "render") -> None:
        self._reporter = reporter
        self._stage = stage
        self._done, self._total = kept, kept + len(missing)
        self._samples_left = sum(view.samples for view in missing)
        self._samples_done, self._seconds_done = 0, 0.0
        self._report("")

    @contextmanager
    def view_under_way(self, view: PlannedView) -> Iterator[None]:
        """While a view is rendered, say every second that it still is; afterwards that it is done."""
        over, started = threading.Event(), time.monotonic()

        def beat() -> None:  # never touches bpy, which is for the main thread alone
            while not over.wait(SECONDS_BETWEEN_HEARTBEATS):
                self._report(f"this view {time.monotonic() - started:.0f} s", time.monotonic() - started)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
        seconds = time.monotonic() - started
        self._done += 1
        self._samples_left -= view.samples
        self._samples_done += view.samples
        self._seconds_done += seconds
        self._report(f"{seconds:.2f} s a view")

    def _report(self, text: str, seconds_under_way: float = 0.0) -> None:
        seconds_left = None
        if self._samples_done:
            seconds_left = self._seconds_done / self._samples_done * self._samples_left
            seconds_left = max(0.0, seconds_left - seconds_under_way)
        self._reporter.progress(self._stage, self._done, self._total, seconds_left=seconds_left, text=text)
