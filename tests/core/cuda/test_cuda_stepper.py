# SPDX-License-Identifier: GPL-3.0-or-later
"""How the host and the device keep step in a training on CUDA: who waits for whom, whose memory is whose, and how it
goes back."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from radiance_twin.core.errors import UserError
from radiance_twin.core.field.cuda.program import program_of
from radiance_twin.core.field.cuda.signatures import Counter, Setting
from radiance_twin.core.field.model import FieldConfig
from radiance_twin.core.training import cuda_arrays, cuda_stepper, run
from radiance_twin.core.training.recipe import Recipe, scale_of

from .trainings import QUICK, advance, bytes_of, on_host, prepared, stepper_of

pytestmark = pytest.mark.usefixtures("gpu")


def test_the_host_knows_the_counters_some_steps_late_and_all_of_them_when_it_waits(ball: Path) -> None:
    training = prepared(ball, replace(QUICK, samples_on_cuda=2048))
    stepper = stepper_of(training)
    samples, known = 0, []
    for _ in range(40):
        training.step(0.1)
        samples += stepper._counter(Counter.SAMPLES)
        known.append(stepper.samples)
        assert len(stepper._looks) <= cuda_stepper.LOOKS_UNDER_WAY
    assert known[0] > 0  # the first step is waited for: a training that fails at once says so at once
    assert known[-1] < samples
    training.synchronise()
    assert training.samples == samples
    assert training.rays == stepper._counter(Counter.TOTAL_RAYS)
    # the number of rays follows the samples
    assert 0.7 * 2048 < samples / 40 < 1.3 * 2048
    assert np.isfinite(stepper.loss)
    assert float(stepper._arrays["settings"][Setting.RATE]) == pytest.approx(QUICK.rate(39, 0.1), rel=1e-6)


class Operations(TorchDispatchMode):
    """What PyTorch is asked to do."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(str(function))
        return function(*args, **(kwargs or {}))


def test_nothing_waits_for_the_device_between_two_looks(ball: Path) -> None:
    training = prepared(ball)
    stepper = stepper_of(training)
    advance(training, 3)
    with Operations() as recorded:
        # what a graph holds: launches alone, nothing that allocates or waits
        stepper._start_step()
        stepper._start_occupancy()
    assert recorded.names == set()
    with Operations() as asked:
        for _ in range(2 * cuda_stepper.LOOK_EVERY):
            training.step(0.1)
    # settings to the device and counters from it, without waiting; a row of each
    assert asked.names == {"aten.copy_.default", "aten.detach.default", "aten.select.int"}


def test_the_field_is_the_kernels_own_memory(ball: Path) -> None:
    training = prepared(ball)
    before = [on_host(parameter).copy() for parameter in training._field.parameters()]
    training.compile()
    for parameter, value in zip(training._field.parameters(), before, strict=True):
        np.testing.assert_array_equal(on_host(parameter), value)
    assert stepper_of(training)._counter(Counter.UPDATES) == 0
    advance(training, 1)
    for parameter, value in zip(training._field.parameters(), before, strict=True):
        assert (on_host(parameter) != value).any()


def test_a_snapshot_brings_everything_back_but_the_dice(ball: Path) -> None:
    training = prepared(ball, replace(QUICK, occupancy_every=4))
    stepper = stepper_of(training)
    advance(training, 10)
    kept, occupied = stepper.snapshot(), stepper.occupied()
    field = copy.deepcopy(training._field.state_dict())
    seen = on_host(stepper._arrays["picked"]).copy()
    advance(training, 6)
    stepper.restore(kept)
    for name, value in training._field.state_dict().items():
        assert torch.equal(value, field[name])
    np.testing.assert_array_equal(stepper.occupied(), occupied)
    assert stepper._counter(Counter.UPDATES) == 10
    training.step(0.1)
    assert (on_host(stepper._arrays["picked"]) != seen).any()
    assert np.isfinite(stepper.loss)


