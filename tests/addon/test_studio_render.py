# SPDX-License-Identifier: GPL-3.0-or-later
"""Planning and rendering all views of a scene: rigs, seeds, resuming."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bpy
import numpy as np
import pytest

from radiance_twin.addon import compat
from radiance_twin.addon.studio import render as studio_render
from radiance_twin.addon.studio.render import Pace, render_views
from radiance_twin.core import cameras
from radiance_twin.core.camera_file import camera_words
from radiance_twin.core.dataset import staging
from radiance_twin.core.dataset.staging import Plan
from radiance_twin.core.errors import Cancelled, UserError
from radiance_twin.core.reporting import QuietReporter

from .scenes import add_ball, add_box, add_camera, animate, new_scene, read_exr, request, save


def plan_of(tmp_path: Path, **settings: Any) -> tuple[Plan, QuietReporter, dict[str, Any]]:
    """Save the scene and render it: the plan, what was said, and the answer."""
    scene = save(tmp_path / "scene.blend")
    reporter = QuietReporter()
    answer = render_views(request(scene, tmp_path / "views", **settings), reporter)
    return staging.read_plan(tmp_path / "views"), reporter, answer


def pixels(folder: Path, name: str) -> np.ndarray:
    """All passes of one EXR side by side."""
    return np.concatenate([p for _, p in sorted(read_exr(folder / name).items())], axis=-1)


def soft_scene() -> None:
    """Something with noise in it: soft shadows."""
    new_scene()
    add_box("Floor", (4, 4, 0.1), (0, 0, -0.5))
    add_ball("Ball", 0.5, (0, 0, 0.2))
    bpy.ops.object.light_add(type="AREA", location=(1, -1, 2))
    bpy.context.object.data.energy = 50


def test_the_start_says_what_is_going_to_happen(tmp_path: Path) -> None:
    soft_scene()
    _, reporter, answer = plan_of(tmp_path, views=2, val_views=1, test_views=1, samples=3, reference_samples=5)
    start = next(line for line in reporter.lines if line.startswith("Rendering"))
    for words in ("4 views on CPU (", "hemisphere", "24x18", "2 to train at 3 samples", "at 5", "not denoised"):
        assert words in start
    assert (answer["rendered"], answer["kept"]) == (5, 0)  # and the noise floor


def test_a_view_is_the_same_whenever_and_wherever_it_is_rendered(tmp_path: Path) -> None:
    soft_scene()
    plan, _, _ = plan_of(tmp_path, views=3, samples=2, denoise=compat.has_open_image_denoise())
    folder = tmp_path / "views"
    before = {name: pixels(folder, name) for view in plan.views for name in view.files}
    # one view alone, in a Blender that has rendered nothing else
    (folder / "view_000001.json").unlink()
    reporter = QuietReporter()
    answer = render_views(
        request(tmp_path / "scene.blend", folder, views=3, samples=2, denoise=compat.has_open_image_denoise()), reporter
    )
    assert (answer["rendered"], answer["kept"]) == (1, 2)
    assert "2 of 3 views are rendered already" in reporter.lines
    for name, picture in before.items():
        assert np.array_equal(pixels(folder, name), picture)


def test_a_view_is_the_same_with_any_number_of_threads(tmp_path: Path) -> None:
    found = []
    for threads in (1, 2, 5):
        soft_scene()
        render = bpy.context.scene.render
        render.threads_mode, render.threads = "FIXED", threads
        folder = tmp_path / str(threads)
        folder.mkdir()
        denoised = {"samples": 8, "denoise": compat.has_open_image_denoise(), "resolution": [48, 36]}
        plan, reporter, _ = plan_of(folder, views=1, **denoised)
        assert any(f"on CPU ({threads} thread" in line for line in reporter.lines)
        found.append([pixels(folder / "views", name) for view in plan.views for name in view.files])
    for other in found[1:]:
        assert all(map(np.array_equal, found[0], other))


def test_given_cameras_are_rendered_as_they_are(tmp_path: Path) -> None:
    soft_scene()
    given = [cameras.Camera(cameras.look_at((3, -2, 1), (0, 0, 0)), np.array([30.0, 24.0, 13.0, 8.0]), (24, 18))]
    words = {"cameras": [{**camera_words(one), "frame": 7, "reason": "it errs"} for one in given]}
    (tmp_path / "cameras.json").write_text(json.dumps(words))
    plan, reporter, _ = plan_of(tmp_path, rig="poses", poses=str(tmp_path / "cameras.json"), views=1)
    assert plan.splits == {"train": [0], "val": [], "test": []}
    assert np.allclose(plan.views[0].camera_to_world, given[0].camera_to_world, atol=1e-6)
    assert np.allclose(plan.views[0].intrinsics, given[0].intrinsics, atol=1e-5)
    assert plan.views[0].frame == 7 and bpy.context.scene.frame_current == 7
    assert any("1 views on CPU" in line and "poses" in line for line in reporter.lines)
    assert not any("whatever --views says" in line for line in reporter.lines)
    _, reporter, _ = plan_of(tmp_path, rig="poses", poses=str(tmp_path / "cameras.json"), views=9)
    assert "All 1 cameras that are given are rendered, whatever --views says" in reporter.lines
    # the middle of the ball is where these intrinsics put it
    truth = read_exr(tmp_path / "views" / plan.views[0].pictures[1])
    number = next(thing["index"] for thing in plan.objects if thing["name"] == "Ball")
    rows, columns = np.nonzero(truth[compat.pass_names()["object_index"]][..., 0] == number)
    middle = cameras.project([[0, 0, 0.2]], given[0].camera_to_world, given[0].intrinsics)[0][0]
    assert np.abs([columns.mean() + 0.5, rows.mean() + 0.5] - middle).max() < 1.0


def test_one_of_several_views_is_counted_alone(tmp_path: Path) -> None:
    soft_scene()
    counted: list[tuple[float, float]] = []

    class Hearing(QuietReporter):
        def progress(self, stage: str, done: float, total: float, **more: object) -> None:
            counted.append((done, total))

    reporter, asked = Hearing(), request(save(tmp_path / "scene.blend"), tmp_path / "views", views=3)
    assert render_views({**asked, "only": ["view_000001"]}, reporter)["rendered"] == 1
    assert any(line.startswith("Rendering 1 of 3 views on") for line in reporter.lines)
    assert counted[0] == (0, 1) and counted[-1] == (1, 1)


def test_another_seed_gives_other_noise_and_the_same_truth(tmp_path: Path) -> None:
    soft_scene()
    plan, _, _ = plan_of(tmp_path, views=1, samples=2)
    light, truth = plan.views[0].files
    before = {name: read_exr(tmp_path / "views" / name) for name in (light, truth)}
    _, _, answer = plan_of(tmp_path, views=1, samples=2, seed=1)
    assert answer["rendered"] == 1
    after = {name: read_exr(tmp_path / "views" / name) for name in (light, truth)}
    assert not np.array_equal(after[light]["Combined"], before[light]["Combined"])
    names = compat.pass_names()
    for name in (names["depth"], names["normal"], names["object_index"]):
        assert np.array_equal(after[truth][name], before[truth][name])


@pytest.mark.parametrize("strip", [False, True])
def test_animated_and_driven_settings_do_not_win_over_ours(tmp_path: Path, strip: bool) -> None:
    soft_scene()
    scene = bpy.context.scene
    scene.driver_add("cycles.seed").driver.expression = "frame"
    animate(compat.cycles_of(scene), "samples", 1, 50)
    animation = scene.animation_data
    if strip:
        animation.nla_tracks.new().strips.new("samples", 1, animation.action)
        animation.action = None
    plan, _, _ = plan_of(tmp_path, views=1, test_views=1, samples=1, reference_samples=16)
    folder = tmp_path / "views"
    one, many = (read_exr(folder / view.pictures[0])["Combined"] for view in plan.views)
    # one sample hits or misses
    assert set(np.unique(one[..., 3])) == {0.0, 1.0} and len(np.unique(many[..., 3])) > 4
    # the same view with another seed has other noise
    assert plan.noise_floor is not None
    assert not np.array_equal(read_exr(folder / plan.noise_floor.pictures[0])["Combined"], many)


def test_a_folder_may_have_braces_in_its_name(tmp_path: Path) -> None:
    soft_scene()
    folder = tmp_path / "{scene} and {another"
    folder.mkdir()
    plan, _, _ = plan_of(folder, views=1)
    assert (folder / "views" / plan.views[0].pictures[0]).is_file()


def test_a_changed_setting_or_scene_is_rendered_anew(tmp_path: Path) -> None:
    soft_scene()
    plan_of(tmp_path, views=2)
    _, _, answer = plan_of(tmp_path, views=2, samples=2)
    assert answer["rendered"] == 2
    bpy.data.objects["Ball"].location.z += 0.1
    _, _, answer = plan_of(tmp_path, views=2, samples=2)
    assert answer["rendered"] == 2


def test_views_that_crash_blender_are_left_out(tmp_path: Path) -> None:
    soft_scene()
    scene = save(tmp_path / "scene.blend")
    arguments = {**request(scene, tmp_path / "views", views=3), "skip": ["view_000001"]}
    render_views(arguments, QuietReporter())
    missing = staging.missing_views(tmp_path / "views", staging.read_plan(tmp_path / "views"))
    assert [view.name for view in missing] == ["view_000001"]


def test_cancelling_keeps_what_is_done(tmp_path: Path) -> None:
    class AfterTwo(QuietReporter):
        def cancelled(self) -> bool:
            return len(list((tmp_path / "views").glob("view_0*.json"))) == 2

    soft_scene()
    scene = save(tmp_path / "scene.blend")
    with pytest.raises(Cancelled, match="stopped"):
        render_views(request(scene, tmp_path / "views", views=4), AfterTwo())
    missing = staging.missing_views(tmp_path / "views", staging.read_plan(tmp_path / "views"))
    assert [view.name for view in missing] == ["view_000002", "view_000003"]


def test_the_noise_floor_is_the_middle_test_view_with_another_seed(tmp_path: Path) -> None:
    soft_scene()
    plan, _, _ = plan_of(tmp_path, views=1, val_views=1, test_views=3, reference_samples=2)
    assert plan.splits == {"train": [0], "val": [1], "test": [2, 3, 4]}
    assert plan.noise_floor_of == 3
    first, again = plan.views[3], plan.noise_floor
    assert again.camera_to_world == first.camera_to_world
    assert again.seed != first.seed
    a, b = (pixels(tmp_path / "views", view.pictures[0]) for view in (first, again))
    assert a.shape == b.shape
    assert 0 < np.abs(a - b).mean() < 1


def test_the_noise_ladder_is_that_view_with_fewer_samples(tmp_path: Path) -> None:
    """Cycles' error is that of independent samples: four times as many halve it."""
    soft_scene()
    plan, _, _ = plan_of(tmp_path, views=1, test_views=4, reference_samples=256)
    assert [rung.samples for rung in plan.noise_ladder] == [1, 2, 4, 8, 16]
    reference = pixels(tmp_path / "views", plan.views[3].pictures[0])
    errors = []
    for rung in plan.noise_ladder:
        assert rung.camera_to_world == plan.views[3].camera_to_world
        assert rung.seed != plan.views[3].seed
        errors.append(np.sqrt(((pixels(tmp_path / "views", rung.pictures[0]) - reference) ** 2).mean()))
    assert errors == sorted(errors, reverse=True)
    assert errors[0] / errors[4] == pytest.approx(4.0, rel=0.35)


