# SPDX-License-Identifier: GPL-3.0-or-later
"""The twin as an object: loading, placing, bringing home, saving, and files that are not what they should be."""

from __future__ import annotations

import json
import math
import os
import shutil
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bpy
import numpy as np
import pytest
from mathutils import Vector

from radiance_twin.addon.operators.twin import classic_is_empty
from radiance_twin.addon.viewport import bakes, twin
from radiance_twin.core.bake.bricks import metadata_of, to_arrays
from radiance_twin.core.twin_file import write_twin

from .scenes import add_collection, link_from, save

# what was trained: 2 wide, 1 deep, 1 high, around (1, 0, 0.5)
BOUNDS = [[0.0, -0.5, 0.0], [2.0, 0.5, 1.0]]
WORLD_FROM_FIELD = [[2.04, 0, 0, -0.02], [0, 2.04, 0, -1.02], [0, 0, 2.04, -0.52], [0, 0, 0, 1]]


def write(path: Path, *, density: Any = None, colour: Any = None, **metadata: Any) -> Path:
    n = 8
    arrays = {
        "bake/density": np.full((n, n, n), 5.0, np.float16) if density is None else density,
        "bake/colour": np.full((n, n, n, 3), 0.5, np.float16) if colour is None else colour,
        "field/table": np.zeros(1000, np.float16),
    }
    write_twin(path, {"world_from_field": WORLD_FROM_FIELD, "bounds": BOUNDS, **metadata}, arrays)
    return path


def load(path: Path, **options: Any) -> bpy.types.Object:
    assert bpy.ops.radiance_twin.load_twin(filepath=str(path), **options) == {"FINISHED"}
    thing = bpy.context.view_layer.objects.active
    bpy.context.view_layer.update()
    return thing


def view_of_the_window() -> Any:
    areas = bpy.context.window_manager.windows[0].screen.areas
    return next(area for area in areas if area.type == "VIEW_3D").spaces.active.region_3d


@pytest.fixture
def file(extension: None, tmp_path: Path) -> Path:
    return write(tmp_path / "chair.twin")


def test_a_twin_is_a_selected_empty_that_knows_its_file(file):
    thing = load(file)
    assert (thing.type, thing.name) == ("EMPTY", "chair")
    assert bpy.context.selected_objects == [thing]
    assert twin.is_twin(thing)
    assert twin.path_of(thing) == str(file)
    assert twin.problem_of(thing) == ""
    assert not twin.is_twin(bpy.data.objects["Cube"])


def test_beside_is_to_the_right_of_the_view_and_on_the_same_level(file):
    view = view_of_the_window()
    # looking along +y: right is +x, and the scene is 2 wide
    view.view_rotation = (0.7071068, 0.7071068, 0.0, 0.0)
    assert load(file).location[:] == pytest.approx((2.4, 0.0, 0.0), abs=1e-5)
    # looking along −x from above: right is +y, and the scene is 1 wide
    view.view_rotation = Vector((1.0, 0.0, 0.7)).to_track_quat("Z", "Y")
    assert load(file).location[:] == pytest.approx((0.0, 1.2, 0.0), abs=1e-5)


def test_a_second_twin_stands_beside_the_first(file):
    first, second = (load(file).location.copy() for _ in range(2))
    np.testing.assert_allclose(second, 2.0 * np.array(first), rtol=1e-6)


def test_without_a_3d_view_beside_is_along_x(file):
    for area in bpy.context.window_manager.windows[0].screen.areas:
        area.type = "CONSOLE"
    assert load(file).location[:] == pytest.approx((2.4, 0.0, 0.0), abs=1e-5)


def test_in_place_hides_what_the_twin_copies_and_nothing_else(file):
    original = bpy.data.objects["Cube"]
    original.location, original.scale = (1.0, 0.0, 0.5), (0.4, 0.4, 0.4)
    bpy.ops.mesh.primitive_plane_add(size=50.0, location=(0.0, 0.0, 0.0))
    bpy.context.object.name = "Ground"
    bpy.context.view_layer.update()
    thing = load(file, placement="IN_PLACE")
    assert thing.matrix_world.is_identity
    assert original.hide_get()
    # only for the eye, as H does it: it still renders, and Alt H brings it back
    assert not original.hide_render
    assert not original.hide_viewport
    assert not any(bpy.data.objects[name].hide_get() for name in ("Ground", "Camera", "Light", thing.name))


def test_in_place_leaves_the_original_when_told_to(file):
    original = bpy.data.objects["Cube"]
    original.location, original.scale = (1.0, 0.0, 0.5), (0.4, 0.4, 0.4)
    load(file, placement="IN_PLACE", hide_original=False)
    assert not original.hide_get()


