# SPDX-License-Identifier: GPL-3.0-or-later
"""How a view becomes fine step by step, and when it is not marched at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from radiance_twin.addon.viewport import pictures as module
from radiance_twin.addon.viewport.atlas import upload
from radiance_twin.addon.viewport.march import PlacedTwin, Rectangle
from radiance_twin.addon.viewport.pictures import Pictures, march_what_is_due
from radiance_twin.core.cameras import look_at

SIZE = (96, 64)
WHOLE = Rectangle(0, 0, *SIZE)
NOTHING = np.ones(SIZE[::-1], np.float32)


@pytest.fixture
def view(gpu: Any, blob: Any, projection_of: Any) -> tuple[Any, Any, Any]:
    world_from_field = np.diag([2.0, 2.0, 2.0, 1.0])
    world_from_field[:3, 3] = -1.0
    placed = [PlacedTwin(upload(blob.bricks(32)), world_from_field)]
    camera = look_at((3.0, -4.0, 2.0), (0.0, 0.0, 0.0))
    return placed, np.linalg.inv(camera), projection_of((110.0, 110.0, 48.0, 32.0), SIZE)


def test_a_fast_gpu_shows_all_pixels_at_once(view, marched, pixels_of):
    pictures = Pictures(seconds_per_pixel=1e-9)
    assert march_what_is_due(pictures, *view, SIZE, WHOLE, NOTHING) is None
    assert np.abs(pixels_of(pictures.best.framebuffer, SIZE) - marched(*view, SIZE)).max() < 2e-3


def test_a_slow_one_shows_fewer_pixels_first_and_all_in_bands_when_the_view_rests(
    view, marched, pixels_of, monkeypatch
):
    monkeypatch.setattr(module, "REST", 0.0)
    pictures = Pictures()
    steps = 0
    wait: float | None = 0.0
    coarse = None
    while wait is not None:
        # as if a pixel took so long that a moment is enough for a fifth of them
        pictures.seconds_per_pixel = module.MOMENT * 5 / (SIZE[0] * SIZE[1])
        wait = march_what_is_due(pictures, *view, SIZE, WHOLE, NOTHING)
        if pictures.done < 1.0:
            coarse = coarse or pictures.best
            assert pictures.best is coarse
            assert coarse.size == (SIZE[0] // 3, SIZE[1] // 3)
        steps += 1
    assert steps == 6
    assert pictures.best.size == SIZE
    assert np.abs(pixels_of(pictures.best.framebuffer, SIZE) - marched(*view, SIZE)).max() < 2e-3


def test_a_picture_is_kept_until_something_changes(view, monkeypatch):
    placed, view_matrix, projection = view
    pictures = Pictures(seconds_per_pixel=1e-9)
    march_what_is_due(pictures, placed, view_matrix, projection, SIZE, WHOLE, NOTHING)
    marches: list[str] = []
    monkeypatch.setattr(module, "march", lambda *_: marches.append("marched"))

    def marched_again(*view: Any, depth: Any = NOTHING) -> bool:
        before = len(marches)
        march_what_is_due(pictures, *view, SIZE, WHOLE, depth)
        return len(marches) > before

    assert not marched_again(placed, view_matrix, projection)
    # something came into view before the twin
    assert marched_again(placed, view_matrix, projection, depth=NOTHING * 0.5)
    assert not marched_again(placed, view_matrix, projection, depth=NOTHING * 0.5)
    # the view turned, the twin was moved
    turned = np.linalg.inv(look_at((3.0, -4.0, 2.1), (0.0, 0.0, 0.0)))
    assert marched_again(placed, turned, projection, depth=NOTHING * 0.5)
    moved = [PlacedTwin(placed[0].textures, placed[0].world_from_field * 1.01)]
    assert marched_again(moved, turned, projection, depth=NOTHING * 0.5)
    cropped = [replace(moved[0], world_from_crop=np.eye(4))]
    assert marched_again(cropped, turned, projection, depth=NOTHING * 0.5)
