# SPDX-License-Identifier: GPL-3.0-or-later
"""`radiance-twin render` as a user runs it: what it says, and what it survives.

The command runs in the worker's Python (it needs h5py), and the Blender that it starts is this Python's bpy.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .scenes import add_ball, add_box, new_scene, save

FEW = ["--views", "4", "--val-views", "1", "--test-views", "1"]
SMALL = ["--resolution", "32x24", "--samples", "1", "--reference-samples", "2", "--no-denoise"]

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ball on a floor."""
    new_scene()
    add_box("Floor", (4, 4, 0.1), (0, 0, -0.5))
    add_ball("Ball", 0.5, (0, 0, 0.2))
    return save(tmp_path_factory.mktemp("scene") / "ball.blend")


def start_of(root: Path) -> list[str]:
    """How to start `radiance-twin` in the worker's Python, rendering with this Python's bpy."""
    python = os.environ.get("RADIANCE_TWIN_PYTHON") or sys.executable
    return ["env", f"RADIANCE_TWIN_BLENDER={sys.executable}", python, str(root / "core" / "bootstrap.py"), "core.cli"]


def render(command: list[str], scene: Path, output: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    words = ("render", str(scene), "-o", str(output), *FEW, *SMALL, *words)
    return subprocess.run([*command, *words], capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def command(root: Path) -> list[str]:
    return start_of(root)


@pytest.fixture
def run(command: list[str], scene: Path) -> Run:
    """Render the scene into a dataset, with more words to the command."""
    return lambda output, *words, of=scene: render(command, of, output, *words)


@pytest.fixture
def blender_that(root: Path, tmp_path: Path) -> Callable[[str], str]:
    """A Blender that first does something of its own: `render_to` there is what renders one file."""

    def blender_that(does: str) -> str:
        program, script = tmp_path / "blender", tmp_path / "blender.py"
        script.write_text(
            f"""
import os, runpy, signal, sys
from pathlib import Path
runpy.run_path({str(root / "core" / "bootstrap.py")!r})["register"](Path({str(root)!r}))
from radiance_twin.addon.studio.passes import Passes
render_to = Passes.render_to
here = Path({str(tmp_path)!r})
{does}
runpy.run_module("radiance_twin.addon.studio", run_name="__main__")
"""
        )
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}"\n')
        program.chmod(0o755)
        return str(program)

    return blender_that


def digest(command: list[str], dataset: Path) -> str:
    """The hash of a dataset's contents."""
    told = subprocess.run(
        [*command, "info", "--digest", "--json", str(dataset)], capture_output=True, text=True, check=True, timeout=60
    )
    return str(json.loads(told.stdout)["digest"])


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What a successful command printed as JSON."""
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def whole(scene: Path, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset of a run that nothing disturbed."""
    output = tmp_path_factory.mktemp("whole") / "ball.h5"
    done = render(start_of(root), scene, output, "--json")
    told = answer(done)
    assert "6 views on CPU" in done.stderr
    assert (told["views"], told["rendered"], told["kept"], told["bytes"]) == (6, 7, 0, output.stat().st_size)
    return output


def test_a_dataset_is_reproducible_and_nothing_else_is_left(
    run: Run, command: list[str], whole: Path, tmp_path: Path
) -> None:
    answer(run(tmp_path / "another name.h5", "--json"))
    assert digest(command, tmp_path / "another name.h5") == digest(command, whole)
    assert [path.name for path in tmp_path.iterdir()] == ["another name.h5"]


def test_killing_both_processes_costs_only_what_is_missing(
    run: Run, command: list[str], scene: Path, whole: Path, tmp_path: Path
) -> None:
    killed, staged = tmp_path / "killed.h5", tmp_path / "killed.views"
    words = [*command, "render", str(scene), "-o", str(killed), *FEW, *SMALL]
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    wait_until(lambda: len(list(staged.glob("view_*.json"))) >= 2)
    for pid in [*children_of(process.pid), process.pid]:
        os.kill(pid, signal.SIGKILL)
    process.wait()
    done = len(list(staged.glob("view_*.json")))
    (staged / ".view_000005.beauty.part.exr").write_bytes(b"half")  # what a killed Blender may leave
    result = answer(run(killed, "--json"))
    assert (result["kept"], result["rendered"]) == (done, 7 - done)
    assert digest(command, killed) == digest(command, whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed.h5"]


def children_of(pid: int) -> list[int]:
    """Processes that `pid` started (Linux)."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_ctrl_c_keeps_what_is_done(run: Run, command: list[str], scene: Path, tmp_path: Path) -> None:
    output, staged = tmp_path / "a.h5", tmp_path / "a.views"
    words = [*command, "render", str(scene), "-o", str(output), *FEW, *SMALL]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    wait_until(lambda: len(list(staged.glob("view_*.json"))) >= 1)
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "kept" in complaint.splitlines()[-1]
    assert not output.exists()
    done = len(list(staged.glob("view_*.json")))
    assert answer(run(output, "--json"))["kept"] >= done >= 1


def test_a_view_that_crashes_blender_once_is_rendered_again(
    run: Run, blender_that: Callable[[str], str], tmp_path: Path
) -> None:
    blender = blender_that(
        """
def crash_once(self, path):
    if path.name.startswith("view_000002") and not (here / "crashed").exists():
        (here / "crashed").touch()
        os.kill(os.getpid(), signal.SIGSEGV)
    render_to(self, path)
Passes.render_to = crash_once
"""
    )
    done = run(tmp_path / "a.h5", "--json", "--blender", blender)
    assert answer(done)["views"] == 6
    assert answer(done)["kept"] == 2
    assert "Blender crashed at view_000002" in done.stderr


def test_a_file_that_cannot_be_written_whole_is_noticed(
    run: Run, blender_that: Callable[[str], str], tmp_path: Path
) -> None:
    # no file may grow beyond 3 kB from the third view on: writing fails half-way, as on a full disk
    blender = blender_that(
        """
import resource
def fill_the_disk(self, path):
    if path.name.startswith("view_000002"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
    render_to(self, path)
Passes.render_to = fill_the_disk
"""
    )
    done = run(tmp_path / "a.h5", "--resolution", "96x72", "--blender", blender)
    assert done.returncode == 1, done.stderr
    complaint = done.stderr.splitlines()[-1]
    assert "view_000002" in complaint
    assert "kept" in complaint or "free some space" in complaint
    assert not (tmp_path / "a.h5").exists()
    names = {path.name for path in (tmp_path / "a.views").iterdir()}
    assert "view_000001.json" in names
    assert "view_000002.json" not in names
    assert not any("part" in name for name in names)
    assert answer(run(tmp_path / "a.h5", "--resolution", "96x72", "--json"))["kept"] == 2


def test_a_scene_that_blender_cannot_open_is_one_line(run: Run, scene: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.blend"
    cut.write_bytes(scene.read_bytes()[:-40000])
    done = run(tmp_path / "a.h5", of=cut)
    assert done.returncode == 1
    assert "cut.blend cannot be opened" in done.stderr.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["cut.blend"]