@pytest.mark.parametrize("rig", ["hemisphere", "sphere", "orbit"])
def test_placed_rigs_show_the_whole_target_with_the_scenes_own_lens(tmp_path: Path, rig: str) -> None:
    new_scene()
    add_ball("Ball", 2.0, (3, 1, 5))
    add_camera((0, 0, 0), (0, 0, 0), lens=35.0, sensor_width=24.0)
    plan, _, _ = plan_of(tmp_path, rig=rig, views=4)
    for view in plan.views:
        assert view.lens["lens"] == 35.0
        assert view.intrinsics[:2] == pytest.approx([35 / 24 * 24] * 2)
        pose = np.array(view.camera_to_world)
        assert np.linalg.norm(pose[:3, 3] - (3, 1, 5)) == pytest.approx(1.1 * 2.0 / np.sin(np.arctan(9 / 35)), rel=1e-3)
        alpha = read_exr(tmp_path / "views" / view.pictures[0])["Combined"][..., 3]
        rows = np.flatnonzero(alpha.max(axis=1) > 0.5)
        assert (rows[0], rows[-1]) == (1, 16)  # of 18: ten per cent to spare


def test_a_scene_without_a_camera_gets_fifty_millimetres_on_thirty_six(tmp_path: Path) -> None:
    soft_scene()
    plan, _, _ = plan_of(tmp_path, views=1)
    assert plan.views[0].intrinsics == pytest.approx([50 / 36 * 24, 50 / 36 * 24, 12, 9])


