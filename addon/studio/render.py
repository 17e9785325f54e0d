# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders the views of a scene that are missing, one by one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bpy

from ...core.dataset import staging
from ...core.dataset.staging import Plan, PlannedView
from ...core.errors import Cancelled, UserError
from ...core.reporting import Reporter
from .. import compat
from .cameras import Lens
from .plan import Studio, plan_views

SECONDS_BETWEEN_HEARTBEATS = 1.0


def render_views(arguments: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    """The request of this process.

    Args:
        arguments: scene (path of the .blend), staging (folder), settings (those of core/render.py as a dictionary),
            skip (names of views that made Blender crash).

    Returns:
        rendered, kept: how many views. seconds: of rendering. device: what rendered.

    Raises:
        UserError, Cancelled: see core/render.py.
    """
    if bpy.app.version < compat.OLDEST:
        raise UserError(f"Blender {bpy.app.version_string} is too old; 4.5 or newer is needed")
    folder = Path(arguments["staging"])
    reporter.log(f"Blender {bpy.app.version_string} opens {Path(arguments['scene']).name}")
    plan, studio = plan_views(Path(arguments["scene"]), arguments["settings"], folder, reporter)
    missing = [view for view in staging.missing_views(folder, plan) if view.name not in arguments["skip"]]
    kept = len(plan.work) - len(missing)
    if kept:
        reporter.log(f"{kept} of {len(plan.work)} views are rendered already")
    seconds = render_missing(plan, missing, studio, folder, reporter)
    return {"rendered": len(missing), "kept": kept, "seconds": seconds, "device": plan.device}


def render_missing(plan: Plan, missing: list[PlannedView], studio: Studio, folder: Path, reporter: Reporter) -> float:
    """Render `missing`; each is done when its record is written. Returns the seconds that it took.

    Raises:
        UserError: Cycles failed or a file cannot be written; the views before it are kept.
        Cancelled: the user stopped it.
    """
    started = time.monotonic()
    done_before, total = len(plan.work) - len(missing), len(plan.work)
    samples_left = sum(view.samples for view in missing)
    samples_done = 0
    reporter.progress("render", done_before, total)
    for done, view in enumerate(missing, done_before):
        if reporter.cancelled():
            raise Cancelled("stopped; what is rendered is kept, the same command goes on")
        before = time.monotonic()
        studio.camera.put(view.camera_to_world, Lens(**view.lens))  # type: ignore[arg-type]
        with _heartbeat(reporter, done, total):
            studio.passes.set_for_light(view.samples, view.seed, view.denoise)
            studio.passes.render_to(folder / view.files[0])
            seconds = time.monotonic() - before
            if view.truth:
                studio.camera.use_depth_of_field(False)
                studio.passes.set_for_truth()
                studio.passes.render_to(folder / view.files[1])
        now = time.monotonic()
        staging.write_record(folder, view, seconds)
        samples_done += view.samples
        samples_left -= view.samples
        reporter.progress(
            "render",
            done + 1,
            total,
            seconds_left=(now - started) / samples_done * samples_left,
            text=f"{now - before:.2f} s a view",
        )
    return time.monotonic() - started


@contextmanager
def _heartbeat(reporter: Reporter, done: int, total: int) -> Iterator[None]:
    """Say every second that a long view is still being rendered (the thread never touches bpy)."""
    over = threading.Event()
    started = time.monotonic()

    def beat() -> None:
        while not over.wait(SECONDS_BETWEEN_HEARTBEATS):
            reporter.progress("render", done, total, text=f"this view: {time.monotonic() - started:.0f} s")

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
