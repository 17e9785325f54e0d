# SPDX-License-Identifier: GPL-3.0-or-later
"""The fast CPU execution against the reference in float64: samples, pictures and the gradient of every parameter."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from radiance_twin.core.field import cpu_kernels as kernels
from radiance_twin.core.field.cpu import CpuField, CpuRenderer, Grid, Seen, Workspace, encode, thread_pool
from radiance_twin.core.field.cpu_rays import march_on
from radiance_twin.core.field.directions import spherical_harmonics
from radiance_twin.core.field.hash_grid import encode as reference_encode
from radiance_twin.core.field.march import Samples, composite, march
from radiance_twin.core.field.model import FieldConfig, RadianceField
from radiance_twin.core.field.render import render_rays
from radiance_twin.core.training.cpu_execution import CpuExecution
from radiance_twin.core.training.recipe import Recipe
from radiance_twin.core.training.sampler import NOTHING, Rays
from radiance_twin.core.training.torch_execution import TorchExecution

STEP = 1 / 90
RAYS = 300
CONFIG = FieldConfig(levels=5, base_resolution=6, finest_resolution=60, log2_table_size=11, hidden=32, background=True)


def lively_field(seed: int = 0, config: FieldConfig = CONFIG) -> RadianceField:
    """A field whose table is not near zero, so that every part of it matters."""
    field = RadianceField(config, seed)
    with torch.no_grad():
        for name, parameter in field.named_parameters():
            if name.endswith("table"):
                parameter.mul_(4e3)
    return field


def some_rays(seed: int = 0) -> Rays:
    random = np.random.default_rng(seed)
    origins = random.normal(size=(RAYS, 3))
    origins = 0.5 + 1.4 * origins / np.linalg.norm(origins, axis=1, keepdims=True)
    directions = random.random((RAYS, 3)) - origins
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    targets = random.random((RAYS, 4)).astype(np.float32)
    targets[::7, 3] = -1.0  # opacity unknown
    last = np.where(random.random(RAYS) < 0.5, 1.5, NOTHING).astype(np.float32)
    return Rays(origins.astype(np.float32), directions.astype(np.float32), targets, last)


@pytest.fixture(scope="module")
def occupied() -> np.ndarray:
    return np.random.default_rng(5).random((32, 32, 32)) < 0.15


@pytest.fixture(scope="module")
def jitter() -> np.ndarray:
    return np.random.default_rng(6).random(RAYS, dtype=np.float32)


def forward(field: RadianceField, rays: Rays, occupied: np.ndarray, jitter: np.ndarray) -> tuple[CpuField, Seen]:
    cpu_field = CpuField(field)
    grid = Grid.of(occupied)
    seen = cpu_field.forward(rays.origins, rays.directions, rays.last, jitter, grid, STEP, 0.0, Workspace())
    return cpu_field, seen


def reference_samples(seen: Seen) -> Samples:
    """The very samples of the fast path, one ray after another, as the reference wants them."""
    order = np.argsort(seen.ray, kind="stable")
    ray = torch.from_numpy(seen.ray[order].astype(np.int64))
    offsets = torch.nn.functional.pad(torch.bincount(ray, minlength=len(seen.pixels)).cumsum(0), (1, 0))
    positions = torch.from_numpy(seen.positions[order]).double()
    return Samples(positions, torch.zeros(len(positions), dtype=torch.float64), ray, offsets, STEP)


def relative(ours: torch.Tensor, truth: torch.Tensor) -> float:
    return float((ours.double() - truth).norm() / truth.norm())


def test_it_takes_the_samples_of_the_reference(occupied: np.ndarray, jitter: np.ndarray) -> None:
    rays = some_rays()
    _, seen = forward(lively_field(), rays, occupied, jitter)
    truth = march(
        torch.from_numpy(rays.origins),
        torch.from_numpy(rays.directions),
        torch.from_numpy(occupied),
        STEP,
        torch.from_numpy(jitter),
        torch.from_numpy(rays.last),
    )
    assert len(truth.times) > 3000
    samples = reference_samples(seen)
    # a sample that rounding puts on a cell's face may fall to either side
    equal = samples.offsets.diff() == truth.offsets.diff()
    assert (samples.offsets.diff() - truth.offsets.diff()).abs().sum() <= 0.001 * len(truth.times)
    ours, theirs = samples.positions[equal[samples.ray]], truth.positions[equal[truth.ray]]
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_direction_of_nothing_comes_to_its_end() -> None:
    """A lens has it where it draws nothing, and somebody's file may call such a pixel valid."""
    inside, nowhere = np.full((1, 3), 0.5, np.float32), np.zeros((1, 3), np.float32)
    grid, most = Grid.of(np.ones((8, 8, 8), np.bool_)), 4096
    positions, times, ray = np.empty((most, 3), np.float32), np.empty(most, np.float32), np.empty(most, np.int32)
    far, zero = np.full(1, NOTHING, np.float32), np.zeros(1, np.float32)
    cursor = np.zeros(1, np.int32)
    step = np.float32(STEP)
    count = march_on(inside, nowhere, far, zero, step, grid.bits, grid.coarse, most, cursor, positions, times, ray)
    assert cursor[0] == -1 and count <= 2.0 / STEP + 1
    truth = march(torch.from_numpy(inside), torch.from_numpy(nowhere), torch.ones(8, 8, 8).bool(), STEP, torch.zeros(1))
    assert len(truth.times) == count


