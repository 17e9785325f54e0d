# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes bricks look like the field and like the pictures it was trained on: gradient descent on voxels and network.

Copying the field's values into voxels shows a blurred, swollen field, since textures are read trilinearly. Here bricks
are rendered as the viewport renders them (`march.py`), and what they hold moves until the pictures agree.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..field.cpu import RAYS_PER_BLOCK, Workspace
from ..field.cpu_kernels import adam_settings
from ..field.render import PATTERN
from . import kernels
from .bricks import SIDE, Bricks, index_of
from .deferred import deferred_light, network_arrays
from .march import SAMPLES_PER_VOXEL

F4 = NDArray[np.float32]

RAYS_PER_STEP = 16384
# of those, the share that shows the training views, two rays to a pixel; the others show the field
TRUTH = 2.0 / 3.0
# a pixel's two rays stand on opposite sides of its middle and sample half an interval apart; a step takes one of these
# pairs. Four rays to a pixel would show half as many pixels, one would not know the pixel's width
PAIRS = np.array([[PATTERN[0], PATTERN[3]], [PATTERN[1], PATTERN[2]]], np.float32)
# every group of rays adds up its own gradient: nothing is added atomically, and the same seed gives the same bits
GROUPS = 2
PARTS = 16
# interval between samples, in voxels: the viewport's, with a random shift
STRIDE = 1.0 / SAMPLES_PER_VOXEL
RATE = 0.1
NETWORK_RATE = 0.01
# share of a rate that is left at the end (cosine between)
LAST = 0.03
BETAS = (0.9, 0.99)
# Adam's epsilon: voxels that hardly show get gradients below it and hardly move, instead of wandering
CALM = 1e-3
SMOOTH = np.float32(0.001)
# of the relative loss, and how much alpha counts in it: those of training
EPSILON = 0.02
ALPHA = 3.0

# draws pixels of the training views: their number, the generator, shifts [2, 2] of each one's rays in pixels
Truths = Callable[[int, np.random.Generator, F4], Any]


@dataclass(frozen=True)
class Start:
    """Where a fit begins.

    Attributes:
        resolution: n, voxels along the cube.
        places: [k, 3] of the bricks.
        values: [k · 512, 4 + F] density, colour (both above 0) and features (0 … 1).
        network: see `deferred.py`; it is changed.
        pace: share of the rates: what begins near its end shall not be thrown far from it.
    """

    resolution: int
    places: NDArray[np.int64]
    values: F4
    network: dict[str, torch.Tensor]
    pace: float = 1.0


@dataclass(frozen=True)
class Targets:
    """What the pictures shall be.

    Attributes:
        origins, directions: [R, 3] rays in field coordinates.
        shown: [R, 4] what the field shows there, scene-linear, over `behind`.
        behind: what the pictures are shown over in directions [R, 3], [R, 3]: the relative loss is of what is seen, as
            in training.
        truths: draws pixels of the training views (see `Truths`); its `targets` hold each pixel once a ray. None: the
            field alone counts.
    """

    origins: F4
    directions: F4
    shown: F4
    behind: Callable[[F4], F4]
    truths: Truths | None


