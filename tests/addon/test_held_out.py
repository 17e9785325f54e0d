# SPDX-License-Identifier: GPL-3.0-or-later
"""Held-out views to jump to, the error painted over the scene, and cameras that are rendered and trained on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import bpy
import numpy as np
import pytest

from radiance_twin.addon.jobs import worker
from radiance_twin.addon.operators import fix_it, held_out
from radiance_twin.addon.operators.render import why_not_render
from radiance_twin.addon.paths import paths_of_open_file
from radiance_twin.addon.properties import settings_of
from radiance_twin.addon.studio import heat
from radiance_twin.addon.studio.cameras import intrinsics_of, lens_in, lens_of, pose_of
from radiance_twin.addon.studio.view_camera import lens_in_words
from radiance_twin.core.comparison.error_points import ErrorPoints, read_error_points
from radiance_twin.core.errors import UserError


@pytest.fixture
def compared(extension: None, fake_worker: None, tmp_path: Path) -> Path:
    """Blender's start-up scene, saved, rendered, trained and compared; returns the report's folder."""
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "table.blend"))
    for step in ("render_views", "train", "compare"):
        getattr(bpy.ops.radiance_twin, step)()
    held_out.refresh()
    paths = paths_of_open_file()
    assert paths is not None
    return paths.report


def metrics_of(report: Path) -> dict:
    return json.loads((report / "metrics.json").read_text())


def test_a_click_looks_through_exactly_that_views_camera(compared: Path) -> None:
    scene, own = bpy.context.scene, bpy.context.scene.camera
    view = next(one for one in metrics_of(compared)["views"] if one["index"] == 67)
    bpy.ops.radiance_twin.look_from_view(index=67)
    bpy.context.view_layer.update()
    camera = scene.camera
    assert camera.name == "Radiance Twin View" and camera != own
    assert np.allclose(pose_of(camera), view["camera_to_world"], atol=1e-6)
    assert (scene.render.resolution_x, scene.render.resolution_y) == (48, 32)
    assert np.allclose(intrinsics_of(lens_of(camera), scene, (48, 32)), view["intrinsics"], atol=1e-4)


@pytest.mark.parametrize("kind", ["opencv", "fisheye", "equirectangular"])
@pytest.mark.parametrize("distortion", [[0.0] * 6, [-0.2, 0.05, 0.0, 0.0, 0.0, 0.0]])
def test_a_view_of_another_lens_has_that_lens_or_says_what_it_lacks(
    compared: Path, kind: str, distortion: list[float]
) -> None:
    metrics, bent = metrics_of(compared), any(distortion)
    view = next(one for one in metrics["views"] if one["index"] == 67)
    view |= {"model": kind, "distortion": distortion, "intrinsics": [21.0, 20.0, 25.0, 15.0]}
    (compared / "metrics.json").write_text(json.dumps(metrics))
    bpy.ops.radiance_twin.look_from_view(index=67)
    scene = bpy.context.scene
    lens = lens_in(scene, scene.camera, (48, 32))
    assert lens.kind == kind
    assert np.allclose(intrinsics_of(lens, scene, (48, 32)), view["intrinsics"], atol=1e-4)
    words = lens_in_words(scene.camera)
    assert ("distorted" in words) == bent and ("Cycles alone" in words) == (kind != "opencv")


def test_leaving_the_view_brings_the_scene_back_as_it_was(compared: Path) -> None:
    scene, own = bpy.context.scene, bpy.context.scene.camera
    scene.render.resolution_x, scene.render.pixel_aspect_x = 777, 1.25
    scene.frame_set(9)
    for index in (67, 70):
        bpy.ops.radiance_twin.look_from_view(index=index)
    assert scene.frame_current == 1
    assert len([each for each in bpy.data.objects if each.type == "CAMERA"]) == 2
    bpy.ops.radiance_twin.leave_view()
    assert scene.camera == own and scene.frame_current == 9
    assert (scene.render.resolution_x, scene.render.pixel_aspect_x) == (777, 1.25)
    assert "Radiance Twin View" not in bpy.data.objects and len(bpy.data.cameras) == 1


def test_the_way_back_from_a_view_survives_what_happens_meanwhile(compared: Path) -> None:
    scene, own = bpy.context.scene, bpy.context.scene.camera
    scene.render.resolution_x = 777
    scene.timeline_markers.new("own", frame=5).camera = own
    bpy.ops.radiance_twin.look_from_view(index=67)
    own.name = "Another name"
    scene.frame_set(5)  # where the marker puts the scene's own camera in the place of the view's
    assert scene.camera == own
    bpy.ops.radiance_twin.look_from_view(index=70)
    with bpy.context.temp_override(selected_objects=[scene.camera]):
        bpy.ops.object.delete()
    bpy.ops.radiance_twin.look_from_view(index=67)
    assert scene.camera in scene.objects.values()
    with bpy.context.temp_override(selected_objects=[scene.camera]):
        bpy.ops.object.delete()
    bpy.ops.radiance_twin.leave_view()
    assert scene.camera == own and scene.render.resolution_x == 777
    assert not bpy.ops.radiance_twin.leave_view.poll()
    # what has no users is not saved
    assert not [each for each in bpy.data.objects if each.name.startswith("Radiance Twin View") and each.users]


def shown_pictures() -> list[str]:
    return sorted(image.name for image in bpy.data.images if image.name.startswith("View "))


def test_pictures_are_those_of_the_view_that_is_looked_from(compared: Path) -> None:
    for index in (67, 70):
        bpy.ops.radiance_twin.look_from_view(index=index)
        assert held_out.selected_view()["index"] == index
        assert shown_pictures() == [f"View {index}, Classic", f"View {index}, FLIP", f"View {index}, Neural"]


def test_pictures_come_back_after_undo(compared: Path) -> None:
    for image in list(bpy.data.images):
        bpy.data.images.remove(image)
    bpy.ops.ed.undo_push(message="before there were pictures")
    bpy.ops.radiance_twin.look_from_view(index=67)
    bpy.ops.ed.undo_push(message="looked")
    bpy.ops.ed.undo()
    assert not shown_pictures()
    run_timer(held_out._show_pictures)
    assert len(shown_pictures()) == 3


def run_timer(function: Callable[[], None]) -> None:
    """What a window's Blender does with the next tick: in the background timers only wait."""
    assert bpy.app.timers.is_registered(function)
    bpy.app.timers.unregister(function)
    function()