def test_it_is_known_when_nothing_is_left_to_hold_the_twin_against(file):
    original = bpy.data.objects["Cube"]
    original.location, original.scale = (1.0, 0.0, 0.5), (0.4, 0.4, 0.4)
    bpy.ops.mesh.primitive_cube_add(size=1.0, location=(50.0, 0.0, 0.0))
    bpy.context.view_layer.update()
    bake = twin.bake_of(load(file, placement="IN_PLACE"))
    assert bake is not None
    assert classic_is_empty(bpy.context, bake.world_from_field), "the one that is far away does not count"
    original.hide_set(False)
    assert not classic_is_empty(bpy.context, bake.world_from_field)


def test_home_undoes_location_rotation_and_scale(file):
    thing = load(file)
    parent = bpy.data.objects["Cube"]
    parent.location = (3.0, 2.0, 1.0)
    thing.parent = parent
    thing.rotation_euler, thing.scale = (0.1, 0.2, 0.3), (1.0, 2.0, 0.5)
    bpy.context.view_layer.update()
    assert bpy.ops.radiance_twin.twin_home() == {"FINISHED"}
    bpy.context.view_layer.update()
    assert np.array(thing.matrix_world) == pytest.approx(np.eye(4), abs=1e-6)


def test_home_says_what_it_needs(file):
    bpy.context.view_layer.objects.active = bpy.data.objects["Cube"]
    with pytest.raises(RuntimeError, match="Select a twin first"):
        bpy.ops.radiance_twin.twin_home()


def test_a_linked_twin_cannot_be_brought_home(file, tmp_path):
    thing = load(file)
    thing.location.x = 3.0
    collection = add_collection("Twins")
    collection.objects.link(thing)
    library = save(tmp_path / "library.blend")
    bpy.ops.wm.read_homefile(use_factory_startup=True)
    (linked,) = link_from(library, "Twins").objects
    bpy.context.view_layer.objects.active = linked
    with pytest.raises(RuntimeError, match="library override"):
        bpy.ops.radiance_twin.twin_home()
    assert linked.location.x == 3.0


def test_loading_asks_for_object_mode(file):
    bpy.ops.object.mode_set(mode="EDIT")
    with pytest.raises(RuntimeError, match="Object Mode"):
        bpy.ops.radiance_twin.load_twin(filepath=str(file))
    bpy.ops.object.mode_set(mode="OBJECT")


def test_undo_and_redo_across_loading_and_moving(file):
    bpy.ops.ed.undo_push(message="before")
    load(file)
    bpy.ops.ed.undo_push(message="loaded")
    bpy.data.objects["chair"].location = (7.0, 0.0, 0.0)
    bpy.ops.ed.undo_push(message="moved")
    bpy.ops.ed.undo()
    assert bpy.data.objects["chair"].location.x != 7.0
    assert twin.bake_of(bpy.data.objects["chair"]) is not None
    bpy.ops.ed.undo()
    assert "chair" not in bpy.data.objects
    bpy.ops.ed.redo()
    bpy.ops.ed.redo()
    thing = bpy.data.objects["chair"]
    assert thing.location.x == 7.0
    assert twin.bake_of(thing) is not None


def test_a_duplicate_shows_the_same_bake(file):
    thing = load(file)
    bpy.ops.object.duplicate()
    copy = bpy.context.view_layer.objects.active
    assert copy != thing
    assert twin.bake_of(copy) is twin.bake_of(thing)


def test_a_saved_scene_holds_a_relative_path_and_no_voxels(file, tmp_path):
    n = 64
    rng = np.random.default_rng(0)
    write(
        file,
        density=rng.uniform(0, 9, (n, n, n)).astype(np.float16),
        colour=rng.uniform(0, 1, (n, n, n, 3)).astype(np.float16),
    )
    blend = tmp_path / "scene.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(blend))
    empty = blend.stat().st_size
    load(file)
    bpy.ops.wm.save_mainfile()
    assert blend.stat().st_size < empty + 20_000 < file.stat().st_size
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    thing = bpy.data.objects["chair"]
    assert twin.settings_of(thing).filepath == "//chair.twin"
    assert twin.bake_of(thing) is not None
    assert thing.location.length > 0.0


def test_a_scene_and_its_twin_can_move_together(file, tmp_path):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    load(file)
    bpy.ops.wm.save_mainfile()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("scene.blend", "chair.twin"):
        shutil.move(tmp_path / name, elsewhere / name)
    bpy.ops.wm.open_mainfile(filepath=str(elsewhere / "scene.blend"))
    assert twin.bake_of(bpy.data.objects["chair"]) is not None


