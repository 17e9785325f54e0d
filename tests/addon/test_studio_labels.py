# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels of objects in rendered views, against what can be computed by hand."""

from pathlib import Path
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix

from radiance_twin.addon.studio.keypoints import find_keypoints
from radiance_twin.addon.studio.render import render_views
from radiance_twin.addon.studio.scene import measure
from radiance_twin.core import cameras
from radiance_twin.core.dataset import staging
from radiance_twin.core.dataset.contents import ViewPixels
from radiance_twin.core.dataset.cycles import view_pixels
from radiance_twin.core.dataset.labels import HIDDEN, OUTSIDE, SEEN, STAGED, ObjectLabels, fill_view, no_labels
from radiance_twin.core.dataset.run_lengths import mask_of
from radiance_twin.core.dataset.staging import Plan
from radiance_twin.core.reporting import QuietReporter

from .scenes import add_ball, add_box, add_camera, add_nodes, add_object, animate, new_scene, read_exr, request, save

SIZE = (96, 72)


def render(tmp_path: Path, **settings: Any) -> tuple[Plan, ObjectLabels, list[ViewPixels]]:
    """Save the scene, render it, and enter what is known of its objects."""
    scene, folder = save(tmp_path / "scene.blend"), tmp_path / "views"
    asked = {"labels": True, "views": 1, "resolution": list(SIZE), **settings}
    render_views(request(scene, folder, **asked), QuietReporter())
    plan = staging.read_plan(folder)
    labels, views = no_labels(len(plan.views), len(plan.objects), plan.keypoints), []
    for index, view in enumerate(plan.views):
        views.append(view_pixels(plan, *(read_exr(folder / name) for name in view.pictures), {}))
        with np.load(folder / view.labels_file) as file:
            staged = {name: file[name] for name in STAGED}
        fill_view(labels, index, staged, views[-1], view.camera(plan.resolution), plan.objects)
    return plan, labels, views


def looking_down(height: float = 10.0) -> None:
    """A camera above the origin, 96 x 72 pixels of 1/10 unit on the ground."""
    add_camera((0, 0, height), (0, 0, 0), lens=36.0 * height / 9.6, sensor_width=36.0)
    animate(bpy.context.scene.camera, "location", (0, 0, height), (0, 0, height + 1.0))


def named(plan: Plan, name: str) -> int:
    return next(place for place, entry in enumerate(plan.objects) if entry["name"] == name)


def test_boxes_and_counts_to_the_pixel_with_something_before_them(tmp_path: Path) -> None:
    """Flat things seen from above: a pixel is a tenth of a unit, so all numbers can be counted."""
    new_scene()
    looking_down()
    for name, left, right, z in (("Back", -2.04, 2.04, 0.0), ("Front", 1.04, 2.96, 0.0001)):
        add_object(name, [(left, -1, z), (right, -1, z), (right, 1, z), (left, 1, z)], [(0, 1, 2, 3)])
    plan, labels, (view, *_) = render(tmp_path, rig="animated", views=2, film="transparent")
    back, front = named(plan, "Back"), named(plan, "Front")
    # pixel centres at x = -4.75, -4.65 ...: from -2.04 to 2.04 are columns 28 to 67, from 1.04 on columns 58 to 77
    assert labels.amodal_box[0, back].tolist() == [28, 26, 68, 46]
    assert labels.amodal_box[0, front].tolist() == labels.visible_box[0, front].tolist() == [58, 26, 78, 46]
    assert labels.visible_box[0, back].tolist() == [28, 26, 58, 46]
    assert (labels.amodal_pixels[0, back], labels.visible_pixels[0, back]) == (40 * 20, 30 * 20)
    whole = mask_of(labels.amodal_masks[0][back], SIZE)
    assert whole.sum() == 800 and whole[26:46, 28:68].all(), "all of what is behind, and only that is kept"
    assert list(labels.amodal_masks[0]) == [back]
    assert labels.visible_fraction[0].tolist() == ([0.75, 1.0] if back < front else [1.0, 0.75])
    assert (view.object_index == plan.objects[back]["index"]).sum() == 600


