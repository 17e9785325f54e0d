# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel's operators: what they need, what they start, and what they leave alone. The worker is a fake one."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest

import radiance_twin
from radiance_twin.addon.jobs import worker
from radiance_twin.addon.operators import render, sample, train
from radiance_twin.addon.paths import paths_of_open_file
from radiance_twin.addon.properties import render_arguments, settings_of
from radiance_twin.core import arguments
from radiance_twin.core.errors import Cancelled, UserError
from radiance_twin.core.worker.child import ChildCrashed

from .fake_worker import DEAF, DIES, REFUSES, WAITS
from .waiting import hear_until, why_grey

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
    scene.collection.children[0].name = "Cube"
    settings.target_collection = scene.collection.children[0]
    assert why_grey("render_views").startswith("An object is called Cube, too")
    scene.collection.children[0].name = "Things"
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
    before = saved_file.read_bytes()
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
    assert saved_file.read_bytes() == before


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


def test_sample_opens_as_a_new_file(extension: None) -> None:
    before = sample.SAMPLE.read_bytes()
    assert bpy.ops.radiance_twin.open_sample() == {"FINISHED"}
    assert bpy.data.filepath == ""
    assert bpy.context.scene.camera is not None
    assert bpy.context.scene.name == sample.SCENE
    with pytest.raises(RuntimeError):
        bpy.ops.wm.save_mainfile()  # it has no name to be saved under
    assert sample.SAMPLE.read_bytes() == before
