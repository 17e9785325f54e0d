# SPDX-License-Identifier: GPL-3.0-or-later
"""Passes that are rendered when they are asked for, against what can be computed by hand."""

from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest

from radiance_twin.addon.studio.render import render_views
from radiance_twin.core import cameras
from radiance_twin.core.dataset import staging
from radiance_twin.core.dataset.contents import ViewPixels
from radiance_twin.core.dataset.cycles import view_pixels
from radiance_twin.core.dataset.staging import Plan
from radiance_twin.core.passes import ASKED_PASSES
from radiance_twin.core.reporting import QuietReporter

from .scenes import (
    add_ball,
    add_box,
    add_camera,
    add_nodes,
    add_object,
    animate,
    make_emitter,
    new_scene,
    nodes_of,
    read_cryptomatte,
    read_exr,
    request,
    save,
)


def render(tmp_path: Path, *passes: str, **settings: Any) -> tuple[Plan, list[ViewPixels]]:
    """Save the scene and render it with these passes."""
    scene, folder = save(tmp_path / "scene.blend"), tmp_path / "views"
    render_views(request(scene, folder, passes=list(passes), **settings), QuietReporter())
    plan = staging.read_plan(folder)
    views = []
    for view in plan.views:
        beauty, truth = (folder / name for name in view.pictures)
        views.append(view_pixels(plan, read_exr(beauty), read_exr(truth), read_cryptomatte(beauty)))
    return plan, views


def paint(
    item: bpy.types.Object, name: str, colour: tuple[float, float, float], inputs: dict[str, float] | None = None
) -> None:
    """Give an object a material of its own."""
    material = bpy.data.materials.new(name)
    shader = nodes_of(material)["Principled BSDF"]
    shader.inputs["Base Color"].default_value = (*colour, 1.0)
    for what, value in (inputs or {}).items():
        shader.inputs[what].default_value = value
    item.data.materials.append(material)


def test_the_parts_of_light_add_up_to_the_picture(tmp_path: Path) -> None:
    new_scene()
    paint(add_box("Floor", (4, 4, 0.2)), "Paint", (0.8, 0.3, 0.1), {"Specular IOR Level": 0.5})
    paint(
        add_ball("Glass", 0.6, (0.8, 0, 0.8)), "Glass", (0.9, 1.0, 0.9), {"Transmission Weight": 1.0, "Roughness": 0.2}
    )
    make_emitter(add_box("Lamp", (1.2, 1.2, 1.2), (-1.0, 0, 0.8)), 3.0)
    parts = ("diffuse", "glossy", "transmission", "volume", "emission", "environment")
    _, (view,) = render(tmp_path, *parts, views=1, samples=16, film="world")
    light = view.further
    assert set(light) == {name for part in parts for name in ASKED_PASSES[part]}
    assert light["emission"].max() == 3.0 and light["transmission_color"].max() > 0.5
    total = light["emission"] + light["environment"] + light["volume_direct"] + light["volume_indirect"]
    for kind, colour in (("diffuse", "albedo"), ("glossy", "glossy_color"), ("transmission", "transmission_color")):
        total = total + light[colour] * (light[f"{kind}_direct"] + light[f"{kind}_indirect"])
    # a product of averages is not the average of products: where one pixel holds several things they differ
    apart = np.abs(total - view.rgba[..., :3]).max(axis=-1)
    assert np.median(apart) < 2e-3 and (apart < 0.02).mean() > 0.9


def test_albedo_is_the_paint(tmp_path: Path) -> None:
    new_scene()
    paint(add_box("Box"), "Paint", (0.8, 0.3, 0.1), {"Specular IOR Level": 0.0})
    _, (view,) = render(tmp_path, "albedo", views=1)
    inside = view.rgba[..., 3] == 1.0
    np.testing.assert_allclose(view.further["albedo"][inside], [[0.8, 0.3, 0.1]] * inside.sum(), atol=1e-3)
    assert not view.further["albedo"][view.rgba[..., 3] == 0].any()


