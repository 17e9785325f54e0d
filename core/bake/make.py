# SPDX-License-Identifier: GPL-3.0-or-later
"""The field becomes bricks: where they stand, what is in them at first, and what they are then fitted to."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import KDTree
from torch import Tensor

from ..field.cpu import RAYS_PER_BLOCK, CpuField, Grid, Workspace
from ..field.cpu_kernels import ONE, ZERO, compiled
from ..field.render import TrainedField
from .bricks import FEW, MANY, NEGLIGIBLE_DENSITY, SIDE, Bricks, index_of
from .deferred import initial_network
from .fit import RAYS_PER_STEP, Start, Targets, fit_bricks
from .learning import LEARNING, Seen, Told, Work, learn_features, lends_its_network, many_features

F4 = NDArray[np.float32]

# voxels along a pixel, at the distance of the surfaces, and the most there may be along the cube
VOXELS_PER_PIXEL = {"normal": 1.5, "small": 1.1}
MOST_VOXELS = {"normal": 512, "small": 384}
# 10³ voxels of 16 bytes each on the GPU, or 24: 192 or 288 MB, and 96 or 144 MB
MOST_BRICKS = {"normal": 12_000, "small": 6_000}
# rays that say where something is, and rays of the field that the bricks are fitted to
LOOKS = 300_000
FIELD_RAYS = 600_000
# a share of a pixel above which a sample counts as a surface's
SHOWN = 1e-2
# coverage from which a ray has a distance
SOMETHING = 0.3
# views between whose cameras the field is looked at from
NEAREST = 7
# of learning what features to begin with
LEARNING_STEPS = 300
# mean squared relative error with FEW features from which MANY are needed: 0.02 and 0.09 where light is mostly the same
# from all sides, 0.33 in a scene of glass and metal
UNTOLD = 0.2
# with MANY: times as many rays of the field, which alone counts then; share of the rates
MORE_RAYS = 3
PACE = 0.3
DARK = np.float32(1e-4)
# what comes before the fit, in steps of it: a ray of the field, filling the bricks; see LEARNING, too
LOOKING = 1.0 / RAYS_PER_STEP
FILLING = 10.0
BRICKS_PER_BLOCK = 32


class Rays(Protocol):
    """Rays in field coordinates: origins, directions [R, 3], targets [R, 4] (scene-linear, over `behind` [3])."""

    origins: F4
    directions: F4
    targets: F4
    behind: F4


class Pixels(Protocol):
    """The views that a field was trained on; `training.sampler.ViewPixels` is one."""

    centres: F4  # [V, 3] of the cameras, field coordinates

    def rays(self, pixels: NDArray[Any], shifts: F4 | None = None) -> Rays:
        """Rays through `pixels` [R], moved by `shifts` [R, 2] from their middles, in pixels."""


def bake_bricks(
    field: TrainedField,
    pixels: Pixels,
    chosen: NDArray[Any],
    pool: ThreadPoolExecutor,
    size: str,
    steps: int,
    *,
    seed: int = 0,
    told: Told = lambda done, total: None,
) -> Bricks:
    """Bricks whose pictures are as close as can be to the field's, and to the pictures it was trained on.

    They have FEW features, or MANY where FEW cannot tell the field's light; those begin with its own network and are
    fitted to the field alone: the pictures would draw them away from it.

    Args:
        pixels, chosen: the training views, and the indices of their pixels that show something.
        size: normal | small: how many voxels and bricks there may be.
        steps: of fitting.
        seed: of every random choice; the same gives the same bits.
        told: is called many times a second; what it raises stops the bake.
    """
    random = np.random.default_rng(seed)
    model = field.model.on_cpu()
    cpu_field = CpuField(model)
    # no more rays than are going to be used: a short fit shall be short
    count = min(FIELD_RAYS, steps * RAYS_PER_STEP)
    looks = np.sort(random.choice(len(chosen), min(LOOKS, len(chosen)), replace=False))
    learning = min(LEARNING_STEPS, 5 * steps)
    work = Work(LOOKING * (len(looks) + count) + LEARNING * learning + FILLING + steps, told)
    rays = pixels.rays(chosen[looks])
    seen = look(cpu_field, field, rays.origins, rays.directions, random, pool, work)
    n, places = places_of(seen, field.step, size)
    values, network = initial_values(cpu_field, field.occupied, seen, n, places, seed, learning, pool, work)
    many = values.shape[1] == 4 + MANY
    start = Start(n, places, values, network, PACE if many else 1.0)
    if many:
        more = min(MORE_RAYS * FIELD_RAYS, steps * RAYS_PER_STEP)
        work.expect(LOOKING * (more - count))
        count = more
    origins, directions = rays_between(pixels.centres, rays, seen.pixels, max(count, 1), random)
    # what it saw on its way is let go of soon: it is far more than the pixels
    blocks = [slice(first, first + FIELD_RAYS) for first in range(0, len(origins), FIELD_RAYS)]
    parts = [look(cpu_field, field, origins[b], directions[b], random, pool, work).pixels[:, :4].copy() for b in blocks]
    shown = np.concatenate(parts)
    deck = Deck(len(chosen))

    def truths(count: int, random: np.random.Generator, shifts: F4) -> Rays:
        which = chosen[deck.draw(count, random)]
        return pixels.rays(np.repeat(which, len(shifts)), np.tile(shifts, (count, 1)))

    def behind(directions: F4) -> F4:
        # what the views are shown over, or the field's own background: one of the two is zero
        with torch.no_grad():
            light: F4 = rays.behind + model.background_radiance(torch.from_numpy(directions)).numpy()
        return light

    shown[:, :3] += (1.0 - shown[:, 3:]) * behind(directions)
    targets = Targets(origins, directions, shown, behind, None if many else truths)
    return fit_bricks(start, targets, steps, pool, random, lambda: work.add(1.0))


class Deck:
    """Deals numbers below `size`, each once before any comes again."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._left = np.zeros(0, np.int64)

    def draw(self, count: int, random: np.random.Generator) -> NDArray[np.int64]:
        """[count] of them."""
        while len(self._left) < count:
            self._left = np.concatenate([self._left, random.permutation(self._size)])
        drawn, self._left = self._left[:count], self._left[count:]
        return drawn


