# SPDX-License-Identifier: GPL-3.0-or-later
"""A worker that dies whenever it is started is not started for ever, and what it printed is kept."""

from __future__ import annotations

import time
from pathlib import Path

import bpy
import numpy as np
import pytest

from radiance_twin.addon.jobs import logs, viewer
from radiance_twin.addon.jobs.frames import Answer, View
from radiance_twin.core.errors import UserError


@pytest.fixture
def dying_worker(extension: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A worker that notes each of its starts and ends at once; the logs go elsewhere than the user's."""
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\necho start >>"{tmp_path}/starts"\necho "no torch today" >&2\nexit 3\n', "utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("RADIANCE_TWIN_PYTHON", str(program))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(viewer, "_failed", {})
    return tmp_path


def heard(answer: Answer) -> str:
    deadline = time.monotonic() + 20
    while not answer.ended:
        assert time.monotonic() < deadline
        viewer.hear()
        time.sleep(0.01)
    return answer.problem


def test_a_view_server_is_started_three_times_in_a_row_and_again_for_a_render(dying_worker: Path) -> None:
    view = View("x.twin", np.eye(4), np.array([8.0, 8.0, 4.0, 4.0]), (8, 8), np.eye(4))
    for _ in range(3):
        assert "exit code 3" in heard(viewer.ask(view))
    for _ in range(2):
        with pytest.raises(UserError, match="ended 3 times before it brought a frame"):
            viewer.ask(view)
    starts = dying_worker / "starts"
    assert starts.read_text().count("start") == 3
    with pytest.raises(UserError, match="exit code 3"):
        viewer.wait(view, lambda: False)
    assert starts.read_text().count("start") == 4
    said = [log.read_text() for log in (dying_worker / "cache" / "radiance_twin" / "logs").iterdir()]
    assert said == ["no torch today\n"] * 4


def test_the_last_ten_logs_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = []
    for _ in range(15):
        made.append(logs.new_log("train"))
        made[-1].touch()
    assert sorted(made[0].parent.iterdir()) == sorted(made[-10:])


def test_a_log_that_is_gone_is_said(extension: None, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="not there any more"):
        bpy.ops.radiance_twin.open_log(filepath=str(tmp_path / "gone.log"))
