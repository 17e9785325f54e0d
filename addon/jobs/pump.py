# SPDX-License-Identifier: GPL-3.0-or-later
"""Hears the running job: from a timer beside the interface, or in a loop where Blender has none."""

import atexit
import sys
import time
from collections.abc import Callable

import bpy

from ...core.reporting import format_seconds
from . import worker

SECONDS_BETWEEN_TICKS = 0.1
SECONDS_PER_TICK = 0.008  # half a frame at 60 Hz: the interface stays smooth
SECONDS_BETWEEN_REDRAWS = 0.2
SECONDS_BETWEEN_LINES = 2.0

_drawn_news = -1
_drawn_at = 0.0


def follow(job: worker.Job) -> None:
    """Hear `job` until it has ended: beside the interface, or right here in background mode, which has no timers."""
    if bpy.app.background:
        wait(job)
    elif not bpy.app.timers.is_registered(_tick):
        # persistent: opening another file does not stop the job
        bpy.app.timers.register(_tick, first_interval=SECONDS_BETWEEN_TICKS, persistent=True)


def wait(job: worker.Job, interrupted: Callable[[], bool] = lambda: False) -> None:
    """Block until `job` has ended; its lines and its progress go to stderr. `interrupted` cancels it."""
    told = 0
    stage, told_at = "", 0.0
    while not job.ended:
        if interrupted():
            job.cancel()
        job.hear(SECONDS_PER_TICK)
        for line in job.lines[told:]:
            print(line, file=sys.stderr, flush=True)
        told = len(job.lines)
        now = time.monotonic()
        if job.stage and (job.stage != stage or now - told_at > SECONDS_BETWEEN_LINES):
            stage, told_at = job.stage, now
            print(in_words(job), file=sys.stderr, flush=True)
        time.sleep(0.02)


def in_words(job: worker.Job) -> str:
    """How far `job` is, in one line."""
    left = "" if job.seconds_left is None else f"{format_seconds(job.seconds_left)} left"
    parts = [f"{job.title} {job.fraction:.0%}", job.note, left]
    return " · ".join(part for part in parts if part)


def _tick() -> float | None:
    job = worker.running()
    if job is not None:
        job.hear(SECONDS_PER_TICK)
    still_running = worker.running() is not None
    _redraw(job, at_once=not still_running)
    return SECONDS_BETWEEN_TICKS if still_running else None


def _redraw(job: worker.Job | None, at_once: bool) -> None:
    """Ask Blender to draw what shows the job again, five times a second at most."""
    global _drawn_news, _drawn_at
    now = time.monotonic()
    news = -1 if job is None else job.news
    if not at_once and (news == _drawn_news or now - _drawn_at < SECONDS_BETWEEN_REDRAWS):
        return
    _drawn_news, _drawn_at = news, now
    for window in bpy.context.window_manager.windows:
        # the only way to have the status bar drawn; a modal operator writes its keys there
        if not len(window.modal_operators):
            window.workspace.status_text_set_internal(None)
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                for region in area.regions:
                    if region.type == "UI":
                        region.tag_redraw()


def register() -> None:
    atexit.register(worker.stop)


def unregister() -> None:
    worker.stop()
    atexit.unregister(worker.stop)
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)
