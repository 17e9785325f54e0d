# SPDX-License-Identifier: GPL-3.0-or-later
"""A scene looked over before it is rendered: each mistake is found, with its remedy."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest

from radiance_twin.addon.studio.check import check_scene
from radiance_twin.core.errors import Cancelled
from radiance_twin.core.reporting import QuietReporter

from .scenes import add_ball, add_box, add_camera, animate, light_world, new_scene, request, save


def findings_of(tmp_path: Path, **settings: object) -> str:
    """All findings and remedies in one text."""
    scene, reporter = save(tmp_path / "scene.blend"), QuietReporter()
    answer = check_scene(request(scene, tmp_path / "views", **settings), reporter)
    assert not {one["what"] for one in answer["findings"]} & set(reporter.lines), "each is said once"
    assert len(answer["probed"]) == min(3, answer["views"]) and answer["seconds"] > 0
    return "\n".join(f"{one['what']}; {one['remedy']}" for one in answer["findings"])


def test_a_sound_scene_has_nothing_to_mend(tmp_path: Path) -> None:
    new_scene().view_settings.view_transform = "Standard"
    add_ball("Ball", 1.0, (0, 0, 0))
    assert findings_of(tmp_path, rig="sphere", views=12) == ""


def test_its_progress_is_that_of_a_check(tmp_path: Path) -> None:
    stages: list[str] = []

    class Hearing(QuietReporter):
        def progress(self, stage: str, *_: Any, **__: Any) -> None:
            stages.append(stage)

        def cancelled(self) -> bool:
            return bool(stages)

    new_scene()
    add_ball("Ball", 1.0, (0, 0, 0))
    with pytest.raises(Cancelled) as stopped:
        check_scene(request(save(tmp_path / "scene.blend"), tmp_path / "views"), Hearing())
    assert set(stages) == {"check"}
    assert str(stopped.value) == "stopped", "nothing of a check is kept"


def test_a_side_that_no_view_sees_is_told(tmp_path: Path) -> None:
    new_scene().view_settings.view_transform = "Standard"
    add_ball("Ball", 1.0, (0, 0, 0))
    found = findings_of(tmp_path, rig="cover", views=8, elevation=[20.0, 80.0], azimuth=[-45.0, 45.0])
    never = re.search(r"(\d+)% of the surface that could be seen is seen by no training view; choose more", found)
    assert never and 30 < int(never[1]) < 45, "its back, and some of its underside"


def test_missing_pictures_and_a_look_that_cannot_be_undone_are_told(tmp_path: Path) -> None:
    new_scene().view_settings.view_transform = "AgX"
    add_ball("Ball", 1.0, (0, 0, 0))
    image = bpy.data.images.new("Wood", 4, 4)
    image.source, image.filepath = "FILE", "//nowhere/wood.png"
    image.use_fake_user = True
    found = findings_of(tmp_path, views=2)
    assert "nowhere/wood.png is missing, and what needs it renders pink or not at all; find it by" in found
    assert "The view transform is AgX, which trainers that take PNG pictures cannot undo; export with" in found


def test_an_animated_camera_is_followed_through_walls(tmp_path: Path) -> None:
    scene = new_scene()
    scene.view_settings.view_transform = "Standard"
    scene.render.use_motion_blur = True
    add_ball("Ball", 1.0, (0, 0, 0))
    add_box("Wall", (2, 1, 2), (0, -6, 0))
    # in frames 1 and 2 before the wall, then in it, then behind it
    animate(add_camera((0, -9, 0), (np.pi / 2, 0, 0), clip_start=1.0), "location", (0, -9, 0), (0, -3, 0))
    found = findings_of(tmp_path, rig="animated", views=8)
    assert "stands inside Wall; move the target, or choose another rig" in found
    assert "There is no motion blur" in found


def test_near_clipping_that_cuts_something_open_is_told(tmp_path: Path) -> None:
    new_scene().view_settings.view_transform = "Standard"
    add_ball("Ball", 1.0, (0, 0, 0))
    animate(add_camera((-0.2, -4, 0), (np.pi / 2, 0, 0), clip_start=3.5), "location", (-0.2, -4, 0), (0.2, -4, 0))
    found = findings_of(tmp_path, rig="animated", views=3)
    assert "has Ball cut open by its near clipping; lower the camera's Clip Start" in found


def command(root: Path, python: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """`radiance-twin check` in the worker's Python, with this Blender."""
    line = [python, str(root / "core" / "bootstrap.py"), "core.cli", "check", *words, "--blender", sys.executable]
    return subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)


def test_the_command_says_what_it_costs_and_that_it_is_dark(tmp_path: Path, root: Path, worker_python: str) -> None:
    new_scene().view_settings.view_transform = "Standard"
    light_world((0.0, 0.0, 0.0))
    add_ball("Ball", 1.0, (0, 0, 0))
    scene = save(tmp_path / "scene.blend")
    before = sorted(tmp_path.iterdir())
    words = ["--views", "5", "--test-views", "2", "--resolution", "16x12", "--samples", "1", "--no-denoise"]
    done = command(root, worker_python, str(scene), *words)
    assert done.returncode == 0, done.stderr
    assert sorted(tmp_path.iterdir()) == before
    assert "- The views are black; add a light, or let the world shine" in done.stdout
    assert re.search(
        r"^11 views: about .* and [0-9.]+ [kM]B, with [0-9.]+ [kM]B beside it meanwhile$", done.stdout, re.M
    )


def test_a_file_that_is_no_scene_is_refused(tmp_path: Path, root: Path, worker_python: str) -> None:
    (tmp_path / "letter.blend").write_text("dear")
    done = command(root, worker_python, str(tmp_path / "letter.blend"))
    assert done.returncode == 1 and "letter.blend is not a Blender file; name a .blend" in done.stderr