def test_the_animated_rig_follows_the_scenes_camera_and_nothing_else_moves(tmp_path: Path) -> None:
    scene = new_scene()
    ball = add_ball("Ball", 1.0, (0, 0, 0))
    animate(ball, "location", (0, 0, 0), (50, 0, 0))
    camera = add_camera((0, -8, 0), (np.pi / 2, 0, 0))
    rail = bpy.data.objects.new("Rail", None)
    rail.scale = (2.0, 2.0, 2.0)  # a scaled parent is no part of the pose
    scene.collection.objects.link(rail)
    camera.parent = rail
    animate(camera, "location", (0, -4, 0), (0.5, -4, 0))
    animate(camera.data, "lens", 30.0, 60.0)
    scene.frame_set(1)
    plan, reporter, _ = plan_of(tmp_path, rig="animated", views=7, val_views=1, test_views=2)
    assert sorted(view.frame for view in plan.views) == list(range(1, 11))
    assert any("everything else stays as it is in frame 1" in line for line in reporter.lines)
    assert plan.film == "world"
    first = next(view for view in plan.views if view.frame == 1)
    last = next(view for view in plan.views if view.frame == 10)
    assert (first.lens["lens"], last.lens["lens"]) == (30.0, 60.0)
    assert last.intrinsics[0] == pytest.approx(2 * first.intrinsics[0])
    pose = np.array(last.camera_to_world)
    assert pose[:3, 3] == pytest.approx([1, -8, 0])
    assert pose[:3, :3] == pytest.approx(np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]]), abs=1e-6)
    # the ball is where it was in the current frame
    centre, _ = cameras.project([(0, 0, 0)], last.camera_to_world, last.intrinsics)
    number = read_exr(tmp_path / "views" / last.pictures[1])[compat.pass_names()["object_index"]][..., 0]
    assert number[int(centre[0, 1]), int(centre[0, 0])] == 1