def test_ambient_occlusion_is_half_in_a_corner_and_one_in_the_open(tmp_path: Path) -> None:
    new_scene()
    add_box("Floor", (8, 8, 0.2))
    _, (open_view,) = render(tmp_path, "ambient_occlusion", views=1, samples=16)
    assert np.median(open_view.further["ambient_occlusion"][open_view.normal[..., 2] > 0.99]) == 1.0
    add_box("Wall", (0.2, 8, 8), (-3, 0, 4))
    _, views = render(tmp_path, "ambient_occlusion", "position", views=4, samples=64, resolution=[48, 36])
    shares = []
    for view in views:
        x, y, z = np.moveaxis(view.further["position"], -1, 0)
        foot = (view.object_index == 1) & (z < 0.101) & (x > -2.9) & (x < -2.6) & (np.abs(y) < 2)
        shares += view.further["ambient_occlusion"][foot].tolist()
    # a wall without end takes half of the sky from its foot
    assert len(shares) > 5 and np.mean(shares) == pytest.approx(0.5, abs=0.05)


def test_shadow_catchers_say_what_they_leave_of_the_light(tmp_path: Path) -> None:
    new_scene()
    add_box("Floor", (6, 6, 0.2)).is_shadow_catcher = True
    add_box("Box", (1, 1, 1), (0, 0, 0.8))
    bpy.ops.object.light_add(type="SUN", rotation=(0.6, 0.3, 0))
    _, (view,) = render(tmp_path, "shadow", views=1, samples=8)
    shadow = view.further["shadow"][..., 0]
    assert np.median(shadow) == pytest.approx(1.0, abs=0.05) and 0.0 < shadow.min() < 0.7


def test_position_is_where_depth_says(tmp_path: Path) -> None:
    new_scene()
    add_box("Box", (2, 1, 1), (0.3, 0.2, 0.1))
    plan, (view,) = render(tmp_path, "position", views=1)
    seen = plan.views[0]
    points = cameras.unproject(view.depth, np.array(seen.camera_to_world), np.array(seen.intrinsics))
    hit = view.depth > 0
    assert hit.any() and np.abs(view.further["position"] - points)[hit].max() < 1e-4
    assert not view.further["position"][~hit].any()


def test_materials_and_classes(tmp_path: Path) -> None:
    scene = new_scene()
    plants = bpy.data.collections.new("Plants")
    scene.collection.children.link(plants)
    paint(add_box("Pot", (1, 1, 1), (0, 0, 0)), "Clay", (0.5, 0.2, 0.1))
    leaf = add_box("Leaf.001", (1, 1, 1), (2, 0, 0))
    scene.collection.objects.unlink(leaf)
    plants.objects.link(leaf)
    paint(leaf, "Green", (0.1, 0.6, 0.1))
    paint(add_box("Vase.002", (1, 1, 1), (-2, 0, 0)), "Glass clear", (1, 1, 1))
    own = add_box("Odd", (1, 1, 1), (0, 2, 0))
    own["class"] = "cat"
    bead = bpy.data.materials.new("Glass bead")
    nodes_of(bead)
    add_nodes(add_box("Bead", (1, 1, 1), (0, -2, 0)), "GeometryNodeSetMaterial", Material=bead)
    plan, (view,) = render(
        tmp_path,
        "material_index",
        "class_index",
        views=1,
        resolution=[64, 48],
        classes=["plant = collection:Plants", "glass = material:Glass*", "thing = *"],
    )
    assert {entry["name"]: entry["class"] for entry in plan.objects} == {
        "Bead": "glass",
        "Leaf.001": "plant",
        "Odd": "cat",
        "Pot": "thing",
        "Vase.002": "glass",
    }
    classes = {entry["index"]: entry["name"] for entry in plan.classes} | {0: ""}
    materials = {entry["index"]: entry["name"] for entry in plan.materials} | {0: ""}
    names = {entry["index"]: entry["name"] for entry in plan.objects} | {0: ""}
    triples = np.stack([view.object_index, view.further["class_index"], view.further["material_index"]], axis=-1)
    seen = {(names[o], classes[c], materials[m]) for o, c, m in np.unique(triples.reshape(-1, 3), axis=0).tolist()}
    assert seen == {
        ("", "", ""),
        ("Bead", "glass", "Glass bead"),
        ("Leaf.001", "plant", "Green"),
        ("Odd", "cat", ""),
        ("Pot", "thing", "Clay"),
        ("Vase.002", "glass", "Glass clear"),
    }


