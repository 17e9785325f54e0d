# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel's operators: what they need, what they start, and what they leave alone. The worker is a fake one."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest

import radiance_twin
from radiance_twin.addon.jobs import worker
from radiance_twin.addon.operators import compare, render, sample, train
from radiance_twin.addon.paths import paths_of_open_file
from radiance_twin.addon.properties import render_arguments, settings_of
from radiance_twin.addon.viewport.bakes import look_again
from radiance_twin.addon.viewport.twin import bake_of, path_of, problem_of
from radiance_twin.core import arguments
from radiance_twin.core.arguments import TURNTABLE_FRAMES
from radiance_twin.core.errors import Cancelled, UserError
from radiance_twin.core.worker.child import ChildCrashed

from .fake_worker import BROKEN, DEAF, DIES, REFUSES, WAITS

OPERATORS = (
    "render_views",
    "train",
    "compare",
    "compare_frame",
    "cancel",
    "finish",
    "open_sample",
    "open_report",
    "load_twin",
)


@pytest.fixture
def saved_file(extension: None, tmp_path: Path) -> Path:
    """The default scene (cube, light, camera), saved as table.blend."""
    path = tmp_path / "table.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    return path


def why_grey(operator: str) -> str:
    """What the button's tooltip says about being grey; empty when it is not."""
    try:
        getattr(bpy.ops.radiance_twin, operator)()
    except RuntimeError as error:
        return str(error).partition(".poll() ")[2]
    return ""


def hear_until(job: worker.Job, stage: str = "") -> None:
    """Until the job has ended, or has said that it is at `stage`."""
    deadline = time.monotonic() + 20
    while not job.ended and not (stage and job.stage == stage):
        assert time.monotonic() < deadline, job.lines
        job.hear(0.01)
        time.sleep(0.01)


