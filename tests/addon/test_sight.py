# SPDX-License-Identifier: GPL-3.0-or-later
"""What cameras would see, asked before anything is rendered."""

import re
from pathlib import Path

import bpy
import numpy as np
import pytest

from radiance_twin.addon.studio import heat
from radiance_twin.addon.studio.plan import plan_views
from radiance_twin.addon.studio.randomise.changes import Changes
from radiance_twin.addon.studio.sight import Sight
from radiance_twin.addon.studio.surfaces import hidden_from_cameras, surface_points
from radiance_twin.core.cameras import Camera, look_at
from radiance_twin.core.dataset import staging
from radiance_twin.core.errors import UserError
from radiance_twin.core.rendering.covers import SPLITS, fibonacci

from .scenes import SETTINGS, add_ball, add_box, add_camera, add_collection, animate, new_scene, save
from .test_studio_render import plan_of

INTRINSICS, SIZE = np.array([100.0, 100.0, 50.0, 50.0]), (100, 100)


def sight(target: str | None = "Ball") -> Sight:
    bpy.context.view_layer.update()
    scene = bpy.context.scene
    return Sight(scene, None if target is None else frozenset([target]), np.zeros(3), hidden_from_cameras(scene))


def folder(parent: Path, name: str) -> Path:
    (parent / name).mkdir()
    return parent / name


def test_a_good_view_has_no_complaint() -> None:
    new_scene()
    add_ball("Ball", 1.0, (0, 0, 0))
    assert sight().complaint(Camera(look_at((4, 0, 1), (0, 0, 0)), INTRINSICS, SIZE)) == ""


@pytest.mark.parametrize(
    ("eye", "target", "complaint"),
    [
        ((5.0, 0.1, 0.2), (0, 0, 0), "stands inside Crate"),
        ((0.0, 4.0, 0.0), (0, 8, 0), "sees nothing of the target"),
        ((-4.0, 0.0, 0.0), (0, 0, 0), "sees nothing of the target"),
    ],
)
def test_cameras_in_things_and_blind_ones_are_found(eye: tuple, target: tuple, complaint: str) -> None:
    new_scene()
    add_ball("Ball", 1.0, (0, 0, 0))
    add_box("Crate", (1, 1, 1), (5, 0, 0))
    add_box("Wall", (0.1, 8, 8), (-2, 0, 0))  # hides the ball
    assert sight().complaint(Camera(look_at(eye, target), INTRINSICS, SIZE)) == complaint


@pytest.mark.parametrize("how", ["object", "collection", "ray visibility"])
def test_what_only_the_viewport_shows_is_in_nobodys_way(how: str) -> None:
    new_scene()
    add_ball("Ball", 1.0, (0, 0, 0))
    cutter = add_box("Cutter", (9, 9, 9), (4, 0, 0))
    if how == "collection":
        add_collection("Cutters", cutter).hide_render = True
    elif how == "object":
        cutter.hide_render = True
    else:
        cutter.visible_camera = False
    assert sight().complaint(Camera(look_at((4, 0, 1), (0, 0, 0)), INTRINSICS, SIZE)) == ""


def test_a_wall_before_the_lens_is_named() -> None:
    new_scene()
    add_ball("Ball", 1.0, (0, 0, 0))
    add_box("Wall", (0.1, 8, 8), (3.6, 0, 0))
    assert (
        sight(None).complaint(Camera(look_at((4, 0, 0), (0, 0, 0)), INTRINSICS, SIZE))
        == "looks into Wall from close by"
    )