def test_a_scene_saved_elsewhere_still_finds_its_twin(file, tmp_path):
    load(file)
    # never saved before: the path is absolute until it can be relative
    assert twin.settings_of(bpy.data.objects["chair"]).filepath == str(file)
    elsewhere = tmp_path / "deep" / "elsewhere"
    elsewhere.mkdir(parents=True)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    assert twin.settings_of(bpy.data.objects["chair"]).filepath == "//chair.twin"
    bpy.ops.wm.save_as_mainfile(filepath=str(elsewhere / "copy.blend"), copy=True)
    assert twin.settings_of(bpy.data.objects["chair"]).filepath == "//chair.twin"
    bpy.ops.wm.open_mainfile(filepath=str(elsewhere / "copy.blend"))
    thing = bpy.data.objects["chair"]
    assert twin.settings_of(thing).filepath == "//../../chair.twin"
    assert twin.bake_of(thing) is not None


def test_a_missing_file_is_a_message_and_not_an_exception(file, tmp_path, capsys):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    load(file)
    bpy.ops.wm.save_mainfile()
    file.rename(tmp_path / "away.twin")
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "scene.blend"))
    thing = bpy.data.objects["chair"]
    capsys.readouterr()
    for _ in range(3):
        assert twin.bake_of(thing) is None
    assert "does not exist" in twin.problem_of(thing)
    assert capsys.readouterr().out.count("does not exist") == 1


def test_a_file_that_comes_back_or_changes_is_read_again(file, monkeypatch):
    monkeypatch.setattr(bakes, "LOOK_AGAIN", 0.0)
    thing = load(file)
    first = twin.bake_of(thing)
    assert twin.bake_of(thing) is first
    file.unlink()
    # what was read stays in sight, and the panel says why it is not the file's
    assert twin.bake_of(thing) is first
    assert "does not exist" in twin.problem_of(thing)
    write(file, density=np.full((16, 16, 16), 2.0, np.float16), colour=np.zeros((16, 16, 16, 3), np.float16))
    os.utime(file, ns=(time.time_ns(), time.time_ns() + 10**9))
    assert twin.bake_of(thing).contents.bricks.resolution == 16
    assert twin.problem_of(thing) == ""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "does not exist"),
        ("empty", "not a complete .twin file"),
        ("truncated", "not a complete .twin file"),
        ("foreign", "not a complete .twin file"),
        ("without_bake", "lacks bake"),
        ("without_density", "lacks bake/density"),
        ("wrong_shape", "makes no sense"),
        ("flat", "makes no sense"),
        ("nan", "no numbers"),
        ("negative", "no numbers"),
    ],
)
def test_a_bad_file_is_refused_with_the_reason_and_leaves_the_scene_alone(file, tmp_path, name, message):
    bad = tmp_path / f"{name}.twin"
    nan = np.full((8, 8, 8, 3), np.nan, np.float16)
    if name == "empty":
        bad.touch()
    elif name == "truncated":
        bad.write_bytes(file.read_bytes()[:-100])
    elif name == "foreign":
        bad.write_bytes(b"BLENDER-v405" + bytes(5000))
    elif name == "without_bake":
        write_twin(bad, {"world_from_field": WORLD_FROM_FIELD}, {"field/table": np.zeros(3)})
    elif name == "without_density":
        write_twin(bad, {"world_from_field": WORLD_FROM_FIELD}, {"bake/colour": np.zeros((4, 4, 4, 3))})
    elif name == "wrong_shape":
        write(bad, colour=np.zeros((8, 8, 9, 3), np.float16))
    elif name == "flat":
        write(bad, density=np.zeros((8, 8, 1), np.float16), colour=np.zeros((8, 8, 1, 3), np.float16))
    elif name == "nan":
        write(bad, colour=nan)
    elif name == "negative":
        write(bad, density=np.full((8, 8, 8), -1.0, np.float16))
    before = set(bpy.data.objects)
    with pytest.raises(RuntimeError, match=message):
        bpy.ops.radiance_twin.load_twin(filepath=str(bad))
    assert set(bpy.data.objects) == before


def test_a_twin_without_bounds_is_as_large_as_its_field(file, tmp_path):
    for number, bounds in enumerate((None, [[0, 0, 0], [0, 0, 0]], "nonsense")):
        bake = bakes.read_bake(str(write(tmp_path / f"{number}.twin", bounds=bounds)))
        assert np.ptp(bake.box, axis=0) == pytest.approx((2.04, 2.04, 2.04))