def test_coverage_is_each_objects_share_of_a_pixel(tmp_path: Path) -> None:
    """Half of a pixel's column shows the one box, half the other: a box filter's shares are the areas."""
    new_scene()
    for name, x in (("Left", -2.0), ("Right", 2.0)):
        add_object(name, [(x, 2, 0), (0, 2, 0), (0, -2, 0), (x, -2, 0)], [(0, 1, 2, 3)])
    add_camera((0, 0, 10), (0, 0, 0), lens=50.0, sensor_width=36.0)
    bpy.context.scene.cycles.pixel_filter_type = "BOX"
    animate(bpy.context.scene.camera, "location", (0, 0, 10), (0, 0, 10.1))
    _, views = render(
        tmp_path, "coverage", rig="animated", views=2, samples=256, resolution=[33, 33], film="transparent"
    )
    view = views[0]
    index, share = view.further["coverage_index"], view.further["coverage"]
    assert index[16, 16, :2].tolist() in ([1, 2], [2, 1]) and not index[..., 2:].any()
    np.testing.assert_allclose(share[16, 16, :2], 0.5, atol=0.03)
    assert (index[16, 12, 0], share[16, 12, 0]) == (1, 1.0) and (index[16, 20, 0], share[16, 20, 0]) == (2, 1.0)
    # what all objects leave of a pixel is what the film lets through
    np.testing.assert_allclose(share.sum(axis=-1), view.rgba[..., 3], atol=2e-3)
    # and the clean sample, which is rendered after it, is none the worse
    for one in views:
        whole = one.further["coverage"][..., 0] == 1.0
        np.testing.assert_array_equal(one.object_index[whole], one.further["coverage_index"][..., 0][whole])


def test_flow_of_a_moving_camera_and_a_moving_object(tmp_path: Path) -> None:
    new_scene()
    add_box("Floor", (20, 20, 0.2), (0, 0, -1.1))
    box = add_box("Box", (1.2, 1.0, 0.8))
    animate(box, "location", (-1.0, 0.2, 0.0), (1.6, -0.4, 0.3))
    animate(box, "rotation_euler", (0, 0, 0), (0.3, 0.2, 1.2))
    add_ball("Ball", 0.5, (0.8, 0.9, 0.1))
    camera = add_camera((0, 0, 0), (0, 0, 0), lens=40.0)
    animate(camera, "location", (0.3, -5.0, 3.0), (1.2, -4.6, 2.2))
    animate(camera, "rotation_euler", (1.0, 0.0, 0.0), (1.1, 0.05, 0.2))
    animate(camera.data, "lens", 38.0, 44.0)
    plan, views = render(tmp_path, "flow", "position", rig="animated", views=3, moving=True, resolution=[64, 48])
    scene = bpy.context.scene
    view, pixels = plan.views[1], views[1]
    box = bpy.data.objects["Box"]
    index = next(entry["index"] for entry in plan.objects if entry["name"] == "Box")
    seen = {}
    for frame in (view.frame - 1, view.frame, view.frame + 1):
        scene.frame_set(frame)
        seen[frame] = scenes_camera(plan), np.array(box.matrix_world)
    own = pixels.object_index == index
    assert own.sum() > 50 and (pixels.object_index > 0).sum() > 1000
    hit = pixels.depth > 0
    for name, frame in (("flow_forward", view.frame + 1), ("flow_backward", view.frame - 1)):
        motion = seen[frame][1] @ np.linalg.inv(seen[view.frame][1])
        points = pixels.further["position"].astype(np.float64)
        points[own] = points[own] @ motion[:3, :3].T + motion[:3, 3]
        places, _ = seen[frame][0].project(points.reshape(-1, 3))
        expected = places.reshape(48, 64, 2) - cameras.pixel_grid(64, 48)
        assert np.abs(expected[own]).max() > 1.0
        assert np.abs(pixels.further[name] - expected)[hit].max() < 0.05
        assert not pixels.further[name][~hit].any()