def test_alone_is_what_a_render_of_the_object_alone_shows(tmp_path: Path) -> None:
    new_scene()
    turned = add_box("Box", (1.0, 1.4, 0.8), (0.5, -0.2, 0.1))
    turned.rotation_euler = (0.3, 0.5, 0.7)
    ball = add_ball("Ball", 0.7, (-0.6, 0.3, 0.2))
    smooth = ball.modifiers.new("Finer", "SUBSURF")
    smooth.levels, smooth.render_levels = 0, 2
    bpy.ops.object.text_add(location=(-0.5, -1.0, 0.0), rotation=(1.2, 0, 0))
    bpy.context.object.name = "Text"
    plan, labels, _ = render(tmp_path, views=2, seed=3)
    for name in ("Box", "Ball", "Text"):
        bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "scene.blend"))
        for thing in bpy.data.objects:
            thing.hide_render = thing.name != name
        place = named(plan, name)
        for view in plan.views:
            mask = covered_by_cycles(view.camera_to_world, view.lens)
            index = plan.views.index(view)
            assert labels.amodal_pixels[index, place] == mask.sum() > 3, name
            rows, columns = np.nonzero(mask)
            box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert labels.amodal_box[index, place].tolist() == box


def covered_by_cycles(pose: Any, lens: dict[str, Any]) -> np.ndarray:
    """[H, W] which pixel centres Cycles hits, in the open scene as it is, by the passes of a studio."""
    from radiance_twin.addon.studio.cameras import Lens, StudioCamera
    from radiance_twin.addon.studio.passes import Passes
    from radiance_twin.addon.studio.scene import prepare_scene

    scene = bpy.context.scene
    prepare_scene(scene, SIZE, True)
    passes, camera = Passes(scene, ()), StudioCamera(scene)
    camera.put(pose, Lens(**lens))
    passes.set_for_truth()
    path = Path(bpy.data.filepath).with_name("alone.exr")
    passes.render_to(path)
    return read_exr(path)["Depth"][..., 0] < 1e9


def test_poses_and_boxes_in_space(tmp_path: Path) -> None:
    new_scene()
    turned = add_box("Box", (2.0, 1.0, 0.5), (0, 0, 0))
    turned.matrix_world = Matrix.LocRotScale((0.3, 0.2, 0.1), Matrix.Rotation(0.7, 3, "Z"), (1.0, 2.0, 3.0))
    expected = np.array(turned.matrix_world)
    plan, labels, _ = render(tmp_path)
    np.testing.assert_allclose(labels.object_to_world[0, 0], expected, atol=1e-6)
    np.testing.assert_allclose(plan.objects[0]["local_bounds"], [[-1, -0.5, -0.25], [1, 0.5, 0.25]], atol=1e-7)


def test_instances_have_one_box_and_no_pose(tmp_path: Path) -> None:
    scene = new_scene()
    group = bpy.data.collections.new("Group")
    leaf = add_object(
        "Leaf", [(x, y, 0) for x, y in ((-0.23, -0.23), (0.27, -0.23), (0.27, 0.27), (-0.23, 0.27))], [range(4)]
    )
    scene.collection.objects.unlink(leaf)
    group.objects.link(leaf)
    looking_down()
    for x in (-2.0, 2.0):
        item = bpy.data.objects.new("Instance", None)
        item.instance_type, item.instance_collection, item.location = "COLLECTION", group, (x, 0, 0)
        scene.collection.objects.link(item)
    plan, labels, views = render(tmp_path, rig="animated", views=2, film="transparent")
    assert [entry["name"] for entry in plan.objects] == ["Leaf"] and np.isnan(labels.object_to_world).all()
    mask = views[0].object_index > 0
    assert labels.amodal_pixels[0, 0] == labels.visible_pixels[0, 0] == mask.sum() == 2 * 5 * 5
    assert labels.amodal_box[0, 0].tolist() == labels.visible_box[0, 0].tolist() == [26, 33, 71, 38]


