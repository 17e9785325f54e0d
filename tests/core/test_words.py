# SPDX-License-Identifier: GPL-3.0-or-later
"""What the command line shows to people: figures and contents in words, not as Python writes them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from radiance_twin.core import cli
from radiance_twin.core.reporting import TerminalReporter
from radiance_twin.core.words import lines_of

from .analytic_scene import write


def test_what_a_file_holds_is_told_line_by_line() -> None:
    held = {
        "file": "a.twin",
        "bytes": 7_600_000,
        "training": {"seconds": 45.03, "history": [[0.34, 11.93], [2.6, 20.22]], "views": [{"index": 4, "psnr": 32.5}]},
        "arrays": {"bake/w_1": "float32 [3]"},
        "objects": ["Cup", "Jug"],
        "target": None,
        "denoise": True,
    }
    assert lines_of(held) == [
        "file: a.twin",
        "bytes: 7.6 MB",
        "training:",
        "  seconds: 45 s",
        "  history: 0.34 11.93, 2.6 20.22",
        "  views:",
        "    index: 4, psnr: 32.5",
        "arrays:",
        "  bake/w_1: float32 [3]",
        "objects: Cup, Jug",
        "target: none",
        "denoise: yes",
    ]


def test_a_sound_dataset_that_was_checked_is_said_to_be_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.h5", views=4, size=8)
    assert cli.main(["info", str(path)]) == 0
    assert "damaged" not in capsys.readouterr().out
    assert cli.main(["info", str(path), "--check"]) == 0
    assert capsys.readouterr().out.endswith("damaged: none\n")


def test_ctrl_c_while_the_command_is_loading_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"{cli.__package__}.arguments"

    class Interrupted:
        @staticmethod
        def find_spec(asked: str, *_: object) -> None:
            if asked == name:
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupted, *sys.meta_path])
    assert cli.main(["info", "a.h5"]) == 130
    assert capsys.readouterr().err == "radiance-twin: stopped\n"


def test_progress_has_figures_that_people_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as if stderr were a terminal
    monkeypatch.setenv("COLUMNS", "160")
    with TerminalReporter() as reporter:
        reporter.progress("train", 1, 2, seconds_left=61, steps=10725, rays_per_second=19970.4, psnr=32.6549)
    assert "steps 10,725 · rays per second 19,970 · psnr 32.65 · 1:01 left" in capsys.readouterr().err


def test_the_flags_of_bench_say_what_is_usual_there(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["bench", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "(400x400)" in told and "render (1000)" in told and "(200x200)" not in told


def test_a_twin_of_anybody_may_say_nonsense() -> None:
    said = {"training": {"seconds": "long", "stages": [1, {"a": 2}]}, "bytes": None, "scene_bytes": 10**400}
    assert lines_of(said) == [
        "training:",
        "  seconds: long",
        "  stages: 1, {'a': 2}",
        "bytes: none",
        f"scene bytes: {10**400}",
    ]