@pytest.mark.timeout(60)
@pytest.mark.parametrize("middle", [(0.0, 0.0, 0.0), (3000.0, 2000.0, 0.0)])
def test_rays_pass_through_what_is_painted_over_the_surfaces(middle: tuple[float, float, float]) -> None:
    new_scene()
    add_ball("Ball", 1.0, middle)
    cameras = [Camera(look_at(middle + 4.0 * way, middle), INTRINSICS, SIZE) for way in fibonacci(20)]
    ways = [camera.ray_directions(np.argwhere(np.ones(SIZE)) + 0.5)[::50] for camera in cameras]
    bare = [sight().distances(camera.camera_to_world[:3, 3], of) for camera, of in zip(cameras, ways, strict=True)]
    points = surface_points(500)
    seen = heat.Heat(heat.COVERAGE, points.position, np.ones(500, np.float32), points.index, 0.1, 1.0)
    heat.paint_values(bpy.context.scene, seen, {})
    for camera, of, distances in zip(cameras, ways, bare, strict=True):
        assert 0.1 < np.isfinite(distances).mean() < 0.9
        assert sight().distances(camera.camera_to_world[:3, 3], of) == pytest.approx(distances, rel=1e-3)


def test_what_the_near_clipping_cuts_is_named() -> None:
    new_scene()
    add_box("Near", (0.1, 1, 1), (3, 0, 0))
    pose = look_at((4, 0, 0), (0, 0, 0))
    assert sight(None).cut_by_clipping(pose, clip_start=1.5) == "Near"
    assert sight(None).cut_by_clipping(pose, clip_start=0.5) == ""


def test_a_camera_in_a_thing_is_moved_around_the_target_and_this_is_said(tmp_path: Path) -> None:
    new_scene()
    add_ball("Ball", 1.0, (0, 0, 0))
    before, _, _ = plan_of(
        folder(tmp_path, "free"), rig="rings", rings=1, elevation=[-1.0, 1.0], views=6, target="Ball"
    )
    stood = np.array([view.camera_to_world for view in before.views])[:, :3, 3]
    add_box("Crate", (0.5, 0.5, 0.5), stood[2])
    plan, reporter, _ = plan_of(
        folder(tmp_path, "crate"), rig="rings", rings=1, elevation=[-1.0, 1.0], views=6, target="Ball"
    )
    stands = np.array([view.camera_to_world for view in plan.views])[:, :3, 3]
    moved = "1 cameras stood in or before something, or saw too little of the target, and were moved around it"
    assert moved in reporter.lines
    apart = np.linalg.norm(stands - stood, axis=1)
    assert apart[2] > 0.5 and np.delete(apart, 2).max() < 1e-4
    assert np.linalg.norm(stands[2]) == pytest.approx(np.linalg.norm(stood[2]), rel=1e-5)


def test_ten_thousand_views_are_planned_and_numbered_in_seconds(tmp_path: Path) -> None:
    new_scene()
    add_ball("Ball", 1.0, (0, 0, 0))
    counts = {"views": 9_700, "val_views": 100, "test_views": 200}
    with Changes() as changes:
        scene = save(tmp_path / "scene.blend")
        plan, _ = plan_views(scene, {**SETTINGS, **counts, "rig": "cover"}, tmp_path, changes)
    assert [view.name for view in plan.views] == [f"view_{number:06d}" for number in range(10_000)]
    assert [len(plan.splits[split]) for split in SPLITS] == list(counts.values())
    assert sorted(index for indices in plan.splits.values() for index in indices) == list(range(10_000))
    assert len({view.key for view in plan.views}) == len({view.seed for view in plan.views}) == 10_000
    again = staging.read_plan(tmp_path)
    assert again.views == plan.views and staging.missing_views(tmp_path, again) == plan.work
    poses = np.array([view.camera_to_world for view in plan.views])
    facing = np.einsum("nj,nj->n", -poses[:, :3, 2], -poses[:, :3, 3]) / np.linalg.norm(poses[:, :3, 3], axis=1)
    assert facing.min() > 1 - 1e-6, "each looks at the target"


