# SPDX-License-Identifier: GPL-3.0-or-later
"""The command as a user runs it: a scene becomes a twin that is compared with it, in words and as JSON."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

MAKE_SCENE = """
import sys
import bpy

bpy.context.scene.render.engine = "CYCLES"
bpy.ops.wm.save_as_mainfile(filepath=sys.argv[1])
"""

RENDER = ["--views", "10", "--val-views", "1", "--test-views", "2", "--resolution", "48x32"]
RENDER += ["--samples", "1", "--reference-samples", "2"]


class Command:
    """`radiance-twin` as a process of its own, working in one folder."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.start = [sys.executable, str(root / "core" / "bootstrap.py"), "core.cli"]
        self.folder = folder

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.start, *words], cwd=self.folder, capture_output=True, text=True, timeout=120, check=False
        )

    def __call__(self, *words: str) -> str:
        """What it says on stdout; it has to succeed."""
        done = self.run(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self(*words, "--json"))


@pytest.fixture(scope="module")
def command(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Command:
    """In a folder that holds the dataset and the twin of a cube."""
    folder = tmp_path_factory.mktemp("whole way")
    subprocess.run(
        [sys.executable, "-c", MAKE_SCENE, folder / "cube.blend"], check=True, capture_output=True, timeout=60
    )
    command = Command(root, folder)
    told = command("render", "cube.blend", "-o", "cube.h5", *RENDER)
    assert "cube.h5: 13 views" in told
    told = command("train", "cube.h5", "-o", "cube.twin", "--steps", "20")
    assert "cube.twin: 20 steps" in told
    return command


def test_compare_tells_figures_and_the_place_of_the_report(command: Command) -> None:
    told = command("compare", "cube.h5", "cube.twin", "-o", "report")
    assert "PSNR" in told and "over 2 held-out views" in told
    report = told.rpartition("Report: ")[2].strip()
    assert Path(command.folder, report).is_file()


def test_a_turntable_shows_the_scene_and_its_twin_from_all_around(command: Command) -> None:
    words = ["compare", "cube.h5", "cube.twin", "-o", "turning", "--turntable", "8", "--scene", "cube.blend"]
    metrics = command.json(*words)
    turntable = metrics["turntable"]
    assert (turntable["frames"], turntable["size"]) == (8, [48, 32])
    assert turntable["sides"] == ["Cycles", "Radiance Twin", "FLIP difference"]
    assert turntable["classic_seconds"] > 0
    # the film's classic side is the scene that the dataset shows: the twin is as far from it as from the test views
    assert turntable["psnr"] == pytest.approx(metrics["mean"]["psnr"], abs=3.0)
    assert metrics["warnings"] == []
    page = (command.folder / "turning" / "index.html").read_text("utf-8")
    assert "data:video/mp4;base64," in page
    assert not list(command.folder.glob(".turning*")), "what was staged has gone"


def test_compare_prints_the_same_json_that_it_writes(command: Command) -> None:
    printed = command.json("compare", "cube.h5", "cube.twin", "-o", "report as json")
    written = json.loads((command.folder / "report as json" / "metrics.json").read_text("utf-8"))
    assert {name: printed[name] for name in written} == written
    assert set(written["mean"]) == {"psnr", "psnr_foreground", "ssim", "flip"}


def test_info_describes_both_files(command: Command) -> None:
    assert "48x32" in command("info", "cube.h5")
    assert "bake/density" in command("info", "cube.twin")
    assert command.json("info", "cube.h5")["views"] == {"train": 10, "val": 1, "test": 2}


def test_a_twin_leaves_as_a_volume_and_tells_what_that_loses(command: Command) -> None:
    words = ["export", "cube.twin", "--format", "vdb", "-o", "cube.vdb", "--dataset", "cube.h5", "--resolution", "64"]
    result = command.json(*words)
    assert result["bytes"] == (command.folder / "cube.vdb").stat().st_size > 1000
    loss = result["loss"]
    assert loss["views"] == 2
    assert loss["loss_db"] == pytest.approx(loss["field_psnr"] - loss["export_psnr"])


@pytest.mark.parametrize(("stop", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)], ids=["Ctrl-C", "kill -9"])
def test_an_interrupted_render_goes_on_where_it_was(command: Command, stop: signal.Signals, code: int) -> None:
    name = f"stopped by {stop.name}"
    words = ["render", "cube.blend", "-o", f"{name}.h5", *RENDER]
    process = subprocess.Popen([*command.start, *words], cwd=command.folder, stderr=subprocess.PIPE, text=True)
    staged = command.folder / f"{name}.views"
    wait_until(lambda: len(list(staged.glob("view_*.json"))) >= 2)
    process.send_signal(stop)
    process.communicate(timeout=60)
    assert process.returncode == code
    assert not (command.folder / f"{name}.h5").exists()
    # a Blender whose parent is gone stops by itself; what is half-written then is no view yet
    wait_until(lambda: not busy_with(staged))
    done = len(list(staged.glob("view_*.json")))

    result = command.json(*words)
    assert 2 <= done < 13
    assert result["kept"] >= done
    assert result["kept"] + result["rendered"] == 14  # thirteen views, and one of them twice for the noise floor
    digests = {command.json("info", f, "--digest")["digest"] for f in (f"{name}.h5", "cube.h5")}
    assert len(digests) == 1


def busy_with(folder: Path) -> bool:
    """Whether a process that was started for `folder` still runs (its log is open)."""
    log = str(folder / "render.log")
    for entries in Path("/proc").glob("[0-9]*/fd"):
        try:
            if any(os.readlink(entry) == log for entry in entries.iterdir()):
                return True
        except OSError:
            continue  # it has just ended
    return False


def wait_until(condition: Any, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
