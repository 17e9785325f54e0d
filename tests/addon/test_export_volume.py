# SPDX-License-Identifier: GPL-3.0-or-later
"""Exports as Blender has them: the .vdb that its part writes, the objects that stand in the scene, the operator."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from mathutils import Matrix

from radiance_twin.addon.jobs import worker
from radiance_twin.addon.operators import export
from radiance_twin.addon.operators.export import add_to_scene
from radiance_twin.addon.operators.twin import show
from radiance_twin.addon.studio.volume import new_volume, spacing, write_volume
from radiance_twin.core.bake.dense_march import render_bake
from radiance_twin.core.cameras import look_at
from radiance_twin.core.errors import UserError
from radiance_twin.core.reporting import QuietReporter

from .test_panel import draw

SIDE = 24
# turned about z, twice as large as the field's cube, and moved
WORLD = np.array([[0.0, -2, 0, 1], [2, 0, 0, -1], [0, 0, 2, -1], [0, 0, 0, 1]])


def soft_ball() -> tuple[np.ndarray, np.ndarray]:
    """Density [n, n, n] per field unit and colour [n, n, n, 3] of a ball with soft edges, different on all sides."""
    centres = (np.arange(SIDE) + 0.5) / SIDE
    place = np.stack(np.meshgrid(centres, centres, centres, indexing="ij"), axis=-1)
    density = 200 * np.clip(0.35 - np.linalg.norm(place - 0.5, axis=-1), 0, 0.1)
    return density.astype(np.float32), np.where(density[..., None] > 0, place, 0.5 * place).astype(np.float32)


def write_ball(folder: Path) -> Path:
    """The soft ball as .vdb, written as Blender's part is asked to."""
    density, colour = soft_ball()
    np.save(folder / "density.npy", density / 2)  # per world unit
    np.save(folder / "color.npy", colour)
    index = np.diag([1 / SIDE, 1 / SIDE, 1 / SIDE, 1.0])
    index[:3, 3] = 0.5 / SIDE
    arguments = {
        "output": str(folder / "ball.vdb"),
        "density": str(folder / "density.npy"),
        "color": str(folder / "color.npy"),
        "world_from_index": (WORLD @ index).tolist(),
    }
    assert write_volume(arguments, QuietReporter())["voxels"] == int((density > 0).sum())
    return folder / "ball.vdb"


def rendered(path: Path, camera_to_world: np.ndarray, size: int, lens: float) -> np.ndarray:
    """What Cycles shows of the scene, [H, W, 4] scene-linear."""
    scene = bpy.context.scene
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    camera.data.lens, camera.data.sensor_width = lens, 36.0
    camera.matrix_world = Matrix(camera_to_world)
    scene.collection.objects.link(camera)
    scene.camera = camera
    scene.render.engine = "CYCLES"
    scene.cycles.samples, scene.cycles.use_denoising = 128, False
    scene.cycles.pixel_filter_type = "BOX"
    scene.render.resolution_x = scene.render.resolution_y = size
    scene.render.film_transparent = True
    settings = scene.render.image_settings
    settings.file_format, settings.color_mode, settings.color_depth = "OPEN_EXR", "RGBA", "32"
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(str(path))
    pixels = np.empty(4 * size * size, np.float32)
    image.pixels.foreach_get(pixels)
    return pixels.reshape(size, size, 4)[::-1]  # Blender's rows start at the bottom


@pytest.fixture
def empty_scene(extension: None) -> None:
    for thing in list(bpy.data.objects):
        bpy.data.objects.remove(thing)
    bpy.context.scene.world = None


def test_the_vdb_read_back_holds_the_grids_at_their_place(tmp_path: Path) -> None:
    path = write_ball(tmp_path)
    bpy.utils.expose_bundled_modules()
    import openvdb

    grids = {grid.name: grid for grid in openvdb.readAll(str(path))[0]}
    assert set(grids) == {"density", "color"}
    density, colour = soft_ball()
    read = np.zeros_like(density)
    grids["density"].copyToArray(read)
    np.testing.assert_allclose(read, density / 2, rtol=1e-3)  # stored as half floats
    read_colour = np.zeros_like(colour)
    grids["color"].copyToArray(read_colour)
    np.testing.assert_allclose(read_colour, colour, rtol=1e-3)
    for index in ((0, 0, 0), (3, 20, 7)):
        expected = WORLD @ [*(np.array(index) + 0.5) / SIDE, 1.0]
        np.testing.assert_allclose(grids["density"].transform.indexToWorld(index), expected[:3], atol=1e-9)
    # only what is there is stored
    (low, high), filled = grids["density"].evalActiveVoxelBoundingBox(), np.argwhere(density > 0)
    assert (low, high) == (tuple(filled.min(axis=0)), tuple(filled.max(axis=0)))


