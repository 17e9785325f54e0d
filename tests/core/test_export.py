# SPDX-License-Identifier: GPL-3.0-or-later
"""`radiance-twin export`: a twin trained on a scene that numpy ray-traces, out by every way, and what each loses."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import trimesh

from radiance_twin.core.bake.dense_march import render_bake
from radiance_twin.core.cameras import Camera, look_at
from radiance_twin.core.cli import main
from radiance_twin.core.dataset.store import open_dataset
from radiance_twin.core.errors import Cancelled, UserError
from radiance_twin.core.export import shots
from radiance_twin.core.export.any_lens import through_any_lens
from radiance_twin.core.export.loss import measure_loss
from radiance_twin.core.export.shots import export_cameras, take_shots
from radiance_twin.core.export.twin import ExportSettings, export_twin
from radiance_twin.core.export.volume import VolumeGrid, write_vdb
from radiance_twin.core.field.render import PATTERN, load_field, render_view
from radiance_twin.core.lenses import CameraModel
from radiance_twin.core.reporting import QuietReporter
from radiance_twin.core.training.recipe import Recipe
from radiance_twin.core.training.trainer import TrainSettings, train
from radiance_twin.core.twin_file import read_twin, write_twin

SCENE = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("analytic_scene.py"))))


@pytest.fixture(autouse=True)
def few_cameras_all_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shots, "AROUND", 20)
    monkeypatch.setattr(shots, "AROUND_PIXELS", 48)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(SCENE.write(tmp_path_factory.mktemp("scene") / "analytic.h5", views=24, size=40))


@pytest.fixture(scope="module")
def twin(dataset: Path) -> Path:
    """Rough, but its surfaces stand where they should."""
    path = dataset.with_suffix(".twin")
    train(TrainSettings(str(dataset), str(path), steps=150, device="cpu"), QuietReporter(), Recipe(8192, bake_steps=2))
    return path


def export(twin: Path, output: Path, format: str, capsys: Any, *words: str) -> dict[str, Any]:
    arguments = ["export", str(twin), "-o", str(output), "--format", format, "--resolution", "64", "--device", "cpu"]
    assert main([*arguments, *words, "--json"]) == 0
    return dict(json.loads(capsys.readouterr().out))


def distance_to_scene(points: np.ndarray) -> np.ndarray:
    """Of world points [N, 3] to the ball's or the slab's surface."""
    to_ball = np.abs(np.linalg.norm(points - SCENE.CENTRE, axis=1) - SCENE.RADIUS)
    half, middle = 0.5 * (SCENE.SLAB[1] - SCENE.SLAB[0]), 0.5 * (SCENE.SLAB[1] + SCENE.SLAB[0])
    outside = np.abs(points - middle) - half
    inside = np.minimum(outside.max(axis=1), 0.0)
    to_slab = np.abs(np.linalg.norm(np.maximum(outside, 0.0), axis=1) + inside)
    return np.minimum(to_ball, to_slab)


def test_a_mesh_stands_where_the_scene_stood_and_its_loss_is_measured(
    twin: Path, dataset: Path, tmp_path: Path, capsys: Any
) -> None:
    output = tmp_path / "scene.glb"
    result = export(twin, output, "mesh", capsys, "--dataset", str(dataset))
    assert result["bytes"] == output.stat().st_size and result["faces"] > 500
    mesh = trimesh.load(output, force="mesh")
    world = mesh.vertices @ np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    voxel = 1.6 * 1.02 / 64
    assert np.quantile(distance_to_scene(world), 0.9) < 2 * voxel
    loss = result["loss"]
    assert loss["views"] == 2 and loss["loss_db"] == pytest.approx(loss["field_psnr"] - loss["export_psnr"])
    assert loss["export_psnr"] > 15 and abs(loss["loss_db"]) < 10


def test_points_and_coloured_mesh_without_a_dataset(twin: Path, tmp_path: Path, capsys: Any) -> None:
    result = export(twin, tmp_path / "points.ply", "points", capsys)
    assert result["loss"] is None
    points = trimesh.load(tmp_path / "points.ply")
    assert len(points.vertices) == result["points"]
    assert np.quantile(distance_to_scene(points.vertices), 0.8) < 3 * 1.6 * 1.02 / 64
    result = export(twin, tmp_path / "mesh.ply", "mesh", capsys)
    assert len(trimesh.load(tmp_path / "mesh.ply").faces) == result["faces"]


def test_in_words_the_loss_comes_last(twin: Path, dataset: Path, tmp_path: Path, capsys: Any) -> None:
    words = ["export", str(twin), "-o", str(tmp_path / "p.ply"), "--format", "points", "--resolution", "64"]
    assert main([*words, "--dataset", str(dataset), "--device", "cpu"]) == 0
    assert "dB lost over 2 held-out views" in capsys.readouterr().out
    assert main([*words, "--device", "cpu"]) == 0
    said = capsys.readouterr()
    assert "loss not measured" in said.out and "without --dataset" in said.err


def test_an_export_that_shows_the_field_itself_loses_nothing(twin: Path, dataset: Path) -> None:
    field = load_field(read_twin(twin), "cpu")
    with open_dataset(dataset) as opened:
        loss = measure_loss(opened, field, lambda camera: render_view(field, camera)[0], QuietReporter())
    assert loss is not None and loss["loss_db"] == 0.0 and loss["psnr_to_field"] is None


def test_the_loss_is_measured_through_a_fisheye_too(twin: Path, tmp_path: Path) -> None:
    seen = SCENE.write(tmp_path / "fisheye.h5", views=2, size=32, model=CameraModel("fisheye"), focal=0.9)
    field = load_field(read_twin(twin), "cpu")
    draw = through_any_lens(lambda camera: render_view(field, camera)[0])
    with open_dataset(seen) as opened:
        loss = measure_loss(opened, field, draw, QuietReporter())
    # what is interpolated between the pixels of a finer picture is a little softer
    assert loss is not None and loss["views"] == 2 and abs(loss["loss_db"]) < 0.6 and loss["psnr_to_field"] > 30.0


def test_shots_see_the_analytic_depth(twin: Path, dataset: Path) -> None:
    field = load_field(read_twin(twin), "cpu")
    with open_dataset(dataset) as opened:
        camera = export_cameras(read_twin(twin, []), opened)[5]
    shot = take_shots(field, [camera], QuietReporter())[0]
    assert shot.camera.size == (80, 80)  # finer than the view
    truth = SCENE.view(shot.camera, "transparent", True).depth
    both = (truth > 0) & (shot.depth > 0)
    assert both.sum() > 0.8 * (truth > 0).sum()
    assert np.median(np.abs(truth - shot.depth)[both]) < 0.05


def test_without_a_dataset_cameras_stand_all_around_and_see_everything(twin: Path) -> None:
    for camera in export_cameras(read_twin(twin, []), None):
        corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
        world = SCENE.BOUNDS[0] + corners * (SCENE.BOUNDS[1] - SCENE.BOUNDS[0])
        local = (world - camera.camera_to_world[:3, 3]) @ camera.camera_to_world[:3, :3]
        pixels = camera.intrinsics[0] * local[:, :2] / -local[:, 2:] + 24
        assert (pixels > 0).all() and (pixels < 48).all()


def foggy_grid(lower: tuple[int, int, int] = (0, 0, 0), shape: tuple[int, int, int] = (24, 24, 24)) -> VolumeGrid:
    """A soft ball in the middle of a cube of 24³ voxels, cut out."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1) + lower
    place = (index + 0.5) / 24
    density = (40 * np.clip(0.3 - np.linalg.norm(place - 0.5, axis=-1), 0, 0.1)).astype(np.float32)
    colour = np.where(density[..., None] > 0, place, 0.0).astype(np.float32)
    world = np.array([[0.0, -2, 0, 1], [2, 0, 0, 1], [0, 0, 2, -1], [0, 0, 0, 1]])  # turned, twice as large
    return VolumeGrid(density, colour, np.array(lower), 24, world)


