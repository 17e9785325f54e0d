# SPDX-License-Identifier: GPL-3.0-or-later
"""What is found out about a scene before it is rendered."""

from pathlib import Path

import bpy
import numpy as np
import pytest

from radiance_twin.addon.studio import scene as studio_scene
from radiance_twin.addon.studio.scene import (
    collection_for_new,
    external_files,
    give_pass_indices,
    measure,
    measure_in,
    numbered,
    objects_table,
    open_scene,
    prepare_scene,
)
from radiance_twin.core.classes import class_rules
from radiance_twin.core.errors import UserError

from .scenes import add_ball, add_box, add_collection, link_from, new_scene, save


def test_bounds_are_those_of_what_renders() -> None:
    scene = new_scene()
    add_box("Seen", (2, 4, 6), (1, 0, 0))
    add_box("Hidden in the viewport only", (1, 1, 1), (10, 0, 0)).hide_viewport = True
    add_box("Hidden in renders", (1, 1, 1), (0, 50, 0)).hide_render = True
    add_box("Behind the camera's back", (1, 1, 1), (0, 60, 0)).visible_camera = False
    off = bpy.data.collections.new("Off")
    scene.collection.children.link(off)
    box = add_box("In a collection that is off", (1, 1, 1), (0, 70, 0))
    scene.collection.objects.unlink(box)
    off.objects.link(box)
    off.hide_render = True
    bpy.ops.curve.primitive_bezier_curve_add(location=(0, 80, 0))  # a path: it has no surface
    bpy.ops.object.light_add(type="AREA", location=(0, 90, 0))
    measured = measure(scene, None)
    assert [item.original.name for item in measured.objects] == ["Hidden in the viewport only", "Seen"]
    assert measured.bounds == pytest.approx(np.array([[0, -2, -3], [10.5, 2, 3]]))


def test_bounds_follow_modifiers_as_they_render() -> None:
    scene = new_scene()
    box = add_box("Row", (2, 2, 2))
    array = box.modifiers.new("Array", "ARRAY")
    array.count, array.show_viewport, array.show_render = 3, False, True
    array.use_relative_offset, array.use_constant_offset = False, True
    array.constant_offset_displace = (5, 0, 0)
    assert measure(scene, None).bounds == pytest.approx(np.array([[-1, -1, -1], [11, 1, 1]]))


def test_bounds_hold_every_instance_of_a_collection() -> None:
    scene = new_scene()
    flock = bpy.data.collections.new("Flock")
    box = add_box("Bird", (2, 2, 2))
    scene.collection.objects.unlink(box)
    flock.objects.link(box)
    for x in (-10, 10):
        empty = bpy.data.objects.new("Flock", None)
        empty.instance_type, empty.instance_collection, empty.location = "COLLECTION", flock, (x, 0, 0)
        scene.collection.objects.link(empty)
    measured = measure(scene, None)
    assert measured.bounds == pytest.approx(np.array([[-11, -1, -1], [11, 1, 1]]))
    assert [item.original.name for item in measured.objects] == ["Bird"]


def test_the_sphere_around_a_turned_ball_is_the_ball() -> None:
    scene = new_scene()
    ball = add_ball("Ball", 1.5, (3, 2, 1))
    ball.rotation_euler = (0.5, 0.7, 0.3)
    measured = measure(scene, None)
    assert measured.centre == pytest.approx(np.array([3, 2, 1]), abs=0.01)
    assert measured.radius == pytest.approx(1.5, abs=0.01)


@pytest.mark.parametrize("target", ["Parent", "Group"])
def test_a_target_is_an_object_with_its_children_or_a_collection(target: str) -> None:
    scene = new_scene()
    add_box("Floor", (100, 100, 1), (0, 0, -5))
    group = bpy.data.collections.new("Group")
    scene.collection.children.link(group)
    parent, child = add_box("Parent", (2, 2, 2)), add_box("Child", (2, 2, 2), (4, 0, 0))
    child.parent = parent
    for item in (parent, child):
        group.objects.link(item)
    measured = measure(scene, target)
    assert measured.centre == pytest.approx(np.array([2, 0, 0]))
    assert measured.radius == pytest.approx(np.sqrt(9 + 1 + 1))
    assert measured.bounds[1] == pytest.approx([50, 50, 1])  # the field's bounds stay those of everything