def test_held_out_views_can_lie_along_another_camera(tmp_path: Path) -> None:
    new_scene()
    add_ball("Ball", 1.0, (0, 0, 0))
    other = add_camera((0, 8, 0), (np.pi / 2, 0, np.pi))
    other.name = "Judge"
    animate(other, "location", (-1, 8, 0), (1, 8, 0))
    animate(add_camera((0, -8, 0), (np.pi / 2, 0, 0)), "location", (-1, -8, 0), (1, -8, 0))
    with pytest.raises(UserError, match="no camera named Ball; it has Camera, Judge$"):
        plan_of(tmp_path, rig="animated", views=5, val_views=1, test_camera="Ball")
    plan, _, _ = plan_of(tmp_path, rig="animated", views=5, val_views=1, test_views=2, test_camera="Judge")
    side = {split: {np.sign(plan.views[i].camera_to_world[1][3]) for i in plan.splits[split]} for split in plan.splits}
    assert side == {"train": {-1.0}, "val": {1.0}, "test": {1.0}}


def test_stereo_pairs_between_two_distances_show_the_target_where_it_is(tmp_path: Path) -> None:
    new_scene()
    add_ball("Ball", 1.0, (3, 0, 0))
    shape = {"elevation": [0.0, 40.0], "azimuth": [-60.0, 60.0], "distance": [1.0, 3.0], "stereo": 0.2}
    plan, _, _ = plan_of(tmp_path, rig="random", views=3, seed=4, **shape)
    assert [len(plan.splits[split]) for split in ("train", "val", "test")] == [6, 0, 0]
    for left, right in zip(plan.views[::2], plan.views[1::2], strict=True):
        eyes = [np.array(view.camera_to_world) for view in (left, right)]
        assert eyes[1][:3, 3] - eyes[0][:3, 3] == pytest.approx(0.2 * eyes[0][:3, 0], abs=1e-5)
        pixel, depth = cameras.project([(3, 0, 0)], eyes[0], left.intrinsics)
        number = read_exr(tmp_path / "views" / left.pictures[1])["Depth"][int(pixel[0, 1]), int(pixel[0, 0]), 0]
        # the ball's surface is a radius nearer than its centre
        assert number == pytest.approx(depth[0] - 1.0, abs=0.02)


