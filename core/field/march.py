# SPDX-License-Identifier: GPL-3.0-or-later
"""Where along a ray the field is asked, and how the answers become a pixel: plain PyTorch, the reference.

Samples stand on a regular lattice along each ray: t = entry + (k + jitter)·step, inside the cube, kept when their
occupancy cell is set. Samples of all rays lie one after another ("packed").
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Samples:
    """Packed samples of R rays.

    Attributes:
        positions: [S, 3] field coordinates.
        times: [S] distance along the ray, field units.
        ray: [S] i8, the ray each belongs to, ascending.
        offsets: [R + 1] i8, first sample of each ray.
        step: distance between neighbours, field units.
    """

    positions: Tensor
    times: Tensor
    ray: Tensor
    offsets: Tensor
    step: float


def cube_interval(origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """Entry and exit distance [R] of each ray with the cube [0, 1]³ (entry ≥ 0; exit < entry on a miss)."""
    # a direction parallel to a face would divide zero by zero on that very face
    tiny = torch.finfo(directions.dtype).tiny
    safe = torch.where(directions.abs() < tiny, torch.full_like(directions, tiny), directions)
    first, second = -origins / safe, (1.0 - origins) / safe
    entry = torch.minimum(first, second).amax(dim=-1).clamp(min=0.0)
    return entry, torch.maximum(first, second).amin(dim=-1)


def march(
    origins: Tensor, directions: Tensor, occupied: Tensor, step: float, jitter: Tensor, last: Tensor | None = None
) -> Samples:
    """Samples in occupied cells along rays.

    Args:
        origins, directions: [R, 3] field coordinates, unit directions.
        occupied: [n, n, n] bool, indexed [x, y, z].
        step: distance between samples, field units.
        jitter: [R] in [0, 1), the lattice's shift in steps.
        last: [R] no samples beyond this distance.
    """
    entry, leave = cube_interval(origins, directions)
    # no way through the cube is longer; a direction of nothing would never leave it
    leave = torch.minimum(leave, entry + 2.0)
    if last is not None:
        leave = torch.minimum(leave, last)
    count = max(int(torch.ceil((leave - entry).max() / step).item()), 0) if len(origins) else 0
    lattice = torch.arange(count, device=origins.device, dtype=origins.dtype)
    times = entry[:, None] + (lattice + jitter[:, None]) * step
    positions = origins[:, None] + times[..., None] * directions[:, None]
    n = occupied.shape[0]
    cell = (positions * n).long().clamp(0, n - 1)
    keep = (times < leave[:, None]) & occupied[cell[..., 0], cell[..., 1], cell[..., 2]]
    offsets = torch.zeros(len(origins) + 1, dtype=torch.int64, device=origins.device)
    offsets[1:] = keep.sum(dim=1).cumsum(0)
    ray = keep.nonzero()[:, 0]
    return Samples(positions[keep], times[keep], ray, offsets, step)


@dataclass(frozen=True)
class Composited:
    """What R rays see.

    Attributes:
        colour: [R, 3] scene-linear, premultiplied, without what lies behind.
        alpha: [R].
        distance: [R] expected distance along the ray times alpha, field units.
        weights: [S] each sample's share of its pixel.
    """

    colour: Tensor
    alpha: Tensor
    distance: Tensor
    weights: Tensor


def composite(density: Tensor, radiance: Tensor, samples: Samples) -> Composited:
    """The emission–absorption integral with constant density per sample (Max 1995): w = T·(1 − exp(−σ·step))."""
    rays = len(samples.offsets) - 1
    thickness = density * samples.step
    # sums over the whole batch lose digits in single precision
    total = thickness.to(torch.float64).cumsum(0)
    before = total - thickness
    padded = torch.cat([total.new_zeros(1), total])
    start = padded[samples.offsets[:-1]]
    transmittance = torch.exp(start[samples.ray] - before).to(density.dtype)
    weights = transmittance * -torch.expm1(-thickness)

    def per_ray(values: Tensor) -> Tensor:
        result = torch.zeros((rays, *values.shape[1:]), dtype=values.dtype, device=values.device)
        return result.index_add(0, samples.ray, values)

    return Composited(per_ray(weights[:, None] * radiance), per_ray(weights), per_ray(weights * samples.times), weights)