def test_encoding_and_harmonics_are_those_of_the_reference() -> None:
    field = lively_field()
    # corners and faces of the cube belong to it; positions outside count as the nearest ones on it
    positions = np.random.default_rng(1).random((500, 3), dtype=np.float32) * 1.2 - 0.1
    positions[:2] = [[0, 0, 0], [1, 1, 1]]
    out = np.empty((500, CONFIG.levels * 4), np.float32)
    encode(positions, field.table.detach().numpy(), field.layout, out)
    truth = reference_encode(torch.from_numpy(positions).double(), field.table.double(), field.layout)
    np.testing.assert_allclose(out, truth.detach().numpy(), atol=2e-5)
    rays = some_rays()
    harmonics = np.empty((RAYS, 16), np.float32)
    kernels.spherical_harmonics(rays.directions, harmonics)
    np.testing.assert_allclose(harmonics, spherical_harmonics(torch.from_numpy(rays.directions).double()), atol=1e-6)


def test_pictures_and_gradients_agree_with_the_reference(occupied: np.ndarray, jitter: np.ndarray) -> None:
    field, rays = lively_field(), some_rays()
    cpu_field, seen = forward(field, rays, occupied, jitter)
    precise = lively_field().double()
    samples, directions = reference_samples(seen), torch.from_numpy(rays.directions).double()
    density, radiance = precise(samples.positions, directions[samples.ray])
    truth = composite(density, radiance, samples)
    behind = precise.background_radiance(directions)
    np.testing.assert_allclose(seen.pixels[:, :3], truth.colour.detach(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(seen.pixels[:, 3], truth.alpha.detach(), atol=1e-5)
    np.testing.assert_allclose(seen.behind, behind.detach(), rtol=1e-4)

    upstream = np.random.default_rng(2).normal(size=(RAYS, 4)).astype(np.float32)
    gradient = cpu_field.backward(seen, upstream, STEP, Workspace())
    weight = torch.from_numpy(upstream).double()
    colour = truth.colour + (1 - truth.alpha)[:, None] * behind
    ((colour * weight[:, :3]).sum() + (truth.alpha * weight[:, 3]).sum()).backward()
    matrices = [*precise.density, *precise.colour, *precise.background]
    for ours, parameter in zip(gradient.matrices, matrices, strict=True):
        assert parameter.grad is not None
        assert relative(ours, parameter.grad) < 1e-4
    assert gradient.background_positions is not None
    assert gradient.background_encoded is not None
    tables = [
        (field.layout, gradient.positions, gradient.encoded, precise.table),
        (
            CONFIG.background_layout,
            gradient.background_positions,
            gradient.background_encoded,
            precise.background_table,
        ),
    ]
    for layout, positions, encoded, parameter in tables:
        ours = np.zeros((layout.rows, 4), np.float32)
        for level in range(layout.levels):
            rows = ours[layout.offsets[level] : layout.offsets[level + 1]]
            cells, whole = int(layout.resolutions[level]), bool(layout.dense[level])
            kernels.encode_backward(positions, encoded, level, cells, whole, layout.table_size, rows)
        assert parameter is not None
        assert parameter.grad is not None
        assert relative(torch.from_numpy(ours), parameter.grad) < 1e-4


@pytest.mark.parametrize(
    ("together", "stride", "given"), [(1, 1.0, False), (4, 1.0, False), (1, 2.0, False), (4, 1.0, True)]
)
def test_a_step_of_training_moves_every_parameter_as_the_reference_does(
    occupied: np.ndarray, jitter: np.ndarray, together: int, stride: float, given: bool
) -> None:
    recipe = Recipe(shade_above=0.0)
    # what stands behind the field is a part of it, or given
    config = replace(CONFIG, background=not given)
    ours, theirs = lively_field(config=config), lively_field(config=config)
    behind = np.array([1.0, 0.5, 0.2] if given else [0.0] * 3, np.float32)
    rays = replace(some_rays(), together=together, behind=behind)
    reference = TorchExecution(theirs, occupied, STEP, recipe)
    with thread_pool() as pool:
        fast = CpuExecution(ours, occupied, STEP, recipe, pool)
        for _ in range(2):
            loss, samples = fast.step(rays, jitter, 1e-3, stride)
            expected_loss, expected_samples = reference.step(rays, jitter, 1e-3, stride)
            assert loss == pytest.approx(expected_loss, rel=1e-3)
            assert samples == pytest.approx(expected_samples, rel=1e-3)
        positions = np.random.default_rng(3).random((9000, 3), dtype=np.float32)
        np.testing.assert_allclose(fast.density_at(positions), reference.density_at(positions), rtol=2e-2)
    start = dict(lively_field(config=config).named_parameters())
    for (name, one), two in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        if not name.endswith("table"):  # entries without a gradient rest in the one and drift in the other
            moved = two - start[name]
            assert float((one - two).detach().norm() / moved.detach().norm()) < 0.05, name


def test_the_number_of_threads_does_not_change_a_bit(occupied: np.ndarray) -> None:
    from concurrent.futures import ThreadPoolExecutor

    rays = some_rays()
    many = Rays(*(np.concatenate([part] * 4) for part in (rays.origins, rays.directions, rays.targets, rays.last)))
    jitter = np.random.default_rng(4).random(4 * RAYS, dtype=np.float32)
    results = []
    for threads in (1, 3):
        field = lively_field()
        with ThreadPoolExecutor(threads, initializer=lambda: torch.set_num_threads(1)) as pool:
            execution = CpuExecution(field, occupied, STEP, Recipe(), pool)
            for _ in range(3):
                execution.step(many, jitter, 1e-2)
        results.append(field.state_dict())
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])


def test_rendering_agrees_with_the_reference(occupied: np.ndarray) -> None:
    field, rays = lively_field(), some_rays()
    ours = CpuRenderer(field, occupied, STEP).render(rays.origins, rays.directions)
    truth = render_rays(
        field, torch.from_numpy(occupied), STEP, torch.from_numpy(rays.origins), torch.from_numpy(rays.directions)
    )
    # samples below a thousandth of their pixel are not shaded
    np.testing.assert_allclose(ours[0], truth[0], rtol=0.02, atol=0.02)
    np.testing.assert_allclose(ours[1], truth[1], atol=2e-3)
    np.testing.assert_allclose(ours[2], truth[2], atol=4e-3)


def test_compiled_code_is_cached_away_from_the_sources(root: Path) -> None:
    folder = Path(os.environ["NUMBA_CACHE_DIR"]).resolve()
    assert not folder.is_relative_to(root)
    assert not list((root / "core").rglob("*.nbi"))