def test_cycles_renders_the_volume_as_the_field_is_rendered(empty_scene: None, tmp_path: Path) -> None:
    thing = new_volume(bpy.context, str(write_ball(tmp_path)), "Ball")
    eye = look_at([4.0, 2.5, 2.0], [0.0, 0.0, 0.0])
    focal = 64 * 50.0 / 36.0
    density, colour = soft_ball()
    expected = render_bake(density, colour, WORLD, eye, [focal, focal, 32, 32], (64, 64), 1 / 96)
    picture = rendered(tmp_path / "ball.exr", eye, 64, 50.0)
    assert expected[..., 3].max() > 0.95
    assert -10 * math.log10(np.mean((picture - expected) ** 2)) > 40
    # it stands where the twin was trained, and goes along when it is moved, as opaque when it is enlarged
    move = Matrix.Translation((0.5, 0.0, 0.0)) @ Matrix.Scale(0.5, 4)
    thing.matrix_world = move @ thing.matrix_world
    expected = render_bake(density, colour, np.array(move) @ WORLD, eye, [focal, focal, 32, 32], (64, 64), 1 / 96)
    picture = rendered(tmp_path / "moved.exr", eye, 64, 50.0)
    assert -10 * math.log10(np.mean((picture - expected) ** 2)) > 40


def test_what_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    write_ball(tmp_path)
    arguments: dict[str, Any] = {name: str(tmp_path / f"{name}.npy") for name in ("density", "color")}
    with pytest.raises(UserError, match="cannot write"):
        write_volume(
            {**arguments, "output": str(tmp_path / "no" / "x.vdb"), "world_from_index": np.eye(4).tolist()},
            QuietReporter(),
        )


def test_added_to_the_scene_eevee_shows_it_finely(empty_scene: None, tmp_path: Path) -> None:
    place = Matrix.Translation((0, 0, 5)) @ Matrix.Rotation(1.0, 4, "Z")
    path = write_ball(tmp_path)
    assert "Resolution 1:1 and 256 steps" in add_to_scene(path, "vdb", place)
    eevee = bpy.context.scene.eevee
    assert (eevee.volumetric_tile_size, eevee.volumetric_samples) == ("1", 256)
    first = bpy.context.view_layer.objects.active
    assert first.type == "VOLUME" and first.select_get()
    assert add_to_scene(path, "vdb", Matrix.Identity(4)) == ""
    home = bpy.context.view_layer.objects.active
    assert not first.select_get()
    np.testing.assert_allclose(first.matrix_world, place @ home.matrix_world, atol=1e-6)


def test_a_mesh_stands_where_the_twin_stands(empty_scene: None, tmp_path: Path) -> None:
    bpy.ops.preferences.addon_enable(module="io_scene_gltf2")
    bpy.ops.mesh.primitive_cube_add(location=(1, 2, 3))
    bpy.ops.export_scene.gltf(filepath=str(tmp_path / "cube.glb"), use_selection=True)
    bpy.data.objects.remove(bpy.context.object)
    assert add_to_scene(tmp_path / "cube.glb", "mesh", Matrix.Translation((10, 0, 0))) == ""
    made = bpy.context.view_layer.objects.active
    assert made.select_get() and made.type == "MESH"
    np.testing.assert_allclose(made.matrix_world.translation, (11, 2, 3), atol=1e-6)