def test_the_animated_rig_does_not_follow_a_held_out_view(compared: Path) -> None:
    settings_of(bpy.context.scene).rig = "animated"
    assert why_not_render(bpy.context) == ""
    bpy.ops.radiance_twin.look_from_view(index=67)
    assert why_not_render(bpy.context).startswith("Leave the held-out view first")


def test_a_click_selects_the_object_and_says_when_it_is_gone(compared: Path) -> None:
    bpy.ops.object.select_all(action="SELECT")
    bpy.ops.radiance_twin.select_object(name="Cube")
    assert bpy.context.object.name == "Cube" and [each.name for each in bpy.context.selected_objects] == ["Cube"]
    assert bpy.ops.radiance_twin.select_object(name="Gone") == {"CANCELLED"}


@pytest.mark.parametrize("text", ["[]", "{}", '{"views": [{"index": 1}]}', '{"views": 7}', "no JSON", ""])
def test_figures_that_are_none_of_ours_fill_no_list(compared: Path, text: str) -> None:
    (compared / "metrics.json").write_text(text)
    held_out.refresh()
    lists = held_out.held_out_of(bpy.context)
    assert len(lists.views) == len(lists.objects) == 0 and held_out.is_fresh(bpy.context)
    with pytest.raises(RuntimeError, match="Compare first"):
        bpy.ops.radiance_twin.look_from_view(index=67)


