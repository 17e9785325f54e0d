# SPDX-License-Identifier: GPL-3.0-or-later
"""Fulfils what 3D views wish: asks the view server for one frame after another, and gives them to drawing.

It runs from a timer, never while drawing, and never raises: when there is no frame the bake stays, and the badge in
the view's corner says why.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import bpy

from ..core.errors import UserError
from .jobs import viewer, worker
from .preferences import find_worker_python
from .properties import settings_of
from .viewport import badge, draw, exact

SECONDS_BETWEEN_TICKS = 0.05
SECONDS_BETWEEN_LOOKS = 0.25
# after the server has died, before it is started again
SECONDS_AFTER_A_CRASH = 30.0


@dataclass
class _State:
    """What was asked for and has not come yet."""

    wish: exact.Wish | None = None
    answer: viewer.Answer | None = None
    crashed: float = -SECONDS_AFTER_A_CRASH
    hindrance: str = ""


_state = _State()


def hindrance() -> str:
    """Why the worker is not asked now; empty when it can be."""
    if find_worker_python()[1]:
        return "no worker for the field"
    job = worker.running()
    if job is not None:
        return f"the worker is busy: {job.title.lower()}"
    if viewer.is_taken() or bpy.app.is_job_running("RENDER"):
        return "the worker is busy: render"
    return ""


def step() -> bool:
    """Bring one step on what is wished; whether there is anything to wait for."""
    wished = list(exact.wishes())
    reason = hindrance()
    if reason != _state.hindrance:
        _state.hindrance = reason
        badge.say_why_not(reason)
        if wished:
            draw.redraw()
    if _state.answer is not None:
        viewer.hear()
        _take(wished)
    if reason or _state.answer is not None:
        return bool(wished)
    for wish in wished:
        if wish.is_due and time.monotonic() - _state.crashed > SECONDS_AFTER_A_CRASH:
            _ask(wish)
            break
    return any(not wish.complete and not wish.problem for wish in wished)


def _ask(wish: exact.Wish) -> None:
    view = viewer.View(
        wish.twin,
        wish.camera_to_world,
        wish.intrinsics,
        (wish.rectangle.width, wish.rectangle.height),
        wish.world_from_object,
        # what lies behind the twin is the user's own scene
        behind=False,
        coarse=True,
        device=settings_of(bpy.context.scene).device,
    )
    try:
        _state.wish, _state.answer = wish, viewer.ask(view)
    except UserError as error:
        wish.problem = _short(str(error))
        draw.redraw()


def _take(wished: list[exact.Wish]) -> None:
    """What has come goes to the wish; a wish that is not there any more is dropped."""
    wish, answer = _state.wish, _state.answer
    assert wish is not None and answer is not None
    if not any(one is wish for one in wished):
        viewer.drop(answer)
        _state.wish = _state.answer = None
        return
    if answer.rgba is not None and answer.depth is not None:
        wish.seconds = answer.seconds
        # a complete frame is handed over with the time that it took
        if not answer.complete or answer.ended:
            wish.fulfil(answer.rgba, answer.depth, answer.complete)
            answer.rgba = None
            draw.redraw()
    if answer.ended:
        if answer.problem:
            wish.problem = _short(answer.problem)
            if viewer.process_id() is None:
                _state.crashed = time.monotonic()
            print(f"Radiance Twin: {answer.problem}")
            draw.redraw()
        _state.wish = _state.answer = None


def _short(problem: str) -> str:
    """A problem without the folders in it: the badge has one line."""
    return " ".join(Path(word).name if word.startswith("/") else word for word in problem.split())


def _tick() -> float:
    return SECONDS_BETWEEN_TICKS if step() else SECONDS_BETWEEN_LOOKS


def register() -> None:
    # the background has neither timers nor views
    if not bpy.app.background:
        bpy.app.timers.register(_tick, first_interval=SECONDS_BETWEEN_LOOKS, persistent=True)


def unregister() -> None:
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)
    _state.wish = _state.answer = None
