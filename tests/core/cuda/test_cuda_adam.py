# SPDX-License-Identifier: GPL-3.0-or-later
"""How the CUDA kernels change parameters at the end of a step, and what the next one is told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from radiance_twin.core.field.cuda.signatures import Counter, Setting, State

from .batch import LOSS_SCALE, RAYS, SMALL, Device, backward, forward, relative, some_rays

pytestmark = pytest.mark.usefixtures("one_thread")


def test_adam_is_that_of_pytorch(shape: Any) -> None:
    """Three steps, every row moved and decayed, and the working copies that come of it."""
    device = Device(shape.host, shape.config)
    random = np.random.default_rng(2)
    device.counters[Counter.PIXELS] = RAYS
    device.settings[Setting.TABLE_DECAY] = 1e-3
    table = torch.from_numpy(device.table_master.astype(np.float64)).requires_grad_()
    matrices = torch.from_numpy(device.matrix_master.astype(np.float64)).requires_grad_()
    settings: dict[str, Any] = {"lr": 1e-2, "betas": (0.9, 0.99), "eps": 1e-15}
    optimisers = [torch.optim.Adam([table], weight_decay=1e-3, **settings), torch.optim.Adam([matrices], **settings)]
    scale = LOSS_SCALE * RAYS
    for _ in range(3):
        device.run("begin_step")
        device.counters[Counter.PIXELS] = RAYS
        for ours, truth in ((device.table_gradient, table), (device.matrix_gradient, matrices)):
            gradient = random.normal(size=ours.shape)
            ours[:] = gradient * scale
            truth.grad = torch.from_numpy(gradient)
        device.run("adam_table", rows=len(device.table), sparse=0)
        device.run("adam_matrices")
        device.run("end_step")
        for optimiser in optimisers:
            optimiser.step()
    assert device.count(Counter.UPDATES) == 3
    assert (device.table_gradient == 0).all() and (device.matrix_gradient == 0).all()
    # a GPU's logarithms, quotients and roots are approximate
    assert relative(device.table_master, table) < 1e-5
    assert relative(device.matrix_master, matrices) < 1e-5
    assert (device.table == device.table_master.astype(np.float16)).all()
    kept = device.weights.copy()
    device.weights[:] = 0xFFFFFFFF
    device.run("pack_matrices")
    assert (device.weights == kept).all()


def test_rows_without_a_gradient_stay_as_they_are(host: Any) -> None:
    device = Device(host, SMALL)
    device.run("begin_step")
    device.counters[Counter.PIXELS] = 10
    device.settings[Setting.TABLE_DECAY] = 1e-3
    device.table_first[:] = 1.0
    device.table_gradient[7:400:3, 2] = 0.5
    touched = np.zeros(len(device.table), bool)
    touched[7:400:3] = True
    before = device.table_master.copy()
    device.run("adam_table", rows=len(device.table), sparse=1)
    assert (device.table_master[~touched] == before[~touched]).all() and (device.table_first[~touched] == 1.0).all()
    assert (device.table_master[touched] != before[touched]).all()


@pytest.mark.parametrize("where", ["target", "matrix", "table gradient", "matrix gradient"])
def test_what_is_not_finite_never_reaches_a_parameter(host: Any, where: str) -> None:
    device = Device(host, SMALL)
    some_rays(device)
    device.run("begin_step")
    if where == "target":
        device.targets[3, 1] = np.inf
    if where == "matrix":
        device.matrix_master[5] = np.nan
        device.run("pack_matrices")
    before = {name: device.arrays[name].copy() for name in ("table_master", "matrix_master", "table", "weights")}
    forward(device)
    backward(device)
    if where == "table gradient":
        device.table_gradient[11, 1] = np.inf
    if where == "matrix gradient":
        device.matrix_gradient[11] = np.nan
    device.run("adam_table", rows=len(device.table), sparse=1)
    device.run("adam_matrices")
    device.run("end_step")
    assert device.count(Counter.SKIPPED) == 1 and device.count(Counter.UPDATES) == 0
    assert (device.table_gradient == 0).all() and (device.matrix_gradient == 0).all()
    if where in ("target", "matrix"):
        for name, held in before.items():
            np.testing.assert_array_equal(device.arrays[name], held)
    else:
        # something wrote there that was none of the kernels: that place alone stays
        assert np.isfinite(device.table_master).all() and np.isfinite(device.matrix_master).all()
    for name in ("table_first", "table_second", "matrix_first", "matrix_second"):
        assert np.isfinite(device.arrays[name]).all()


def test_rays_follow_the_samples_that_are_wanted(host: Any) -> None:
    device = Device(host, SMALL)
    device.choices[:5] = [7, 4, 2000, 32, RAYS]
    totals = 0
    for rays, samples, following in ((100, 1000, 200), (100, 100, RAYS), (200, 100000, 32), (101, 2000, 100)):
        device.counters[Counter.RAYS] = rays
        device.run("begin_step")
        device.counters[Counter.SAMPLES], device.counters[Counter.PIXELS] = samples, 25
        device.state[State.LOSS_SUM] = 5.0
        device.run("end_step")
        totals += samples
        assert device.count(Counter.RAYS) == following
        assert device.state[State.LOSS] == pytest.approx(0.2)
    assert device.counters[Counter.TOTAL_SAMPLES :].view(np.uint64).tolist() == [totals, 100 + 100 + 200 + 100]


def test_averages_follow_their_values(host: Any) -> None:
    values, averages = np.full(1000, 3.0, np.float32), np.full(1000, 1.0, np.float32)
    host.run("average", count=1000, decay=0.75, values=values, averages=averages)
    assert (averages == 1.5).all()
