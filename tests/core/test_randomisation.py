# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws: the same for the same question, spread as they should be, and cameras that keep looking."""

from __future__ import annotations

import numpy as np
import pytest

from radiance_twin.core.cameras import look_at
from radiance_twin.core.rendering.randomisation import Draws, jittered, turned
from radiance_twin.core.rendering.rules import Camera, read_rule, scene_changes

COUNT = 4000


def test_a_draw_depends_on_what_it_is_for_and_on_nothing_else() -> None:
    first = Draws(1, 2, 3, "Chair").vector(((0, 1), (0, 1), (0, 1)))
    Draws(1, 2, 4, "Chair").number((0, 1))
    assert np.array_equal(Draws(1, 2, 3, "Chair").vector(((0, 1), (0, 1), (0, 1))), first)
    for other in (
        (0, 2, 3, "Chair"),
        (1, 0, 3, "Chair"),
        (1, 2, 4, "Chair"),
        (1, 2, None, "Chair"),
        (1, 2, 3, "Table"),
    ):
        assert not np.array_equal(Draws(*other).vector(((0, 1), (0, 1), (0, 1))), first)
    # what datasets of the past were drawn with
    assert Draws(1, 2, 3, "Chair").number((0, 1)) == 0.13146080634850543


def test_numbers_are_even_and_within_their_limits() -> None:
    draws = Draws(0, 0, 0)
    numbers = np.array([draws.number((-2.0, 3.0)) for _ in range(COUNT)])
    assert -2 <= numbers.min() < -1.99 and 2.99 < numbers.max() <= 3
    assert np.histogram(numbers, 5, (-2, 3))[0] == pytest.approx(COUNT / 5, rel=0.15)
    assert draws.number((2.0, 2.0)) == 2.0
    wholes = np.array([draws.whole((-1, 2)) for _ in range(COUNT)])
    assert np.bincount(wholes + 1) == pytest.approx(COUNT / 4, rel=0.15)
    assert {len(draws.some("abcde", 3)) for _ in range(20)} == {3} and draws.some("ab", 5) == ["a", "b"]


def test_points_are_even_in_a_ball_and_on_triangles() -> None:
    draws = Draws(0, 0, 0)
    points = np.array([draws.in_ball(2.0) for _ in range(COUNT)])
    radii = np.linalg.norm(points, axis=1)
    # an eighth of a ball is within half its radius
    assert radii.max() <= 2.0 and (radii < 1.0).mean() == pytest.approx(1 / 8, abs=0.02)
    assert np.abs(points.mean(axis=0)).max() < 0.08
    corners = np.array([[[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[5, 0, 0], [8, 0, 0], [5, 1, 0]]], np.float64)
    points = np.array([draws.on_triangles(corners) for _ in range(COUNT)])
    # the second has three times the area; each has its middle where its corners' is
    second = points[:, 0] > 3
    assert second.mean() == pytest.approx(0.75, abs=0.03)
    assert points[second].mean(axis=0) == pytest.approx([6, 1 / 3, 0], abs=0.06)
    assert (points[~second][:, :2].sum(axis=1) <= 1).all() and (points >= 0).all()


def test_turns_go_around_the_axes_in_order() -> None:
    assert turned((90, 0, 0)) @ [0, 1, 0] == pytest.approx([0, 0, 1])
    assert turned((0, 90, 0)) @ [0, 0, 1] == pytest.approx([1, 0, 0])
    assert turned((90, 0, 90)) @ [0, 0, 1] == pytest.approx([1, 0, 0])


def test_a_jittered_camera_is_near_and_looks_near() -> None:
    pose, target = look_at((4.0, -3.0, 2.0), (0.5, 0, 0)), np.array([0.5, 0.0, 0.0])
    rule = Camera(move=((-0.2, 0.2), (0, 0), (0, 0)), look_at=0.1, roll=(-10, 10))
    for view in range(50):
        moved = jittered(pose, rule, Draws(0, 0, view), target)
        along = pose[:3, :3].T @ (moved[:3, 3] - pose[:3, 3])
        assert abs(along[0]) <= 0.2 and along[1:] == pytest.approx([0, 0], abs=1e-12)
        assert moved[:3, :3].T @ moved[:3, :3] == pytest.approx(np.eye(3), abs=1e-12)
        assert np.linalg.norm(np.cross(target - moved[:3, 3], moved[:3, 2])) <= 0.1
    assert jittered(pose, Camera(roll=(30, 30)), Draws(0, 0, 0), target) == pytest.approx(
        pose @ np.block([[turned((0, 0, 30)), np.zeros((3, 1))], [np.zeros(3), 1]])
    )


def test_a_scene_changes_by_what_is_drawn_for_views_and_is_no_camera() -> None:
    time, camera = {"what": "time", "frames": [1, 2]}, {"what": "camera", "roll": [0, 1]}
    assert scene_changes([camera, time]) and not scene_changes([camera, {**time, "per": "scene"}])
    assert read_rule(time).per == "view"
