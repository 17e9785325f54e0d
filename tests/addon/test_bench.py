# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast views are rendered: `radiance-twin bench render` of a tiny scene."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from radiance_twin.addon.studio.bench import bench_views
from radiance_twin.addon.studio.passes import Passes
from radiance_twin.core.reporting import QuietReporter

from .scenes import add_ball, new_scene, request, save

SMALL = ["--views", "4", "--resolution", "16x12", "--samples", "4", "--no-denoise"]


def bench(root: Path, python: str, scene: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """`radiance-twin bench render` in the worker's Python, with this Blender."""
    line = [python, str(root / "core" / "bootstrap.py"), "core.cli", "bench", "render", str(scene), *words]
    return subprocess.run(
        [*line, "--blender", sys.executable], capture_output=True, text=True, timeout=120, check=False
    )


def test_the_command_says_how_fast_and_leaves_nothing(tmp_path: Path, root: Path, worker_python: str) -> None:
    new_scene()
    add_ball("Ball", 1.0, (0, 0, 0))
    scene = save(tmp_path / "scene.blend")
    before = sorted(tmp_path.iterdir())
    done = bench(root, worker_python, scene, *SMALL, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["views"], found["resolution"], found["samples"]) == (4, [16, 12], 4)
    assert found["views_per_second"] > 0 and 0 < found["truth_share"] < 1
    assert found["memory"] > 50e6, "Blender alone takes more"
    assert sorted(tmp_path.iterdir()) == before
    said = bench(root, worker_python, scene, *SMALL).stdout
    assert re.search(
        r"views per second; .*\nBesides Cycles' own sampling and denoising: .*\nMemory after 4 views: \d+ MB", said
    )
    refused = bench(root, worker_python, scene, "--views", "1")
    assert refused.returncode == 1 and "one view says nothing about speed; ask for two at least" in refused.stderr


def test_sampling_is_what_grows_with_the_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a Cycles that takes 20 ms a render, 5 ms a sample and 30 ms to denoise: 80, 30 and 20 of 130 ms."""
    new_scene()
    add_ball("Ball", 1.0, (0, 0, 0))
    scene = save(tmp_path / "scene.blend")
    clock = [0.0]

    def render_to(passes: Passes, path: Path) -> None:
        cycles = passes._scene.cycles
        clock[0] += 0.020 + 0.005 * cycles.samples + 0.030 * cycles.use_denoising
        path.write_bytes(b"exr")

    monkeypatch.setattr(Passes, "render_to", render_to)
    for module in ("bench", "render"):
        monkeypatch.setattr(f"radiance_twin.addon.studio.{module}.time.monotonic", lambda: clock[0])
    asked = request(scene, tmp_path / "views", views=20, samples=16, denoise=True)
    found = bench_views(asked, QuietReporter())
    assert found["seconds"] == pytest.approx(19 * (0.130 + 0.025))
    assert found["truth_seconds"] == pytest.approx(19 * 0.025)
    assert found["sampling_share"] == pytest.approx(0.080 / 0.155)
    assert found["denoising_share"] == pytest.approx(0.030 / 0.155)
