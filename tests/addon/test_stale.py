# SPDX-License-Identifier: GPL-3.0-or-later
"""The badge that tells when a scene is not any more the one that its twin was made of."""

from __future__ import annotations

import bpy
import numpy as np
import pytest

from radiance_twin.addon.paths import paths_of_open_file
from radiance_twin.addon.viewport.compare import stale
from radiance_twin.addon.viewport.compare.stale import changes, describe, in_words, read_state, state_file, write_state
from radiance_twin.core.twin_file import write_twin


def described() -> stale.State:
    bpy.context.view_layer.update()
    return describe(bpy.context.scene, bpy.context.evaluated_depsgraph_get())


@pytest.fixture
def before(extension: None) -> stale.State:
    bpy.data.objects["Cube"].modifiers.new("Bevel", "BEVEL")
    return described()


def test_what_no_picture_shows_is_no_change(before):
    bpy.data.objects["Cube"].select_set(False)
    bpy.data.materials["Material"].node_tree.nodes[0].location.x += 100.0
    bpy.data.objects["Cube"].display_type = "WIRE"
    bpy.context.scene.view_settings.exposure = 2.0
    bpy.ops.object.camera_add()
    assert changes(before, described()) == []


def test_every_kind_of_change_is_named(before):
    cube, light = bpy.data.objects["Cube"], bpy.data.objects["Light"]
    cases = [
        (cube, "location", (1.0, 0.0, 0.0), "Cube moved"),
        (cube.modifiers[0], "width", 0.3, "Cube changed"),
        (light.data, "energy", 5.0, "Light changed"),
        (cube, "hide_render", True, "Cube is gone"),
    ]
    for owner, name, value, said in cases:
        was = getattr(owner, name)
        was = tuple(was) if hasattr(was, "__len__") else was
        setattr(owner, name, value)
        assert changes(before, described()) == [said]
        setattr(owner, name, was)
        assert changes(before, described()) == [], "put back, all is well again"
    cube.data.vertices[0].co.x += 0.5
    assert changes(before, described()) == ["Cube changed"]
    cube.data.vertices[0].co.x -= 0.5
    bsdf = bpy.data.materials["Material"].node_tree.nodes["Principled BSDF"]
    bsdf.inputs["Base Color"].default_value = (1.0, 0.0, 0.0, 1.0)
    assert changes(before, described()) == ["Cube looks different"]
    if bpy.app.version < (5, 0, 0):  # since then lights always have nodes
        light.data.use_nodes = True
        assert "Light changed" in changes(before, described())
        light.data.use_nodes = False
    bpy.context.scene.world.node_tree.nodes["Background"].inputs[1].default_value = 3.0
    bpy.ops.mesh.primitive_cone_add()
    found = changes(before, described())
    assert found == ["Cone is new", "Cube looks different", "the world changed"]
    assert in_words(found) == "Stale: Cone is new · 2 more"
    assert in_words([]) == ""


def test_nodes_of_a_light_are_its_look(extension):
    light = bpy.data.lights["Light"]
    light.use_nodes = True
    before = described()
    light.node_tree.nodes["Emission"].inputs["Strength"].default_value = 7.0
    assert changes(before, described()) == ["Light changed"]


def test_another_blender_has_other_settings_which_are_no_changes(before):
    other = {**before, stale.BLENDER: ["(9, 9)"], "Cube": ["moved", "changed", "looks different"]}
    assert changes(other, described()) == []


def test_the_scene_is_described_when_its_views_are_rendered(extension, tmp_path):
    blend = tmp_path / "scene.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(blend))
    paths = paths_of_open_file()
    paths.twin.parent.mkdir()
    grid = np.zeros((8, 8, 8, 3), np.float16)
    arrays = {"bake/density": grid[..., 0], "bake/colour": grid}
    write_twin(paths.twin, {"world_from_field": np.eye(4).tolist()}, arrays)
    bpy.ops.radiance_twin.load_twin(filepath=str(paths.twin))
    stale.look()
    assert stale.stale() == "", "nobody knows what was rendered"
    write_state(state_file(paths.dataset), bpy.context.scene)
    stale.look()
    assert stale.stale() == ""
    bpy.data.objects["Cube"].location.x += 1.0
    bpy.context.view_layer.update()
    stale.look()
    assert stale.stale() == "Stale: Cube moved"
    state_file(paths.dataset).write_text("no description")
    assert read_state(state_file(paths.dataset)) is None
    stale.look()
    assert stale.stale() == ""
