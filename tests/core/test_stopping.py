# SPDX-License-Identifier: GPL-3.0-or-later
"""Who presses Cancel need not wait, and loses nothing; who presses Finish Now has a twin."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radiance_twin.core import stopping
from radiance_twin.core.comparison.compare import CompareSettings, compare
from radiance_twin.core.processes import worker_command
from radiance_twin.core.reporting import QuietReporter
from radiance_twin.core.stopping import Stopping
from radiance_twin.core.twin_file import read_twin, unfinished_path
from radiance_twin.core.view import ViewSettings, view
from radiance_twin.core.worker.child import Child

from . import analytic_scene as scene


def test_only_work_that_does_not_ask_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "SECONDS_TO_HEED", 0.02)
    for asks in (True, False):
        interrupted = threading.Event()
        wish = Stopping(interrupted.set)
        assert not wish.wished()
        wish.wish()
        assert not asks or wish.wished()
        assert interrupted.wait(0.2) != asks


def talk(child: Child, at_step: Callable[[], None]) -> list[dict[str, Any]]:
    """All that a training says; `at_step` is called once, as soon as it has taken a step."""
    heard: list[dict[str, Any]] = []
    began, called = time.monotonic(), False
    while not child.finished or not heard or heard[-1]["event"] not in ("error", "result"):
        assert time.monotonic() - began < 200, child.log_tail()
        heard += child.events()
        if not called and any(event.get("stage") == "train" for event in heard):
            called = True
            at_step()
        time.sleep(0.01)
    child.close()
    return heard


def stages(heard: list[dict[str, Any]]) -> set[str]:
    return {event["stage"] for event in heard if event["event"] == "progress"}


def test_a_training_is_cancelled_looked_at_gone_on_with_and_finished(tmp_path: Path) -> None:
    dataset = scene.write(tmp_path / "scene.h5", views=12, size=40)
    output = tmp_path / "scene.twin"
    unfinished = unfinished_path(output)
    # an hour: none of this comes to its end by itself
    asked = {"dataset": str(dataset), "output": str(output), "seconds": 3600.0, "device": "cpu"}

    child = Child(worker_command(sys.executable), "train", asked)
    heard = talk(child, child.cancel)
    assert stages(heard) == {"prepare", "train"}, "nothing is baked"
    assert (heard[-1]["kind"], child.returncode) == ("cancelled", 130)
    assert unfinished.name in heard[-1]["message"] and "--resume" in heard[-1]["message"]
    assert {path.name for path in tmp_path.iterdir()} == {dataset.name, unfinished.name}
    left = read_twin(unfinished)
    assert left.is_unfinished and not [name for name in left.arrays if name.startswith("bake/")]

    picture = tmp_path / "frame.png"
    view(ViewSettings(str(unfinished), str(picture), dataset=str(dataset), view=0), QuietReporter())
    assert picture.stat().st_size > 100
    report = compare(CompareSettings(str(dataset), str(unfinished), str(tmp_path / "report")), QuietReporter())
    assert [warning for warning in report["warnings"] if "unfinished" in warning]
    assert report["mean"]["psnr"] is not None

    child = Child(worker_command(sys.executable), "train", {**asked, "resume": str(unfinished)})
    heard = talk(child, child.finish)
    assert stages(heard) == {"prepare", "train", "evaluate", "bake"} and child.returncode == 0
    twin, result = read_twin(output), heard[-1]["result"]
    assert not twin.is_unfinished and not unfinished.exists()
    assert result["steps"] > 0 and twin.metadata["training"]["resumed_at_step"] == left.metadata["training"]["steps"]
    assert result["bake"]["psnr"] is not None
    assert np.isfinite(twin.arrays["bake/density"].astype(np.float32)).all()
