# SPDX-License-Identifier: GPL-3.0-or-later
"""The bounds of a randomised scene hold for every view that is drawn of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest

from radiance_twin.addon import compat
from radiance_twin.addon.studio.render import render_views
from radiance_twin.addon.studio.scene import Measured, measure
from radiance_twin.core import cameras
from radiance_twin.core.dataset import staging
from radiance_twin.core.reporting import QuietReporter

from .random_table import randomiser
from .scenes import add_box, add_camera, animate, new_scene, read_exr, request, save

DRAWS = 12


def two_boxes() -> bpy.types.Scene:
    """A large box on the floor, and a small one with a child beside it and its origin in a corner."""
    scene = new_scene()
    add_camera((8.0, -6.0, 5.0), (1.0, 0.0, 0.9))
    add_box("Table", (2.0, 2.0, 0.2))
    add_box("Thing", (0.4, 0.2, 0.1), (0.3, 0.0, 0.5))
    thing = bpy.data.objects["Thing"]
    for vertex in thing.data.vertices:
        vertex.co.x += 0.2
    child = add_box("Child", (0.1, 0.1, 0.6), (0.5, 0.0, 0.0))
    child.parent = thing
    bpy.context.view_layer.update()
    return scene


def reached(*rules: dict[str, Any], target: str | None = None) -> tuple[Measured, Measured]:
    """What was measured of the scene as it is, and of all that the rules can do."""
    drawer = randomiser(*rules)
    before = measure(bpy.context.scene, target)
    with drawer.everything_shown():
        return before, drawer.reached(before, measure(bpy.context.scene, None).held)


def holds_for_all_draws(found: Measured, *rules: dict[str, Any]) -> np.ndarray:
    """Hold the bounds and the sphere against scenes that are really drawn; the box [2, 3] around all of those."""
    drawer, boxes = randomiser(*rules), []
    for draw in range(DRAWS):
        with drawer.view(draw, []):
            drawn = measure(bpy.context.scene, None)
            boxes.append(drawn.bounds)
            for box in drawn.held.values():
                assert (
                    np.linalg.norm(cameras.corners_of_bounds(box) - found.centre, axis=1).max() <= found.radius + 1e-6
                )
    around = np.array(boxes)
    assert (around[:, 0] >= found.bounds[0] - 1e-6).all() and (around[:, 1] <= found.bounds[1] + 1e-6).all()
    return np.stack([around[:, 0].min(axis=0), around[:, 1].max(axis=0)])


THROWN = {"what": "pose", "select": "Thing", "move": [[-1, 1], [5, 9], [0, 3]]}
TURNED = {"what": "pose", "select": "Thing", "turn": [[0, 360]] * 3, "scale": [0.5, 2.0]}


@pytest.mark.parametrize(
    "rules",
    [
        [THROWN],
        [TURNED],
        [THROWN, TURNED],
        [{"what": "pose", "select": "Child", "move": [[2, 3], [0, 0], [0, 0]]}, TURNED],
        [THROWN, {"what": "pose", "select": "Child", "move": [[2, 3], [0, 0], [0, 0]], "turn": [[0, 90]] * 3}],
        [{"what": "pose", "select": "Thing", "on": "Table", "turn": [[0, 360]] * 3}],
        [{"what": "pose", "select": "Table", "move": [[0, 4]] * 3}, {"what": "pose", "select": "Thing", "on": "Table"}],
        [{"what": "pose", "select": "Thing", "inside": "Table"}],
        [{"what": "pose", "select": "Thing", "on": "Table", "settle": True, "turn": [[0, 360]] * 3}],
    ],
    ids=["thrown", "turned", "both", "child first", "child last", "on", "on what moves", "inside", "settled"],
)
def test_bounds_hold_whatever_is_drawn(rules: list[dict[str, Any]]) -> None:
    two_boxes()
    _, found = reached(*rules)
    around = holds_for_all_draws(found, *rules)
    # and they are not much larger than what may really be
    assert np.ptp(found.bounds, axis=0).max() < 4.0 * np.ptp(around, axis=0).max()


def test_what_instances_a_collection_takes_its_box_along() -> None:
    scene = two_boxes()
    group = bpy.data.collections.new("Props")
    add_box("Prop", (0.5, 0.5, 0.5))
    prop = bpy.data.objects["Prop"]
    scene.collection.objects.unlink(prop)
    group.objects.link(prop)
    empty = bpy.data.objects.new("Stand", None)
    empty.instance_type, empty.instance_collection = "COLLECTION", group
    scene.collection.objects.link(empty)
    bpy.context.view_layer.update()
    rule = {"what": "pose", "select": "Stand", "move": [[4, 6], [0, 0], [0, 0]]}
    _, found = reached(rule)
    assert found.bounds[1, 0] == pytest.approx(6.25)
    holds_for_all_draws(found, rule)


def test_hidden_distractors_count_where_they_may_be_and_not_where_they_are_kept() -> None:
    two_boxes()
    thing = bpy.data.objects["Thing"]
    thing.location.z, thing.hide_render = -50.0, True
    bpy.data.objects["Child"].hide_render = True
    bpy.context.view_layer.update()
    rule = {"what": "distractor", "select": "Thing", "on": "Table", "count": [0, 1]}
    before, found = reached(rule)
    assert before.bounds[1, 2] == pytest.approx(0.1) and found.bounds[1, 2] > 0.3
    assert found.bounds[0, 2] > -2.0
    holds_for_all_draws(found, rule)


def test_the_target_stays_what_it_is_when_something_else_moves() -> None:
    two_boxes()
    before, found = reached(THROWN, target="Table")
    assert np.array_equal(found.centre, before.centre) and found.radius == before.radius
    assert found.bounds[1, 1] >= 9.0
    before, found = reached(THROWN, target="Thing")
    assert found.centre[1] == pytest.approx(7.0) and found.radius > 2.0
    # nothing is drawn anew for each view: nothing is larger
    before, found = reached({**THROWN, "per": "scene"})
    assert np.array_equal(found.bounds, before.bounds)


def test_views_of_a_thing_that_is_thrown_far_see_it_whole(tmp_path: Path) -> None:
    two_boxes()
    scene = save(tmp_path / "scene.blend")
    settings = {"views": 6, "resolution": [128, 128], "passes": ["position"], "randomise": [THROWN]}
    render_views(request(scene, tmp_path / "views", **settings), QuietReporter())
    plan = staging.read_plan(tmp_path / "views")
    lower, upper = np.array(plan.bounds)
    names = compat.pass_names()
    for view in plan.views:
        truth = read_exr(tmp_path / "views" / view.pictures[1])
        hit = truth[names["depth"]][..., 0] < 1e9
        points = truth[names["position"]][hit][:, :3]
        assert ((points > lower - 1e-4) & (points < upper + 1e-4)).all()
        assert points[:, 1].max() > 4.5, "the thing is in the picture, and not clipped"
        # nothing touches the picture's border
        assert not (hit[0] | hit[-1]).any() and not (hit[:, 0] | hit[:, -1]).any()


def test_bounds_hold_in_every_frame_of_a_scene_that_moves(tmp_path: Path) -> None:
    two_boxes()
    animate(bpy.data.objects["Table"], "location", (0.0, 0.0, 0.0), (0.0, 0.0, 6.0))
    animate(bpy.context.scene.camera, "location", (8.0, -6.0, 5.0), (8.0, -5.0, 5.0))
    scene = save(tmp_path / "scene.blend")
    for settings in ({"rig": "animated", "moving": True}, {"randomise": [{"what": "time", "frames": [1, 10]}]}):
        render_views({**request(scene, tmp_path / "views", **settings), "only": []}, QuietReporter())
        assert staging.read_plan(tmp_path / "views").bounds[1][2] == pytest.approx(6.1)
