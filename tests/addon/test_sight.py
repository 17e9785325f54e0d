# SPDX-License-Identifier: GPL-3.0-or-later
"""What cameras would see, asked before anything is rendered."""

from pathlib import Path

import bpy
import numpy as np
import pytest

from radiance_twin.addon.studio.plan import plan_views
from radiance_twin.addon.studio.sight import Sight
from radiance_twin.core.cameras import look_at
from radiance_twin.core.covers import SPLITS
from radiance_twin.core.dataset import staging

from .scenes import SETTINGS, add_ball, add_box, new_scene, save
from .test_studio_render import plan_of

INTRINSICS, SIZE = np.array([100.0, 100.0, 50.0, 50.0]), (100, 100)


def sight(target: str | None = "Ball") -> Sight:
    bpy.context.view_layer.update()
    return Sight(bpy.context.scene, None if target is None else frozenset([target]), np.zeros(3))


def folder(parent: Path, name: str) -> Path:
    (parent / name).mkdir()
    return parent / name


def test_a_good_view_has_no_complaint() -> None:
    new_scene()
    add_ball("Ball", 1.0, (0, 0, 0))
    assert sight().complaint(look_at((4, 0, 1), (0, 0, 0)), INTRINSICS, SIZE) == ""


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
    assert sight().complaint(look_at(eye, target), INTRINSICS, SIZE) == complaint


def test_a_wall_before_the_lens_is_named() -> None:
    new_scene()
    add_ball("Ball", 1.0, (0, 0, 0))
    add_box("Wall", (0.1, 8, 8), (3.6, 0, 0))
    assert sight(None).complaint(look_at((4, 0, 0), (0, 0, 0)), INTRINSICS, SIZE) == "looks into Wall from close by"


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
    assert "1 cameras stood in or before something and were moved around the target" in reporter.lines
    apart = np.linalg.norm(stands - stood, axis=1)
    assert apart[2] > 0.5 and np.delete(apart, 2).max() < 1e-4
    assert np.linalg.norm(stands[2]) == pytest.approx(np.linalg.norm(stood[2]), rel=1e-5)


def test_ten_thousand_views_are_planned_and_numbered_in_seconds(tmp_path: Path) -> None:
    new_scene()
    add_ball("Ball", 1.0, (0, 0, 0))
    counts = {"views": 9_700, "val_views": 100, "test_views": 200}
    plan, _ = plan_views(save(tmp_path / "scene.blend"), {**SETTINGS, **counts, "rig": "cover"}, tmp_path)
    assert [view.name for view in plan.views] == [f"view_{number:06d}" for number in range(10_000)]
    assert [len(plan.splits[split]) for split in SPLITS] == list(counts.values())
    assert sorted(index for indices in plan.splits.values() for index in indices) == list(range(10_000))
    assert len({view.key for view in plan.views}) == len({view.seed for view in plan.views}) == 10_000
    again = staging.read_plan(tmp_path)
    assert again.views == plan.views and staging.missing_views(tmp_path, again) == plan.work
    poses = np.array([view.camera_to_world for view in plan.views])
    facing = np.einsum("nj,nj->n", -poses[:, :3, 2], -poses[:, :3, 3]) / np.linalg.norm(poses[:, :3, 3], axis=1)
    assert facing.min() > 1 - 1e-6, "each looks at the target"
