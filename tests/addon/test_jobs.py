# SPDX-License-Identifier: GPL-3.0-or-later
"""A job ends, and says how, whatever happens to what hears it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from radiance_twin.addon.jobs import pump, worker

from .fake_worker import WAITS


def stumble(*_: Any) -> str:
    raise ReferenceError("StructRNA of type Scene has been removed")


def arguments(folder: Path, seed: int) -> dict[str, Any]:
    return {"dataset": str(folder / "x.h5"), "output": str(folder / "x.twin"), "seed": seed}


@pytest.mark.parametrize(
    ("begun", "finish", "seed"), [(stumble, lambda job, result: "", WAITS), (None, stumble, 0), (None, stumble, WAITS)]
)
def test_what_stumbles_over_a_job_ends_it_in_words(
    extension: None,
    fake_worker: None,
    tmp_path: Path,
    begun: Callable[..., None] | None,
    finish: Callable[..., str],
    seed: int,
) -> None:
    job = worker.start("train", arguments(tmp_path, seed), finish, begun=begun)
    began = time.monotonic()
    while worker.running() is not None:
        assert time.monotonic() - began < 20, "another one can be started only when this one has ended"
        pump._tick()
        if begun is None and seed == WAITS and job.stage and not job.cancelling:
            job.cancel()
        time.sleep(0.02)
    assert "StructRNA of type Scene has been removed" in job.outcome and job.error is not None
    worker.stop()


def test_what_a_button_has_said_stays_until_something_new_begins(
    extension: None, fake_worker: None, tmp_path: Path
) -> None:
    job = worker.start("train", arguments(tmp_path, WAITS), lambda job, result: "")
    job.progress("train", 1, 10, seconds_left=90.0, psnr=20.0)
    assert job.note == "20.0 dB" and job.seconds_left == 90.0
    job.finish()
    job.progress("train", 2, 10, seconds_left=80.0, psnr=21.0)
    assert job.note == "Finishing: what is learned is baked and written" and job.seconds_left is None
    job.progress("bake", 1, 4, seconds_left=9.0, text="a quarter")
    assert job.note == "a quarter" and job.seconds_left == 9.0
    job.cancel()
    job.progress("bake", 2, 4, seconds_left=6.0, text="half")
    assert job.note == "Stopping; cancel again to end it at once" and job.seconds_left is None
    worker.stop()
