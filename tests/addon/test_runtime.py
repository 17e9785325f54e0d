# SPDX-License-Identifier: GPL-3.0-or-later
"""The runtime and the doctor inside Blender, where nothing is installed: what is offered, refused and found."""

from __future__ import annotations

import json
import os
from pathlib import Path

import bpy
import pytest

from radiance_twin.addon import commands
from radiance_twin.addon.jobs import worker
from radiance_twin.addon.operators.doctor import found
from radiance_twin.addon.preferences import find_worker_python
from radiance_twin.core.runtime import lock
from radiance_twin.core.runtime.places import Environment, home, new_name, python_in, switch_to


@pytest.fixture
def nothing_installed(extension: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RADIANCE_TWIN_PYTHON", raising=False)
    monkeypatch.setenv("RADIANCE_TWIN_HOME", str(tmp_path / "home"))


def installed(digest: str) -> Path:
    """A runtime that looks like one."""
    name = new_name("cpu")
    python = python_in(home() / name)
    python.parent.mkdir(parents=True)
    python.touch()
    switch_to(Environment(name, digest, "cpu", "3.11.7", "2.13.0", ""))
    return python


def test_a_python_that_is_named_wins_over_the_managed_one(
    nothing_installed: None, fake_worker: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = installed(lock.digest())
    assert find_worker_python() == (os.environ["RADIANCE_TWIN_PYTHON"], "")
    monkeypatch.delenv("RADIANCE_TWIN_PYTHON")
    assert find_worker_python() == (str(python), "")
    (home() / "current.json").unlink()
    assert "press Install" in find_worker_python()[1]


def test_a_runtime_of_another_version_asks_to_be_updated(nothing_installed: None) -> None:
    installed("another lock")
    python, reason = find_worker_python()
    assert python == "" and "press Update" in reason


def test_without_the_network_installing_is_refused_with_both_ways_out(nothing_installed: None) -> None:
    assert not bpy.app.online_access
    with pytest.raises(RuntimeError, match=r"may not use the network; allow it in .*, or name a folder"):
        bpy.ops.radiance_twin.install_runtime()
    assert not home().exists()


def test_the_commands_need_no_file_and_no_worker(nothing_installed: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["runtime", "status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["installed"] is False
    assert commands.main(["runtime", "install"]) == 1
    assert "may not use the network" in capsys.readouterr().err


def test_the_doctor_works_without_a_worker_and_says_what_is_missing(
    nothing_installed: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert commands.main(["doctor", "--json"]) == 1
    checks = {one["name"]: one for one in json.loads(capsys.readouterr().out)["checks"]}
    assert checks["Worker"]["state"] == "bad" and "press Install" in checks["Worker"]["found"]
    assert {"Blender", "System", "Disk", "Write access"} <= set(checks)
    result = found()
    assert result is not None and not result["healthy"]
    bpy.ops.radiance_twin.copy_report()
    assert worker.last("doctor").outcome == f"1 of {len(checks)} checks failed: Worker"
