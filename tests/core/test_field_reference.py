# SPDX-License-Identifier: GPL-3.0-or-later
"""The plain PyTorch field against mathematics: exact integrals, orthonormality, finite differences."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch

from radiance_twin.core.field.directions import spherical_harmonics
from radiance_twin.core.field.hash_grid import encode, grid_layout
from radiance_twin.core.field.march import Samples, composite, cube_interval, march
from radiance_twin.core.field.model import FieldConfig, RadianceField
from radiance_twin.core.training.losses import opacity_l2, relative_l2

SMALL = FieldConfig(levels=2, base_resolution=2, finest_resolution=5, log2_table_size=6, hidden=16, geometry_features=3)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unit(vectors: torch.Tensor) -> torch.Tensor:
    return vectors / vectors.norm(dim=-1, keepdim=True)


def test_a_dense_level_interpolates_what_its_corners_hold() -> None:
    # trilinear interpolation reproduces x, y, z and every product of them exactly
    layout = grid_layout(1, 7, 7, 10)
    assert layout.dense.all()
    side = torch.arange(8, dtype=torch.float64) / 7
    z, y, x = torch.meshgrid(side, side, side, indexing="ij")  # row = x + y·s + z·s²
    table = torch.stack([x, y, z, x * y * z], dim=-1).reshape(-1, 4)
    positions = random(200, 3)
    expected = torch.cat([positions, positions.prod(dim=1, keepdim=True)], dim=1)
    torch.testing.assert_close(encode(positions, table, layout), expected)


def test_levels_grow_geometrically_and_share_a_table_when_too_large() -> None:
    layout = grid_layout(8, 16, 512, 15)
    assert (layout.resolutions[0], layout.resolutions[-1]) == (16, 512)
    ratios = layout.resolutions[1:] / layout.resolutions[:-1]
    np.testing.assert_allclose(ratios, 32 ** (1 / 7), rtol=0.05)
    assert np.diff(layout.offsets).max() == 1 << 15
    # neighbours far apart use different rows of a hashed level, the same position the same rows
    table = random(layout.rows, 4)
    positions = random(100, 3)
    twice = encode(torch.cat([positions, positions]), table, layout)
    torch.testing.assert_close(twice[:100], twice[100:])
    assert torch.unique(twice[:100, -4:], dim=0).shape[0] == 100


def test_spherical_harmonics_are_orthonormal() -> None:
    # Gauss–Legendre in cos θ times a regular rule in φ integrates products of degree 6 exactly
    nodes, weights = np.polynomial.legendre.leggauss(8)
    phi = np.arange(16) * 2 * np.pi / 16
    cos, angle = np.meshgrid(nodes, phi, indexing="ij")
    sin = np.sqrt(1 - cos**2)
    directions = torch.tensor(np.stack([sin * np.cos(angle), sin * np.sin(angle), cos], axis=-1).reshape(-1, 3))
    measure = torch.tensor(np.repeat(weights * 2 * np.pi / 16, 16))
    values = spherical_harmonics(directions)
    gram = values.T @ (values * measure[:, None])
    torch.testing.assert_close(gram, torch.eye(16, dtype=torch.float64), atol=1e-12, rtol=0)


class PixelLoss(torch.nn.Module):
    """The whole way from parameters to a number: field, compositing, background, losses."""

    def __init__(self, field: RadianceField) -> None:
        super().__init__()
        self.field = field
        origins = torch.tensor([[-0.5, 0.4, 0.5], [0.3, 1.6, 0.2], [0.5, 0.5, 2.0]], dtype=torch.float64)
        self.directions = unit(random(3, 3, seed=1) - origins)
        occupied, jitter = torch.ones(8, 8, 8, dtype=torch.bool), torch.full((3,), 0.3, dtype=torch.float64)
        self.samples = march(origins, self.directions, occupied, 0.21, jitter)
        self.targets = random(3, 4, seed=2)

    def forward(self) -> torch.Tensor:
        density, radiance = self.field(self.samples.positions, self.directions[self.samples.ray])
        seen = composite(density, radiance, self.samples)
        colour = seen.colour + (1 - seen.alpha)[:, None] * self.field.background_radiance(self.directions)
        return ((colour - self.targets[:, :3]) ** 2).mean() + opacity_l2(seen.alpha, self.targets[:, 3])


def test_gradients_agree_with_finite_differences() -> None:
    loss = PixelLoss(RadianceField(replace(SMALL, background=True), seed=3).double())
    with torch.no_grad():
        loss.field.table.mul_(3e3)
    names = [name for name, _ in loss.named_parameters()]

    def of_parameters(*values: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(loss, dict(zip(names, values, strict=True)))  # type: ignore[no-any-return]

    values = [parameter.detach().clone().requires_grad_() for parameter in loss.parameters()]
    assert torch.autograd.gradcheck(of_parameters, values, eps=1e-6, atol=1e-7, fast_mode=True)


def test_relative_loss_stops_the_gradient_of_its_weight() -> None:
    predicted = random(5, 3).requires_grad_()
    target = random(5, 3, seed=1)
    relative_l2(predicted, target, 0.02).backward()
    weight = 1 / (predicted.detach() + 0.02) ** 2
    torch.testing.assert_close(predicted.grad, 2 * weight * (predicted.detach() - target) / 15)


def test_transmittance_through_a_ball_is_that_of_its_chords() -> None:
    # a ball of constant density: alpha = 1 − exp(−σ·chord), whatever the step that divides it
    radius, sigma, step = 0.3, 7.0, 1 / 2048
    offsets = torch.linspace(0.0, 0.28, 9, dtype=torch.float64)
    origins = torch.stack([torch.full_like(offsets, -1.0), 0.5 + offsets, torch.full_like(offsets, 0.5)], dim=1)
    directions = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64).expand(9, 3)
    samples = march(origins, directions, torch.ones(4, 4, 4, dtype=torch.bool), step, torch.full((9,), 0.5).double())
    inside = (samples.positions - 0.5).norm(dim=1) < radius
    radiance = torch.tensor([2.0, 1.0, 0.0], dtype=torch.float64).expand(len(inside), 3)
    seen = composite(inside.double() * sigma, radiance, samples)
    chord = 2 * torch.sqrt(radius**2 - offsets**2)
    alpha = 1 - torch.exp(-sigma * chord)
    torch.testing.assert_close(seen.alpha, alpha, atol=2 * sigma * step, rtol=0)
    torch.testing.assert_close(seen.colour, alpha[:, None] * radiance[:1], atol=4 * sigma * step, rtol=0)


def test_depth_is_where_the_light_comes_from() -> None:
    # in a thin fog the mean distance is ∫ t σ e^{−σt} dt, with t from the near face
    sigma, step, length = 3.0, 1 / 1000, 1.0
    origins = torch.tensor([[0.5, 0.5, -2.0]], dtype=torch.float64)
    directions = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64)
    samples = march(origins, directions, torch.ones(2, 2, 2, dtype=torch.bool), step, torch.tensor([0.5]).double())
    ones = torch.ones(len(samples.times), dtype=torch.float64)
    seen = composite(ones * sigma, ones[:, None].expand(-1, 3), samples)
    alpha = 1 - math.exp(-sigma * length)
    mean = 2.0 * alpha + 1 / sigma - math.exp(-sigma * length) * (length + 1 / sigma)
    assert math.isclose(float(seen.alpha), alpha, rel_tol=1e-9)
    assert math.isclose(float(seen.distance), mean, rel_tol=1e-4)


def test_rays_know_where_they_cross_the_cube() -> None:
    origins = torch.tensor([[-1.0, 0.5, 0.5], [0.5, 0.5, 0.5], [-1.0, 2.0, 0.5], [0.5, 0.5, 3.0]])
    directions = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    entry, leave = cube_interval(origins, directions)
    torch.testing.assert_close(entry[:2], torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(leave[:2], torch.tensor([2.0, 0.5]))
    assert (leave[2:] < entry[2:]).all()  # beside the cube, and behind the camera


def test_samples_stand_in_occupied_cells_and_none_is_missed() -> None:
    rays, n, step = 40, 16, 1 / 100
    origins = unit(random(rays, 3) - 0.5) * 1.5 + 0.5
    directions = unit(random(rays, 3, seed=1) - origins)
    jitter = random(rays, seed=2)
    occupied = random(n, n, n, seed=3) < 0.3
    last = torch.full((rays,), 1.6, dtype=torch.float64)
    samples = march(origins, directions, occupied, step, jitter, last)
    cells = (samples.positions * n).long()
    assert occupied[cells[:, 0], cells[:, 1], cells[:, 2]].all()
    assert (samples.times < 1.6).all()
    everywhere: Samples = march(origins, directions, torch.ones_like(occupied), step, jitter, last)
    cells = (everywhere.positions * n).long().clamp(0, n - 1)
    assert len(samples.times) == int(occupied[cells[:, 0], cells[:, 1], cells[:, 2]].sum())
    gaps = everywhere.times.diff()[everywhere.ray.diff() == 0]
    torch.testing.assert_close(gaps, torch.full_like(gaps, step))
    torch.testing.assert_close(samples.offsets.diff(), torch.bincount(samples.ray, minlength=rays))


def test_rays_that_meet_nothing_see_nothing() -> None:
    origins, directions = torch.tensor([[0.5, 0.5, 2.0]]), torch.tensor([[0.0, 0.0, 1.0]])
    samples = march(origins, directions, torch.ones(8, 8, 8, dtype=torch.bool), 0.1, torch.zeros(1))
    seen = composite(torch.zeros(0), torch.zeros(0, 3), samples)
    assert seen.colour.tolist() == [[0.0, 0.0, 0.0]]
    assert seen.alpha.tolist() == [0.0]