def test_markers_that_switch_cameras_are_followed(tmp_path: Path) -> None:
    scene = new_scene()
    add_ball("Ball", 1.0, (0, 0, 0))
    for name, frame, x in (("A", 1, 5.0), ("B", 6, -5.0)):
        camera = add_camera((x, 0, 0), (np.pi / 2, 0, np.sign(x) * np.pi / 2))
        scene.timeline_markers.new(name, frame=frame).camera = camera
    plan, _, _ = plan_of(tmp_path, rig="animated", views=8, val_views=1, test_views=1)
    x_in_frame = {view.frame: view.camera_to_world[0][3] for view in plan.views}
    assert x_in_frame == {frame: 5.0 if frame < 6 else -5.0 for frame in range(1, 11)}
    # and what was rendered is what was planned
    for view in plan.views:
        depth = read_exr(tmp_path / "views" / view.pictures[1])["Depth"][9, 12, 0]
        assert depth == pytest.approx(4.0, abs=0.05)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("none", "no camera that is perspective, equidistant fisheye or equirectangular"),
        ("orthographic", "no camera that is perspective, equidistant fisheye or equirectangular"),
        ("still", "stands still"),
        ("short", "10 frames, too few for 12 views"),
    ],
)
def test_a_camera_that_cannot_be_followed_says_so(tmp_path: Path, change: str, message: str) -> None:
    scene = new_scene()
    add_box("Box")
    camera = add_camera((0, -8, 0), (np.pi / 2, 0, 0))
    if change != "still":
        animate(camera, "location", (0, -8, 0), (1, -8, 0))
    if change == "none":
        scene.camera = None
    if change == "orthographic":
        camera.data.type = "ORTHO"
    with pytest.raises(UserError, match=message):
        plan_of(tmp_path, rig="animated", views=12 if change == "short" else 3)


def test_a_real_device_that_is_not_there_is_refused(tmp_path: Path) -> None:
    soft_scene()
    with pytest.raises(UserError, match="no Metal device here"):
        plan_of(tmp_path, cycles_device="metal")


def test_a_blender_without_the_denoiser_says_so_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soft_scene()
    monkeypatch.setattr(compat, "has_open_image_denoise", lambda: False)
    plan, reporter, _ = plan_of(tmp_path, views=1, denoise=True)
    assert any("without Open Image Denoise" in line for line in reporter.lines)
    assert plan.configuration["denoise"] is False


def test_denoising_takes_noise_away(tmp_path: Path) -> None:
    soft_scene()
    assert compat.has_open_image_denoise(), "the package bpy has it"
    pictures = {}
    for name, settings in {
        "reference": {"samples": 256},
        "raw": {"samples": 4},
        "denoised": {"samples": 4, "denoise": True},
    }.items():
        plan, _, _ = plan_of(tmp_path, views=1, resolution=[72, 54], **settings)
        pictures[name] = read_exr(tmp_path / "views" / plan.views[0].pictures[0])["Combined"]
    inside = np.minimum.reduce([picture[..., 3] for picture in pictures.values()]) > 0.999
    # two pixels away from silhouettes, which it smooths in a picture as small as this
    inside &= np.logical_and.reduce([np.roll(inside, step, axis) for step in (-2, -1, 1, 2) for axis in (0, 1)])
    errors = {name: ((picture - pictures["reference"])[inside] ** 2).mean() for name, picture in pictures.items()}
    assert errors["denoised"] < 0.5 * errors["raw"]


def test_progress_tells_the_time_of_the_samples_that_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[float, float, float | None]] = []

    class Hearing(QuietReporter):
        def progress(
            self, stage: str, done: float, total: float, *, seconds_left: float | None = None, **_: Any
        ) -> None:
            said.append((done, total, seconds_left))

    clock = iter([0.0, 2.0, 2.0, 10.0])  # each view's start and end
    monkeypatch.setattr(studio_render, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    few, many = (staging.PlannedView(f"view_{samples}", 1, [], [], {}, samples, False, 0) for samples in (10, 40))
    pace = Pace(Hearing(), [few, many], kept=3)
    for view in (few, many):
        with pace.view_under_way(view):
            pass
    assert said == [(3, 5, None), (4, 5, pytest.approx(8.0)), (5, 5, pytest.approx(0.0))]
