# SPDX-License-Identifier: GPL-3.0-or-later
"""The CUDA kernels, run on the CPU, against the plain PyTorch reference in float64 on the same rounded weights: what
rays see, the loss, and the gradient of every parameter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from radiance_twin.core.field.cuda.signatures import DROPPED, NOWHERE, Choice, Counter, Setting, State
from radiance_twin.core.field.hash_grid import encode
from radiance_twin.core.field.march import composite
from radiance_twin.core.field.mlp import mlp
from radiance_twin.core.training.losses import opacity_l2, relative_l2

from .batch import (
    ALPHA_WEIGHT,
    EPSILON,
    LOSS_SCALE,
    RAYS,
    SMALL,
    STEP,
    Device,
    backward,
    forward,
    matrix_gradient_errors,
    places_of,
    reference_loss,
    reference_samples,
    relative,
    some_rays,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("backwards", [False, True])
def test_pictures_and_gradients_agree_with_the_reference(shape: Any, backwards: bool) -> None:
    shape.host.backwards = backwards
    device = Device(shape.host, shape.config)
    some_rays(device)
    forward(device)
    backward(device)
    shape.host.backwards = False
    assert device.count(Counter.SAMPLES) > 1200
    assert 0 < device.count(Counter.SHADED) <= device.count(Counter.SAMPLES)
    seen, loss = reference_loss(device)
    assert relative(device.seen, seen) < 1e-3
    assert device.count(Counter.PIXELS) == RAYS
    assert device.state[State.LOSS_SUM] / RAYS == pytest.approx(loss.item(), rel=1e-3)
    loss.backward()
    scale = 1.0 / (LOSS_SCALE * RAYS)
    assert max(matrix_gradient_errors(device, scale)) < 2e-3
    assert relative(device.table_gradient * scale, device.field.table.grad) < 2e-3
    if device.field.background_table is not None:
        assert relative(device.background_table_gradient * scale, device.field.background_table.grad) < 2e-3
    assert device.count(Counter.NONFINITE) == 0


# what half precision may cost: relative L2 of a tensor's gradient against float64 that is rounded nowhere
BAR = 1e-2


def test_each_kernels_gradient_is_that_of_unrounded_double_precision(shape: Any) -> None:
    """Each way back, from the numbers that the kernel was given, in float64 on the same weights.

    A chain of kernels is another matter. Rounding an activation by 2^-12 takes one unit in some thousands to the other
    side of its ReLU, and the gradient is a sum over samples that mostly cancel, which such units do not take part in.
    Rounding nothing but the directions' harmonics moves the gradient of the widest field's table by 1.5e-2 here, where
    targets are random, and in a field that has nearly learned its scene several times as much. So the chain is held
    (above) against a reference that rounds where the kernels do, and one kernel against one that does not round.
    """
    device = Device(shape.host, shape.config)
    some_rays(device)
    forward(device)
    backward(device)
    field, given = device.field, {name: doubles(array) for name, array in device.arrays.items() if array is not None}
    shaded = given["shaded"][: device.count(Counter.SHADED)].long()
    alive = given["alive"][: device.count(Counter.ALIVE)].long()

    inputs = torch.cat([given["geometry"][shaded], given["harmonics"][given["sample_ray"].long()[shaded]]], dim=1)
    layers = list(field.colour)
    mlp(inputs.requires_grad_(), layers).backward(given["colour_gradient"][: len(shaded), :3])
    # single samples are not summed: of them the few with a unit that changed its side are left out
    steady = (active_units(inputs, layers, rounded=True) == active_units(inputs, layers, rounded=False)).all(dim=1)
    assert steady.double().mean() > 0.98
    ours = device.geometry_gradient[: len(shaded)][steady.numpy()]
    assert relative(ours, inputs.grad[steady, : shape.config.geometry_features]) < 1e-3

    # the gradient that the colour network has sent back, where there is one, and what compositing says of the density
    place = torch.from_numpy(device.slot.astype(np.int64))[alive]
    upstream = torch.where((place != NOWHERE)[:, None], given["geometry_gradient"][place % len(device.slot)], 0.0)
    upstream[:, 0] += given["logarithm_gradient"][alive]
    exact = encode(given["samples"][alive, :3], field.table, field.layout)
    mlp(as_saved(exact, given["encoded"][alive]), list(field.density)).backward(upstream)
    assert relative(device.table_gradient, field.table.grad) < BAR

    if field.background_table is not None:
        ways = 0.5 * given["rays"][:, 4:7] + 0.5
        exact = encode(ways, field.background_table, shape.config.background_layout)
        upstream = given["background_gradient"][:, :3]
        mlp(as_saved(exact, given["background_encoded"]), list(field.background)).backward(upstream)
        assert relative(device.background_table_gradient, field.background_table.grad) < BAR
    assert max(matrix_gradient_errors(device, 1.0)) < BAR


def doubles(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array.astype(np.float64))


def as_saved(exact: torch.Tensor, saved: torch.Tensor) -> torch.Tensor:
    """The values that a kernel kept, with the gradient of the exact ones."""
    return exact + (saved[:, : exact.shape[1]] - exact).detach()


def active_units(inputs: torch.Tensor, layers: list[torch.Tensor], rounded: bool) -> torch.Tensor:
    """[N, units]: which hidden units have an output, when activations are kept in half precision or are not."""
    hidden, active = inputs, []
    for layer in layers[:-1]:
        hidden = torch.relu(hidden @ layer)
        active.append(hidden > 0)
        hidden = hidden.half().double() if rounded else hidden
    return torch.cat(active, dim=1)


def test_rays_of_one_pixel_share_its_loss(host: Any) -> None:
    device = Device(host, SMALL)
    some_rays(device)
    device.choices[Choice.TOGETHER] = 4
    device.behind[:, :3] = np.random.default_rng(3).random((RAYS, 3))  # a random background
    device.arrays["error"] = np.full(RAYS, 0.5, np.float32)
    device.picked[:] = np.arange(RAYS) // 4
    forward(device)
    device.run("composite_loss", step=STEP, error_rate=1.0)
    device.run("backward_colour")
    device.run("backward_density")
    seen, loss = reference_loss(device, 4)
    loss.backward()
    assert device.count(Counter.PIXELS) == RAYS // 4
    assert relative(device.seen, seen) < 1e-3
    assert device.state[State.LOSS_SUM] / (RAYS // 4) == pytest.approx(loss.item(), rel=1e-3)
    assert device.error[: RAYS // 4].mean() == pytest.approx(loss.item(), rel=1e-3)
    assert (device.error[RAYS // 4 :] == 0.5).all()
    scale = 1.0 / (LOSS_SCALE * (RAYS // 4))
    assert max(matrix_gradient_errors(device, scale)) < 2e-3
    assert relative(device.table_gradient * scale, device.field.table.grad) < 2e-3


def test_compositing_is_exact_in_single_precision(host: Any) -> None:
    """From the networks' outputs to the pictures and back, without half precision between."""
    device = Device(host, SMALL)
    some_rays(device)
    device.behind[:, :3] = np.random.default_rng(3).random((RAYS, 3))
    forward(device)
    device.run("composite_loss", step=STEP, error_rate=0.0)
    places, _ = places_of(device)
    samples = reference_samples(device)
    logarithm = torch.from_numpy(device.logarithm[places].astype(np.float64)).requires_grad_()
    raw = torch.from_numpy(device.colour[device.slot[places], :3].astype(np.float64)).requires_grad_()
    seen = composite(torch.exp(logarithm + SMALL.density_shift), torch.exp(raw), samples)
    colour = seen.colour + (1.0 - seen.alpha)[:, None] * torch.from_numpy(device.behind[:, :3].astype(np.float64))
    wanted = torch.from_numpy(device.targets.astype(np.float64))
    loss = relative_l2(colour, wanted[:, :3], EPSILON) + ALPHA_WEIGHT * opacity_l2(seen.alpha, wanted[:, 3])
    (loss * LOSS_SCALE * RAYS).backward()
    assert relative(device.shares[places], seen.weights) < 1e-5
    assert relative(device.seen[:, :3], colour) < 1e-5
    assert relative(device.logarithm_gradient[places], logarithm.grad) < 1e-4
    assert relative(device.colour_gradient[device.slot[places], :3], raw.grad) < 1e-3  # it is kept in half precision