def test_the_grids_picture_is_the_numpy_references() -> None:
    grid = foggy_grid()
    camera = Camera(look_at([3.0, 2, 1], [0, 2, 0]), np.array([30.0, 30, 16, 16]), (32, 32))
    step = 1.0 / 48
    expected = np.zeros((32, 32, 4))
    for right, down, _ in PATTERN:
        shifted = camera.intrinsics - [0, 0, right, down]
        expected += render_bake(
            grid.density, grid.colour, grid.world_from_field, camera.camera_to_world, shifted, (32, 32), step
        ) / len(PATTERN)
    picture = grid.picture(camera)
    assert expected[..., 3].max() > 0.5
    # the two place their samples differently along the ray
    assert np.abs(picture - expected).max() < 0.01


def test_cutting_the_empty_part_off_changes_nothing() -> None:
    camera = Camera(look_at([3.0, 2, 1], [0, 2, 0]), np.array([30.0, 30, 16, 16]), (32, 32))
    whole, cut = foggy_grid(), foggy_grid((4, 4, 4), (16, 16, 16))
    np.testing.assert_allclose(cut.picture(camera), whole.picture(camera), atol=1e-6)
    point = np.array([8, 9, 10, 1.0])
    np.testing.assert_allclose(cut.world_from_index @ (point - [4, 4, 4, 0]), whole.world_from_index @ point)
    np.testing.assert_allclose(
        whole.world_from_index @ [0, 0, 0, 1], whole.world_from_field @ [0.5 / 24, 0.5 / 24, 0.5 / 24, 1]
    )
    np.testing.assert_allclose(whole.world_density, whole.density / 2)