def test_keypoints_of_empties_groups_and_bones(tmp_path: Path) -> None:
    scene = new_scene()
    looking_down()
    box = add_box("Box", (2.0, 2.0, 2.0), (0, 0, -1))
    group = box.vertex_groups.new(name="kp_right")
    group.add(
        [index for index, vertex in enumerate(box.data.vertices) if vertex.co.x > 0 and vertex.co.z > 0], 1.0, "ADD"
    )
    for name, place in (("kp_top", (0.5, 0.5, 1.0)), ("kp_bottom", (0.5, 0.5, -1.0)), ("kp_far", (50.0, 0.0, 0.0))):
        empty = bpy.data.objects.new(name, None)
        empty.parent, empty.location = box, place
        scene.collection.objects.link(empty)
    lone = bpy.data.objects.new("kp_lone", None)
    scene.collection.objects.link(lone)
    armature = bpy.data.objects.new("Rig", bpy.data.armatures.new("Rig"))
    scene.collection.objects.link(armature)
    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="EDIT")
    bone = armature.data.edit_bones.new("kp_bone")
    bone.head, bone.tail = (-0.5, 0.0, 0.0), (-0.5, 0.0, 1.0)
    bpy.ops.object.mode_set(mode="OBJECT")
    armature.location = (0.0, -0.5, 0.0)
    armature.pose.bones["kp_bone"].location = (0.25, 0.0, 0.0)
    box.modifiers.new("Rig", "ARMATURE").object = armature
    plan, labels, _ = render(tmp_path, rig="animated", views=2, keypoints=["kp_*"])
    assert [one["name"] for one in plan.keypoints] == ["kp_bone", "kp_bottom", "kp_far", "kp_right", "kp_top"]
    assert {one["object"] for one in plan.keypoints} == {0}
    expected = [(-0.25, -0.5, 0.0), (0.5, 0.5, -2.0), (50.0, 0.0, -1.0), (1.0, 0.0, 0.0), (0.5, 0.5, 0.0)]
    np.testing.assert_allclose(labels.keypoints[0], expected, atol=1e-6)
    assert labels.keypoint_state[0].tolist() == [SEEN, HIDDEN, OUTSIDE, SEEN, SEEN]
    view = plan.views[0]
    pixels, _ = cameras.project(labels.keypoints[0][-1:], np.array(view.camera_to_world), np.array(view.intrinsics))
    np.testing.assert_allclose(pixels[0], (48 + 5, 36 - 5), atol=1e-4)


def test_names_that_fit_no_keypoint_are_told() -> None:
    scene = new_scene()
    add_box("Box", (2.0, 2.0, 2.0)).vertex_groups.new(name="knee_left")
    found, remarks = find_keypoints(scene, measure(scene, None).objects, ["knee_*", "elbow_*"])
    assert [keypoint.name for keypoint in found] == ["knee_left"]
    assert remarks == ["No empty, vertex group or bone of what renders is called elbow_*: it is no keypoint"]


def test_a_group_that_nodes_have_lost_is_nowhere() -> None:
    scene = new_scene()
    box = add_box("Box")
    box.vertex_groups.new(name="knee").add([0], 1.0, "ADD")
    (knee,), _ = find_keypoints(scene, measure(scene, None).objects, ["knee"])
    np.testing.assert_allclose(knee.stands_at(bpy.context.evaluated_depsgraph_get()), [-1, -1, -1])
    add_nodes(box, "GeometryNodeMeshCube")
    assert np.isnan(knee.stands_at(bpy.context.evaluated_depsgraph_get())).all()


def test_labels_follow_what_moves(tmp_path: Path) -> None:
    new_scene()
    looking_down()
    square = add_object("Square", [(-1, -1, 0), (1, -1, 0), (1, 1, 0), (-1, 1, 0)], [(0, 1, 2, 3)])
    animate(square, "location", (-2.02, 0.02, 0.0), (2.02, 0.02, 0.0))
    animate(bpy.context.scene.camera, "location", (0, 0, 10.0), (0, 0, 10.0001))
    plan, labels, views = render(tmp_path, rig="animated", views=2, moving=True, film="transparent")
    assert [view.frame for view in plan.views] == [1, 10]
    np.testing.assert_allclose(labels.object_to_world[:, 0, 0, 3], [-2.02, 2.02], atol=1e-6)
    assert labels.amodal_box[:, 0].tolist() == labels.visible_box[:, 0].tolist() == [[18, 26, 38, 46], [58, 26, 78, 46]]
    assert [int((view.object_index > 0).sum()) for view in views] == [400, 400]


def test_labels_through_a_fisheye_are_those_that_cycles_shows(tmp_path: Path) -> None:
    new_scene()
    add_box("Box", (1.0, 1.4, 0.8)).rotation_euler = (0.3, 0.5, 0.7)
    _, labels, _ = render(tmp_path, views=2, camera_model="fisheye")
    # bent edges are a twentieth of a pixel generous: some centres in the outline of eighty pixels
    more = labels.amodal_pixels - labels.visible_pixels
    assert labels.visible_pixels.min() > 300 and (more >= 0).all() and (more <= 8).all()
    assert (np.abs(labels.amodal_box - labels.visible_box) <= 1).all()
