# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a scene is, of which all that is known are the cameras."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from radiance_twin.core.cameras import look_at
from radiance_twin.core.dataset.readers.bounds import bounds_from_cameras

# half as wide as its distance, and three quarters as high
LENS = SimpleNamespace(width=40, height=30, fx=40.0, fy=20.0)
PLACE = np.array([3.0, -2.0, 5.0])


def looking(eyes: Any, at: Any) -> list[Any]:
    targets = np.broadcast_to(at, np.shape(eyes))
    return [
        SimpleNamespace(camera_to_world=look_at(eye, target), lens=LENS)
        for eye, target in zip(eyes, targets, strict=True)
    ]


def all_around(count: int, seed: int = 0) -> np.ndarray:
    ways = np.random.default_rng(seed).normal(size=(count, 3))
    return ways / np.linalg.norm(ways, axis=1, keepdims=True)


def test_cameras_around_a_place_have_it_in_the_middle_of_all_that_nine_in_ten_see_there() -> None:
    distances = np.arange(1.0, 12.0)
    bounds, certain = bounds_from_cameras(looking(PLACE + distances[:, None] * all_around(11), PLACE))
    assert certain
    np.testing.assert_allclose(bounds, [PLACE - 0.75 * 10.0, PLACE + 0.75 * 10.0], rtol=1e-9)


def test_some_cameras_that_look_away_do_not_count_many_do() -> None:
    eyes = PLACE + 4.0 * all_around(20)
    for away, expected in ((3, True), (5, False)):
        targets = np.tile(PLACE, (20, 1))
        targets[:away] = 2.0 * eyes[:away] - PLACE
        bounds, certain = bounds_from_cameras(looking(eyes, targets))
        assert certain == expected
        if certain:
            np.testing.assert_allclose(bounds, [PLACE - 3.0, PLACE + 3.0], rtol=1e-9)


@pytest.mark.parametrize("spread", [0.0, 0.02])
def test_cameras_that_look_the_same_way_get_a_guess_before_them(spread: float) -> None:
    """A row of cameras; where all but parallel axes meet is chance."""
    eyes = np.stack([np.linspace(-1.0, 1.0, 60), np.zeros(60), np.zeros(60)], axis=1)
    bounds, certain = bounds_from_cameras(looking(eyes, eyes * (1.0 - spread) + [0.0, 1.0, 0.0]))
    assert not certain
    np.testing.assert_allclose(bounds, [[-4.0, 0.0, -4.0], [4.0, 8.0, 4.0]], atol=0.01)


def test_cameras_that_look_outward_get_a_guess_around_them() -> None:
    ways = all_around(300)
    bounds, certain = bounds_from_cameras(looking(PLACE + ways, PLACE + 2.0 * ways))
    assert not certain
    np.testing.assert_allclose(bounds, [PLACE - 4.0, PLACE + 4.0], atol=0.6)


def test_one_camera_gets_a_cube_before_it() -> None:
    bounds, certain = bounds_from_cameras(looking([PLACE], PLACE + np.array([0.0, 1.0, 0.0])))
    assert not certain
    np.testing.assert_allclose(bounds, PLACE + np.array([[-1.0, 0.0, -1.0], [1.0, 2.0, 1.0]]), atol=1e-9)