def test_a_target_that_is_missing_or_hidden_says_so() -> None:
    scene = new_scene()
    add_box("Box")
    add_box("Ghost").hide_render = True
    with pytest.raises(UserError, match="no object or collection named Teapot.*Box"):
        measure(scene, "Teapot")
    with pytest.raises(UserError, match="nothing of the target Ghost renders"):
        measure(scene, "Ghost")


def test_a_scene_without_anything_to_render_says_so() -> None:
    scene = new_scene()
    bpy.ops.object.light_add(type="POINT")
    with pytest.raises(UserError, match="nothing in the scene renders"):
        measure(scene, None)


def test_measuring_leaves_the_render_settings_alone() -> None:
    scene = new_scene()
    add_box("Box")
    scene.render.resolution_x, scene.render.resolution_y = 123, 77
    measure(scene, None)
    assert (scene.render.engine, scene.render.resolution_x, scene.render.resolution_y) == ("CYCLES", 123, 77)


def test_pass_indices_are_given_where_there_are_none_and_kept_where_there_are() -> None:
    scene = new_scene()
    for name, index in (("Apple", 0), ("Bowl", 2), ("Cup", 0), ("Dish", 2)):
        add_box(name).pass_index = index
    objects = measure(scene, None).objects
    give_pass_indices([rendered.original for rendered in objects])
    table = objects_table(objects, [])
    assert [(entry["name"], entry["index"]) for entry in table] == [("Apple", 1), ("Bowl", 2), ("Cup", 3), ("Dish", 2)]
    assert table[0]["bounds"] == [[-1, -1, -1], [1, 1, 1]]


def test_objects_for_which_no_pass_index_is_left_have_no_labels_and_are_told_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = new_scene()
    most = bpy.types.Object.bl_rna.properties["pass_index"].hard_max
    assert most == studio_scene.MOST_PASS_INDICES
    monkeypatch.setattr(studio_scene, "MOST_PASS_INDICES", 2)
    for name in ("Apple", "Bowl", "Cup"):
        add_box(name)
    found, remarks = numbered(measure(scene, None).objects)
    assert [(entry["name"], entry["index"]) for entry in objects_table(found, [])] == [("Apple", 1), ("Bowl", 2)]
    assert len(remarks) == 1 and remarks[0].startswith("1 of 3 objects have no labels")


def test_a_blender_without_cycles_is_told_of() -> None:
    import addon_utils  # which is there as soon as bpy is

    scene = new_scene()
    scene.render.engine = "BLENDER_WORKBENCH"
    addon_utils.disable("cycles")
    try:
        with pytest.raises(UserError, match="without Cycles; name another"):
            prepare_scene(scene, (40, 30), transparent=True)
    finally:
        addon_utils.enable("cycles")


def test_what_would_change_from_view_to_view_is_switched_off() -> None:
    scene = new_scene()
    render = scene.render
    render.engine = "BLENDER_WORKBENCH"
    render.resolution_percentage, render.use_border, render.use_motion_blur = 50, True, True
    render.use_stamp = True  # which writes into the picture
    prepare_scene(scene, (40, 30), transparent=True)
    assert (render.engine, render.resolution_percentage, render.film_transparent) == ("CYCLES", 100, True)
    assert not (render.use_border or render.use_motion_blur or render.use_compositing or render.use_sequencer)
    assert not render.use_stamp


def test_a_newer_file_is_refused_unless_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new_scene()
    path = save(tmp_path / "new.blend")
    monkeypatch.setattr(studio_scene, "file_version_of_blender", lambda: (4, 2, 0))
    with pytest.raises(UserError, match=r"newer than the 4\.2.*--blender.*--allow-newer"):
        open_scene(str(path), allow_newer=False)
    assert open_scene(str(path), allow_newer=True).name == "Scene"


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_truncated_file_is_refused(tmp_path: Path, compressed: bool, share: float) -> None:
    new_scene()
    add_box("Box")
    bpy.context.preferences.filepaths.use_file_compression = compressed
    path = save(tmp_path / "cut.blend")
    with open(path, "r+b") as file:
        file.truncate(int(path.stat().st_size * share))
    with pytest.raises(UserError, match=r"cut\.blend cannot be opened"):
        open_scene(str(path), allow_newer=False)