def test_what_matters_little_is_left_out(host: Any) -> None:
    device = Device(host, SMALL)
    some_rays(device)
    device.settings[Setting.SHADE_ABOVE] = 0.02
    forward(device)
    backward(device)
    places, _ = places_of(device)
    samples = reference_samples(device)
    shares = torch.from_numpy(device.shares[places])
    reached = 1.0 - torch.cat([torch.zeros(1), shares.cumsum(0)])[:-1]
    reached += torch.cat([torch.zeros(1), shares.cumsum(0)])[samples.offsets[:-1]][samples.ray]
    assert set(device.shaded[: device.count(Counter.SHADED)]) == set(places[(shares > 0.02).numpy()])
    assert (device.slot[places][(shares <= 0.02).numpy()] == NOWHERE).all()
    sure = (reached - 0.02).abs() > 1e-4
    alive = np.isin(places, device.alive[: device.count(Counter.ALIVE)])
    assert (alive == (reached > 0.02).numpy())[sure.numpy()].all()
    assert 100 < device.count(Counter.SHADED) < device.count(Counter.ALIVE) < len(places)
    seen, loss = reference_loss(device)
    assert relative(device.seen[:, 3], seen[:, 3]) < 1e-3  # alpha has all samples
    assert relative(device.seen, seen) < 0.05
    loss.backward()
    assert relative(device.table_gradient / (LOSS_SCALE * RAYS), device.field.table.grad) < 0.15