def test_cancelled_or_failed_nothing_is_left(twin: Path, tmp_path: Path) -> None:
    reporter = QuietReporter()
    reporter.cancel_requested = True
    for format, name in (("vdb", "x.vdb"), ("mesh", "x.glb"), ("points", "x.ply")):
        settings = ExportSettings(str(twin), str(tmp_path / name), format, blender=sys.executable, resolution=64)
        with pytest.raises(Cancelled):
            export_twin(settings, reporter)
    nothing = read_twin(twin)
    arrays = {**nothing.arrays, "occupancy/bits": np.zeros_like(nothing.arrays["occupancy/bits"])}
    write_twin(tmp_path / "empty.twin", nothing.metadata, arrays)
    for format, name in (("vdb", "x.vdb"), ("mesh", "x.glb"), ("points", "x.ply")):
        settings = ExportSettings(
            str(tmp_path / "empty.twin"), str(tmp_path / name), format, blender=sys.executable, resolution=64
        )
        with pytest.raises(UserError, match="nothing dense enough"):
            export_twin(settings, QuietReporter())
    assert [path.name for path in tmp_path.iterdir()] == ["empty.twin"]


def test_a_missing_library_is_named(twin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = sys.modules["radiance_twin.core.export"]
    for name in ("mesh", "points"):
        monkeypatch.delitem(sys.modules, f"radiance_twin.core.export.{name}", raising=False)
        monkeypatch.delattr(package, name, raising=False)
    monkeypatch.setitem(sys.modules, "xatlas", None)
    with pytest.raises(UserError, match="lacks the package xatlas; install it there"):
        export_twin(ExportSettings(str(twin), str(tmp_path / "x.glb"), "mesh"), QuietReporter())


def test_a_blender_that_dies_is_one_line(tmp_path: Path) -> None:
    blender = tmp_path / "blender"
    blender.write_text("#!/bin/sh\necho no display >&2\nexit 3\n")
    blender.chmod(0o755)
    with pytest.raises(UserError, match=r"exit code 3.*no display.*--blender"):
        write_vdb(foggy_grid(), tmp_path / "x.vdb", str(blender), QuietReporter())


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (["-o", "x.obj", "--format", "mesh"], 2, "name it like x.glb or x.ply"),
        (["-o", "x.vdb", "--format", "points"], 2, "name it like x.ply"),
        (["-o", "x.vdb", "--format", "vdb", "--resolution", "100"], 2, "invalid choice: 100"),
        (["-o", "x.vdb", "--format", "vdb", "--blender", "/no/blender"], 1, "give the path of Blender's executable"),
        (["-o", "x.glb", "--format", "mesh", "--dataset", "no.h5"], 1, "no.h5 does not exist"),
    ],
)
def test_misuse_is_one_line_with_a_remedy(
    words: list[str], code: int, complaint: str, twin: Path, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(twin), *words]) == code
    said = capsys.readouterr().err
    assert complaint in said and said.count("\n") == 1
    assert not list(tmp_path.iterdir())