def fingerprint(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def traces() -> dict[str, Any]:
    """Everything in Blender that carries our name."""
    handlers = {
        name: [getattr(each, "__module__", "") for each in getattr(bpy.app.handlers, name)]
        for name in dir(bpy.app.handlers)
        if isinstance(getattr(bpy.app.handlers, name), list)
    }
    menus = (bpy.types.STATUSBAR_HT_header, bpy.types.TOPBAR_MT_file_import)
    return {
        "classes": [name for name in dir(bpy.types) if "radiance" in name.lower()],
        "operators": list(dir(bpy.ops.radiance_twin)),
        "settings": [kind for kind in (bpy.types.Scene, bpy.types.Object) if hasattr(kind, "radiance_twin")],
        "handlers": [name for name, modules in handlers.items() if any("radiance_twin" in each for each in modules)],
        "menus": [
            menu for menu in menus for each in menu._dyn_ui_initialize() if "radiance_twin" in (each.__module__ or "")
        ],
    }


def test_registering_twice_leaves_nothing_behind() -> None:
    bpy.ops.wm.read_factory_settings()
    before = traces()
    assert before["classes"] == []
    for _ in range(2):
        radiance_twin.register()
        assert set(OPERATORS) <= set(dir(bpy.ops.radiance_twin))
        assert len(traces()["settings"]) == 2
        radiance_twin.unregister()
        assert traces() == before


def test_unsaved_file_greys_every_step_and_says_why(extension: None, fake_worker: None) -> None:
    for operator in ("render_views", "train", "compare"):
        assert why_grey(operator).startswith("Save the file first")
    assert why_grey("open_report") == "Compare first"
    assert why_grey("cancel") == "No job is running"
    assert why_grey("finish") == "Nothing is being trained"


def test_each_step_asks_for_the_one_before_it(saved_file: Path, fake_worker: None) -> None:
    assert why_grey("train") == "Render the views first"
    assert why_grey("compare") == "Render the views first"
    bpy.ops.radiance_twin.render_views()
    assert why_grey("compare") == "Train the twin first"
    bpy.ops.radiance_twin.train()
    bpy.ops.radiance_twin.compare()


def test_no_worker_greys_the_steps(saved_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RADIANCE_TWIN_PYTHON", raising=False)
    assert why_grey("render_views").startswith("Training needs a Python with PyTorch")
    monkeypatch.setenv("RADIANCE_TWIN_PYTHON", "/nowhere/python")
    assert why_grey("render_views") == "The worker's Python named by RADIANCE_TWIN_PYTHON is not there"


def test_rig_says_what_it_lacks(saved_file: Path, fake_worker: None) -> None:
    scene = bpy.context.scene
    settings = settings_of(scene)
    settings.target = "OBJECT"
    assert why_grey("render_views") == "Choose the target object"
    settings.target = "COLLECTION"
    assert why_grey("render_views") == "Choose the target collection"
    settings.target_collection = scene.collection.children[0]
    settings.rig, scene.camera = "animated", None
    assert why_grey("render_views") == "The scene has no camera to follow"
    settings.rig, settings.target = "orbit", "SCENE"
    bpy.data.objects["Cube"].hide_render = True
    assert why_grey("render_views") == "The scene has nothing to render"


def test_settings_are_those_of_the_command_line(saved_file: Path) -> None:
    settings = settings_of(bpy.context.scene)
    settings.rig, settings.views, settings.width, settings.height = "orbit", 7, 320, 180
    settings.target, settings.target_object = "OBJECT", bpy.data.objects["Cube"]
    asked = render_arguments(settings)
    flags = [*("--rig", "orbit", "--views", "7", "--resolution", "320x180"), *("--target", "Cube")]
    said = arguments.settings_of(arguments.parse(["render", *flags], "blender", inside_blender=True))
    same = {name: list(value) if isinstance(value, tuple) else value for name, value in said.items()}
    assert asked == {name: same[name] for name in asked}
    assert set(said) - set(asked) == {"output", "allow_newer", "add"}
    settings.rig = "animated"
    assert render_arguments(settings)["target"] is None


def test_poses_of_a_file_are_a_rig(saved_file: Path) -> None:
    settings = settings_of(bpy.context.scene)
    settings.rig, settings.distortion[0] = "poses", 0.1
    assert why_grey("render_views") == "Name the file or folder of the poses"
    settings.poses = "//colmap"
    asked = render_arguments(settings)
    assert (asked["poses"], asked["resolution"]) == (str(saved_file.parent / "colmap"), [0, 0])
    assert not any(asked["distortion"]), "each pose has a lens of its own"
    settings.size_of_poses = False
    assert render_arguments(settings)["resolution"] == [settings.width, settings.height]
    settings.rig = "orbit"
    assert render_arguments(settings)["poses"] is None


def test_settings_go_into_a_file_and_come_back(saved_file: Path, tmp_path: Path) -> None:
    settings = settings_of(bpy.context.scene)
    settings.rig, settings.views, settings.width, settings.height = "rings", 7, 320, 180
    settings.elevation, settings.stretch = np.radians((10.0, 65.0)), (1.0, 2.0, 0.5)
    settings.target, settings.target_object = "OBJECT", bpy.data.objects["Cube"]
    settings.passes, settings.classes = {"albedo", "coverage"}, "chair = Chair*, plant = collection:Plants"
    before = render_arguments(settings)
    assert before["passes"] == ["albedo", "coverage"]
    assert before["classes"] == ["chair = Chair*", "plant = collection:Plants"]
    assert bpy.ops.radiance_twin.save_configuration(filepath=str(tmp_path / "views.toml")) == {"FINISHED"}
    for name in ("rig", "views", "width", "height", "elevation", "stretch", "target", "passes", "classes"):
        settings.property_unset(name)
    assert render_arguments(settings) != before
    assert bpy.ops.radiance_twin.load_configuration(filepath=str(tmp_path / "views.toml")) == {"FINISHED"}
    assert render_arguments(settings) == before
    # and the command line reads the same
    words = ["render", "--config", str(tmp_path / "views.toml")]
    said = arguments.settings_of(arguments.parse(words, "blender", inside_blender=True))
    assert {name: list(said[name]) if isinstance(said[name], tuple) else said[name] for name in before} == before


def test_a_file_with_a_mistake_changes_nothing(saved_file: Path, tmp_path: Path) -> None:
    (tmp_path / "views.toml").write_text("[cameras]\nviews = 9\nrig = 3\n")
    with pytest.raises(RuntimeError, match="line 3: rig is 3; write a name in quotes"):
        bpy.ops.radiance_twin.load_configuration(filepath=str(tmp_path / "views.toml"))
    assert settings_of(bpy.context.scene).views == 60


def test_a_copy_is_rendered_and_the_open_file_is_left_alone(saved_file: Path, fake_worker: None) -> None:
    before = fingerprint(saved_file)
    bpy.data.objects["Cube"].name = "Changed after saving"
    job = render.start_render({"views": 3, "val_views": 1, "test_views": 2}, saved_file.with_suffix(".h5"))
    copy = Path(job.arguments["scene"])
    assert copy.name == "table.blend" and copy != saved_file
    with bpy.data.libraries.load(str(copy)) as (source, _):
        assert "Changed after saving" in source.objects
    hear_until(job)
    assert job.result is not None and job.result["views"] == 6
    assert not copy.exists()
    assert bpy.data.filepath == str(saved_file)
    assert fingerprint(saved_file) == before


def test_copy_finds_external_files(saved_file: Path, tmp_path: Path) -> None:
    image = bpy.data.images.new("Wood", 4, 4)
    image.filepath_raw, image.file_format = str(saved_file.with_name("wood.png")), "PNG"
    image.save()
    image.use_fake_user = True
    image.filepath = "//wood.png"
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    copy = render.save_copy(tmp_path / "elsewhere" / "deep")
    assert image.filepath == "//wood.png"
    with bpy.data.libraries.load(str(copy), link=True) as (_, wanted):
        wanted.images = ["Wood"]
    (found,) = wanted.images
    path = bpy.path.abspath(found.filepath, library=found.library)
    assert os.path.realpath(path) == os.path.realpath(saved_file.with_name("wood.png"))


def test_dying_worker_is_told_with_its_last_words(saved_file: Path, fake_worker: None) -> None:
    settings_of(bpy.context.scene).seed = DIES
    with pytest.raises(RuntimeError, match=r"ended unexpectedly \(exit code 7\); its last words: the last words"):
        bpy.ops.radiance_twin.render_views()
    assert worker.running() is None
    job = worker.last("render")
    assert job is not None and isinstance(job.error, ChildCrashed)
    # everything is there to try again
    settings_of(bpy.context.scene).seed = 0
    assert bpy.ops.radiance_twin.render_views() == {"FINISHED"}


def test_python_without_the_packages_is_told(saved_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n', encoding="utf-8")
    bare.chmod(0o755)
    monkeypatch.setenv("RADIANCE_TWIN_PYTHON", str(bare))
    with pytest.raises(RuntimeError, match="lacks the package .*; install radiance-twin there"):
        bpy.ops.radiance_twin.render_views()


def test_interrupted_render_goes_on_with_the_same_copy(saved_file: Path, fake_worker: None) -> None:
    with pytest.raises(RuntimeError, match="No render was interrupted"):
        bpy.ops.radiance_twin.render_views(resume=True)
    settings_of(bpy.context.scene).seed = REFUSES
    with pytest.raises(RuntimeError, match="The scene is not to my liking; choose another"):
        bpy.ops.radiance_twin.render_views()
    first = worker.interrupted("render")
    assert first is not None and Path(first.arguments["scene"]).is_file()
    bpy.ops.mesh.primitive_cube_add()
    with pytest.raises(RuntimeError, match="not to my liking"):
        bpy.ops.radiance_twin.render_views(resume=True)
    second = worker.interrupted("render")
    assert second is not first and second is not None
    assert second.arguments == first.arguments
    # a fresh render takes the old copy away
    settings_of(bpy.context.scene).seed = 0
    bpy.ops.radiance_twin.render_views()
    assert not Path(first.arguments["scene"]).exists()
    assert worker.interrupted("render") is None


def test_cancel_stops_the_job_and_one_runs_at_a_time(saved_file: Path, fake_worker: None) -> None:
    settings_of(bpy.context.scene).seed = WAITS
    job = render.start_render(render_arguments(settings_of(bpy.context.scene)), saved_file.with_suffix(".h5"))
    hear_until(job, stage="work")
    assert (
        job.fraction == 0.25 and job.seconds_left == 3.0 and job.note == "view 1 of 4 · 20.0 dB · 18k rays per second"
    )
    assert why_grey("render_views") == "A job is running"
    with pytest.raises(UserError, match="a job is running already"):
        render.start_render({}, saved_file.with_suffix(".h5"))
    bpy.ops.radiance_twin.cancel()
    hear_until(job)
    assert isinstance(job.error, Cancelled)
    assert job.outcome == "Stopped; what was done is kept"


def test_cancelled_training_is_shown_as_far_as_it_came_and_gone_on_with(saved_file: Path, fake_worker: None) -> None:
    paths = paths_of_open_file()
    assert paths is not None
    job = train.start_train({"seed": WAITS}, paths.dataset, paths.twin, load_after=True)
    hear_until(job, stage="work")
    bpy.ops.radiance_twin.cancel()
    hear_until(job)
    assert isinstance(job.error, Cancelled)
    assert job.outcome == "Stopped; table.unfinished.twin holds what was learned, and Continue goes on with it"
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
    before = fingerprint(paths.twin)
    job = train.start_train({"seed": WAITS}, paths.dataset, paths.twin, load_after=True)
    hear_until(job, stage="work")
    bpy.ops.radiance_twin.cancel()
    hear_until(job)
    (twin,) = twins()
    assert Path(path_of(twin)) == paths.twin and fingerprint(paths.twin) == before
    assert paths.unfinished_twin.is_file()


def test_finish_now_makes_a_twin_of_what_is_learned(saved_file: Path, fake_worker: None) -> None:
    paths = paths_of_open_file()
    assert paths is not None
    job = train.start_train({"seed": WAITS}, paths.dataset, paths.twin, load_after=True)
    hear_until(job, stage="work")
    bpy.ops.radiance_twin.finish()
    assert why_grey("finish") == "It is finishing"
    hear_until(job)
    assert job.error is None and job.outcome == "31.25 dB after 1 s"
    assert paths.twin.is_file() and not paths.unfinished_twin.exists()
    assert [Path(path_of(twin)) for twin in twins()] == [paths.twin]


def test_second_cancel_ends_a_worker_that_does_not_listen(saved_file: Path, fake_worker: None) -> None:
    job = render.start_render({"seed": DEAF, "views": 1}, saved_file.with_suffix(".h5"))
    hear_until(job, stage="work")
    bpy.ops.radiance_twin.cancel()
    assert not job.ended
    bpy.ops.radiance_twin.cancel()
    hear_until(job)
    assert isinstance(job.error, Cancelled)


def test_job_goes_on_when_another_file_is_opened(saved_file: Path, fake_worker: None, tmp_path: Path) -> None:
    other = tmp_path / "other.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(other), copy=True)
    paths = paths_of_open_file()
    assert paths is not None
    job = train.start_train({"seed": 0}, paths.dataset, paths.twin, load_after=True)
    bpy.ops.wm.open_mainfile(filepath=str(other))
    hear_until(job)
    assert job.error is None and paths.twin.is_file()
    assert not any(each.type == "EMPTY" for each in bpy.data.objects), "the twin belongs to the other file"
    assert worker.last("train") is None
    bpy.ops.wm.open_mainfile(filepath=str(saved_file))
    assert worker.last("train") is job


def test_unregistering_stops_the_worker(saved_file: Path, fake_worker: None) -> None:
    job = render.start_render({"seed": WAITS, "views": 1}, saved_file.with_suffix(".h5"))
    hear_until(job, stage="work")
    worker.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(job.process_id, 0)
    assert worker.running() is None


def test_trained_twin_stands_beside_the_original_once(saved_file: Path, fake_worker: None) -> None:
    bpy.ops.radiance_twin.render_views()
    for _ in range(2):
        bpy.ops.radiance_twin.train()
    twins = [each for each in bpy.context.scene.objects if each.type == "EMPTY"]
    assert [each.name for each in twins] == ["table"]
    assert twins[0].location.length > 0.1
    job = worker.last("train")
    assert job is not None and job.outcome == "31.25 dB after 1 s"


def twins() -> list[bpy.types.Object]:
    return [each for each in bpy.data.objects if each.type == "EMPTY"]


def test_twin_stands_in_the_scene_while_it_is_trained(saved_file: Path, fake_worker: None) -> None:
    paths = paths_of_open_file()
    assert paths is not None
    selected = list(bpy.context.selected_objects)
    job = train.start_train({"seed": WAITS}, paths.dataset, paths.twin, load_after=True)
    hear_until(job, stage="work")
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
    job = train.start_train({"seed": WAITS}, paths.dataset, paths.twin, load_after=True)
    hear_until(job, stage="work")
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


def test_comparison_loads_the_worst_views_pictures_once(saved_file: Path, fake_worker: None) -> None:
    bpy.ops.radiance_twin.render_views()
    bpy.ops.radiance_twin.train()
    mine = bpy.data.images.new("View 67, Classic", 4, 4)
    for _ in range(2):
        bpy.ops.radiance_twin.compare()
    classic, neural, flip = (compare.picture(kind) for kind in compare.PICTURES)
    assert classic is not None and neural is not None and flip is not None and classic != mine
    assert classic.filepath.endswith("classic_067.png") and neural.filepath.endswith("neural_067.png")
    assert len([each for each in bpy.data.images if each.get(compare.MARK)]) == 3
    assert classic.colorspace_settings.name == "sRGB"
    assert classic.pixels[0] == pytest.approx(64 / 255) and neural.pixels[0] == pytest.approx(192 / 255)
    paths = paths_of_open_file()
    assert paths is not None
    metrics = compare.read_metrics(paths.report)
    assert metrics is not None and metrics["mean"]["psnr"] == 30.0
    job = worker.last("compare")
    assert job is not None and job.outcome.startswith("PSNR 30.00 dB (foreground 27.00 dB)")


def test_turntable_is_rendered_from_a_copy_of_the_open_scene(saved_file: Path, fake_worker: None) -> None:
    for step in ("render_views", "train", "compare"):
        getattr(bpy.ops.radiance_twin, step)()
    job = worker.last("compare")
    assert job is not None and job.result is not None
    assert job.result["arguments"]["turntable"] == 0 and "scene" not in job.result["arguments"]
    settings_of(bpy.context.scene).turntable = True
    bpy.ops.radiance_twin.compare()
    job = worker.last("compare")
    assert job is not None and job.result is not None, job and job.outcome
    asked = job.result["arguments"]
    assert asked["turntable"] == TURNTABLE_FRAMES
    assert Path(asked["scene"]).name == saved_file.name and asked["scene"] != str(saved_file)
    assert not Path(asked["scene"]).exists(), "the copy goes when it is not needed any more"


def test_interrupted_comparison_goes_on_with_the_same_copy(saved_file: Path, fake_worker: None) -> None:
    for step in ("render_views", "train"):
        getattr(bpy.ops.radiance_twin, step)()
    with pytest.raises(RuntimeError, match="No comparison was interrupted"):
        bpy.ops.radiance_twin.compare(resume=True)
    settings_of(bpy.context.scene).turntable = True
    paths = paths_of_open_file()
    assert paths is not None
    whole = paths.dataset.read_text(encoding="utf-8")
    paths.dataset.write_text(BROKEN, encoding="utf-8")
    with pytest.raises(RuntimeError, match="not to my liking"):
        bpy.ops.radiance_twin.compare()
    first = worker.interrupted("compare")
    assert first is not None and Path(first.arguments["scene"]).is_file()
    paths.dataset.write_text(whole, encoding="utf-8")
    bpy.ops.radiance_twin.compare(resume=True)
    job = worker.last("compare")
    assert job is not None and job.result is not None
    assert job.result["arguments"] == first.arguments
    assert worker.interrupted("compare") is None


def test_report_opens_in_the_browser(
    saved_file: Path, fake_worker: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in ("render_views", "train", "compare"):
        getattr(bpy.ops.radiance_twin, step)()
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: opened.append(url) or True)
    bpy.ops.radiance_twin.open_report()
    assert opened == [(tmp_path / "radiance_twin" / "table_report" / "index.html").as_uri()]


def test_damaged_figures_are_no_figures(tmp_path: Path) -> None:
    assert compare.read_metrics(tmp_path) is None
    (tmp_path / "metrics.json").write_text("{")
    assert compare.read_metrics(tmp_path) is None
    (tmp_path / "metrics.json").write_text(json.dumps({"mean": {}}))
    assert compare.read_metrics(tmp_path) == {"mean": {}}


def test_sample_opens_as_a_new_file(extension: None) -> None:
    before = fingerprint(sample.SAMPLE)
    assert bpy.ops.radiance_twin.open_sample() == {"FINISHED"}
    assert bpy.data.filepath == ""
    assert bpy.context.scene.camera is not None
    with pytest.raises(RuntimeError):
        bpy.ops.wm.save_mainfile()  # it has no name to be saved under
    assert fingerprint(sample.SAMPLE) == before
