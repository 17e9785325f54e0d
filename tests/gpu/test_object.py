# SPDX-License-Identifier: GPL-3.0-or-later
"""From a `.twin` on disk to an object that is drawn where it stands."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from mathutils import Vector

import radiance_twin
from radiance_twin.addon.viewport import atlas, bakes, twin
from radiance_twin.addon.viewport.draw import place
from radiance_twin.addon.viewport.instances import instances_in
from radiance_twin.core.bake.bricks import metadata_of, to_arrays
from radiance_twin.core.bake.march import render_bake
from radiance_twin.core.cameras import Camera, look_at
from radiance_twin.core.twin_file import write_twin

SIZE = (64, 48)
INTRINSICS = np.array([70.0, 70.0, 32.0, 24.0])
WORLD_FROM_FIELD = np.array([[1.5, 0, 0, -1.0], [0, 1.5, 0, 0.5], [0, 0, 1.5, 0.0], [0, 0, 0, 1]])


@pytest.fixture
def loaded(gpu: Any, blob: Any, tmp_path: Path) -> Iterator[bpy.types.Object]:
    bpy.ops.wm.read_factory_settings()
    radiance_twin.register()
    density, colour = blob.grids(64)
    metadata = {"world_from_field": WORLD_FROM_FIELD.tolist()}
    arrays = {"bake/density": density.astype(np.float16), "bake/colour": colour.astype(np.float16)}
    write_twin(tmp_path / "blob.twin", metadata, arrays)
    bpy.ops.radiance_twin.load_twin(filepath=str(tmp_path / "blob.twin"), placement="IN_PLACE", hide_original=False)
    yield bpy.context.object
    radiance_twin.unregister()


def test_at_home_it_stands_where_it_was_trained(loaded, blob, marched, projection_of):
    camera = look_at((3.0, -4.0, 2.0), (-0.25, 1.25, 0.75))
    placed = place(loaded)
    rgba = marched([placed], np.linalg.inv(camera), projection_of(INTRINSICS, SIZE), SIZE)
    expected = render_bake(blob.bricks(), WORLD_FROM_FIELD, Camera(camera, INTRINSICS, SIZE))
    assert expected[..., 3].max() > 0.9
    assert np.abs(rgba - expected).max() < 5e-3


def test_it_moves_turns_and_scales_with_its_object(loaded):
    loaded.location, loaded.rotation_euler, loaded.scale = (1.0, 2.0, 3.0), (0.3, 0.2, 0.1), (1.0, 2.0, 0.5)
    bpy.context.view_layer.update()
    assert place(loaded).world_from_field == pytest.approx(np.array(loaded.matrix_world) @ WORLD_FROM_FIELD)


def points(*places: Any) -> bpy.types.Object:
    mesh = bpy.data.meshes.new("Points")
    mesh.from_pydata(places, [], [])
    thing = bpy.data.objects.new("Points", mesh)
    bpy.context.scene.collection.objects.link(thing)
    return thing


def by_collection(twin: bpy.types.Object) -> bpy.types.Object:
    kept = bpy.data.collections.new("Kept")
    kept.objects.link(twin)
    thing = bpy.data.objects.new("Instance", None)
    thing.instance_type, thing.instance_collection, thing.location = "COLLECTION", kept, (5.0, 0.0, 0.0)
    bpy.context.scene.collection.objects.link(thing)
    return thing


def by_vertices(twin: bpy.types.Object) -> bpy.types.Object:
    thing = points((5.0, 0.0, 0.0))
    thing.instance_type, twin.parent = "VERTS", thing
    return thing


def by_geometry_nodes(twin: bpy.types.Object) -> bpy.types.Object:
    thing = points((5.0, 0.0, 0.0))
    group = bpy.data.node_groups.new("Instances", "GeometryNodeTree")
    for way in ("INPUT", "OUTPUT"):
        group.interface.new_socket("Geometry", in_out=way, socket_type="NodeSocketGeometry")
    kinds = ("NodeGroupInput", "GeometryNodeObjectInfo", "GeometryNodeInstanceOnPoints", "NodeGroupOutput")
    given, twins, instances, taken = (group.nodes.new(kind) for kind in kinds)
    twins.inputs["Object"].default_value, twins.inputs["As Instance"].default_value = twin, True
    group.links.new(given.outputs["Geometry"], instances.inputs["Points"])
    group.links.new(twins.outputs["Geometry"], instances.inputs["Instance"])
    group.links.new(instances.outputs["Instances"], taken.inputs["Geometry"])
    thing.modifiers.new("Instances", "NODES").node_group = group
    return thing


def by_particles(twin: bpy.types.Object, kind: str) -> bpy.types.Object:
    thing = points((5.0, 0.0, 0.0))
    settings: Any = thing.modifiers.new("Instances", "PARTICLE_SYSTEM").particle_system.settings
    settings.type, settings.count, settings.emit_from, settings.use_emit_random = kind, 1, "VERT", False
    settings.render_type, settings.instance_object, settings.particle_size = "OBJECT", twin, 1.0
    # as it is: Blender turns it by the particle's direction otherwise
    settings.use_rotations, settings.rotation_mode = True, "GLOB_Y"
    if kind == "EMITTER":
        settings.frame_end, settings.physics_type, settings.normal_factor = 1.0, "NO", 0.0
    else:
        settings.use_advanced_hair, settings.hair_length = True, 1.0
    return thing


def by_hair(twin: bpy.types.Object) -> bpy.types.Object:
    return by_particles(twin, "HAIR")


def by_emitter(twin: bpy.types.Object) -> bpy.types.Object:
    return by_particles(twin, "EMITTER")


@pytest.mark.parametrize("by", [by_collection, by_vertices, by_geometry_nodes, by_hair, by_emitter])
def test_an_instance_is_drawn_where_blender_has_it(loaded, by):
    window = bpy.context.window_manager.windows[0]
    area = next(area for area in window.screen.areas if area.type == "VIEW_3D")
    parent = by(loaded)
    with bpy.context.temp_override(window=window, area=area):
        bpy.context.view_layer.update()
        ((thing, matrix),) = instances_in(bpy.context)
        placed = place(thing, instance=matrix)
        assert placed is not None and thing == loaded
        moved = np.eye(4)
        moved[0, 3] = 5.0
        assert placed.world_from_field == pytest.approx(moved @ WORLD_FROM_FIELD, abs=1e-5)
        # moved, hidden and gone with what instances it
        parent.location.z += 2.0
        bpy.context.view_layer.update()
        assert instances_in(bpy.context)[0][1][2, 3] == pytest.approx(2.0)
        parent.hide_set(True)
        assert instances_in(bpy.context) == []
        bpy.data.objects.remove(parent)
        bpy.context.view_layer.update()
        assert instances_in(bpy.context) == []


def test_scaled_to_nothing_it_is_not_drawn(loaded):
    loaded.scale = (1.0, 0.0, 1.0)
    bpy.context.view_layer.update()
    assert place(loaded) is None


def test_two_objects_share_their_textures(loaded):
    bpy.ops.object.duplicate()
    assert place(bpy.context.object).textures is place(loaded).textures


def test_a_small_gpu_shows_half_the_voxels_and_says_so(loaded, monkeypatch):
    real = atlas.new_atlas

    def small_gpu(layout: Any, pixel_format: Any) -> Any:
        if max(layout) > 4:
            raise RuntimeError("out of memory")
        return real(layout, pixel_format)

    monkeypatch.setattr(atlas, "new_atlas", small_gpu)
    assert place(loaded).textures.resolution == 32
    assert "32 × 32 × 32 voxels" in twin.problem_of(loaded)


def test_a_gpu_that_takes_nothing_is_asked_once(loaded, monkeypatch):
    asked = []

    def no_gpu(*_: Any) -> Any:
        asked.append("volume")
        raise RuntimeError("out of memory")

    monkeypatch.setattr(atlas, "new_atlas", no_gpu)
    assert place(loaded) is None
    assert "the GPU takes no volume" in twin.problem_of(loaded)
    before = len(asked)
    assert place(loaded) is None
    assert len(asked) == before


def test_a_crop_box_begins_as_what_was_trained_and_goes_with_its_object(loaded):
    settings = twin.settings_of(loaded)
    assert place(loaded).world_from_crop is None
    settings.use_crop = True
    assert tuple(settings.crop_min) == pytest.approx((-1.0, 0.5, 0.0))
    assert tuple(settings.crop_max) == pytest.approx((0.5, 2.0, 1.5))
    # corners given in any order
    settings.crop_min, settings.crop_max = (0.5, 0.5, 0.0), (-0.2, 2.0, 1.0)
    loaded.location, loaded.rotation_euler, loaded.scale = (1.0, 2.0, 3.0), (0.3, 0.2, 0.1), (1.0, 2.0, 0.5)
    bpy.context.view_layer.update()
    crop = place(loaded).world_from_crop
    assert (crop @ (0, 0, 0, 1))[:3] == pytest.approx(loaded.matrix_world @ Vector((-0.2, 0.5, 0.0)), abs=1e-5)
    assert (crop @ (1, 1, 1, 1))[:3] == pytest.approx(loaded.matrix_world @ Vector((0.5, 2.0, 1.0)), abs=1e-5)
    settings.crop_max = settings.crop_min
    assert place(loaded) is None
    settings.use_crop = False
    assert place(loaded) is not None


def test_a_large_twin_arrives_over_several_redraws_and_replaces_the_old_one_when_it_is_there(
    loaded, random_bricks, tmp_path, monkeypatch
):
    monkeypatch.setattr(bakes, "LOOK_AGAIN", 0.0)
    monkeypatch.setattr(atlas, "BLOCK", 16)
    old = place(loaded)
    bricks = random_bricks(1, 64, 0.4)
    metadata = {"world_from_field": np.eye(4).tolist(), "bake": metadata_of(bricks)}
    write_twin(tmp_path / "blob.twin", metadata, to_arrays(bricks))
    seen, parts = [], []
    while not seen or seen[-1].textures is old.textures:
        seen.append(place(loaded, seconds=0.0))
        parts.append(twin.loaded_part_of(loaded))
    assert len(seen) > 3
    assert seen[0].world_from_field == pytest.approx(old.world_from_field)
    assert parts == sorted(parts) and parts[0] < 0.5 and parts[-1] == 1.0
    assert seen[-1].textures.network is not None
    assert seen[-1].world_from_field == pytest.approx(np.eye(4))


def test_a_file_that_is_being_read_does_not_stop_the_interface(loaded, random_bricks, tmp_path, monkeypatch):
    """As with a window: the reading goes on in a thread, and the twin is there when it is done."""
    monkeypatch.setattr(bakes, "_without_window", lambda: False)
    bakes.forget_all_but(())
    assert place(loaded) is None and twin.problem_of(loaded) == "" and twin.loaded_part_of(loaded) == 0.0
    began = time.monotonic()
    while place(loaded) is None:
        assert time.monotonic() - began < 20
    assert twin.loaded_part_of(loaded) == 1.0
    # one that turns out to be no good is said so, once
    (tmp_path / "blob.twin").write_bytes(b"nothing")
    bakes.forget_all_but(())
    while not twin.problem_of(loaded):
        assert place(loaded) is None
        assert time.monotonic() - began < 20
    assert "not a complete .twin" in twin.problem_of(loaded) and twin.loaded_part_of(loaded) == 1.0