def test_rays_that_find_no_room_are_left_out_of_the_loss(host: Any) -> None:
    device = Device(host, SMALL, capacity=700)
    some_rays(device)
    device.choices[Choice.TOGETHER] = 2
    forward(device, capacity=700)
    backward(device)
    dropped = device.ray_count == DROPPED
    assert dropped.sum() == device.count(Counter.DROPPED_RAYS) > 50
    assert device.count(Counter.SAMPLES) > 1200  # what they wanted, so that the next step has fewer rays
    kept = ~dropped.reshape(-1, 2).any(axis=1)
    assert device.count(Counter.PIXELS) == kept.sum() > 50
    seen, _ = reference_loss(device)
    pixels = seen.reshape(-1, 2, 4).mean(dim=1)[torch.from_numpy(kept)]
    wanted = torch.from_numpy(device.targets[::2][kept].astype(np.float64))
    loss = relative_l2(pixels[:, :3], wanted[:, :3], EPSILON)
    loss = loss + ALPHA_WEIGHT * opacity_l2(pixels[:, 3], wanted[:, 3])
    loss.backward()
    scale = 1.0 / (LOSS_SCALE * kept.sum())
    assert device.state[State.LOSS_SUM] / kept.sum() == pytest.approx(loss.item(), rel=1e-3)
    assert max(matrix_gradient_errors(device, scale)) < 2e-3
    assert relative(device.table_gradient * scale, device.field.table.grad) < 2e-3


@pytest.mark.parametrize("rays", [0, RAYS])
def test_a_batch_may_be_empty(host: Any, rays: int) -> None:
    """No rays at all, and rays without any sample."""
    device = Device(host, SMALL)
    some_rays(device)
    device.behind[:, :3] = 0.25
    device.bits[:] = 0
    device.coarse[:] = 0
    before = device.matrix_master.copy()
    device.counters[Counter.RAYS] = rays
    device.run("begin_step")
    forward(device)
    backward(device)
    device.run("adam_matrices")
    device.run("end_step")
    assert device.count(Counter.SAMPLES) == device.count(Counter.SHADED) == device.count(Counter.ALIVE) == 0
    assert device.count(Counter.PIXELS) == rays
    assert (device.seen[:rays] == [0.25, 0.25, 0.25, 0]).all()
    assert (device.matrix_gradient == 0).all() and (device.matrix_master == before).all()
    assert device.count(Counter.UPDATES) == (1 if rays else 0)
    assert 32 <= device.count(Counter.RAYS) <= RAYS
    assert np.isfinite(device.state).all()
