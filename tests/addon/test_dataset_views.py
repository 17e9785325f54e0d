# SPDX-License-Identifier: GPL-3.0-or-later
"""A dataset loaded back: its cameras and pictures where they belong, flipped to field and error, and removed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import bpy
import numpy as np
import pytest

from radiance_twin.addon.panels.dataset import draw_in_menu
from radiance_twin.addon.studio import dataset_views
from radiance_twin.addon.studio.cameras import intrinsics_of, lens_of, pose_of
from radiance_twin.core import cameras

from .test_panel import Notes

KINDS = ("objects", "cameras", "images", "collections")


@pytest.fixture
def loaded(
    extension: None, tiny_twin: Path, worker_python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict:
    """The views of the tiny twin's dataset in a scene of their own; what is written of them."""
    monkeypatch.setenv("RADIANCE_TWIN_PYTHON", worker_python)
    for ending in (".h5", ".twin"):
        shutil.copyfile(tiny_twin.with_suffix(ending), tmp_path / f"ball{ending}")
    bpy.context.scene.radiance_twin.device = "cpu"
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    bpy.ops.radiance_twin.load_dataset(filepath=str(tmp_path / "ball.h5"))
    return json.loads((tmp_path / "ball_pictures" / "views.json").read_text())


def of_view(index: int) -> tuple[bpy.types.Object, bpy.types.Object]:
    """The camera of a view, and the plane with its picture."""
    both = [thing for thing in dataset_views.shown().objects if thing[dataset_views.VIEW] == index]
    return next(one for one in both if one.type == "CAMERA"), next(one for one in both if one.type == "EMPTY")


def pixels(image: bpy.types.Image) -> np.ndarray:
    """[H, W, 3], row 0 at the bottom."""
    values = np.empty(image.size[0] * image.size[1] * 4, np.float32)
    image.pixels.foreach_get(values)
    return values.reshape(image.size[1], image.size[0], 4)[..., :3]


def test_cameras_and_planes_stand_where_the_views_were_taken(loaded: dict) -> None:
    assert len(loaded["views"]) == 16
    bpy.context.view_layer.update()
    for words in loaded["views"]:
        camera, plane = of_view(words["index"])
        assert pose_of(camera) == pytest.approx(np.array(words["camera_to_world"]), abs=1e-5)
        lens = intrinsics_of(lens_of(camera), bpy.context.scene, tuple(words["size"]))
        assert lens == pytest.approx(np.array(words["intrinsics"]), rel=1e-4)
        # Blender draws the longer side of an image as long as the empty's size, around its middle
        half = 0.5 * plane.empty_display_size * np.array(words["size"]) / max(words["size"])
        corners = np.array([[x, y, 0, 1] for x in (-half[0], half[0]) for y in (half[1], -half[1])])
        world = (corners @ np.array(plane.matrix_world).T)[:, :3]
        found, _ = cameras.project(world, words["camera_to_world"], words["intrinsics"])
        width, height = words["size"]
        assert found == pytest.approx(np.array([[0, 0], [0, height], [width, 0], [width, height]]), abs=1e-3)
        assert camera.data.background_images[0].image == plane.data
        assert camera.hide_render and plane.hide_render


def test_a_selected_view_flips_to_the_field_and_to_its_error_and_back(loaded: dict) -> None:
    index = loaded["views"][5]["index"]
    camera, plane = of_view(index)
    for thing in bpy.context.selected_objects:
        thing.select_set(False)
    plane.select_set(True)
    render = pixels(plane.data)
    bpy.ops.radiance_twin.flip_views(side="ERROR")
    error = pixels(plane.data)
    bpy.ops.radiance_twin.flip_views(side="FIELD")
    field = pixels(plane.data)
    assert camera.data.background_images[0].image == plane.data
    assert 0.0 < np.square(field - render).mean() < 10**-1.5, "alike, and not the same"
    # magma: black where both are background, bright where they differ most
    apart, bright = np.abs(field - render).sum(axis=-1), error.sum(axis=-1)
    assert bright[apart == 0].mean() < bright[apart > np.quantile(apart, 0.95)].mean() - 0.3
    bpy.ops.radiance_twin.flip_views(side="DEPTH")
    assert plane.data.name.startswith("depth_") and camera.data.background_images[0].image == plane.data
    nearest, farthest = dataset_views.shown()[dataset_views.DEPTH]
    assert 0.0 < nearest < farthest
    other = of_view(loaded["views"][4]["index"])[1]
    assert other.data.name.startswith("render_"), "the others stay"
    bpy.ops.radiance_twin.flip_views(side="RENDER")
    assert np.array_equal(pixels(plane.data), render)
    folder = Path(loaded["dataset"]).with_name("ball_pictures")
    assert [len(list(folder.glob(f"{side}_*.png"))) for side in ("field", "error")] == [1, 1], "made once, and kept"


def test_the_menu_offers_the_sides_over_a_view_alone(loaded: dict) -> None:
    offered = Notes()
    for thing in bpy.context.selected_objects:
        thing.select_set(False)
    draw_in_menu(SimpleNamespace(layout=offered), bpy.context)
    assert offered.buttons == []
    of_view(3)[0].select_set(True)
    draw_in_menu(SimpleNamespace(layout=offered), bpy.context)
    assert offered.buttons == ["Render", "Depth", "Field", "Error"]


def test_without_a_twin_there_is_no_field(loaded: dict) -> None:
    (Path(bpy.data.filepath).parent / "ball.twin").unlink()
    with pytest.raises(RuntimeError, match="There is no ball.twin beside the dataset; train it first"):
        bpy.ops.radiance_twin.flip_views(side="FIELD")


def test_loading_again_replaces_and_removing_leaves_nothing(loaded: dict) -> None:
    count = {kind: len(getattr(bpy.data, kind)) for kind in KINDS}
    bpy.ops.radiance_twin.load_dataset(filepath=loaded["dataset"])
    assert {kind: len(getattr(bpy.data, kind)) for kind in KINDS} == count
    bpy.ops.radiance_twin.remove_dataset()
    left = {kind: count[kind] - len(getattr(bpy.data, kind)) for kind in KINDS}
    assert left == {"objects": 32, "cameras": 16, "images": 16, "collections": 1}, [i.name for i in bpy.data.images]
    with pytest.raises(RuntimeError, match="Load a dataset first"):
        bpy.ops.radiance_twin.flip_views(side="RENDER")
