# SPDX-License-Identifier: GPL-3.0-or-later
"""How often planned views see the surface, before anything is rendered: held against what geometry says."""

from pathlib import Path

import bpy
import numpy as np
import pytest

from radiance_twin.addon.studio.coverage import times_seen, views_around
from radiance_twin.addon.studio.render import render_views
from radiance_twin.addon.studio.surfaces import surface_points, surface_tree
from radiance_twin.core.cameras import Camera, look_at
from radiance_twin.core.dataset import staging
from radiance_twin.core.rendering.coverage import shares, shares_in_words
from radiance_twin.core.reporting import QuietReporter

from .scenes import add_ball, add_box, new_scene, request, save

INTRINSICS, SIZE = np.array([100.0, 100.0, 50.0, 50.0]), (100, 100)


def test_points_lie_evenly_on_all_that_is_shown() -> None:
    new_scene()
    add_box("Small", (1, 1, 1), (0, 0, 0))
    add_box("Large", (2, 2, 2), (5, 0, 0)).scale = (1, 1, 2)
    add_box("Hidden", (9, 9, 9), (0, 0, 0)).hide_viewport = True
    add_box("Cutter", (9, 9, 9), (0, 0, 0)).hide_render = True
    bpy.context.view_layer.update()
    points = surface_points(4600)
    assert points.names == ["Small", "Large"]
    assert np.bincount(points.index).tolist() == pytest.approx([600, 4000], abs=2)  # areas of 6 and 40
    small = points.position[points.index == 0]
    assert np.abs(small).max(axis=1) == pytest.approx(0.5)
    assert small.mean(axis=0) == pytest.approx(np.zeros(3), abs=0.03)
    assert points.spacing == pytest.approx(0.1)
    assert len(surface_points(10, frozenset(["Nobody"])).position) == 0


def test_one_view_of_a_ball_sees_its_cap_and_no_other() -> None:
    """From a distance d a cap of (1 - r/d) / 2 of a sphere is seen."""
    new_scene()
    add_ball("Ball", 1.0, (0, 0, 0), segments=32)
    points = surface_points(2000)
    views = [
        Camera(look_at((4, 0, 0), (0, 0, 0)), INTRINSICS, SIZE),
        Camera(look_at((-4, 0, 0), (0, 0, 0)), INTRINSICS, SIZE),
    ]
    times = times_seen(surface_tree(), points, views)
    assert (times == 1).mean() == pytest.approx(0.75, abs=0.025) and times.max() == 1
    wrong = (times == 1) != (np.abs(points.position[:, 0]) > 0.25)
    assert np.abs(np.abs(points.position[wrong, 0]) - 0.25).max(initial=0.0) < 0.02
    found = shares(times)
    assert (found["never"], found["median"]) == (pytest.approx(0.25, abs=0.025), 1.0)
    assert shares_in_words(found).endswith(f"{found['never']:.0%} never")


def test_what_stands_before_the_surface_and_what_is_out_of_the_picture_is_not_seen() -> None:
    new_scene()
    add_box("Plate", (0.01, 2, 2), (0, 0, 0))
    add_box("Screen", (0.01, 2, 2), (2, 1, 0))
    points = surface_points(1000, frozenset(["Plate"]))
    views = [Camera(look_at((4, 0, 0), (0, 0, 0)), INTRINSICS, SIZE)]
    front = points.position[:, 0] > 0.0049
    times = times_seen(surface_tree(), points, views)[front]
    assert (times == (points.position[front, 1] < 0)).mean() > 0.99
    flat = [
        Camera(views[0].camera_to_world, np.array([100.0, 100.0, 50.0, 10.0]), (100, 20))
    ]  # 20 pixels high: what is at most 0.4 up or down
    seen = times_seen(surface_tree(), points, flat)[front] > 0
    assert seen.any() and np.abs(points.position[front, 2][seen]).max() == pytest.approx(0.4, abs=0.03)


def test_many_views_are_asked_in_part_and_stand_for_all() -> None:
    new_scene()
    add_box("Plate", (0.01, 1, 1), (0, 0, 0))
    points = surface_points(20)
    views = [Camera(look_at((4, 0, 0), (0, 0, 0)), INTRINSICS, SIZE)] * 600
    front = points.position[:, 0] > 0.0049
    assert (times_seen(surface_tree(), points, views)[front] == 600).all()


def test_cameras_all_around_see_all_but_what_is_hidden_for_good() -> None:
    new_scene()
    add_box("Table", (4, 4, 1), (0, 0, -0.5))
    add_box("Vase", (1, 1, 1), (0, 0, 0.49))  # sunk into the table a little
    points = surface_points(1000)
    view = Camera(look_at((8, 0, 3), (0, 0, 0)), INTRINSICS, SIZE)
    seen = times_seen(surface_tree(), points, views_around(np.zeros(3), [view])) > 0
    vase = points.index == points.names.index("Vase")
    under = (vase & (points.position[:, 2] < 0)) | (
        (points.position[:, 2] > -0.001) & (points.position[:, 2] < 0.001) & (np.abs(points.position) < 0.5).all(axis=1)
    )
    assert under.sum() > 15 and not seen[under].any()
    assert seen[~under].mean() > 0.99, "the table's underside, too"


def test_what_was_planned_stays_in_the_dataset(tmp_path: Path) -> None:
    new_scene()
    add_ball("Ball", 1.0, (0, 0, 0), segments=32)
    scene = save(tmp_path / "scene.blend")
    kept = []
    for settings in ({"rig": "sphere"}, {"rig": "sphere"}, {"rig": "cover", "azimuth": [-45.0, 45.0]}):
        render_views({**request(scene, tmp_path / "views", views=12, **settings), "only": []}, QuietReporter())
        kept.append(staging.read_plan(tmp_path / "views").configuration["coverage"])
    everywhere, again, one_side = kept
    assert everywhere == again, "a dataset is the same whenever it is rendered"
    assert everywhere["never"] == 0.0 and everywhere["places"] > 400
    assert 0.2 < one_side["never"] < 0.5