def test_files_that_are_needed_are_found_as_tiles_and_inside_the_scene(tmp_path: Path) -> None:
    new_scene()
    packed = bpy.data.images.new("packed", 4, 4)
    packed.filepath_raw, packed.file_format = str(tmp_path / "gone.png"), "PNG"
    packed.save()
    packed.pack()
    (tmp_path / "gone.png").unlink()
    for number in (1001, 1012):
        (tmp_path / f"wall.{number}.png").touch()
    for name in ("wall", "lost"):
        image = bpy.data.images.new(name, 4, 4, tiled=True)
        image.filepath = str(tmp_path / f"{name}.<UDIM>.png")
        # what nobody uses is not saved
        image.use_fake_user = packed.use_fake_user = True
    open_scene(str(save(tmp_path / "scene.blend")), allow_newer=False)
    assert [Path(name).name for name in external_files()] == ["lost.<UDIM>.png", "wall.1001.png", "wall.1012.png"]


def test_python_inside_a_file_is_not_run(tmp_path: Path) -> None:
    new_scene()
    text = bpy.data.texts.new("evil.py")
    text.from_string(f"open({str(tmp_path / 'ran')!r}, 'w')")
    text.use_module = True
    path = save(tmp_path / "evil.blend")
    open_scene(str(path), allow_newer=False)
    assert not (tmp_path / "ran").exists()


def test_a_file_that_was_saved_in_edit_mode_is_measured_whole(tmp_path: Path) -> None:
    new_scene()
    add_box("Floor", (9, 9, 1), (0, 0, -5))
    bpy.context.view_layer.objects.active = add_box("Edited")
    bpy.ops.object.mode_set(mode="EDIT")
    scene = open_scene(str(save(tmp_path / "edited.blend")), allow_newer=False)
    assert [item.original.name for item in measure(scene, None).objects] == ["Edited", "Floor"]


def test_a_mesh_that_is_being_edited_counts_in_the_viewport() -> None:
    new_scene()
    bpy.context.view_layer.objects.active = add_box("Edited")
    bpy.ops.object.mode_set(mode="EDIT")
    measured = measure_in(bpy.context.evaluated_depsgraph_get(), None)
    bpy.ops.object.mode_set(mode="OBJECT")
    assert measured.bounds.tolist() == [[-1, -1, -1], [1, 1, 1]]


@pytest.mark.parametrize("how", ["hidden", "linked", "overridden"])
def test_new_objects_go_where_they_can_be_seen_and_put(tmp_path: Path, how: str) -> None:
    new_scene()
    add_collection("Props", add_box("Prop"))
    library = save(tmp_path / "props.blend")
    scene = new_scene()
    props = add_collection("Props") if how == "hidden" else link_from(library, "Props")
    if how == "overridden":
        props.override_hierarchy_create(scene, bpy.context.view_layer)
        scene.collection.children.unlink(props)
    chosen = bpy.context.view_layer.layer_collection.children["Props"]
    bpy.context.view_layer.active_layer_collection = chosen
    assert how != "hidden" or collection_for_new(bpy.context) == props
    chosen.hide_viewport = how == "hidden"
    collection = collection_for_new(bpy.context)
    assert collection == scene.collection
    collection.objects.link(bpy.data.objects.new("New", None))


def test_objects_of_two_files_may_have_one_name_and_are_told_apart(tmp_path: Path) -> None:
    new_scene()
    add_collection("Cars", add_box("Thing"))
    library = save(tmp_path / "cars.blend")
    scene = new_scene()
    add_collection("Trees", add_box("Thing", location=(5, 0, 0)))
    link_from(library, "Cars")
    objects = measure(scene, None).objects
    give_pass_indices([rendered.original for rendered in objects])
    table = objects_table(objects, class_rules(["car = collection:Cars", "tree = collection:Trees"]))
    # by their places: the linked one stands in the middle
    assert {entry["class"]: entry["bounds"][0][0] for entry in table} == {"car": -1, "tree": 4}
    assert len({entry["index"] for entry in table}) == 2