def test_figures_of_an_earlier_version_have_no_cameras(compared: Path) -> None:
    metrics = metrics_of(compared)
    for view in metrics["views"]:
        del view["camera_to_world"]
    (compared / "metrics.json").write_text(json.dumps(metrics))
    held_out.refresh()
    with pytest.raises(RuntimeError, match="does not say where its views stand; compare again"):
        bpy.ops.radiance_twin.look_from_view(index=67)


def painted_values(name: str = heat.ERROR) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [N, 3] of the heat map, and their errors [N]."""
    mesh = bpy.data.objects[heat.NAME].data
    place = np.empty(3 * len(mesh.vertices), np.float32)
    mesh.vertices.foreach_get("co", place)
    values = np.empty(len(mesh.vertices), np.float32)
    mesh.attributes[name].data.foreach_get("value", values)
    return place.reshape(-1, 3), values


def test_the_painted_error_is_on_the_side_where_it_is(compared: Path) -> None:
    before = len(bpy.data.objects["Cube"].data.vertices), len(bpy.data.objects["Cube"].data.attributes)
    bpy.ops.radiance_twin.paint_error()
    place, error = painted_values()
    inner = (np.abs(np.sort(np.abs(place), axis=1)[:, :2]) < 0.85).all(axis=1)
    assert error[inner & (place[:, 0] > 0.99)] == pytest.approx(0.4)
    for side in (place[:, 0] < -0.99, place[:, 1] > 0.99, place[:, 1] < -0.99, place[:, 2] > 0.99):
        assert (inner & side).sum() > 50 and error[inner & side] == pytest.approx(0.0, abs=1e-6)
    # from below nobody has looked
    assert (error[inner & (place[:, 2] < -0.99)] == -1.0).all()
    # the skin lies just outside and inside of the cube, which is as it was
    apart = np.abs(np.abs(place).max(axis=1) - 1.0)
    assert apart.min() > 0.0 and apart.max() < 0.02
    cube = bpy.data.objects["Cube"].data
    assert (len(cube.vertices), len(cube.attributes)) == before
    assert bpy.data.objects[heat.NAME].hide_render, "renders must not show it"


def test_painting_again_replaces_and_removing_leaves_nothing(compared: Path) -> None:
    kinds = ("objects", "meshes", "materials", "collections")
    before = [sorted(each.name for each in getattr(bpy.data, kind)) for kind in kinds]
    bpy.ops.radiance_twin.paint_error()
    count = len(bpy.data.objects)
    bpy.ops.radiance_twin.paint_error()
    assert len(bpy.data.objects) == count
    bpy.ops.radiance_twin.remove_error()
    assert [sorted(each.name for each in getattr(bpy.data, kind)) for kind in kinds] == before


def test_instances_modifiers_and_curves_are_painted_as_they_are_seen(compared: Path) -> None:
    cube = bpy.data.objects["Cube"]
    cube.scale = (1.0, 2.0, 1.0)
    array = cube.modifiers.new("Array", "ARRAY")
    array.count, array.relative_offset_displace = 2, (2.0, 0.0, 0.0)
    bpy.context.view_layer.update()
    bpy.ops.radiance_twin.paint_error()
    place, _ = painted_values()
    assert np.ptp(place, axis=0) == pytest.approx([6.0, 4.0, 2.0], abs=0.05)


def test_what_is_hidden_or_gone_cannot_be_painted(compared: Path) -> None:
    bpy.data.objects["Cube"].hide_set(True)
    with pytest.raises(RuntimeError, match="nothing that is visible|Nothing that is visible"):
        bpy.ops.radiance_twin.paint_error()
    (compared / "errors.npz").write_bytes(b"PK")
    with pytest.raises(RuntimeError, match="compare again"):
        bpy.ops.radiance_twin.paint_error()
    (compared / "errors.npz").unlink()
    with pytest.raises(RuntimeError, match="Compare first"):
        bpy.ops.radiance_twin.paint_error()


def test_a_perfect_twin_is_painted_black(compared: Path) -> None:
    points = read_error_points(compared / "errors.npz")
    none = np.zeros_like(points.flip)
    perfect = ErrorPoints(points.position, points.normal, none, none, points.object_index, points.footprint)
    heat.paint(bpy.context.scene, perfect, {"Cube": 1})
    _, error = painted_values()
    assert set(np.unique(error)) == {-1.0, 0.0}
    with pytest.raises(UserError, match="nothing that is visible"):
        heat.paint(bpy.context.scene, perfect, {"Other": 1})


def test_divided_triangles_are_small_and_cover_the_same() -> None:
    corners = np.array([[0.0, 0, 0], [4, 0, 0], [0, 3, 0]])
    divided, triangles = heat.divide(corners, np.array([[0, 1, 2]]), 0.5, 10**6)
    a, b, c = (divided[triangles[:, k]] for k in range(3))
    area = 0.5 * np.cross(b - a, c - a)[:, 2]
    assert area.min() > 0 and area.sum() == pytest.approx(6.0)
    assert max(np.linalg.norm(p - q, axis=1).max() for p, q in ((a, b), (b, c), (c, a))) <= 0.5
    # no more than allowed, however large a triangle is
    assert len(heat.divide(corners * 1e6, np.array([[0, 1, 2]]), 0.5, 1000)[1]) <= 1000


def test_colours_are_magma_and_grey_for_the_unseen() -> None:
    rgba = heat.colours(np.array([0.0, 0.2, 9.0, np.nan], np.float32), 0.2)
    assert rgba[0, :3].max() < 0.01 and np.array_equal(rgba[1], rgba[2])
    assert rgba[1, :2] == pytest.approx([0.974, 0.981], abs=0.01)
    assert (rgba[3, :3] == heat.UNSEEN).all()


def test_proposed_cameras_are_cameras_with_a_reason(compared: Path) -> None:
    settings_of(bpy.context.scene).fix_it_views = 3
    for _ in range(2):
        bpy.ops.radiance_twin.propose_cameras()
    bpy.context.view_layer.update()
    things = fix_it.cameras()
    assert [each.name for each in things] == ["Fix-It 1", "Fix-It 2", "Fix-It 3"]
    assert things[1]["reason"] == "the back errs, number 1"
    assert things[0].matrix_world.translation.x == pytest.approx(-6.0)
    bpy.ops.radiance_twin.remove_cameras()
    assert fix_it.cameras() == [] and fix_it.NAME not in bpy.data.collections


def test_one_click_renders_what_the_cameras_see_now_and_trains_on(compared: Path) -> None:
    scene = bpy.context.scene
    settings_of(scene).fix_it_views = 3
    bpy.ops.radiance_twin.propose_cameras()
    _, second, third = fix_it.cameras()
    bpy.data.objects.remove(second)
    third.location.z = 5.0
    bpy.context.view_layer.update()
    bpy.ops.radiance_twin.render_and_train()
    paths = paths_of_open_file()
    assert paths is not None
    render, train = worker.last("render"), worker.last("train")
    assert render is not None and train is not None and render.result is not None
    asked = json.loads(Path(render.arguments["add"]).read_text())["cameras"]
    assert [one["reason"] for one in asked] == ["the back errs, number 0", "the back errs, number 2"]
    assert asked[1]["camera_to_world"][2][3] == pytest.approx(5.0)
    assert asked[0]["size"] == [48, 32] and asked[0]["intrinsics"][0] == pytest.approx(60.0, abs=1e-3)
    assert render.arguments["output"] == str(paths.dataset)
    assert train.arguments["resume"] == str(paths.twin) and train.error is None
    # they are training views now
    assert fix_it.cameras() == []


def test_a_camera_that_cannot_be_rendered_is_named(compared: Path) -> None:
    bpy.ops.radiance_twin.propose_cameras()
    fix_it.cameras()[0].data.type = "ORTHO"
    with pytest.raises(RuntimeError, match="Fix-It 1 has no lens that can be rendered here"):
        bpy.ops.radiance_twin.render_and_train()
    assert len(fix_it.cameras()) == 8
