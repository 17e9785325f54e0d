# SPDX-License-Identifier: GPL-3.0-or-later
"""From a dataset to a twin and back: quality, determinism, going on, and everything that can be wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from radiance_twin.core.cameras import Camera
from radiance_twin.core.dataset.checksums import seal_attributes
from radiance_twin.core.dataset.digest import dataset_digest
from radiance_twin.core.dataset.store import open_dataset
from radiance_twin.core.errors import Cancelled, UsageError, UserError
from radiance_twin.core.field.model import FieldConfig
from radiance_twin.core.field.render import load_field, render_view
from radiance_twin.core.reporting import QuietReporter
from radiance_twin.core.training import trainer
from radiance_twin.core.training.trainer import TrainSettings, train
from radiance_twin.core.twin_file import read_twin, write_twin

from .analytic_scene import look_at, write
from .quick_training import QUICK, CountingReporter, quality

pytestmark = pytest.mark.usefixtures("on_the_cpu")


@pytest.fixture(scope="module")
def trained(scene: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], CountingReporter]:
    output, reporter = tmp_path_factory.mktemp("twin") / "analytic.twin", CountingReporter()
    return output, train(TrainSettings(str(scene), str(output), steps=250), reporter, QUICK), reporter


def test_a_field_shows_views_that_it_never_saw(scene: Path, trained: tuple[Path, dict[str, Any], Any]) -> None:
    output, result, _ = trained
    assert quality(scene, output) > 27
    assert quality(scene, output, baked=True) > 25
    assert result["psnr"] > 27
    assert result["psnr_foreground"] > 22
    assert result["bytes"] == output.stat().st_size
    assert result["steps"] == 250


def test_the_twin_says_where_it_came_from(scene: Path, trained: tuple[Path, dict[str, Any], Any]) -> None:
    output, result, reporter = trained
    twin = read_twin(output)
    with open_dataset(scene) as dataset:
        np.testing.assert_array_equal(twin.world_from_field, dataset.world_from_field)
        for name, values in dataset.view_transform.arrays().items():
            np.testing.assert_array_equal(twin.arrays[f"view_transform/{name}"], values)
    assert twin.metadata["scene_name"] == "analytic"
    assert twin.metadata["film"] == "transparent"
    assert twin.metadata["bake"] == result["bake"]
    assert twin.metadata["bake"]["kind"] == "bricks"
    assert twin.metadata["bake"]["bricks"] == len(twin.arrays["bake/places"])
    # how much is lost is always said
    assert 25 < twin.metadata["bake"]["psnr"] <= result["psnr"] + 0.5
    training = twin.metadata["training"]
    assert training["dataset_digest"] == dataset_digest(scene)
    assert training["steps"] == 250
    assert training["seed"] == 0
    assert [view["index"] for view in training["views"]] == [24, 25]
    assert np.mean([view["psnr"] for view in training["views"]]) == pytest.approx(result["psnr"], abs=1e-3)
    assert {"loading", "compiling", "training", "evaluating", "baking"} <= set(training["stages"])
    assert any(line.startswith("Seconds: ") for line in reporter.lines)
    assert any({"steps", "rays_per_second", "seconds_left", "psnr"} <= set(figures) for figures in reporter.figures)


def test_depth_is_planar_and_in_scene_units(scene: Path, trained: tuple[Path, dict[str, Any], Any]) -> None:
    field = load_field(read_twin(trained[0]), "cpu")
    with open_dataset(scene) as dataset:
        index = int(dataset.splits["test"][0])
        _, depth = render_view(field, dataset.camera(index))
        truth = dataset.depth(index)
        interior = (truth > 0) & (dataset.rgba(index)[..., 3] == 1)
    # a pixel is 0.05 wide there
    assert np.median(np.abs(depth - truth)[interior]) < 0.03
    assert (depth[~(truth > 0)] == 0).mean() > 0.9


def test_the_same_seed_gives_the_same_field(scene: Path, tmp_path: Path) -> None:
    digests = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        output = tmp_path / f"{name}.twin"
        train(TrainSettings(str(scene), str(output), steps=6, seed=seed), QuietReporter(), QUICK)
        digests.append({key: value.tobytes() for key, value in read_twin(output).arrays.items()})
    assert digests[0] == digests[1]
    assert digests[0] != digests[2]


def test_the_reference_learns_too(scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # what CUDA runs, on the CPU
    monkeypatch.setattr(trainer, "prepare", partial(trainer.prepare, reference=True))
    output = tmp_path / "reference.twin"
    train(TrainSettings(str(scene), str(output), steps=80), QuietReporter(), QUICK)
    assert quality(scene, output) > 18


def test_without_depth_it_works_too(tmp_path: Path) -> None:
    path = write(tmp_path / "blind.h5", depth=False)
    train(TrainSettings(str(path), str(tmp_path / "blind.twin"), steps=250), QuietReporter(), QUICK)
    assert quality(path, tmp_path / "blind.twin") > 23


def test_views_to_validate_are_not_needed(tmp_path: Path) -> None:
    path = write(tmp_path / "all.h5", views=8, size=24)
    with h5py.File(path, "r+") as file:
        for name in ("val", "test"):
            del file[f"splits/{name}"]
            file[f"splits/{name}"] = np.zeros(0, np.int64)
    result = train(TrainSettings(str(path), str(tmp_path / "all.twin"), steps=3), QuietReporter(), QUICK)
    assert result["psnr"] is None
    assert read_twin(tmp_path / "all.twin").metadata["training"]["views"] == []


def test_a_film_with_world_has_a_sky(tmp_path: Path) -> None:
    path = write(tmp_path / "world.h5", film="world")
    train(TrainSettings(str(path), str(tmp_path / "world.twin"), steps=200), QuietReporter(), QUICK)
    twin = read_twin(tmp_path / "world.twin")
    assert FieldConfig.from_metadata(twin.metadata["model"]).background
    assert quality(path, tmp_path / "world.twin") > 24
    with open_dataset(path) as dataset:
        camera = look_at([0.0, 0.0, 3.0], [1.0, 0.0, 6.0])  # the scene lies behind
        rgba, depth = render_view(load_field(twin, "cpu"), Camera(camera, dataset.intrinsics[0], (8, 8)))
    assert (rgba[..., 3] == 1).all()
    assert not depth.any()


def test_a_scene_that_differs_from_view_to_view_is_told_before_it_is_trained(tmp_path: Path) -> None:
    path = write(tmp_path / "changing.h5", views=8, size=24)
    for per, told in (("view", 1), ("scene", 0)):
        with h5py.File(path, "r+") as file:
            rules = [{"what": "time", "frames": [1, 9], "per": per}]
            file.attrs["configuration"] = json.dumps({"randomise": rules})
            seal_attributes(file)
        reporter = CountingReporter(stop_after=0)
        with pytest.raises(Cancelled):
            train(TrainSettings(str(path), str(tmp_path / "mean.twin")), reporter)
        assert sum("differs from view to view" in line and 'per = "scene"' in line for line in reporter.lines) == told


def test_a_training_goes_on_from_a_twin(scene: Path, trained: tuple[Path, dict[str, Any], Any], tmp_path: Path) -> None:
    before, output = quality(scene, trained[0]), tmp_path / "longer.twin"
    train(TrainSettings(str(scene), str(output), steps=150, resume=str(trained[0])), QuietReporter(), QUICK)
    assert quality(scene, output) > before
    training = read_twin(output).metadata["training"]
    assert (training["steps"], training["resumed_at_step"]) == (400, 250)
    earlier = read_twin(trained[0])
    assert training["seconds"] > earlier.metadata["training"]["seconds"]
    history = read_twin(output).training_history
    assert history[: len(earlier.training_history)] == earlier.training_history
    assert len(history) > len(earlier.training_history) > 0
    assert history == sorted(history, key=lambda moment: moment[0])
    assert history[-1][0] <= training["seconds"]


def test_a_twin_of_another_scene_cannot_be_resumed(trained: tuple[Path, dict[str, Any], Any], tmp_path: Path) -> None:
    other = write(tmp_path / "other.h5", views=4, size=16, film="world")
    with pytest.raises(UserError, match="another film"):
        train(TrainSettings(str(other), str(tmp_path / "x.twin"), resume=str(trained[0])), QuietReporter())
    moved = write(tmp_path / "moved.h5", views=4, size=16)
    with h5py.File(moved, "r+") as file:
        file.attrs["world_from_field"] = file.attrs["world_from_field"] * np.float64(1.5)
        seal_attributes(file)
    with pytest.raises(UserError, match="stands elsewhere"):
        train(TrainSettings(str(moved), str(tmp_path / "x.twin"), resume=str(trained[0])), QuietReporter())


def test_training_stops_at_the_quality_asked_for(scene: Path, tmp_path: Path) -> None:
    output = tmp_path / "enough.twin"
    result = train(TrainSettings(str(scene), str(output), until_psnr=20.0), QuietReporter(), QUICK)
    assert result["reached"] is True
    assert result["seconds"] < 60
    assert quality(scene, output) > 18
    reporter = QuietReporter()
    result = train(TrainSettings(str(scene), str(output), until_psnr=90.0, steps=3), reporter, QUICK)
    assert result["reached"] is False
    assert any("did not reach 90 dB within 3 steps" in line for line in reporter.lines)


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"seconds": 0.0, "steps": None}, UsageError, "seconds"),
        ({"seconds": float("nan"), "steps": None}, UsageError, "seconds"),
        ({"steps": 0}, UsageError, "steps"),
        ({"seconds": 5.0, "steps": 5}, UsageError, "one of them"),
        ({"preset": "best"}, UsageError, "draft, preview, final"),
        ({"until_psnr": 0.0}, UsageError, "until 0.0 dB"),
        ({"until_psnr": float("nan")}, UsageError, "until nan dB"),
        ({"resume": "missing.twin"}, UserError, "does not exist"),
        ({"seed": -1}, UsageError, "seed"),
        ({"device": "tpu"}, UsageError, "auto, cpu or cuda"),
        ({"dataset": "missing.h5"}, UserError, "does not exist"),
        ({"output": "/proc/never/x.twin"}, UserError, "another"),
    ],
)
def test_wrong_settings_are_one_line_with_a_remedy(
    scene: Path, tmp_path: Path, changes: dict[str, Any], kind: type[Exception], words: str
) -> None:
    settings = replace(TrainSettings(str(scene), str(tmp_path / "x.twin"), steps=1), **changes)
    with pytest.raises(kind, match=words) as caught:
        train(settings, QuietReporter())
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_cuda_that_is_not_there_is_said(scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="--device cpu"):
        train(TrainSettings(str(scene), str(tmp_path / "x.twin"), device="cuda"), QuietReporter())


def test_views_that_show_nothing_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(write.__globals__, "CENTRE", np.array([100.0, 0, 0]))
    monkeypatch.setitem(write.__globals__, "SLAB", np.array([[100.0, 0, 0], [101.0, 1, 1]]))
    path = write(tmp_path / "empty.h5", views=4, size=16)
    with pytest.raises(UserError, match="show nothing"):
        train(TrainSettings(str(path), str(tmp_path / "x.twin"), steps=1), QuietReporter())


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("model", {"levels": 10**6}),
        ("model", None),
        ("march", {"step": 0.0, "occupancy_resolution": 128}),
        ("march", {"step": 0.004, "occupancy_resolution": 10**6}),
    ],
)
def test_a_twin_whose_header_makes_no_sense_is_refused(
    trained: tuple[Path, dict[str, Any], Any], tmp_path: Path, part: str, value: Any
) -> None:
    twin = read_twin(trained[0])
    changed = {**twin.metadata[part], **value} if value else value
    write_twin(tmp_path / "bad.twin", {**twin.metadata, part: changed}, twin.arrays)
    with pytest.raises(UserError, match="train again"):
        load_field(read_twin(tmp_path / "bad.twin"), "cpu")


def test_a_twin_whose_weights_do_not_fit_is_refused(trained: tuple[Path, dict[str, Any], Any]) -> None:
    twin = read_twin(trained[0])
    for name in ("field/table", "field/density_0", "occupancy/bits"):
        cut = replace(twin, arrays={**twin.arrays, name: twin.arrays[name][:-8]})
        with pytest.raises(UserError, match="train again"):
            load_field(cut, "cpu")
    infinite = {**twin.arrays, "field/table": np.full_like(twin.arrays["field/table"], np.inf)}
    with pytest.raises(UserError, match="not finite"):
        load_field(replace(twin, arrays=infinite), "cpu")


def test_rendering_can_be_cancelled(scene: Path, trained: tuple[Path, dict[str, Any], Any]) -> None:
    field = load_field(read_twin(trained[0]), "cpu")
    with open_dataset(scene) as dataset, pytest.raises(Cancelled):
        render_view(field, dataset.camera(0), cancelled=lambda: True)


def test_progress_is_reported_often_enough_to_cancel() -> None:
    assert trainer.REPORT_EVERY <= 1.0