def test_points_become_balls_of_their_own_colours(extension: None, fake_worker: None, tmp_path: Path) -> None:
    blend = tmp_path / "table.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(blend))
    twin = tmp_path / "radiance_twin" / "table.twin"
    twin.parent.mkdir()
    assert not bpy.ops.radiance_twin.export.poll()  # there is no twin yet
    twin.touch()
    # in background mode the operator waits for the worker
    assert bpy.ops.radiance_twin.export(format="points", resolution="128") == {"FINISHED"}
    job = worker.last("export")
    assert job is not None and job.result is not None
    asked = job.result["arguments"]
    assert asked["twin"] == str(twin) and asked["output"] == str(twin.with_name("table_points.ply"))
    assert (asked["format"], asked["resolution"]) == ("points", 128) and "dataset" not in asked
    assert job.outcome == "table_points.ply, 0 kB; loss not measured"
    made = bpy.context.view_layer.objects.active
    instances = bpy.context.evaluated_depsgraph_get().object_instances
    clouds = [instance.object.data for instance in instances if instance.object.type == "POINTCLOUD"]
    assert [len(cloud.points) for cloud in clouds] == [3]
    assert made.modifiers["Points"].node_group and made.data.materials[0].node_tree.nodes["Attribute"]
    twin.with_suffix(".h5").touch()
    assert bpy.ops.radiance_twin.export(format="points", add=False) == {"FINISHED"}
    assert "28.00 dB, 2.0 dB less than the twin" in worker.last("export").outcome


def test_every_format_has_a_file_and_the_place_of_the_twin_that_stands_there(extension: None, tmp_path: Path) -> None:
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "table.blend"))
    twin = tmp_path / "radiance_twin" / "table.twin"
    twin.parent.mkdir()
    twin.touch()
    names = [export.default_output(bpy.context, format).name for format in ("vdb", "mesh", "points", "splats")]
    assert names == ["table.vdb", "table.glb", "table_points.ply", "table_splats.ply"]
    assert export.twin_to_export(bpy.context) == (twin, Matrix.Identity(4)), "no object shows it"
    thing = bpy.data.objects.new("Twin", None)
    bpy.context.collection.objects.link(thing)
    show(thing, str(twin))
    thing.location = (3.0, 0.0, 0.0)
    bpy.context.view_layer.update()
    assert not thing.select_get()
    assert export.twin_to_export(bpy.context) == (twin, Matrix.Translation((3.0, 0.0, 0.0)))


def test_an_export_may_be_nearer_to_the_held_out_views_than_the_field() -> None:
    loss = {"export_psnr": 25.0, "loss_db": -0.4}
    assert export.in_words({"bytes": 10**6, "loss": loss}) == "1.0 MB: 25.00 dB, 0.4 dB more than the twin"


def test_the_panel_offers_the_ways_and_tells_the_outcome(extension: None, fake_worker: None, tmp_path: Path) -> None:
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "table.blend"))
    offered = draw("export")
    assert offered.buttons == ["Volume", "Mesh", "Points", "Splats"]
    assert [properties.format for _, _, properties in offered.operators] == ["vdb", "mesh", "points", "splats"]
    assert offered.labels == []
    (tmp_path / "radiance_twin").mkdir()
    (tmp_path / "radiance_twin" / "table.twin").touch()
    assert bpy.ops.radiance_twin.export(format="points", add=False) == {"FINISHED"}
    assert " ".join(draw("export").labels) == "table_points.ply, 0 kB; loss not measured"


def test_after_a_cancel_or_in_another_file_nothing_is_added(extension: None, tmp_path: Path) -> None:
    class Ended:
        blend = "another.blend"

    before = set(bpy.data.objects)
    started: dict[str, Any] = {}

    def start(request: str, asked: dict[str, Any], finish: Any) -> Any:
        started["finish"] = finish
        return Ended()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "start", start)
        export.start_export({"format": "vdb"}, tmp_path / "x.twin", tmp_path / "x.vdb", Matrix.Identity(4))
    assert started["finish"](Ended(), None) == ""
    assert started["finish"](Ended(), {"bytes": 10**6, "loss": None}) == "x.vdb, 1.0 MB; loss not measured"
    assert set(bpy.data.objects) == before


def test_the_ending_follows_the_format() -> None:
    assert (
        export.fits(Path("a.glb"), "mesh") and export.fits(Path("a.PLY"), "mesh") and export.fits(Path("a.vdb"), "vdb")
    )
    assert not export.fits(Path("a.glb"), "points") and not export.fits(Path("a"), "vdb")


def test_spacing_of_an_even_grid_of_points_is_its_step() -> None:
    grid = np.stack(np.meshgrid(np.arange(200), np.arange(200), [0.0]), axis=-1).reshape(-1, 3)
    assert spacing(0.1 * grid) == pytest.approx(0.1, rel=0.05)