@pytest.mark.parametrize("model", ["perspective", "fisheye", "equirectangular"])
def test_flow_of_what_moves_before_cameras_that_stand(tmp_path: Path, model: str) -> None:
    scene = new_scene()
    box = add_box("Box", (1.2, 1.0, 0.8))
    animate(box, "location", (-1.0, 0.2, 0.0), (1.6, -0.4, 0.3))
    add_box("Floor", (20, 20, 0.2), (0, 0, -1.1))
    scene.frame_set(5)
    lens = {"camera_model": model, "resolution": [64, 48], "film": "world"}
    plan, (pixels,) = render(tmp_path, "flow", "position", rig="orbit", views=1, target="Box", **lens)
    view, hit = plan.views[0], pixels.depth > 0
    own = pixels.object_index == next(entry["index"] for entry in plan.objects if entry["name"] == "Box")
    scene, box = bpy.context.scene, bpy.data.objects["Box"]
    here = np.array(box.matrix_world)
    assert own.sum() > 100 and (hit & ~own).sum() > 500
    for name, frame in (("flow_forward", 6), ("flow_backward", 4)):
        scene.frame_set(frame)
        motion = np.array(box.matrix_world) @ np.linalg.inv(here)
        points = pixels.further["position"].astype(np.float64)
        points[own] = points[own] @ motion[:3, :3].T + motion[:3, 3]
        places, _ = view.camera(plan.resolution).project(points.reshape(-1, 3))
        expected = places.reshape(48, 64, 2) - cameras.pixel_grid(64, 48)
        assert np.abs(expected[own]).max() > 1.0
        assert np.abs(pixels.further[name] - expected)[hit].max() < 0.05


def test_it_is_told_when_there_is_no_flow_because_nothing_moves(tmp_path: Path) -> None:
    new_scene()
    add_ball("Ball", 0.5, (0, 0, 0))
    for animated, told in ((False, True), (True, False)):
        if animated:  # it turns where it is
            animate(bpy.data.objects["Ball"], "rotation_euler", (0, 0, 0), (0, 0, 6.0))
        bpy.context.scene.frame_set(5)
        reporter = QuietReporter()
        asked = request(save(tmp_path / "scene.blend"), tmp_path / f"{animated}", passes=["flow"], views=1)
        render_views(asked, reporter)
        assert any("Nothing moves around frame 5: flow is 0 everywhere" in line for line in reporter.lines) == told


def scenes_camera(plan: Plan) -> cameras.Camera:
    """The scene's own camera in this frame, by Blender's projection matrix."""
    thing = bpy.data.objects["Camera"].evaluated_get(bpy.context.evaluated_depsgraph_get())
    width, height = plan.resolution
    matrix = thing.calc_matrix_camera(bpy.context.evaluated_depsgraph_get(), x=width, y=height)
    focal = [0.5 * width * matrix[0][0], 0.5 * height * matrix[1][1], 0.5 * width, 0.5 * height]
    return cameras.Camera(np.array(thing.matrix_world), np.array(focal), (width, height))


@pytest.mark.parametrize(("alpha", "seen"), [(0.7, "Front"), (0.3, "Back")])
def test_what_passes_say_of_a_surface_that_lets_through(tmp_path: Path, alpha: float, seen: str) -> None:
    """Indices and depth are of the first surface that is at least half opaque; coverage and light are shares."""
    new_scene()
    for name, z in (("Back", 0.0), ("Front", 1.0)):
        add_object(name, [(-2, -2, z), (2, -2, z), (2, 2, z), (-2, 2, z)], [(0, 1, 2, 3)])
    paint(bpy.data.objects["Front"], "Film", (1, 1, 1), {"Alpha": alpha})
    add_camera((0, 0, 10), (0, 0, 0), lens=150.0)
    animate(bpy.context.scene.camera, "location", (0, 0, 10), (0, 0, 10.1))
    plan, (view, _) = render(tmp_path, "coverage", rig="animated", views=2, samples=256, resolution=[9, 9])
    places = {entry["name"]: entry["index"] for entry in plan.objects}
    assert view.object_index[4, 4] == places[seen]
    assert view.depth[4, 4] == pytest.approx(9.0 if seen == "Front" else 10.0, abs=1e-4)
    index, share = view.further["coverage_index"][4, 4], view.further["coverage"][4, 4]
    shares = {name: float(share[index == number].sum()) for name, number in places.items()}
    assert shares["Front"] == pytest.approx(alpha, abs=0.08)
    assert shares["Back"] == pytest.approx(1.0 - alpha, abs=0.08)


def test_flow_and_labels_of_a_scene_of_many_objects(root: Path, tmp_path: Path) -> None:
    """Cycles that keeps this scene crashes when labels are asked for between its renders."""
    scene = root / "sample_scenes" / "still_life.blend"
    settings = {"views": 4, "resolution": [32, 32], "passes": ["flow"], "labels": True, "samples": 4}
    assert render_views(request(scene, tmp_path / "views", **settings), QuietReporter())["rendered"] == 4