def fit_bricks(
    start: Start,
    targets: Targets,
    steps: int,
    pool: ThreadPoolExecutor,
    random: np.random.Generator,
    done: Callable[[], None] = lambda: None,
) -> Bricks:
    """Bricks whose pictures are closest to the targets. The loss is that of training: relative L2, and that of alpha.

    Args:
        done: is called after each step; what it raises stops the fit.
    """
    index = np.pad(index_of(start.places, start.resolution), 1, constant_values=-1)
    parameters = np.log(np.maximum(start.values, np.float32(1e-4)))
    # logistic; never at its ends, where nothing moves
    features = np.clip(start.values[:, 4:], 0.02, 0.98)
    parameters[:, 4:] = np.log(features / (1.0 - features))
    values = np.empty_like(parameters)
    gradients = np.zeros((GROUPS, *parameters.shape), np.float32)
    first, second = np.zeros_like(parameters), np.zeros_like(parameters)
    network = start.network
    optimiser = torch.optim.Adam(network.values(), lr=NETWORK_RATE, betas=BETAS)
    spaces = [Workspace() for _ in range(-(-RAYS_PER_STEP // RAYS_PER_BLOCK))]
    bricks = np.linspace(0, len(start.places), PARTS + 1).astype(int)
    parts = [(int(bricks[i]), int(bricks[i + 1])) for i in range(PARTS)]
    step_length = np.float32(STRIDE / start.resolution)

    kernels.decode(parameters, values)
    least = kernels.least_shown(step_length)
    solid, touched = values[:, 0] >= least, np.zeros((GROUPS, len(values)), np.bool_)
    for step in range(steps):
        origins, directions, shown, pixels = _batch(targets, random)
        shifts = random.random(len(origins), dtype=np.float32)
        shifts[1 : 2 * pixels : 2] = (shifts[: 2 * pixels : 2] + np.float32(0.5)) % np.float32(1.0)
        sums = np.empty((len(origins), values.shape[1]), np.float32)
        marched = _march(values, solid, index, origins, directions, shifts, step_length, spaces, sums, pool)
        upstream = _upstream(network, optimiser, sums, directions, shown, targets.behind(directions), pixels)
        rate = start.pace * (LAST + (1.0 - LAST) * 0.5 * (1.0 + np.cos(np.pi * step / steps)))
        for group in optimiser.param_groups:
            group["lr"] = NETWORK_RATE * rate
        optimiser.step()

        def scatter(group: int, marched: Any = marched, upstream: F4 = upstream) -> None:
            for number in range(group * len(marched) // GROUPS, (group + 1) * len(marched) // GROUPS):
                block = upstream[number * RAYS_PER_BLOCK : (number + 1) * RAYS_PER_BLOCK]
                positions, offsets, samples = marched[number]
                kernels.scatter(
                    index, positions, offsets, samples, step_length, block, gradients[group], touched[group]
                )

        list(pool.map(scatter, range(GROUPS)))

        def chain(part: tuple[int, int]) -> None:
            kernels.chain(parameters, values, gradients, touched, index, start.places, *part, SMOOTH)

        list(pool.map(chain, parts))
        settings = adam_settings(RATE * rate, BETAS, step + 1, CALM)

        def move(part: tuple[int, int], settings: F4 = settings) -> None:
            rows = (part[0] * kernels.VOXELS, part[1] * kernels.VOXELS)
            moments = (first, second)
            kernels.move(parameters, values, gradients[0], *moments, touched[0], solid, settings, least, *rows)

        list(pool.map(move, parts))
        done()
    return _bricks(start, values, network_arrays(network))


def _batch(targets: Targets, random: np.random.Generator) -> tuple[F4, F4, F4, int]:
    """Origins, directions [R, 3], what shall be seen, [P + F, 4], and P: the first 2·P rays are those of P pixels."""
    pixels = int(RAYS_PER_STEP * TRUTH) // 2 if targets.truths else 0
    chosen = random.integers(0, len(targets.origins), RAYS_PER_STEP - 2 * pixels)
    origins, directions, shown = targets.origins[chosen], targets.directions[chosen], targets.shown[chosen]
    if targets.truths:
        rays = targets.truths(pixels, random, PAIRS[random.integers(0, len(PAIRS)), :, :2])
        origins, directions = np.concatenate([rays.origins, origins]), np.concatenate([rays.directions, directions])
        shown = np.concatenate([rays.targets[::2], shown])
    return origins, directions, shown, pixels


def _march(
    values: F4,
    solid: NDArray[np.bool_],
    index: NDArray[np.int32],
    origins: F4,
    directions: F4,
    shifts: F4,
    step: np.float32,
    spaces: list[Workspace],
    sums: F4,
    pool: ThreadPoolExecutor,
) -> list[tuple[F4, NDArray[np.int64], F4]]:
    """Fill `sums` [R, 4 + F]; positions, offsets and samples of each block (see `kernels.see`)."""
    most = RAYS_PER_BLOCK * (int(np.ceil(np.sqrt(3.0) / step)) + 1)

    def block(number: int) -> tuple[F4, NDArray[np.int64], F4]:
        part = slice(number * RAYS_PER_BLOCK, (number + 1) * RAYS_PER_BLOCK)
        space = spaces[number]
        positions, samples = space.array("positions", most, 3), space.array("samples", most, values.shape[1] + 1)
        offsets = space.array("offsets", len(origins[part]) + 1, dtype=np.int64)
        rays = (origins[part], directions[part], shifts[part])
        kernels.see(values, solid, index, *rays, step, positions, offsets, samples, sums[part])
        return positions, offsets, samples

    return list(pool.map(block, range(-(-len(origins) // RAYS_PER_BLOCK))))


def _upstream(
    network: dict[str, torch.Tensor],
    optimiser: torch.optim.Optimizer,
    sums: F4,
    directions: F4,
    shown: F4,
    behind: F4,
    pixels: int,
) -> F4:
    """The loss's gradient for `sums` [R, 4 + F]; that for the network is left in it."""
    seen = torch.from_numpy(sums).requires_grad_()
    light = deferred_light(network, seen, torch.from_numpy(directions))
    light = torch.cat([light + (1.0 - seen[:, :1]) * torch.from_numpy(behind), seen[:, :1]], dim=1)
    light = torch.cat([light[: 2 * pixels].reshape(pixels, 2, 4).mean(dim=1), light[2 * pixels :]])
    truth = torch.from_numpy(shown)
    weight = 1.0 / (light.detach()[:, :3] + EPSILON) ** 2
    # two rays are one pixel, and count as two
    count = torch.ones(len(light), 1)
    count[:pixels] = 2.0
    opacity = torch.where(truth[:, 3:] >= 0.0, (light[:, 3:] - truth[:, 3:]) ** 2, 0.0)
    loss = (count * (weight * (light[:, :3] - truth[:, :3]) ** 2 + ALPHA / 3.0 * opacity)).sum()
    optimiser.zero_grad()
    loss.backward()
    for part in network.values():
        if part.grad is not None:
            part.grad /= len(light)
    assert seen.grad is not None
    return seen.grad.numpy()


def _bricks(start: Start, values: F4, network: dict[str, F4]) -> Bricks:
    voxels = values.reshape(-1, SIDE, SIDE, SIDE, values.shape[1])
    return Bricks(
        start.resolution,
        index_of(start.places, start.resolution),
        np.exp(voxels[..., 0]).astype(np.float16),
        voxels[..., 1:4].astype(np.float16),
        np.rint(voxels[..., 4:] * 255.0).astype(np.uint8),
        network,
    )
