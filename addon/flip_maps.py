# SPDX-License-Identifier: GPL-3.0-or-later
"""Fulfils what comparisons in 3D views wish: asks the view server for maps of FLIP."""

from __future__ import annotations

import time
from dataclasses import dataclass

import bpy

from ..core.errors import UserError
from .jobs import viewer
from .jobs.frames import FlipAnswer
from .properties import settings_of
from .viewport import exact
from .viewport.compare.flip import FlipWish, flip_wishes
from .viewport.redraw import redraw


@dataclass
class _State:
    """What was asked for and has not come yet."""

    wish: FlipWish | None = None
    answer: FlipAnswer | None = None


_state = _State()


def step() -> bool:
    """Bring one step on what is wished; whether there is anything to wait for."""
    if _state.answer is not None:
        viewer.hear()
        _take()
    waiting = [wish for wish in flip_wishes() if wish.came is None and not wish.problem]
    frames_first = any(not wish.complete and not wish.problem for wish in exact.wishes())
    busy = frames_first or viewer.is_taken() or bpy.app.is_job_running("RENDER")
    if waiting and _state.answer is None and not busy:
        wish = waiting[0]
        try:
            _state.answer = viewer.ask_flip(wish.classic, wish.neural, settings_of(bpy.context.scene).device)
            _state.wish, wish.asked = wish, True
        except UserError as error:
            wish.problem = str(error)
            redraw()
    return bool(waiting)


def _take() -> None:
    wish, answer = _state.wish, _state.answer
    assert wish is not None and answer is not None
    if not answer.ended:
        return
    # overtaken by a frame it has no problem, and is asked for again if it is still wished
    wish.asked, wish.problem = False, answer.problem
    if answer.error is not None:
        wish.error, wish.mean, wish.came = answer.error, answer.mean, time.monotonic()
    _state.wish = _state.answer = None
    redraw()


def forget() -> None:
    """What was asked for is not waited for any more."""
    _state.wish = _state.answer = None
