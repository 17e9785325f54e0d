# SPDX-License-Identifier: GPL-3.0-or-later
"""`blender -b SCENE.blend --command radiance_twin …`, called as Blender calls it. The worker is a fake one."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

import bpy
import pytest

from radiance_twin.addon import commands
from radiance_twin.addon.jobs import worker

from .fake_worker import DIES, REFUSES, WAITS


@pytest.fixture
def opened(extension: None, fake_worker: None, tmp_path: Path) -> Path:
    """The default scene, opened from table.blend; what the command writes goes into this folder."""
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "table.blend"))
    return tmp_path


def test_three_commands_go_the_whole_way(opened: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = opened / "radiance_twin"
    assert commands.main(["render", "--views", "9", "--resolution", "32x24"]) == 0
    told = capsys.readouterr()
    assert told.out.strip() == f"{folder / 'table.h5'}: 25 views in 2 s"
    assert "Work 25% · view 1 of 4 · 20.0 dB · 18k rays per second · 3 s left" in told.err
    assert commands.main(["train", "--seconds", "5"]) == 0
    assert "table.twin: 10 steps in 5 s, 31.25 dB" in capsys.readouterr().out
    assert commands.main(["compare"]) == 0
    assert "PSNR 30.00 dB" in capsys.readouterr().out
    assert (folder / "table_report" / "index.html").is_file()


def test_turntable_shows_the_file_as_saved(opened: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["render"], ["train", "--seconds", "5"], ["compare", "--turntable", "12", "--json"]):
        capsys.readouterr()
        assert commands.main(words) == 0
    asked = json.loads(capsys.readouterr().out)["arguments"]
    assert (asked["turntable"], asked["scene"]) == (12, str(opened / "table.blend"))


def test_output_goes_where_it_is_asked_to(opened: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["render", "-o", "//elsewhere/views.h5", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["output"] == str(opened / "elsewhere" / "views.h5")
    assert (opened / "elsewhere" / "views.h5").is_file()


def test_file_as_saved_is_rendered_unless_scripts_changed_it(
    opened: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed render goes on where it was because it renders the same file again."""
    commands.main(["render", "--json"])
    assert json.loads(capsys.readouterr().out)["arguments"]["scene"] == str(opened / "table.blend")
    monkeypatch.setattr("sys.argv", ["blender", "-b", "table.blend", "--python", "edit.py", "--command"])
    commands.main(["render", "--json"])
    told = capsys.readouterr().out
    assert json.loads(told[told.index("{") :])["arguments"]["scene"] != str(opened / "table.blend")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "required: COMMAND"),
        (["paint"], "invalid choice: 'paint'"),
        (["render", "--resolution", "large"], "'large' is no resolution; write it like 200x200"),
        (["train", "--hours", "3"], "unrecognized arguments: --hours 3"),
    ],
)
def test_wrong_use_is_told_in_one_line(
    words: list[str], told: str, opened: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert commands.main(words) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert told in line


def test_help_is_help(opened: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["render", "--help"]) == 0
    assert "--reference-samples" in capsys.readouterr().out


def test_no_open_file_is_wrong_use(extension: None, fake_worker: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["train"]) == 2
    assert "no file is open" in capsys.readouterr().err


def test_no_worker_is_told_with_the_remedy(
    opened: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RADIANCE_TWIN_PYTHON")
    assert commands.main(["render"]) == 1
    assert "needs a Python with PyTorch" in capsys.readouterr().err


@pytest.mark.parametrize(("seed", "told"), [(REFUSES, "not to my liking"), (DIES, "exit code 7")])
def test_failure_is_told_in_one_line(seed: int, told: str, opened: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["render", "--seed", str(seed)]) == 1
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("radiance-twin: ") and told in line


def test_interrupt_stops_cleanly(opened: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGINT)

    def interrupt() -> None:
        while (job := worker.running()) is None or job.stage != "work":
            pass
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    assert commands.main(["render", "--seed", str(WAITS)]) == 130
    assert "Stopped; what was done is kept" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) == before
