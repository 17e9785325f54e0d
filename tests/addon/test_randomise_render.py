# SPDX-License-Identifier: GPL-3.0-or-later
"""Randomised views rendered: the same bits in any order, alone and after a stop; light and truth of one scene."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest

from radiance_twin.addon import compat
from radiance_twin.addon.studio.render import render_views
from radiance_twin.core import cameras
from radiance_twin.core.dataset import staging
from radiance_twin.core.errors import Cancelled, UserError
from radiance_twin.core.reporting import QuietReporter

from .random_table import everything, paint, picture, randomiser, state, table
from .scenes import add_box, add_camera, animate, make_emitter, new_scene, read_exr, request, save

SETTLE = {"what": "pose", "property": "movable", "on": "Table", "settle": True, "turn": [[0, 360]] * 3}


def pixels(folder: Path, view: staging.PlannedView) -> np.ndarray:
    """All passes of light and truth side by side."""
    passes = [one for name in view.files for _, one in sorted(read_exr(folder / name).items())]
    return np.concatenate(passes, axis=-1)


def test_the_same_bits_in_any_order_alone_and_after_a_stop(tmp_path: Path) -> None:
    everything(tmp_path)
    for number, colour in enumerate(((1, 0, 0), (0, 1, 0), (0, 0, 1))):
        picture(tmp_path / "pictures" / f"{number}.png", colour)
    scene = save(tmp_path / "scene.blend")
    rules = [
        SETTLE,
        {"what": "distractor", "select": "Box.3", "count": [0, 1], "on": "Table", "apart": True},
        {"what": "world", "folder": "//pictures", "angle": [0, 360], "per": "scene"},
        {"what": "material", "materials": "Paint", "colour": [[0, 1]] * 3},
        {"what": "camera", "move": [[-0.2, 0.2]] * 3, "look_at": 0.3, "roll": [-20, 20]},
        {"what": "background", "folder": "//pictures"},
        {"what": "time", "frames": [1, 10]},
    ]
    settings: dict[str, Any] = {"views": 4, "samples": 2, "randomise": rules, "seed": 5}

    class AfterTwo(QuietReporter):
        def cancelled(self) -> bool:
            return len(list((tmp_path / "views").glob("view_0*.json"))) == 2

    with pytest.raises(Cancelled):
        render_views(request(scene, tmp_path / "views", **settings), AfterTwo())
    answer = render_views(request(scene, tmp_path / "views", **settings), QuietReporter())
    assert (answer["rendered"], answer["kept"]) == (2, 2)
    plan = staging.read_plan(tmp_path / "views")
    whole = [pixels(tmp_path / "views", view) for view in plan.views]
    assert not any(np.array_equal(one, other) for one in whole for other in whole if one is not other)
    for number in (3, 0):
        folder = tmp_path / f"alone_{number}"
        asked = request(scene, folder, **settings) | {"only": [plan.views[number].name]}
        render_views(asked, QuietReporter())
        assert np.array_equal(pixels(folder, plan.views[number]), whole[number])
    assert plan.configuration["randomise"][0]["seed"] == 5 and plan.film == "world"
    assert {view.frame for view in plan.views} != {1}


def test_lights_that_come_and_go_leave_the_noise_of_the_others_as_it_is(tmp_path: Path) -> None:
    """Cycles picks lights at random in an order of its own, which must not come from the views before."""
    scene = table()
    for number in range(3):
        light = bpy.data.objects.new(f"Light.{number}", bpy.data.lights.new(f"Light.{number}", "AREA"))
        light.location, light.data.energy = (number - 1, 1, 2), 50.0
        scene.collection.objects.link(light)
    rules = [
        {"what": "visibility", "select": "Light.*", "chance": 0.5},
        {"what": "light", "select": "Lamp", "strength": [0.1, 1], "move": [[-1, 1]] * 3},
    ]
    path = save(tmp_path / "scene.blend")
    settings: dict[str, Any] = {"views": 5, "samples": 4, "randomise": rules, "seed": 1}
    render_views(request(path, tmp_path / "views", **settings), QuietReporter())
    plan = staging.read_plan(tmp_path / "views")
    for view in plan.views[1:]:
        alone = tmp_path / view.name
        render_views(request(path, alone, **settings) | {"only": [view.name]}, QuietReporter())
        assert np.array_equal(pixels(alone, view), pixels(tmp_path / "views", view))


def test_truth_shows_what_light_shows(tmp_path: Path) -> None:
    """A glowing box, black all around: each pixel that is lit wholly is on the box, and where the plan says."""
    new_scene()
    add_box("Core", (0.2, 0.2, 0.2))
    box = add_box("Box", (0.5, 0.5, 0.5), (0, 0, 1))
    make_emitter(box, 5.0)
    make_emitter(bpy.data.objects["Core"], 5.0)
    scene = save(tmp_path / "scene.blend")
    rules = [{"what": "pose", "select": "Box", "move": [[-1, 1], [-1, 1], [0, 0.5]]}]
    render_views(request(scene, tmp_path / "views", views=3, target="Core", randomise=rules), QuietReporter())
    plan = staging.read_plan(tmp_path / "views")
    for view in plan.views:
        light, truth = (read_exr(tmp_path / "views" / name) for name in view.files)
        index = truth[compat.pass_names()["object_index"]][..., 0]
        assert ((light["Combined"][..., 3] > 0.99) <= (index > 0)).all()
        assert ((index > 0) <= (light["Combined"][..., 3] > 0.0)).all()


def test_labels_say_where_drawn_things_stand(tmp_path: Path) -> None:
    table()
    scene = save(tmp_path / "scene.blend")
    rules = [
        {"what": "pose", "select": "Box.[01]", "on": "Table", "turn": [[0, 360]] * 3},
        {"what": "visibility", "select": "Box.4", "chance": 0.5},
    ]
    asked = request(scene, tmp_path / "views", views=4, labels=True, randomise=rules, target="Table")
    render_views(asked, QuietReporter())
    plan = staging.read_plan(tmp_path / "views")
    names = [thing["name"] for thing in plan.objects]
    seen = set()
    for view in plan.views:
        found = np.load(tmp_path / "views" / view.labels_file)["object_to_world"]
        with randomiser(*rules).view(view.draw, []):
            for name in ("Box.0", "Box.1", "Box.2"):
                assert found[names.index(name)] == pytest.approx(
                    np.array(bpy.data.objects[name].matrix_world), abs=1e-6
                )
            hidden = bpy.data.objects["Box.4"].hide_render
        assert np.isnan(found[names.index("Box.4")]).all() == hidden
        seen.add(hidden)
    assert seen == {True, False}


def test_both_eyes_see_the_same_scene_and_the_noise_floor_that_of_its_view(tmp_path: Path) -> None:
    table()
    scene = save(tmp_path / "scene.blend")
    rules = [{"what": "visibility", "select": "Box.*", "chance": 0.5}, {"what": "camera", "roll": [0, 90]}]
    counts = {"views": 2, "test_views": 2, "stereo": 0.1, "samples": 1}
    render_views(request(scene, tmp_path / "views", randomise=rules, **counts), QuietReporter())
    plan = staging.read_plan(tmp_path / "views")
    assert [view.draw for view in plan.views] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert plan.noise_floor is not None and plan.noise_floor.draw == plan.views[plan.noise_floor_of or 0].draw
    for left, right in zip(plan.views[::2], plan.views[1::2], strict=True):
        eyes = [np.array(view.camera_to_world) for view in (left, right)]
        assert np.allclose(eyes[0][:3, :3], eyes[1][:3, :3], atol=1e-6)
        assert np.allclose(eyes[1][:3, 3] - eyes[0][:3, 3], 0.1 * eyes[0][:3, 0], atol=1e-5)
        assert abs(eyes[0][2, 0]) > 0.01  # rolled


def test_all_that_may_be_seen_stands_in_the_table_of_objects(tmp_path: Path) -> None:
    table()
    for number in range(5):
        bpy.data.objects[f"Box.{number}"].hide_render = True
    scene = save(tmp_path / "scene.blend")
    rules = [{"what": "distractor", "property": "movable", "count": [1, 1], "on": "Table"}]
    render_views(request(scene, tmp_path / "views", views=3, randomise=rules), QuietReporter())
    plan = staging.read_plan(tmp_path / "views")
    assert {thing["name"] for thing in plan.objects} == {"Table", *(f"Box.{number}" for number in range(5))}
    assert np.allclose(plan.bounds, [[-2.2, -2.2, -0.2], [2.2, 2.2, 0.4]]), "wherever they may stand"
    known = {thing["index"] for thing in plan.objects}
    for view in plan.views:
        index = read_exr(tmp_path / "views" / view.files[1])[compat.pass_names()["object_index"]]
        assert set(np.unique(index)) <= known | {0}


def test_a_background_is_seen_and_does_not_shine(tmp_path: Path) -> None:
    new_scene()
    bpy.context.scene.world.node_tree.nodes["Background"].inputs["Strength"].default_value = 0.0
    add_box("Box")
    paint(bpy.data.objects["Box"], "White")
    (tmp_path / "photos").mkdir()
    picture(tmp_path / "photos" / "green.png", (0, 1, 0), (8, 2))
    scene = save(tmp_path / "scene.blend")
    rules = [{"what": "background", "folder": "//photos"}]
    render_views(request(scene, tmp_path / "views", views=1, randomise=rules), QuietReporter())
    plan = staging.read_plan(tmp_path / "views")
    light, truth = (read_exr(tmp_path / "views" / name) for name in plan.views[0].files)
    depth = truth["Depth"][..., 0]
    behind = np.ones_like(depth, bool)
    behind[2:-2, 4:-4] = False
    assert np.allclose(light["Combined"][behind][:, :3], (0, 1, 0), atol=1e-3)
    assert np.allclose(light["Combined"][8:10, 11:13, :3], 0.0)


def test_jittered_cameras_look_at_the_target_still(tmp_path: Path) -> None:
    new_scene()
    add_box("Box")
    scene = save(tmp_path / "scene.blend")
    rules = [{"what": "camera", "move": [[-0.5, 0.5]] * 3, "look_at": 0.2, "roll": [-30, 30]}]
    poses = []
    for rule in ([], rules):
        asked = request(scene, tmp_path / f"views_{len(rule)}", views=6, randomise=rule) | {"only": []}
        render_views(asked, QuietReporter())
        plan = staging.read_plan(tmp_path / f"views_{len(rule)}")
        poses.append(np.array([view.camera_to_world for view in plan.views]))
    moved = np.einsum("nij,ni->nj", poses[0][:, :3, :3], poses[1][:, :3, 3] - poses[0][:, :3, 3])
    assert (np.abs(moved) <= 0.5 + 1e-6).all() and np.abs(moved).max() > 0.3
    for pose in poses[1]:
        beside = np.cross(-pose[:3, 2], -pose[:3, 3])
        assert np.linalg.norm(beside) <= 0.2 + 1e-6
        assert np.allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-6)
    middle, _ = cameras.project([(0, 0, 0)], poses[1][0], plan.views[0].intrinsics)
    assert np.abs(middle[0] - (12, 9)).max() < 3


def test_the_whole_file_is_put_back_after_rendering_and_after_a_failure(tmp_path: Path, monkeypatch: Any) -> None:
    """Rules of the scene and of views, which a failing disk interrupts."""
    from radiance_twin.addon.studio import passes

    everything(tmp_path)
    scene = save(tmp_path / "scene.blend")
    rules = [{**SETTLE, "per": "scene"}, {"what": "world", "colour": [[0, 1]] * 3}, {"what": "time", "frames": [5, 6]}]

    def full(*_: Any) -> None:
        raise UserError("the disk is full")

    monkeypatch.setattr(passes.Passes, "render_to", full)
    states = []
    for used in ([], rules):
        with pytest.raises(UserError, match="the disk is full"):
            render_views(request(scene, tmp_path / f"views{len(used)}", views=2, randomise=used), QuietReporter())
        # our own camera stays, wherever it stood last
        states.append({name: one for name, one in state().items() if "Radiance Twin" not in name})
    assert states[0] == states[1]


def test_an_animated_camera_passes_through_drawn_scenes(tmp_path: Path) -> None:
    new_scene()
    add_box("Box")
    animate(add_camera((0, -8, 0), (np.pi / 2, 0, 0)), "location", (-1, -8, 0), (1, -8, 0))
    scene = save(tmp_path / "scene.blend")
    rules = [{"what": "pose", "select": "Box", "turn": [[0, 0], [0, 0], [0, 90]]}]
    reporter = QuietReporter()
    render_views(request(scene, tmp_path / "views", rig="animated", views=2, randomise=rules), reporter)
    assert any("The scene differs from view to view" in line for line in reporter.lines)
