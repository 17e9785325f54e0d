# SPDX-License-Identifier: GPL-3.0-or-later
"""Fulfils what 3D views wish: asks the view server for one frame after another, and gives them to drawing. While a twin
is trained its training is asked instead, again and again.

It is brought on by a timer (wishes.py), never while drawing, and never raises: when there is no frame the bake stays,
and the badge in the view's corner says why.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import bpy

from ..core.errors import UserError
from .jobs import viewer, worker
from .jobs.frames import Answer, View
from .preferences import find_worker_python
from .properties import settings_of
from .viewport import badge, exact
from .viewport.bakes import expect
from .viewport.redraw import redraw

# after the server has died, before it is started again
SECONDS_AFTER_A_CRASH = 30.0
# the badge tells how old a frame of a training is
SECONDS_BETWEEN_AGES = 1.0
STAGES = {"train": "Training", "evaluate": "Measuring", "bake": "Baking"}


@dataclass
class _State:
    """What was asked for and has not come yet; `training` was asked, or else the view server."""

    wish: exact.Wish | None = None
    answer: Answer | None = None
    training: worker.Job | None = None
    aged: float = 0.0
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
    training = _trained(wished)
    if reason != _state.hindrance:
        _state.hindrance = reason
        badge.say_why_not(reason)
        if wished:
            redraw()
    if _state.answer is not None:
        if _state.training is None:
            viewer.hear()
        _take(wished)
    if _state.answer is not None:
        return bool(wished)
    for wish in wished:
        if not wish.is_due:
            continue
        if wish.training:
            _ask(wish, training)
            break
        if not reason and time.monotonic() - _state.crashed > SECONDS_AFTER_A_CRASH:
            _ask(wish, None)
            break
    return any(not wish.complete and not wish.problem for wish in wished)


def _trained(wished: list[exact.Wish]) -> worker.Job | None:
    """The running training whose field can be seen, if any; tells its wishes how far it is."""
    training = worker.training()
    path = None if training is None else training.arguments["output"]
    if training is not None and training.expected is not None:
        # again after every file that was opened: what is drawn is forgotten then
        expect(path, training.expected)
    for wish in wished:
        wish.training = _in_words(training) if training is not None and wish.shows(path) else ""
    if any(wish.training for wish in wished) and time.monotonic() - _state.aged > SECONDS_BETWEEN_AGES:
        _state.aged = time.monotonic()
        redraw()
    return training


def _in_words(training: worker.Job) -> str:
    """How far a training is: "Training · 62 % · 27.4 dB"."""
    words = [STAGES.get(training.stage, training.title), f"{training.fraction:.0%}"]
    if "psnr" in training.figures:
        words.append(worker.figure_in_words("psnr", training.figures["psnr"]))
    return " · ".join(words)


def _ask(wish: exact.Wish, training: worker.Job | None) -> None:
    view = View(
        wish.twin,
        wish.camera_to_world,
        wish.intrinsics,
        (wish.rectangle.width, wish.rectangle.height),
        wish.world_from_object,
        behind=wish.behind,
        coarse=True,
        device=settings_of(bpy.context.scene).device,
        orthographic=wish.orthographic,
    )
    try:
        _state.wish, _state.training = wish, training
        _state.answer = viewer.ask(view) if training is None else training.ask(view)
    except UserError as error:
        wish.problem = _short(str(error))
        redraw()


def _take(wished: list[exact.Wish]) -> None:
    """What has come goes to the wish; a wish that is not there any more is dropped."""
    wish, answer = _state.wish, _state.answer
    assert wish is not None and answer is not None
    if not any(one is wish for one in wished):
        if _state.training is None:
            viewer.drop(answer)
        else:
            _state.training.drop(answer)
        _state.wish = _state.answer = None
        return
    if answer.rgba is not None and answer.depth is not None:
        wish.seconds = answer.seconds
        # a complete frame is handed over with the time that it took
        if not answer.complete or answer.ended:
            # a field that is trained on is never complete
            wish.fulfil(answer.rgba, answer.depth, answer.complete and _state.training is None)
            answer.rgba = None
            redraw()
    if answer.ended:
        if answer.problem:
            wish.problem = _short(answer.problem)
            if _state.training is None and viewer.process_id() is None:
                _state.crashed = time.monotonic()
            print(f"Radiance Twin: {answer.problem}")
            redraw()
        _state.wish = _state.answer = None


def _short(problem: str) -> str:
    """A problem without its log and the folders in it: the badge has one line."""
    words = problem.partition("; see ")[0].split()
    return " ".join(Path(word).name if word.startswith("/") else word for word in words)


def forget() -> None:
    """What was asked for is not waited for any more."""
    _state.wish = _state.answer = None