def test_memory_of_files_that_nothing_shows_any_more_is_given_back(file, tmp_path):
    thing = load(file)
    bpy.data.objects.remove(thing)
    load(write(tmp_path / "table.twin"))
    assert set(bakes._entries) == {str(tmp_path / "table.twin")}


def test_a_dropped_file_is_loaded_without_a_dialog(file):
    assert bpy.ops.radiance_twin.load_twin("INVOKE_DEFAULT", filepath=str(file)) == {"FINISHED"}
    assert twin.is_twin(bpy.data.objects["chair"])


def test_dropping_a_file_and_the_import_menu_lead_to_the_same_operator(extension):
    handler = bpy.types.FileHandler.bl_rna_get_subclass_py("RADIANCE_TWIN_FH_twin")
    assert (handler.bl_import_operator, handler.bl_file_extensions) == ("radiance_twin.load_twin", ".twin")
    entries = [function.__name__ for function in bpy.types.TOPBAR_MT_file_import._dyn_ui_initialize()]
    assert "_file_import_entry" in entries


def test_the_panel_of_the_selected_twin_says_what_is_wrong(file):
    from radiance_twin.addon.panels.twin import VIEW3D_PT_radiance_twin_object as panel

    thing = load(file)
    assert panel.poll(bpy.context)
    twin.settings_of(thing).filepath = str(file) + ".moved"
    assert twin.bake_of(thing) is None
    assert "does not exist" in twin.problem_of(thing)
    bpy.context.view_layer.objects.active = bpy.data.objects["Cube"]
    assert not panel.poll(bpy.context)


def test_the_crop_box_has_a_panel_of_its_own_that_is_grey_while_it_is_off(file):
    from radiance_twin.addon.panels.twin import VIEW3D_PT_radiance_twin_crop as panel

    class Column:
        active = True
        shown: list[str] = []

        def prop(self, data: Any, name: str, text: str | None = None) -> None:
            assert name in data.bl_rna.properties
            self.shown.append(name)

        def column(self) -> Column:
            return self

    thing = load(file)
    column = Column()
    drawn = SimpleNamespace(layout=column, settings_column=lambda: column)
    panel.draw_header(drawn, bpy.context)
    panel.draw(drawn, bpy.context)
    assert column.shown == ["use_crop", "crop_min", "crop_max"]
    assert not column.active
    twin.settings_of(thing).use_crop = True
    panel.draw(drawn, bpy.context)
    assert column.active
    # where it is not set, it is all of what was trained
    assert tuple(twin.settings_of(thing).crop_min) == pytest.approx(BOUNDS[0])
    assert tuple(twin.settings_of(thing).crop_max) == pytest.approx(BOUNDS[1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "splats"}, "update"),
        ({"resolution": 1 << 30}, "makes no sense"),
        ({"resolution": None}, "makes no sense"),
    ],
)
def test_a_bad_bake_of_bricks_is_refused_too(file, tmp_path, random_bricks, changes, message):
    bricks = random_bricks(resolution=16)
    metadata = {"world_from_field": WORLD_FROM_FIELD, "bake": metadata_of(bricks)}
    write_twin(tmp_path / "good.twin", metadata, to_arrays(bricks))
    assert twin.bake_of(load(tmp_path / "good.twin")).contents.bricks.count == bricks.count
    write_twin(tmp_path / "bad.twin", metadata | {"bake": metadata_of(bricks) | changes}, to_arrays(bricks))
    with pytest.raises(RuntimeError, match=message):
        bpy.ops.radiance_twin.load_twin(filepath=str(tmp_path / "bad.twin"))


def test_a_newer_file_is_refused_with_what_to_do(file, tmp_path):
    with zipfile.ZipFile(tmp_path / "newer.twin", "w") as archive:
        header = {"format": "radiance-twin", "version": 99, "world_from_field": WORLD_FROM_FIELD}
        archive.writestr("twin.json", json.dumps(header))
    with pytest.raises(RuntimeError, match="newer Radiance Twin .*update the extension"):
        bpy.ops.radiance_twin.load_twin(filepath=str(tmp_path / "newer.twin"))


@pytest.mark.parametrize("figure", [10**400, math.nan, "much", None, [1]])
def test_figures_that_are_none_are_not_shown(figure: object) -> None:
    metadata: dict = {"training": {"views": [{"psnr": figure}, {"psnr": figure}]}, "bake": {"psnr": figure}}
    assert bakes._psnr(metadata) is None and bakes._own_psnr(metadata) is None
