# SPDX-License-Identifier: GPL-3.0-or-later
"""A training that is cancelled, interrupted or killed, or that ruins its field: what was learned is kept, and nothing
broken is."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from radiance_twin.core.dataset.store import Dataset
from radiance_twin.core.errors import Cancelled, UserError
from radiance_twin.core.reporting import QuietReporter
from radiance_twin.core.training import trainer, unfinished
from radiance_twin.core.training.host_stepper import HostStepper
from radiance_twin.core.training.run import Run
from radiance_twin.core.training.safeguard import Safeguard
from radiance_twin.core.training.trainer import TrainSettings, train
from radiance_twin.core.twin_file import read_twin

from .quick_training import QUICK, CountingReporter, quality

pytestmark = pytest.mark.usefixtures("on_the_cpu")


class StopsAt(QuietReporter):
    """Asks to stop as soon as a stage has begun."""

    def __init__(self, stage: str) -> None:
        super().__init__()
        self._stage = stage

    def cancelled(self) -> bool:
        return self._stage in self.stages


class Ends:
    """An onlooker that raises after so many steps."""

    def __init__(self, steps: int, error: type[BaseException]) -> None:
        self._steps, self._error = steps, error

    def begin(self, dataset: Dataset) -> None:
        """It only waits."""

    def look(self, run: Run) -> None:
        if run.steps == self._steps:
            raise self._error

    def has_enough(self) -> bool:
        return False


@pytest.mark.parametrize("stage", ["train", "evaluate", "bake"])
def test_cancelling_keeps_what_was_learned_and_going_on_does_the_rest(scene: Path, tmp_path: Path, stage: str) -> None:
    output, steps = tmp_path / "scene.twin", 40
    left, reporter = tmp_path / "scene.unfinished.twin", StopsAt(stage)
    with pytest.raises(Cancelled, match=r"--resume .*scene\.unfinished\.twin"):
        train(TrainSettings(str(scene), str(output), steps=steps), reporter, QUICK)
    assert list(tmp_path.iterdir()) == [left] and reporter.stages[-1] == stage, "nothing was begun after that"
    taken = read_twin(left).metadata["training"]["steps"]
    assert 0 < taken < steps if stage == "train" else taken == steps
    train(TrainSettings(str(scene), str(output), steps=steps, resume=str(left)), QuietReporter(), QUICK)
    assert list(tmp_path.iterdir()) == [output]
    assert read_twin(output).metadata["training"]["steps"] == steps
    assert quality(scene, output) > 10


def test_work_that_is_interrupted_keeps_what_was_learned(scene: Path, tmp_path: Path) -> None:
    # what comes of a step that takes too long to ask
    onlooker = Ends(30, KeyboardInterrupt)
    with pytest.raises(Cancelled, match="--resume"):
        train(TrainSettings(str(scene), str(tmp_path / "scene.twin")), QuietReporter(), QUICK, onlooker)
    assert read_twin(tmp_path / "scene.unfinished.twin").metadata["training"]["steps"] == 30


def test_what_a_killed_training_had_learned_is_gone_on_with(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unfinished, "SECONDS_APART", 0.0)
    monkeypatch.setattr(trainer, "REPORT_EVERY", 0.0)
    output = tmp_path / "scene.twin"

    class Killed(BaseException):
        """What nobody catches."""

    left, reporter = tmp_path / "scene.unfinished.twin", QuietReporter()
    for notes in (0, 1):
        with pytest.raises(Killed):
            train(TrainSettings(str(scene), str(output), steps=80), reporter, QUICK, Ends(60, Killed))
        assert list(tmp_path.iterdir()) == [left]
        assert sum(str(left) in line and "--resume" in line for line in reporter.lines) == notes
    kept = read_twin(left).metadata["training"]["steps"]
    assert 0 < kept < 60
    train(TrainSettings(str(scene), str(output), steps=80, resume=str(left)), QuietReporter(), QUICK)
    assert list(tmp_path.iterdir()) == [output]
    assert read_twin(output).metadata["training"]["steps"] == 80


def test_cancelling_before_the_first_step_writes_nothing(scene: Path, tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        train(TrainSettings(str(scene), str(tmp_path / "never.twin")), CountingReporter(stop_after=0))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("reference", "steps", "floor"), [(False, 150, 18), (True, 100, 11)])
def test_a_batch_that_ruins_the_field_is_taken_back(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: bool, steps: int, floor: float
) -> None:
    monkeypatch.setattr(trainer, "prepare", partial(trainer.prepare, reference=reference))
    ruin(monkeypatch, lambda step: step == 30)
    reporter = QuietReporter()
    output = tmp_path / "saved.twin"
    train(TrainSettings(str(scene), str(output), steps=steps), reporter, QUICK)
    assert [line for line in reporter.lines if "astray" in line and "back to step 0" in line]
    assert quality(scene, output) > floor


def test_a_last_step_that_ruins_the_field_is_taken_back(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ruin(monkeypatch, lambda step: step == 5)
    reporter = QuietReporter()
    train(TrainSettings(str(scene), str(tmp_path / "saved.twin"), steps=5), reporter, QUICK)
    assert any("not finite" in line for line in reporter.lines)
    assert all(np.isfinite(array).all() for array in read_twin(tmp_path / "saved.twin").arrays.values())


def test_a_field_that_is_ruined_again_and_again_is_never_saved(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ruin(monkeypatch, lambda step: step % 3 == 0)
    with pytest.raises(UserError, match="diverged"):
        train(TrainSettings(str(scene), str(tmp_path / "nan.twin"), steps=50), QuietReporter(), QUICK)
    assert not list(tmp_path.iterdir())


def ruin(monkeypatch: pytest.MonkeyPatch, when: Callable[[int], bool]) -> None:
    """Make a matrix of the field infinite after those of a training's steps (from 1) for which `when` holds."""
    take, taken = HostStepper.step, 0

    def step(self: HostStepper, progress: float) -> None:
        nonlocal taken
        take(self, progress)
        taken += 1
        if when(taken):
            with torch.no_grad():
                self._field.density[0].fill_(float("inf"))

    monkeypatch.setattr(HostStepper, "step", step)


def test_a_loss_that_explodes_counts_as_astray() -> None:
    stepper = SimpleNamespace(loss=1.0, caution=1.0, went_back=0)
    stepper.snapshot = lambda: "sound"
    stepper.synchronise = lambda: None
    stepper.restore = lambda snapshot: setattr(stepper, "went_back", stepper.went_back + 1)
    lines: list[str] = []
    guard = Safeguard(stepper, lines.append)
    for step in range(1, 700):
        stepper.loss = 1.0 if step < 600 or stepper.went_back else 30.0
        guard.watch(step)
    assert (stepper.went_back, stepper.caution) == (1, 0.5)
    assert "back to step 500" in lines[0]
