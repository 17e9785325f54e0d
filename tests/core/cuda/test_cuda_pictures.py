# SPDX-License-Identifier: GPL-3.0-or-later
"""Density, the occupancy grid and whole pictures by the CUDA kernels, against the plain PyTorch reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from radiance_twin.core.cameras import look_at, pixel_grid, ray_directions
from radiance_twin.core.field.cuda.signatures import Choice, Counter, State
from radiance_twin.core.field.render import render_rays
from radiance_twin.core.training.sampler import NOTHING

from .batch import CELLS, SMALL, STEP, Device, grid_arrays, relative, some_rays
from .random_numbers import philox

pytestmark = pytest.mark.usefixtures("one_thread")


def test_density_is_that_of_the_field(shape: Any) -> None:
    device = Device(shape.host, shape.config)
    positions = (np.random.default_rng(4).random((500, 3)) * 1.2 - 0.1).astype(np.float32)
    positions[:2] = [[0, 0, 0], [1, 1, 1]]
    density = np.zeros(500, np.float32)
    device.run("evaluate_density", count=500, positions=positions, density=density)
    truth, _ = device.field.density_features(torch.from_numpy(positions).double())
    assert relative(density, truth) < 2e-3


def test_the_occupancy_grid_follows_the_density(host: Any) -> None:
    device = Device(host, SMALL)
    random = np.random.default_rng(5)
    candidates = random.random((CELLS,) * 3) < 0.5
    cells = np.flatnonzero(candidates)
    old = random.uniform(0, 200, len(cells)).astype(np.float32)
    old[::5] = np.inf  # never asked
    device.arrays |= {"cells": cells.astype(np.uint32), "cell_density": old.copy(), **grid_arrays(candidates)}
    asked, salt, draws = 700, 3, 9
    device.counters[Counter.DRAWS] = draws
    given = {"cell_count": len(cells), "resolution": CELLS}
    device.run("update_occupancy", asked=asked, salt=salt, keep=0.5, **given)
    device.run("measure_occupancy", cell_count=len(cells), step=STEP)
    device.run("pack_occupancy", step=STEP, thin=0.9, **given)

    which, positions = [], []
    for item in range(asked):
        numbers = philox((item, draws, 3, salt), (int(device.choices[Choice.SEED]), 0))
        begin, end = item * len(cells) // asked, (item + 1) * len(cells) // asked
        which.append(begin + (numbers[3] * (end - begin) >> 32))
        corner = np.array(np.unravel_index(cells[which[-1]], candidates.shape))
        positions.append((corner + np.array([number >> 8 for number in numbers[:3]]) / 2**24) / CELLS)
    assert len(set(which)) == asked
    truth, _ = device.field.density_features(torch.from_numpy(np.array(positions)))
    known = np.where(np.isfinite(old[which]), old[which], 0.0) * 0.5
    expected = old.copy()
    expected[which] = np.maximum(known, truth.detach().numpy())
    np.testing.assert_allclose(device.cell_density, expected, rtol=1e-2)

    finite = np.isfinite(device.cell_density)
    thickness = device.cell_density * np.float32(STEP)
    assert device.state[State.ASKED] == finite.sum()
    assert device.state[State.THICKNESS_SUM] == pytest.approx(thickness[finite].sum(dtype=np.float64), rel=1e-5)
    least = min(0.9, 0.5 * float(thickness[finite].mean()))
    occupied = np.zeros(candidates.size, bool)
    occupied[cells] = thickness > least
    assert 0.1 < occupied.sum() / len(cells) < 0.95
    packed = grid_arrays(occupied.reshape(candidates.shape))
    assert (device.bits == packed["bits"]).all() and (device.coarse == packed["coarse"]).all()

    everything = device.cell_density.copy()
    device.run("update_occupancy", asked=10**9, salt=4, keep=0.0, **given)
    assert (np.isfinite(device.cell_density)).all() and (device.cell_density != everything).mean() > 0.9


@pytest.mark.parametrize("backwards", [False, True])
def test_a_picture_is_that_of_the_reference(shape: Any, backwards: bool) -> None:
    device = Device(shape.host, shape.config)
    some_rays(device)
    width, height = 19, 13
    matrix = look_at([1.4, -0.9, 1.1], [0.5, 0.5, 0.5])
    intrinsics = np.array([15.0, 16.0, 9.0, 7.0])
    camera = np.concatenate([matrix[:3, :3].ravel(), matrix[:3, 3], intrinsics]).astype(np.float32)
    count = width * height
    device.arrays |= {
        "counters": np.full(16, 77, np.uint32),
        "camera": camera,
        "rays": np.zeros((count, 8), np.float32),
        "picture": np.full((count, 5), 0.125, np.float32),
        "behind": None,
        "background_encoded": None,
    }
    device.run("camera_rays", width=width, height=height, right=0.25, down=-0.125, jitter=0.375)
    directions = ray_directions(matrix, intrinsics, pixel_grid(width, height).reshape(-1, 2) + np.array([0.25, -0.125]))
    np.testing.assert_allclose(device.rays[:, 4:7], directions, atol=1e-6)
    assert (device.rays[:, :3] == matrix[:3, 3].astype(np.float32)).all()
    assert (device.rays[:, 7] == 0.375).all() and (device.rays[:, 3] == NOTHING).all()
    if shape.config.background:
        device.arrays["behind"] = np.zeros((count, 4), np.float32)
        device.run("forward_background")
    given: dict[str, Any] = {"step": STEP, "resolution": CELLS}
    shape.host.backwards = backwards
    device.run("render", stop=0.0, shade_above=-1.0, share=0.5, add=1, **given)
    shape.host.backwards = False
    rays = torch.from_numpy(device.rays).double()
    occupied = torch.from_numpy(device.occupied)
    truth = render_rays(device.field, occupied, STEP, rays[:, :3], rays[:, 4:7], 0.375)
    expected = torch.cat([truth[0], truth[1][:, None], truth[2][:, None]], dim=1)
    assert (truth[1] > 0.1).sum() > 50
    assert relative((device.picture - 0.125) / 0.5, expected) < 5e-3

    # rays that end early, and samples that are not shaded, change little
    device.counters[Counter.QUEUE] = 0
    device.run("render", stop=1e-3, shade_above=1e-3, share=1.0, add=0, **given)
    assert relative(device.picture, expected) < 1e-2
