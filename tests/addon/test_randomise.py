# SPDX-License-Identifier: GPL-3.0-or-later
"""Each randomiser on a small scene: what it draws, and that everything is as before when the view is done."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
import pytest

from radiance_twin.addon.studio.randomise.changes import Changes
from radiance_twin.addon.studio.randomise.shapes import Shape, shapes_in_sight
from radiance_twin.core.errors import UserError

from .random_table import BOXES, EVERYTHING, everything, paint, picture, places, randomiser, shader_of, state, table
from .scenes import add_ball, add_box, animate


def test_poses_are_within_their_ranges_and_the_same_whenever_they_are_drawn() -> None:
    table()
    before = places(BOXES)
    rule = {"what": "pose", "select": "Box.*", "move": [[-1, 1], [0, 0], [2, 3]], "turn": [[0, 0], [0, 0], [0, 90]]}
    scale = {**rule, "scale": [0.5, 0.5]}
    drawn = []
    for view in (0, 1, 0):
        with randomiser(scale).view(view, []):
            drawn.append(places(BOXES))
    assert np.array_equal(drawn[0], drawn[2]) and not np.allclose(drawn[0], drawn[1])
    for now in drawn:
        moved = now[:, :3, 3] - before[:, :3, 3]
        assert (
            (np.abs(moved[:, 0]) <= 1).all()
            and (moved[:, 1] == 0).all()
            and ((moved[:, 2] >= 2) & (moved[:, 2] <= 3)).all()
        )
        assert np.allclose(np.linalg.norm(now[:, :3, :3], axis=1), 0.5) and np.allclose(now[:, 2, :2], 0)
        assert len({round(x, 6) for x in moved[:, 0]}) == 5
    assert np.array_equal(places(BOXES), before)
    # one object more or less changes nothing for the others
    bpy.data.objects["Box.2"].name = "Other"
    with randomiser(scale).view(0, []):
        assert np.array_equal(places(["Box.0", "Box.4"]), drawn[0][[0, 4]])


def test_animation_parents_and_constraints_do_not_win_over_a_pose() -> None:
    table()
    box, parent = bpy.data.objects["Box.0"], bpy.data.objects["Box.1"]
    animate(box, "location", (0, 0, 0), (9, 0, 0))
    box.parent = parent
    parent.scale = (1.0, 2.0, 1.0)
    box.constraints.new("LIMIT_LOCATION").use_max_z = True
    with randomiser({"what": "pose", "select": "Box.0", "inside": "Table"}, {"what": "time", "frames": [5, 5]}).view(
        3, []
    ):
        bpy.context.scene.frame_set(7)
        place = np.array(box.matrix_world.translation)
    assert (np.abs(place) <= (2, 2, 0.2)).all()


def test_things_stand_on_a_surface_and_apart() -> None:
    table()
    rule = {"what": "pose", "property": "movable", "on": "Table", "turn": [[0, 0], [0, 0], [0, 360]], "apart": True}
    for view in range(4):
        remarks: list[str] = []
        with randomiser(rule).view(view, remarks):
            shapes = {thing.name: shape for thing, shape in shapes_in_sight().items()}
        assert remarks == []
        for number, name in enumerate(BOXES):
            assert shapes[name].box[0, 2] == pytest.approx(0.0, abs=1e-6)
            assert (np.abs(shapes[name].box.mean(axis=0)[:2]) <= 2.0).all()
            for other in BOXES[:number]:
                assert not shapes[name].tree.overlap(shapes[other].tree)


def test_a_place_of_several_parts_is_no_obstacle() -> None:
    scene = table()
    holder = bpy.data.objects.new("Holder", None)
    scene.collection.objects.link(holder)
    bpy.data.objects["Table"].parent = holder
    bpy.context.view_layer.update()
    remarks: list[str] = []
    with randomiser({"what": "pose", "select": "Box.0", "on": "Holder", "apart": True}).view(0, remarks):
        shape = next(shape for thing, shape in shapes_in_sight().items() if thing.name == "Box.0")
    assert remarks == [] and shape.box[0, 2] == pytest.approx(0.0, abs=1e-6)


def test_without_rejection_they_do_touch_and_what_finds_no_place_is_left_out() -> None:
    table()
    bpy.data.objects["Table"].scale = (0.2, 0.2, 1.0)
    rule = {"what": "pose", "property": "movable", "on": "Table"}
    with randomiser(rule).view(0, []):
        shapes = [shape for thing, shape in shapes_in_sight().items() if thing.name in BOXES]
    assert any(a.tree.overlap(b.tree) for a in shapes for b in shapes if a is not b)
    remarks: list[str] = []
    with randomiser({**rule, "apart": True, "tries": 10}).view(7, remarks):
        hidden = [name for name in BOXES if bpy.data.objects[name].hide_render]
    assert 1 <= len(hidden) < 5 and len(remarks) == len(hidden)
    assert f"{hidden[0]} finds no place to rest in view 7; it is left out" in remarks


def test_what_is_inside_of_something_touches_it_but_a_room_is_no_obstacle() -> None:
    table()
    add_box("Room", (20, 20, 20))
    add_box("Block", (3, 3, 3), (0, 0, 3))
    bpy.context.view_layer.update()
    spot = {"what": "pose", "select": "Box.0", "apart": True, "tries": 20}
    for place, free in (((-5, 0, 3), False), ((0, 0, 4), True)):
        remarks: list[str] = []
        with randomiser({**spot, "move": [[x, x] for x in place]}).view(0, remarks):
            assert (remarks == []) == free


def test_things_settle_at_their_height_on_a_plane_and_on_each_other() -> None:
    """A box of 0.4 rests with its middle at 0.2 whatever side is down; a ball with its middle at its radius."""
    table()
    ball = add_ball("Ball", 0.3, (8, 0, 0), segments=8)
    ball["movable"] = True
    bpy.context.view_layer.update()
    turn = [[0, 360], [0, 360], [0, 360]]
    rule = {"what": "pose", "property": "movable", "inside": "Table", "turn": turn, "settle": True}
    bpy.data.objects["Table"].scale = (1.0, 1.0, 1.0)
    air = bpy.data.objects.new("Air", None)
    air.empty_display_size, air.location = 0.8, (0, 0, 1.2)
    bpy.context.scene.collection.objects.link(air)
    bpy.context.view_layer.update()
    remarks: list[str] = []
    with randomiser({**rule, "inside": "Air"}).view(1, remarks):
        shapes = {thing.name: shape for thing, shape in shapes_in_sight().items()}
        again = places(BOXES)
    with randomiser({**rule, "inside": "Air"}).view(1, []):
        assert np.array_equal(places(BOXES), again)
    assert remarks == []
    for name in (*BOXES, "Ball"):
        shape = shapes[name]
        # a ball's hull has fewer corners than the ball
        assert shape.box[0, 2] > (-0.02 * 0.3 - 1e-3 if name == "Ball" else -1e-3)
        if shape.box[0, 2] < 0.01 and name != "Ball":
            flat = np.sort(shape.vertices[:, 2])
            assert flat[:4] == pytest.approx(np.zeros(4), abs=2e-3) and flat[4:] == pytest.approx(0.4, abs=2e-3)
        for other in (*BOXES, "Ball"):
            if other > name:
                # they may touch; a little smaller they do not
                assert not smaller(shape).tree.overlap(smaller(shapes[other]).tree)
    resting = [name for name in BOXES if shapes[name].box[0, 2] < 0.01]
    assert len(resting) >= 3


def smaller(shape: Shape) -> Shape:
    middle = shape.vertices.mean(axis=0)
    return Shape(middle + 0.98 * (shape.vertices - middle), shape.triangles)


def test_what_falls_off_is_left_out() -> None:
    table()
    remarks: list[str] = []
    with randomiser({"what": "pose", "select": "Box.0", "move": [[3, 3], [0, 0], [0, 0]], "settle": True}).view(
        0, remarks
    ):
        assert bpy.data.objects["Box.0"].hide_render
    assert remarks and not bpy.data.objects["Box.0"].hide_render


def test_lights_change_place_colour_and_strength() -> None:
    table()
    lamp = bpy.data.objects["Lamp"]
    rule = {"what": "light", "select": "Lamp", "move": [[1, 2], [0, 0], [0, 0]]}
    rule |= {"colour": [[1, 1], [0.5, 0.6], [0, 0]], "strength": [0.5, 2]}
    with randomiser(rule).view(0, []):
        bpy.context.view_layer.update()
        assert 1 <= lamp.matrix_world.translation.x <= 2
        assert 50 <= lamp.data.energy <= 200 and lamp.data.energy != 100
        assert lamp.data.color.r == 1 and 0.5 <= lamp.data.color.g <= 0.6
    assert lamp.data.energy == 100 and tuple(lamp.data.color) == (1, 1, 1)


def test_worlds_are_drawn_from_a_folder_a_sky_or_a_colour(tmp_path: Path) -> None:
    scene = table()
    own = scene.world
    for name in ("a.png", "b.png", "c.png"):
        picture(tmp_path / name, (1, 0, 0))
    drawn = set()
    for view in range(20):
        with randomiser({"what": "world", "folder": str(tmp_path), "angle": [0, 360]}).view(view, []):
            drawn.add(next(node.image.name for node in scene.world.node_tree.nodes if node.type == "TEX_ENVIRONMENT"))
    assert drawn == {"a.png", "b.png", "c.png"}
    with randomiser({"what": "world", "sun": [20, 30]}).view(0, []):
        sky = next(node for node in scene.world.node_tree.nodes if node.type == "TEX_SKY")
        assert 20 <= np.degrees(sky.sun_elevation) <= 30
    with randomiser({"what": "world", "strength": [2, 2]}).view(0, []):
        assert scene.world != own
        assert scene.world.node_tree.nodes["Background"].inputs["Strength"].default_value == 2
    assert scene.world == own and own.node_tree.nodes["Background"].inputs["Strength"].default_value == 1
    assert not bpy.data.images.keys() and list(bpy.data.worlds) == [own]


def test_a_scene_without_a_world_gets_no_light_with_its_background() -> None:
    scene = table()
    scene.world = None
    with randomiser({"what": "background", "colour": [[1, 1], [0, 0], [0, 0]]}).view(0, []):
        (background,) = (node for node in scene.world.node_tree.nodes if node.type == "BACKGROUND")
        (to_cameras,) = (link.to_socket for link in background.outputs[0].links)
        # the second of the two that are mixed, by whether a ray comes from the camera
        assert to_cameras == to_cameras.node.inputs[2] and not to_cameras.node.inputs[1].is_linked
    assert scene.world is None
    stronger = randomiser({"what": "world", "strength": [2, 2]})
    with pytest.raises(UserError, match="finds no Background in the scene's world"), stronger.view(0, []):
        pass


def test_materials_change_their_parameters_and_are_swapped(tmp_path: Path) -> None:
    table()
    red = paint(bpy.data.objects["Box.0"], "Red")
    woods = [paint(bpy.data.objects["Box.1"], f"Wood.{number}") for number in range(3)]
    shader = shader_of(red)
    noise = red.node_tree.nodes.new("ShaderNodeTexNoise")
    red.node_tree.links.new(noise.outputs[0], shader.inputs["Roughness"]).is_muted = True
    rule = {"what": "material", "select": "Box.0", "colour": [[0.1, 0.2], [0, 0], [1, 1]], "roughness": [0.3, 0.4]}
    with randomiser(rule, {"what": "material", "select": "Box.1", "swap": "Wood.2"}).view(0, []):
        assert 0.1 <= shader.inputs["Base Color"].default_value[0] <= 0.2
        assert 0.3 <= shader.inputs["Roughness"].default_value <= 0.4 and not shader.inputs["Roughness"].is_linked
        assert {slot.material for slot in bpy.data.objects["Box.1"].material_slots} == {woods[2]}
    assert shader.inputs["Roughness"].links[0].is_muted
    assert [slot.material for slot in bpy.data.objects["Box.1"].material_slots] == woods


def test_what_has_no_material_is_given_one() -> None:
    table()
    bare, twin = bpy.data.objects["Box.0"], bpy.data.objects["Box.1"]
    twin.data = bare.data
    gold = bpy.data.materials.new("Gold")
    before = state()
    with randomiser({"what": "material", "select": "Box.0", "swap": "Gold"}).view(0, []):
        assert [slot.material for slot in bare.material_slots] == [gold]
        assert [slot.material for slot in twin.material_slots] == [None], "it shares the mesh, not the material"
    assert state() == before
    # one that stands for others of a name is only put where those are
    with randomiser({"what": "material", "select": "Box.0", "swap": "Gold", "materials": "Gold"}).view(0, []):
        assert not bare.material_slots
    lamps = randomiser({"what": "material", "select": "Lamp", "swap": "Gold"})
    with pytest.raises(UserError, match="selects nothing that can have one"), lamps.view(0, []):
        pass


def test_textures_are_swapped_and_put_where_there_are_none(tmp_path: Path) -> None:
    table()
    for name in ("a.png", "b.png"):
        picture(tmp_path / name, (0, 1, 0))
    plain, papered = paint(bpy.data.objects["Box.0"], "Plain"), paint(bpy.data.objects["Box.1"], "Papered")
    node = papered.node_tree.nodes.new("ShaderNodeTexImage")
    node.image = bpy.data.images.new("own", 2, 2)
    papered.node_tree.links.new(node.outputs[0], shader_of(papered).inputs["Base Color"])
    with randomiser({"what": "texture", "materials": "P*", "folder": str(tmp_path)}).view(2, []):
        assert node.image.name in ("a.png", "b.png", "a.png.001", "b.png.001")
        paper = shader_of(plain).inputs["Base Color"].links[0].from_node
        assert paper.projection == "BOX" and paper.image is not None
    assert node.image.name == "own" and not shader_of(plain).inputs["Base Color"].is_linked


def test_so_many_are_shown_as_were_drawn() -> None:
    table()
    counts = set()
    for view in range(12):
        with randomiser({"what": "visibility", "select": "Box.*", "count": [1, 3]}).view(view, []):
            counts.add(sum(not bpy.data.objects[name].hide_render for name in BOXES))
    assert counts == {1, 2, 3}
    shown = 0
    for view in range(40):
        with randomiser({"what": "visibility", "select": "Box.*", "chance": 0.25}).view(view, []):
            shown += sum(not bpy.data.objects[name].hide_render for name in BOXES)
    assert 30 <= shown <= 70  # of 200: 50, and three standard deviations of 6 on both sides


def test_distractors_come_from_a_hidden_collection_and_are_placed() -> None:
    scene = table()
    collection = bpy.data.collections.new("Things")
    for name in BOXES:
        box = bpy.data.objects[name]
        scene.collection.objects.unlink(box)
        collection.objects.link(box)
    rule = {"what": "distractor", "collection": "Things", "count": [2, 2], "on": "Table", "apart": True}
    seen = set()
    for view in range(6):
        with randomiser(rule).view(view, []):
            shapes = {thing.name: shape for thing, shape in shapes_in_sight().items()}
        there = set(shapes) & set(BOXES)
        seen |= there
        assert len(there) == 2 and all(shapes[name].box[0, 2] == pytest.approx(0, abs=1e-6) for name in there)
    assert seen == set(BOXES)


def test_animation_is_taken_in_a_drawn_frame() -> None:
    scene = table()
    animate(bpy.data.objects["Box.0"], "location", (1, 0, 0), (10, 0, 0))
    one = randomiser({"what": "time", "frames": [1, 10]})
    for view in range(4):
        with one.view(view, []):
            assert scene.frame_current == one.frame(view)
    assert scene.frame_current == 1 and len({one.frame(view) for view in range(20)}) > 5


def test_everything_is_put_back_after_a_view_an_exception_and_a_cancel(tmp_path: Path) -> None:
    one = everything(tmp_path)
    before = state()
    with one.view(5, []):
        during = state()
    assert sum(during.get(name) != before.get(name) for name in {*during, *before}) > 15
    after = state()
    assert {
        name: (after.get(name), before.get(name)) for name in {*after, *before} if after.get(name) != before.get(name)
    } == {}
    with pytest.raises(KeyboardInterrupt), one.view(6, []):
        raise KeyboardInterrupt
    assert state() == before
    missing = randomiser(*EVERYTHING, {"what": "pose", "select": "Nobody", "scale": [1, 2]})
    with pytest.raises(UserError, match="finds no object Nobody"), missing.view(6, []):
        pass
    assert state() == before


def test_what_is_drawn_wins_over_animation_when_it_is_rendered(tmp_path: Path) -> None:
    one = everything(tmp_path)
    lamp, shader = bpy.data.objects["Lamp"], shader_of(bpy.data.materials["Paint"])
    with one.view(5, []):
        drawn = lamp.data.energy, shader.inputs["Roughness"].default_value, shader.inputs["Alpha"].default_value
        scene = bpy.context.scene
        scene.frame_set(scene.frame_current)
        assert (lamp.data.energy, *(shader.inputs[name].default_value for name in ("Roughness", "Alpha"))) == drawn
        assert bpy.data.objects["Box.4"].hide_render


def test_rules_of_the_scene_draw_once(tmp_path: Path) -> None:
    table()
    rule = {"what": "pose", "select": "Box.*", "move": [[-1, 1]] * 3}
    before = places(BOXES)
    with Changes() as changes:
        one = randomiser({**rule, "per": "scene"})
        one.apply_to_scene(changes, [])
        drawn = places(BOXES)
        with one.view(0, []):
            assert np.array_equal(places(BOXES), drawn)
    bpy.context.view_layer.update()
    assert not np.array_equal(drawn, before) and np.array_equal(places(BOXES), before)


def test_a_missing_collection_and_an_empty_folder_are_told(tmp_path: Path) -> None:
    table()
    for rule, complaint in (
        ({"what": "pose", "collection": "Nowhere", "scale": [1, 2]}, "no collection Nowhere"),
        ({"what": "pose", "select": "Box.0", "on": "Floor"}, "no object Floor; there is for example: Box.0"),
        ({"what": "world", "folder": str(tmp_path)}, "holds no pictures to draw from"),
        ({"what": "light", "select": "Box.*", "strength": [1, 2]}, "for lights selects none"),
        ({"what": "material", "materials": "Gold", "ior": [1, 2]}, "no material Gold"),
    ):
        with pytest.raises(UserError, match=complaint), randomiser(rule).view(0, []):
            pass