def test_a_field_that_breaks_goes_back_to_where_it_was_sound(ball: Path) -> None:
    said: list[str] = []
    training = prepared(ball, log=said.append)
    stepper = stepper_of(training)
    advance(training, 10)
    for name in ("table", "table_master"):
        stepper._arrays[name][:2000] = torch.nan
    assert stepper.snapshot() is None
    for _ in range(3 * cuda_stepper.LOOK_EVERY):
        training.step(0.1)
    training.synchronise()
    assert len(said) == 1 and "half the learning rate" in said[0]
    assert np.isfinite(stepper.loss)
    assert stepper.snapshot() is not None
    assert stepper.caution == 0.5


def test_a_hundred_views_of_800_pixels_fit_into_four_gigabytes() -> None:
    count, recipe = 100 * 800 * 800, Recipe().on_cuda()
    # a pixel of such a view is about a thousandth of the cube where the surfaces are
    scale = scale_of(1 / 1000, recipe.largest_table)
    config = FieldConfig(
        hidden=recipe.hidden, log2_table_size=scale.log2_table_size, finest_resolution=scale.finest_resolution
    )
    program = program_of(config)
    adam = bytes_of(cuda_arrays.adam_shapes(program))
    masters, copies = adam // 3, adam // 6
    snapshots = 2 * adam  # master and both means: of the last sound state, and of the one that is being taken
    cells = 6 * scale.occupancy_resolution**3
    total = (
        bytes_of(cuda_arrays.pixel_shapes(count, count, 100))
        + 4 * count  # the farthest hits
        + bytes_of(cuda_arrays.batch_shapes(program, cuda_stepper.ROOM * recipe.samples, recipe.most_rays))
        + adam
        + masters
        + copies
        + snapshots
        + cells
    )
    assert total < 4e9


def test_a_batch_that_does_not_fit_is_halved(ball: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allocate, said = cuda_stepper.allocate, []

    def scarce(shapes: Any, device: torch.device) -> Any:
        if full_for in shapes and bytes_of(shapes) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return allocate(shapes, device)

    monkeypatch.setattr(cuda_stepper, "allocate", scarce)
    monkeypatch.setattr(cuda_stepper, "LEAST_SAMPLES", 1024)
    full_for, room = "samples", 3_000_000
    training = prepared(ball, replace(QUICK, samples_on_cuda=8192), said.append)
    assert said == ["the GPU's memory is short: training on 4,096 samples at a time"]
    advance(training, 3)
    assert np.isfinite(stepper_of(training).loss)
    room = 400_000
    with pytest.raises(UserError, match="too little memory left"):
        prepared(ball, replace(QUICK, samples_on_cuda=8192))
    full_for, room = "pixels", 1000
    with pytest.raises(UserError, match=r"too little memory for 12,288 pixels .*--device cpu"):
        prepared(ball)


def test_a_table_that_does_not_fit_is_halved(ball: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allocate, said = cuda_stepper.allocate, []
    config = prepared(ball)._field.config
    smaller = config.log2_table_size - 1

    def scarce(shapes: Any, device: torch.device) -> Any:
        if "table_first" in shapes and bytes_of(shapes) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return allocate(shapes, device)

    monkeypatch.setattr(cuda_stepper, "allocate", scarce)
    monkeypatch.setattr(run, "SMALLEST_TABLE", smaller - 1)
    room = bytes_of(cuda_arrays.adam_shapes(program_of(replace(config, log2_table_size=smaller))))
    training = prepared(ball, log=said.append)
    assert said == [f"the GPU's memory is short: training {2**smaller:,} table entries a level"]
    assert training._field.config.log2_table_size == smaller
    advance(training, 2)
    assert np.isfinite(stepper_of(training).loss)
    room = 1000
    with pytest.raises(UserError, match=r"too little memory for 12,288 pixels .*--device cpu"):
        prepared(ball)