def look(
    field: CpuField,
    trained: TrainedField,
    origins: F4,
    directions: F4,
    random: np.random.Generator,
    pool: ThreadPoolExecutor,
    work: Work,
) -> Seen:
    """March rays [R] through the field, each with a shift of its own, so that no lattice shows."""
    grid = Grid.of(trained.occupied)
    shifts = random.random(len(origins), dtype=np.float32)

    def block(first: int) -> tuple[F4, ...]:
        part = slice(first, first + RAYS_PER_BLOCK)
        last = np.full(len(origins[part]), 1e30, np.float32)
        seen = field.forward(origins[part], directions[part], last, shifts[part], grid, trained.step, 1e-3, Workspace())
        kept = seen.weights[seen.shaded] > SHOWN
        shaded = seen.shaded[kept]
        radiance = seen.colour_values[-1][: len(seen.shaded), :3][kept]
        geometry, ways = seen.density_values[-1][shaded], directions[part][seen.ray[shaded]]
        return seen.positions[shaded], seen.weights[shaded], radiance, geometry, ways, seen.pixels

    parts = []
    for part in pool.map(block, range(0, len(origins), RAYS_PER_BLOCK)):
        parts.append(part)
        work.add(LOOKING * len(part[-1]))
    return Seen(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def rays_between(centres: F4, rays: Rays, pixels: F4, count: int, random: np.random.Generator) -> tuple[F4, F4]:
    """Rays [count, 3] towards what `rays` hit, from somewhere between cameras that stand near to theirs.

    Held-out views are such rays too: a bake that is fitted to the training views alone is right in those alone.
    """
    which = random.integers(0, len(pixels), count)
    origins, directions = rays.origins[which], rays.directions[which]
    # where nothing is hit, silhouettes pass by: aim where the ray is closest to the cube's middle, but never backwards
    distance = np.maximum(((np.float32(0.5) - origins) * directions).sum(axis=1), np.float32(0.5))
    hit = pixels[which, 3] > SOMETHING
    distance[hit] = pixels[which[hit], 4] / pixels[which[hit], 3]
    aims = origins + distance[:, None] * directions
    order = np.argsort(np.linalg.norm(centres[:, None] - centres[None], axis=-1), axis=1)[:, :NEAREST]
    # every ray starts at its view's centre
    own = KDTree(centres).query(rays.origins)[1][which]
    others = [order[own, random.integers(0, order.shape[1], count)] for _ in range(2)]
    share = random.dirichlet([1.0, 1.0, 1.0], count).astype(np.float32)
    origins = share[:, :1] * centres[own] + share[:, 1:2] * centres[others[0]] + share[:, 2:] * centres[others[1]]
    ways = aims - origins
    return origins, ways / np.maximum(np.linalg.norm(ways, axis=1, keepdims=True), np.float32(1e-9))


def places_of(seen: Seen, step: float, size: str) -> tuple[int, NDArray[np.int64]]:
    """Voxels along the cube, and where bricks stand [k, 3]: around what is seen, and no more than there may be."""
    # the field's samples are 0.8 pixels apart
    n = VOXELS_PER_PIXEL[size] * 0.8 / step
    while True:
        voxels = int(np.clip(SIDE * round(n / SIDE), 64, MOST_VOXELS[size]))
        bricks = np.zeros((voxels // SIDE,) * 3, np.bool_)
        # one voxel for what the rays have missed, one that interpolation reaches
        for corner in np.ndindex(2, 2, 2):
            near = (seen.positions * voxels).astype(np.int64) + 4 * np.array(corner) - 2
            bricks[tuple(np.clip(near, 0, voxels - 1).T // SIDE)] = True
        if bricks.sum() <= MOST_BRICKS[size] or voxels == 64:
            return voxels, np.argwhere(bricks)
        n = min(n, voxels) * 0.95


def initial_values(
    field: CpuField,
    occupied: NDArray[np.bool_],
    seen: Seen,
    n: int,
    places: NDArray[np.int64],
    seed: int,
    learning: int,
    pool: ThreadPoolExecutor,
    work: Work,
) -> tuple[F4, dict[str, Tensor]]:
    """[k · 512, 4 + F] what the bricks hold at first, and the network that makes light of it.

    Density as `density_of` says; colour and features in the mean of the rays that see a voxel, spread from there.
    """
    index = index_of(places, n)
    rows = rows_at(index, seen.positions)
    colour, known = mean_of_rows(rows, seen.weights, seen.radiance, len(places) * SIDE**3)
    network = initial_network(seed, FEW)
    encoded, error = learn_features(network, seen, colour[rows], learning, work)
    # who has hardly learned cannot say
    if learning == LEARNING_STEPS and error > UNTOLD and lends_its_network(field.field):
        network, encoded = many_features(field.field, seen)
    features, _ = mean_of_rows(rows, seen.weights, encoded, len(places) * SIDE**3)
    values = np.concatenate([np.ones((len(colour), 1), np.float32), colour, features], axis=1)
    held, known = values.reshape(-1, SIDE, SIDE, SIDE, values.shape[1]), known.reshape(-1, SIDE, SIDE, SIDE)
    inside = np.stack(np.meshgrid(*[np.arange(SIDE)] * 3, indexing="ij"), axis=-1)

    def block(first: int) -> int:
        part = slice(first, first + BRICKS_PER_BLOCK)
        filled, there = held[part], known[part]
        # within each brick; what is farther from anything seen shows next to nothing
        for _ in range(SIDE):
            filled, there = _spread(filled, there)
        filled[..., 1:4] = np.maximum(filled[..., 1:4], DARK)
        filled[~there, 4:] = 0.5
        voxels = places[part, None, None, None] * SIDE + inside
        filled[..., 0] = density_of(field, occupied, voxels.reshape(-1, 3), n).reshape(there.shape)
        held[part] = filled
        return len(filled)

    for done in pool.map(block, range(0, len(places), BRICKS_PER_BLOCK)):
        work.add(FILLING * done / len(places))
    return values, network


def rows_at(index: NDArray[np.int32], positions: F4) -> NDArray[np.int64]:
    """The rows [S] of the voxels that hold `positions` [S, 3], in the order of `kernels.py`."""
    n = index.shape[0] * SIDE
    voxels = np.clip((positions * n).astype(np.int64), 0, n - 1)
    brick, inside = index[tuple((voxels // SIDE).T)].astype(np.int64), voxels % SIDE
    rows: NDArray[np.int64] = brick * SIDE**3 + inside @ np.array([SIDE * SIDE, SIDE, 1])
    return rows


def mean_of_rows(rows: NDArray[np.int64], weights: F4, values: F4, count: int) -> tuple[F4, NDArray[np.bool_]]:
    """The weighted mean [count, C] of the `values` [S, C] that belong to each row, and which rows have any."""
    weight = np.bincount(rows, weights, count)
    total = [np.bincount(rows, weights * channel, count) for channel in values.T]
    mean = np.stack(total, axis=1) / np.maximum(weight, SHOWN)[:, None]
    return mean.astype(np.float32), weight >= SHOWN


def density_of(field: CpuField, occupied: NDArray[np.bool_], voxels: NDArray[np.int64], n: int) -> F4:
    """The field's density [V] in the middle of voxels [V, 3]: between them its logarithm is read, as the field's is."""
    positions = ((voxels + 0.5) / n).astype(np.float32)
    cells = np.minimum((positions * occupied.shape[0]).astype(np.int64), occupied.shape[0] - 1)
    density = np.where(occupied[tuple(cells.T)], field.density_at(positions), NEGLIGIBLE_DENSITY)
    return np.maximum(density, NEGLIGIBLE_DENSITY, dtype=np.float32)


@compiled
def _spread(held: Any, known: Any) -> Any:
    """Give voxels beside known ones of their brick their mean: textures are interpolated across the border."""
    wider, more = held.copy(), known.copy()
    channels = held.shape[4]
    for b in range(held.shape[0]):
        for x in range(8):
            for y in range(8):
                for z in range(8):
                    if known[b, x, y, z]:
                        continue
                    count = ZERO
                    for i in range(max(x - 1, 0), min(x + 2, 8)):
                        for j in range(max(y - 1, 0), min(y + 2, 8)):
                            for k in range(max(z - 1, 0), min(z + 2, 8)):
                                if known[b, i, j, k]:
                                    if count == ZERO:
                                        wider[b, x, y, z] = ZERO
                                    for c in range(channels):
                                        wider[b, x, y, z, c] += held[b, i, j, k, c]
                                    count += ONE
                    if count > ZERO:
                        for c in range(channels):
                            wider[b, x, y, z, c] /= count
                        more[b, x, y, z] = True
    return wider, more
