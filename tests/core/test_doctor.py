# SPDX-License-Identifier: GPL-3.0-or-later
"""The doctor: what it says of a sound machine and of broken ones, and what it must not say to anybody."""

from __future__ import annotations

import getpass
import json
import platform
import shutil
import sys
from pathlib import Path

import pytest

from radiance_twin.core import cli
from radiance_twin.core.doctor import machine, training
from radiance_twin.core.doctor.checks import Check, doctor_in_words, result_of, without_names
from radiance_twin.core.doctor.examine import examine
from radiance_twin.core.doctor.machine import machine_checks
from radiance_twin.core.processes import installer_command
from radiance_twin.core.reporting import QuietReporter
from radiance_twin.core.worker.child import Child


def states(result: dict) -> dict[str, str]:
    return {one["name"]: one["state"] for one in result["checks"]}


def test_a_sound_machine_trains_fifty_steps(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["healthy"] and not [name for name, state in states(result).items() if state == "bad"]
    trained = next(one for one in result["checks"] if one["name"] == "Training")
    assert trained["found"].startswith("50 steps in ")
    assert {"System", "Driver", "PyTorch", "Kernels", "Disk", "Write access"} <= set(states(result))


def test_what_fails_is_named_with_the_remedy_and_in_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10**9))
    monkeypatch.setattr(training, "NEEDED", ("no_such_package",))
    assert cli.main(["doctor"]) == 1
    told = capsys.readouterr().out
    assert "✗ Disk: 1.0 GB free where the runtime lies; free some space" in told
    assert "✗ PyTorch: no_such_package does not load" in told and "install the training runtime" in told
    assert told.splitlines()[-1] == "2 of 7 checks failed: Disk, PyTorch"


def test_a_training_that_does_not_learn_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "STEPS", 1)
    assert states(examine(QuietReporter()))["Training"] == "bad"


def test_a_graphics_card_that_lies_idle_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "cuda_of_driver", lambda: (13, 0))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    check = training._torch()
    assert check.state == "bad" and check.remedy


def test_a_graphics_card_that_does_not_answer_is_one_check_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def ill() -> tuple[int, int]:
        raise RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported elsewhere")

    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.mem_get_info", ill)
    check = training._torch()
    assert check.state == "bad" and "the GPU does not answer (CUDA error: out of memory CUDA" in check.found


def test_folders_that_cannot_be_written_are_found_out(tmp_path: Path) -> None:
    checks = {one.name: one for one in machine_checks([str(tmp_path / "not there")])}
    assert checks["Write access"].state == "bad"


def test_without_a_worker_the_machine_is_looked_at_all_the_same() -> None:
    """In a Python that has nothing but itself, as Blender's own."""
    result = Child(installer_command(sys.executable), "doctor", {"folders": []}).run(QuietReporter())
    assert {"System", "Disk"} <= set(states(result)) and "Training" not in states(result)


def test_a_report_names_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = tmp_path / "home of Jane" / "janedoe77"
    home.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setattr(getpass, "getuser", lambda: "janedoe77")
    monkeypatch.setattr(platform, "node", lambda: "janes-laptop")
    monkeypatch.setattr(machine, "home", lambda: home / "data")
    planted = [
        Check("Write access", "bad", f"{home}/x/y.blend: denied", "ask janedoe77"),
        Check("Worker", "bad", r"C:\Users\janedoe77\AppData\python.exe does not answer", "look at janes-laptop"),
        Check("Python", "note", "it lies in '/mnt/projects/secret film/shot 3' on \\\\server\\janedoe77\\x"),
    ]
    result = result_of([*machine_checks([str(home / "not there")]), *planted])
    for text in (json.dumps(result), doctor_in_words(result)):
        for secret in ("janedoe77", "home of Jane", "janes-laptop", str(home), "Users", "projects", "film", "server"):
            assert secret not in text, secret
        assert "denied" in text and "does not answer" in text


@pytest.mark.parametrize(
    "kept", ["16.5 GB free, of 1/2", "PyTorch 2.13.0+cu130, CUDA 13.0", "50 steps in 1.4 s, 6.4 dB/s", "and/or"]
)
def test_figures_stay_as_they_are(kept: str) -> None:
    assert without_names(kept) == kept