def test_cameras_that_see_too_little_of_the_target_are_moved(tmp_path: Path) -> None:
    new_scene()
    add_ball("Ball", 1.0, (0, 0, 0))
    shape = {"rig": "rings", "rings": 1, "elevation": [-1.0, 1.0], "views": 6, "target": "Ball", "test_views": 1}
    before, reporter, _ = plan_of(folder(tmp_path, "free"), **shape)
    apart = next(line for line in reporter.lines if line.startswith("From each test view to the nearest training view"))
    assert "51.4 to 51.4 degrees as seen from the target" in apart, "seven on a ring"
    stood = np.array([view.camera_to_world for view in before.views])[:, :3, 3]
    # hides all of the ball from one side but its rim
    add_box("Screen", (0.1, 0.75, 0.75), 0.5 * stood[0]).rotation_euler[2] = np.arctan2(stood[0][1], stood[0][0])
    for least, moved in ((0.02, False), (0.3, True)):
        plan, _, _ = plan_of(folder(tmp_path, f"least {least}"), **shape, least_target=least)
        apart = np.linalg.norm(np.array(plan.views[0].camera_to_world)[:3, 3] - stood[0])
        assert (apart > 0.5) == moved


def test_what_an_animated_camera_runs_into_is_told_and_nothing_is_moved(tmp_path: Path) -> None:
    new_scene()
    add_ball("Ball", 1.0, (0, 0, 0))
    camera = add_camera((0, -9, 0), (np.pi / 2, 0, 0))
    animate(camera, "location", (0, -9, 0), (0, -3, 0))
    bpy.context.scene.frame_set(7)
    stands = camera.matrix_world.translation[:]
    add_box("Wall", (2, 1, 2), stands)
    plan, reporter, _ = plan_of(tmp_path, rig="animated", views=4, frames="1-10:3")
    assert [view.frame for view in plan.views] == [1, 4, 7, 10]
    assert "view_000002 stands inside Wall" in reporter.lines
    assert np.array(plan.views[2].camera_to_world)[:3, 3] == pytest.approx(stands, abs=1e-5)


def test_a_named_camera_trains_in_some_frames(tmp_path: Path) -> None:
    new_scene()
    add_ball("Ball", 1.0, (0, 0, 0))
    other = add_camera((0, 8, 0), (np.pi / 2, 0, np.pi))
    other.name = "Rail"
    animate(other, "location", (-1, 8, 0), (1, 8, 0))
    add_camera((0, -8, 0), (np.pi / 2, 0, 0))
    counts = {"views": 3, "test_views": 1}
    plan, _, _ = plan_of(tmp_path, rig="animated", train_camera="Rail", frames="2,4,6,9", **counts)
    assert sorted(view.frame for view in plan.views) == [2, 4, 6, 9]
    assert {view.camera_to_world[1][3] for view in plan.views} == {8.0}, "held-out views lie along it, too"


def test_a_walk_stays_in_the_room_that_the_camera_stands_in(tmp_path: Path) -> None:
    new_scene()
    add_box("Room", (6, 4, 3), (0, 0, 0))
    add_box("Crate", (1, 1, 3), (1.5, 0, 0))
    add_ball("Outside", 3.0, (20, 0, 0))
    add_camera((-1.5, 0, 0), (0, 0, 0))
    plan, reporter, _ = plan_of(tmp_path, rig="walk", views=30, test_views=5, resolution=[8, 8])
    places = np.array([view.camera_to_world for view in plan.views])[:, :3, 3]
    assert (np.abs(places) < (2.8, 1.8, 1.3)).all()
    assert not (np.abs(places - (1.5, 0, 0)) < (0.6, 0.6, 9)).all(axis=1).any()
    assert not [line for line in reporter.lines if "stands inside" in line], "the room is no thing in the way"
    assert plan.film == "world"
    assert any(re.search(r"nearest training view: .* scene units", line) for line in reporter.lines)


def test_a_walk_without_room_is_refused(tmp_path: Path) -> None:
    new_scene()
    add_box("Block", (2, 2, 2), (0, 0, 0))
    with pytest.raises(
        UserError, match="no free space to walk in; stand the scene's camera where the walk shall begin"
    ):
        plan_of(tmp_path, rig="walk", views=3)
