# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator Train, and the twin that it stands in the scene, whatever becomes of it. The worker is a fake one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import pytest

from radiance_twin.addon.jobs import worker
from radiance_twin.addon.operators import train
from radiance_twin.addon.paths import Paths, paths_of_open_file
from radiance_twin.addon.properties import settings_of
from radiance_twin.addon.viewport.bakes import look_again
from radiance_twin.addon.viewport.twin import bake_of, path_of, problem_of
from radiance_twin.core import arguments
from radiance_twin.core.errors import Cancelled

from .fake_worker import DIES, REFUSES, WAITS
from .waiting import hear_until, why_grey


def twins() -> list[bpy.types.Object]:
    return [each for each in bpy.data.objects if each.type == "EMPTY"]


def training_at_work(paths: Paths) -> worker.Job:
    """A training that waits to be told something."""
    job = train.start_train({"seed": WAITS}, paths.dataset, paths.twin, load_after=True)
    hear_until(job, stage="work")
    return job


def test_cancelled_training_is_shown_as_far_as_it_came_and_gone_on_with(saved_file: Path, fake_worker: None) -> None:
    paths = paths_of_open_file()
    assert paths is not None
    job = training_at_work(paths)
    bpy.ops.radiance_twin.cancel()
    hear_until(job)
    assert isinstance(job.error, Cancelled)
    assert job.outcome == "Stopped; table.unfinished.twin holds what was learned; Continue (--resume) goes on with it"
    (twin,) = twins()
    assert Path(path_of(twin)) == paths.unfinished_twin and not problem_of(twin)
    bake = bake_of(twin)
    assert bake is not None and bake.is_expected, "its box, in which the worker shows the field when the view rests"
    # gone on with, the object shows what it becomes
    hear_until(train.start_train({"seed": 0}, paths.dataset, paths.twin, load_after=True))
    assert twins() == [twin] and Path(path_of(twin)) == paths.twin and not paths.unfinished_twin.exists()
    look_again(str(paths.twin))
    bake = bake_of(twin)
    assert bake is not None and not bake.is_expected


def test_cancelled_training_leaves_an_earlier_twin_in_sight(saved_file: Path, fake_worker: None) -> None:
    bpy.ops.radiance_twin.render_views()
    bpy.ops.radiance_twin.train()
    paths = paths_of_open_file()
    assert paths is not None
    before = paths.twin.read_bytes()
    job = training_at_work(paths)
    bpy.ops.radiance_twin.cancel()
    hear_until(job)
    (twin,) = twins()
    assert Path(path_of(twin)) == paths.twin and paths.twin.read_bytes() == before
    assert paths.unfinished_twin.is_file()


def test_finish_now_makes_a_twin_of_what_is_learned(saved_file: Path, fake_worker: None) -> None:
    paths = paths_of_open_file()
    assert paths is not None
    job = training_at_work(paths)
    bpy.ops.radiance_twin.finish()
    assert why_grey("finish") == "It is finishing"
    hear_until(job)
    assert job.error is None and job.outcome == "31.25 dB after 1 s"
    assert paths.twin.is_file() and not paths.unfinished_twin.exists()
    assert [Path(path_of(twin)) for twin in twins()] == [paths.twin]


def test_trained_twin_stands_beside_the_original_once(saved_file: Path, fake_worker: None) -> None:
    bpy.ops.radiance_twin.render_views()
    for _ in range(2):
        bpy.ops.radiance_twin.train()
    twins = [each for each in bpy.context.scene.objects if each.type == "EMPTY"]
    assert [each.name for each in twins] == ["table"]
    assert twins[0].location.length > 0.1
    job = worker.last("train")
    assert job is not None and job.outcome == "31.25 dB after 1 s"


def test_twin_stands_in_the_scene_while_it_is_trained(saved_file: Path, fake_worker: None) -> None:
    paths = paths_of_open_file()
    assert paths is not None
    selected = list(bpy.context.selected_objects)
    job = training_at_work(paths)
    (twin,) = twins()
    assert not paths.twin.is_file() and twin.location.length > 0.1
    bake = bake_of(twin)
    assert bake is not None and bake.is_expected and bake.box.max() == 1.0 and not problem_of(twin)
    assert list(bpy.context.selected_objects) == selected, "whoever works on is not disturbed"
    job.cancel()
    hear_until(job)
    assert twins() == [twin]


@pytest.mark.parametrize("seed", [DIES, REFUSES])
def test_training_that_fails_takes_its_stand_in_away(saved_file: Path, fake_worker: None, seed: int) -> None:
    paths = paths_of_open_file()
    assert paths is not None
    job = train.start_train({"seed": seed}, paths.dataset, paths.twin, load_after=True)
    hear_until(job)
    assert job.error is not None and not twins()
    # an earlier twin stays what it was
    bpy.ops.radiance_twin.render_views()
    bpy.ops.radiance_twin.train()
    (twin,) = twins()
    hear_until(train.start_train({"seed": seed}, paths.dataset, paths.twin, load_after=True))
    assert twins() == [twin] and bake_of(twin) is not None


def test_a_deleted_stand_in_comes_back_as_the_twin(saved_file: Path, fake_worker: None) -> None:
    paths = paths_of_open_file()
    assert paths is not None
    job = training_at_work(paths)
    bpy.data.objects.remove(twins()[0])
    job.cancel()
    hear_until(job)
    assert len(twins()) == 1


def test_how_long_to_train_is_a_preset_or_a_number(saved_file: Path, fake_worker: None) -> None:
    settings = settings_of(bpy.context.scene)
    paths = paths_of_open_file()
    assert paths is not None

    def asked() -> dict[str, Any]:
        bpy.ops.radiance_twin.train()
        job = worker.last("train")
        assert job is not None
        return {name: value for name, value in job.arguments.items() if name not in ("dataset", "output")}

    bpy.ops.radiance_twin.render_views()
    assert asked() == {"device": "auto", "seed": 0, "bake": "normal", "preset": "preview"}
    settings.preset, settings.seconds, settings.device, settings.bake = "custom", 5.0, "cpu", "small"
    assert asked() == {"device": "cpu", "seed": 0, "bake": "small", "seconds": 5.0}
    settings.preset, settings.stop_at_psnr, settings.until_psnr, settings.go_on = "final", True, 32.5, True
    assert asked() == {
        "device": "cpu",
        "seed": 0,
        "bake": "small",
        "preset": "final",
        "until_psnr": 32.5,
        "resume": str(paths.twin),
    }
    # what is asked for is what the command line knows
    words = arguments.parse(["train", "--preset", "final", "--until-psnr", "32.5", "--resume", "x.twin"], "b", True)
    assert set(asked()) <= set(arguments.settings_of(words))


def test_twin_is_not_loaded_when_not_wanted(saved_file: Path, fake_worker: None) -> None:
    settings_of(bpy.context.scene).load_after = False
    bpy.ops.radiance_twin.render_views()
    bpy.ops.radiance_twin.train()
    assert not any(each.type == "EMPTY" for each in bpy.data.objects)


def test_training_succeeds_where_the_twin_cannot_be_loaded(saved_file: Path, fake_worker: None) -> None:
    bpy.ops.radiance_twin.render_views()
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.radiance_twin.train()
    job = worker.last("train")
    assert job is not None and job.error is None
    assert "It is not loaded" in job.outcome and "Object Mode" in job.outcome
