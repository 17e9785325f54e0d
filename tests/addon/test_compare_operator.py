# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator Compare: its figures, pictures, turntable and report. The worker is a fake one."""

from __future__ import annotations

import json
from pathlib import Path

import bpy
import pytest

from radiance_twin.addon.jobs import worker
from radiance_twin.addon.operators import compare
from radiance_twin.addon.paths import paths_of_open_file
from radiance_twin.addon.properties import settings_of
from radiance_twin.core.arguments import TURNTABLE_FRAMES

from .fake_worker import BROKEN


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
