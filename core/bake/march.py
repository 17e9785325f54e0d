# SPDX-License-Identifier: GPL-3.0-or-later
"""A ray-marcher for sparse bakes that needs numpy alone: the truth that the viewport's shader is tested against."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..cameras import Camera, pixel_grid, rays_in_field
from ..field.harmonics import bands_1_to_3
from .bricks import MANY, NEGLIGIBLE_DENSITY, SIDE, Bricks

F4 = NDArray[np.float32]
F8 = NDArray[np.float64]

SAMPLES_PER_VOXEL = 2
# a ray ends where it lets less than this through
OPAQUE = 1e-3
# by how much the logarithm of a density has to be above that of a negligible one, for half precision's sake
FAINT = 0.005
# coverage below which the means along a ray are not divided by it
THIN = 1e-4
# above which the logarithm of light stops
BRIGHTEST = 11.0


def render_bake(bricks: Bricks, world_from_field: ArrayLike, camera: Camera) -> F4:
    """Picture [H, W, 4] (scene-linear, premultiplied) of a bake as a camera sees it.

    Args:
        bricks: the bake.
        world_from_field: [4, 4].
        camera: where from.
    """
    width, height = camera.size
    origin, ways = rays_in_field(camera, pixel_grid(width, height).reshape(-1, 2), world_from_field)
    return march_rays(bricks, np.broadcast_to(origin, ways.shape), ways).reshape(height, width, 4)


def march_rays(
    bricks: Bricks, origins: ArrayLike, directions: ArrayLike, first: ArrayLike = 0.0, last: ArrayLike = np.inf
) -> F4:
    """What is seen along rays: [R, 4], scene-linear and premultiplied.

    A ray is cut into intervals of 1 / (SAMPLES_PER_VOXEL n) from where it enters the cube or from `first`, whichever is
    farther; the last one is as long as what remains. Each interval has the density, the colour and the features of its
    middle (`sample`). What the intervals show adds up until less than OPAQUE of what is behind would shine through;
    then the network adds what depends on the direction (`deferred_light`).

    Args:
        bricks: the bake.
        origins: [R, 3] in the field's cube's coordinates.
        directions: [R, 3] likewise, of any length but zero.
        first, last: distances from the origin in field units, [R] or one for all, between which there is light.
    """
    start = np.asarray(origins, np.float64)
    along = np.asarray(directions, np.float64)
    along = along / np.linalg.norm(along, axis=1, keepdims=True)
    entry, leave = inside_box(start, along)
    entry, leave = np.maximum(entry, first), np.minimum(leave, last)
    step = 1.0 / (SAMPLES_PER_VOXEL * bricks.resolution)
    seen = np.zeros((len(start), 3 + bricks.features.shape[-1]))
    transmittance = np.ones(len(start))
    steps = int(np.ceil(max(float((leave - entry).max(initial=0.0)), 0.0) / step))
    for number in range(steps):
        begin = entry + number * step
        rays = np.flatnonzero((begin < leave) & (transmittance > OPAQUE))
        length = np.minimum(step, leave[rays] - begin[rays])
        middle = start[rays] + (begin[rays] + 0.5 * length)[:, None] * along[rays]
        inside = _rows_at(bricks, middle) >= 0
        rays, length = rays[inside], length[inside]
        if not len(rays):
            continue
        density, values = sample(bricks, middle[inside])
        opacity = -np.expm1(-density * length)
        seen[rays] += (transmittance[rays] * opacity)[:, None] * values
        transmittance[rays] *= 1.0 - opacity
    alpha = 1.0 - transmittance
    light = seen[:, :3]
    if bricks.network is not None:
        light = deferred_light(bricks.network, alpha, light, seen[:, 3:], along)
    return np.concatenate([light, alpha[:, None]], axis=1).astype(np.float32)


def inside_box(
    origins: ArrayLike, directions: ArrayLike, lower: ArrayLike = 0.0, upper: ArrayLike = 1.0
) -> tuple[F8, F8]:
    """Where rays [R] enter and leave a box, in lengths of their directions; never before 0.

    Of a ray that misses the box the entry is not before the exit.
    """
    start, along = np.asarray(origins, np.float64), np.asarray(directions, np.float64)
    safe = np.where(np.abs(along) < 1e-12, 1e-12, along)
    one, other = np.subtract(lower, start) / safe, np.subtract(upper, start) / safe
    entry, leave = np.minimum(one, other).max(axis=1), np.maximum(one, other).min(axis=1)
    return np.maximum(entry, 0.0), leave


def sample(bricks: Bricks, positions: ArrayLike) -> tuple[F8, F8]:
    """Density [N], and colour and features [N, 3 + F] (features 0 … 1), read trilinearly at `positions` [N, 3].

    Density is read as a logarithm, and is nothing where that is of NEGLIGIBLE_DENSITY alone. In a brick that is not
    there nothing is seen, not even what would reach into it from a neighbour's outermost voxels: whoever makes bricks
    makes those too that interpolation reaches.
    """
    where = np.asarray(positions, np.float64)
    scaled = where * bricks.resolution - 0.5
    low = np.floor(scaled).astype(np.int64)
    weight = scaled - low
    total = np.zeros((len(where), 4 + bricks.features.shape[-1]))
    for corner in np.ndindex(2, 2, 2):
        voxels = low + corner
        share = np.where(np.array(corner) == 1, weight, 1.0 - weight).prod(axis=1)
        place, inner = voxels // SIDE, voxels % SIDE
        rows = _rows(bricks, place)
        at = (rows, *inner.T)
        there = rows >= 0
        density = np.where(there, bricks.density[at].astype(np.float64), 0.0)
        total[:, 0] += share * np.log(np.maximum(density, NEGLIGIBLE_DENSITY))
        values = np.concatenate([bricks.colour[at], bricks.features[at] / 255.0], axis=1, dtype=np.float64)
        total[:, 1:] += np.where(there, share, 0.0)[:, None] * values
    there = _rows_at(bricks, where) >= 0
    total[~there] = 0.0
    seen = there & (total[:, 0] > np.log(NEGLIGIBLE_DENSITY) + FAINT)
    return np.where(seen, np.exp(total[:, 0]), 0.0), total[:, 1:]


def _rows_at(bricks: Bricks, positions: F8) -> NDArray[np.int32]:
    return _rows(bricks, np.floor(positions * (bricks.resolution / SIDE)).astype(np.int64))


def _rows(bricks: Bricks, places: NDArray[np.int64]) -> NDArray[np.int32]:
    """The rows [N] of the bricks at `places` [N, 3]; −1 where there is none and outside."""
    most = bricks.index.shape[0] - 1
    rows: NDArray[np.int32] = bricks.index[tuple(np.clip(places, 0, most).T)]
    return np.where(((places >= 0) & (places <= most)).all(axis=1), rows, -1).astype(np.int32)


def deferred_light(network: dict[str, F4], alpha: F8, colour: F8, features: F8, directions: F8) -> F8:
    """Light [R, 3], scene-linear and premultiplied, after the network has been asked once for each ray.

    Args:
        network: as `Bricks.network`.
        alpha: [R] coverage.
        colour, features: [R, 3] and [R, F], sums along the ray, each sample weighted by what it covers.
        directions: [R, 3], unit.

    Told FEW features, the network adds to the mean colour, which it is told, too; told MANY, it says the logarithm of
    the light. Spherical harmonics: band 2 beside the direction itself; with MANY, bands 1 to 3. The idea of shading a
    ray once, after its features have been added up: Hedman et al., "Baking Neural Radiance Fields for Real-Time View
    Synthesis" (2021).
    """
    coverage = np.maximum(alpha, THIN)[:, None]
    told, mean = features / coverage, colour / coverage
    harmonics = np.stack(bands_1_to_3(*directions.T), axis=1)
    if features.shape[1] == MANY:
        logarithm = _ask(network, np.concatenate([told, harmonics], axis=1))
        return alpha[:, None] * np.exp(np.minimum(logarithm, BRIGHTEST))
    added = _ask(network, np.concatenate([told, mean / (1.0 + mean), directions, harmonics[:, 3:8]], axis=1))
    return np.maximum(colour + alpha[:, None] * added, 0.0)


def _ask(network: dict[str, F4], values: F8) -> F8:
    for layer in "12":
        values = np.maximum(values @ network[f"w{layer}"] + network[f"b{layer}"], 0.0)
    return values @ network["w3"] + network["b3"]
