# SPDX-License-Identifier: GPL-3.0-or-later
"""A sparse bake: bricks of 8³ voxels where there is something to see, and how they lie in a `.twin`.

Numpy alone, since Blender draws them. A sample between voxels reads the eight around it: colour and features linearly,
density as a logarithm, which puts edges to less than a voxel. A voxel that is in no brick, or outside of the cube,
counts as NEGLIGIBLE_DENSITY and zero in all else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import UserError

SIDE = 8
MOST_VOXELS = 512
# side of a cell of the fine occupancy, in voxels: a brick has 4³ of them, one bit each
CELL = 2
# optical thickness of the whole cube below which nobody sees anything; the least that logarithms are taken of
NEGLIGIBLE_DENSITY = 1e-2
# light below which a logarithm of it would only store noise
DIM = 0.02
HALF_MAX = 65504.0
# features of a voxel: mostly few, many where light depends on the direction in ways that few cannot tell
FEW, MANY = 8, 16
# of the deferred network, by the number of features: how much it is told, and how wide its hidden layers may be. Told
# MANY it is as wide as the field's own, which depends on what the field was trained on
TOLD = {FEW: 19, MANY: 31}
WIDTHS = {FEW: (24,), MANY: (32, 64)}


@dataclass(frozen=True)
class Bricks:
    """A bake in memory.

    Attributes:
        resolution: n, voxels along the field's cube; centres at (i + 0.5) / n.
        index: [ceil(n / 8)]³, the row of each brick, −1 where there is none.
        density: [k, 8, 8, 8] per unit of field length, indexed [brick, x, y, z].
        colour: [k, 8, 8, 8, 3] light that is the same from all sides: scene-linear, not premultiplied. With MANY
            features it is the mean over the directions, and the network alone makes what is seen.
        features: [k, 8, 8, 8, F] what the network is told, value / 255; F is FEW, MANY or, without a network, 0.
        network: the arrays of `network_sizes`, float32; None when the light is `colour` alone.
    """

    resolution: int
    index: NDArray[np.int32]
    density: NDArray[np.float16]
    colour: NDArray[np.float16]
    features: NDArray[np.uint8]
    network: dict[str, NDArray[np.float32]] | None = None

    @property
    def count(self) -> int:
        """How many bricks there are."""
        return len(self.density)

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """[k, 3]: where each brick stands in `index`, in the order of the rows."""
        where = np.argwhere(self.index >= 0)
        return where[np.argsort(self.index[tuple(where.T)])]


def network_sizes(features: int, width: int | None = None) -> dict[str, tuple[int, ...]]:
    """Rows and columns of each array of the deferred network; of the narrowest when no width is given."""
    n = width or WIDTHS[features][0]
    return {"w1": (TOLD[features], n), "b1": (n,), "w2": (n, n), "b2": (n,), "w3": (n, 3), "b3": (3,)}


def index_of(places: NDArray[Any], resolution: int) -> NDArray[np.int32]:
    """The index [ceil(n / 8)]³ of bricks that stand at `places` [k, 3], in that order."""
    index = np.full((-(-resolution // SIDE),) * 3, -1, np.int32)
    index[tuple(np.asarray(places, np.int64).T)] = np.arange(len(places), dtype=np.int32)
    return index


def bricks_of_grid(density: ArrayLike, colour: ArrayLike) -> Bricks:
    """Bricks of a dense grid: density [n, n, n] and colour [n, n, n, 3], n a multiple of 8.

    All are kept that a sample can see something in.
    """
    dense, light = np.asarray(density, np.float16), np.asarray(colour, np.float16)
    n = dense.shape[0]
    m = n // SIDE
    # interpolation reaches one voxel beyond the last one that holds something
    shown = grown(dense > 0)
    places = np.argwhere(shown.reshape(m, SIDE, m, SIDE, m, SIDE).any(axis=(1, 3, 5)))
    kept = tuple(places.T)
    density_of = dense.reshape(m, SIDE, m, SIDE, m, SIDE).transpose(0, 2, 4, 1, 3, 5)[kept]
    colour_of = light.reshape(m, SIDE, m, SIDE, m, SIDE, 3).transpose(0, 2, 4, 1, 3, 5, 6)[kept]
    features = np.zeros((len(places), SIDE, SIDE, SIDE, 0), np.uint8)
    return Bricks(n, index_of(places, n), density_of, colour_of, features)


def with_borders(bricks: Bricks, values: NDArray[Any], rows: NDArray[Any], out: NDArray[Any]) -> None:
    """Fill `out` with bricks and one voxel of their neighbours around them: one is then enough to read trilinearly in.

    Args:
        bricks: whose neighbours they are.
        values: [k, 8, 8, 8, ...] of all bricks, for example their density.
        rows: [r] which bricks.
        out: [r, 10, 10, 10, ...] of any type and order in memory, all zero.
    """
    around = np.pad(bricks.index, 1, constant_values=-1)
    places = bricks.places[rows] + 1
    # of a neighbour along one axis: where its voxels go, and which they are
    parts = {-1: (slice(0, 1), slice(-1, None)), 0: (slice(1, -1), slice(None)), 1: (slice(-1, None), slice(0, 1))}
    for step in np.ndindex(3, 3, 3):
        offset = np.array(step) - 1
        neighbours = around[tuple((places + offset).T)]
        there = np.flatnonzero(neighbours >= 0)
        target = (there, *(parts[axis][0] for axis in offset.tolist()))
        source = (neighbours[there], *(parts[axis][1] for axis in offset.tolist()))
        out[target] = values[source]


def occupied_cells(bricks: Bricks) -> NDArray[np.bool_]:
    """[k, 4, 4, 4]: the cells of CELL³ voxels in which a sample can see something."""
    cells = np.zeros((bricks.count, *(SIDE // CELL,) * 3), np.bool_)
    dense = bricks.density > NEGLIGIBLE_DENSITY
    for rows in blocks(bricks.count):
        seen = np.zeros((len(rows), *(SIDE + 2,) * 3), np.bool_)
        with_borders(bricks, dense, rows, seen)
        # a sample reads the voxels on its both sides: those of the cell and one around it
        for axis in (1, 2, 3):
            size = seen.shape[axis] - CELL
            ways = [np.take(seen, np.arange(start, start + size, CELL), axis) for start in range(CELL + 2)]
            seen = np.logical_or.reduce(ways)
        cells[rows] = seen
    return cells


def seen_voxels(bricks: Bricks) -> NDArray[np.bool_]:
    """[k, 8, 8, 8]: the voxels whose colour a sample can see: those with something in them or beside them."""
    seen = np.zeros(bricks.density.shape, np.bool_)
    dense = bricks.density > NEGLIGIBLE_DENSITY
    for rows in blocks(bricks.count):
        near = np.zeros((len(rows), *(SIDE + 2,) * 3), np.bool_)
        with_borders(bricks, dense, rows, near)
        for axis in (1, 2, 3):
            size = near.shape[axis] - 2
            near = np.logical_or.reduce([np.take(near, np.arange(start, start + size), axis) for start in range(3)])
        seen[rows] = near
    return seen


def blocks(count: int, size: int = 512) -> Iterator[NDArray[np.int64]]:
    """The rows 0 … count − 1 in blocks: whoever works on borders needs not hold all of them at once."""
    for first in range(0, count, size):
        yield np.arange(first, min(first + size, count))


def distance_to(occupied: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Distance in cells, in the maximum norm, from each cell [x, y, z] to the nearest that is `occupied`.

    Where nothing is occupied, the distances are larger than the grid.
    """
    far = max(occupied.shape) + 1
    distance = np.where(occupied, 0, far).astype(np.int32)
    for axis in range(3):
        # along this axis: the best of max(steps, what the axes before say)
        best = distance.copy()
        for steps in range(1, occupied.shape[axis]):
            ahead, behind = [slice(None)] * 3, [slice(None)] * 3
            ahead[axis], behind[axis] = slice(steps, None), slice(None, -steps)
            for one, other in ((tuple(ahead), tuple(behind)), (tuple(behind), tuple(ahead))):
                np.minimum(best[one], np.maximum(distance[other], steps), out=best[one])
            if steps >= best.max():
                break
        distance = best
    return distance


def halved(bricks: Bricks) -> Bricks:
    """The same with half the voxels on each side, for a GPU that has no room; colours count as much as their density.

    Raises:
        ValueError: the resolution is odd.
    """
    if bricks.resolution % 2:
        raise ValueError(f"{bricks.resolution} voxels cannot be halved")
    n = bricks.resolution // 2
    places = bricks.places
    parents, rows = np.unique(places // 2, axis=0, return_inverse=True)
    rows = rows.reshape(-1)
    density = np.zeros((len(parents), SIDE, SIDE, SIDE), np.float16)
    colour = np.zeros((*density.shape, 3), np.float16)
    features = np.zeros((*density.shape, bricks.features.shape[-1]), np.uint8)
    half = SIDE // 2
    for octant in np.ndindex(2, 2, 2):
        of = np.flatnonzero((places % 2 == octant).all(axis=1))
        weight = bricks.density[of].astype(np.float32)[..., None]
        mean = _mean_of_eight(weight)
        plain = np.concatenate([bricks.colour[of], bricks.features[of]], axis=-1, dtype=np.float32)
        values = np.where(mean > 1e-6, _mean_of_eight(plain * weight) / np.maximum(mean, 1e-6), _mean_of_eight(plain))
        where = (rows[of], *(slice(half * side, half * side + half) for side in octant))
        density[where] = mean[..., 0]
        colour[where] = values[..., :3]
        features[where] = np.rint(values[..., 3:])
    return Bricks(n, index_of(parents, n), density, colour, features, bricks.network)


def _mean_of_eight(array: NDArray[np.float32]) -> NDArray[np.float32]:
    k, x, y, z, channels = array.shape
    return np.asarray(array.reshape(k, x // 2, 2, y // 2, 2, z // 2, 2, channels).mean(axis=(2, 4, 6)), np.float32)


def grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """`mask` grown by one in all directions, diagonals included."""
    for axis in range(3):
        ahead, behind = [slice(None)] * 3, [slice(None)] * 3
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        wider = mask.copy()
        wider[tuple(ahead)] |= mask[tuple(behind)]
        wider[tuple(behind)] |= mask[tuple(ahead)]
        mask = wider
    return mask


# ---- on disk ---------------------------------------------------------------------------------------------------------
# One byte for each number, logarithmic where it can be large: "bake/places" [k, 3], "bake/density" [k, 8, 8, 8],
# "bake/colour" [3, k, 8, 8, 8] and "bake/features" [F, k, 8, 8, 8] (a plane for each channel compresses better),
# "bake/ranges" [3]: the lowest and the highest density, the highest colour; "bake/network/*".


def to_arrays(bricks: Bricks) -> dict[str, NDArray[Any]]:
    """The arrays of a `.twin` that hold a bake: a byte for each value, right to 3 % in density and 1 or 2 in light."""
    density, colour = bricks.density.astype(np.float32), bricks.colour.astype(np.float32)
    low = NEGLIGIBLE_DENSITY
    highest, brightest = (float(np.clip(np.nanmax(of, initial=0.0), 0.0, HALF_MAX)) for of in (density, colour))
    ranges = np.array([low, max(highest, 2 * low), max(brightest, DIM)], np.float32)
    part = np.log(np.maximum(density, low) / low) / np.log(ranges[1] / low)
    light = np.log1p(np.maximum(colour, 0.0) / DIM) / np.log1p(ranges[2] / DIM)
    # what nobody can see is zero, which compresses to nothing
    seen = seen_voxels(bricks)[..., None]
    arrays: dict[str, NDArray[Any]] = {
        "bake/places": bricks.places.astype(np.uint8),
        "bake/density": np.where(density < low, 0, 1 + np.rint(254 * part)).astype(np.uint8),
        "bake/colour": np.moveaxis(np.where(seen, np.rint(255 * light), 0), -1, 0).astype(np.uint8),
        "bake/features": np.moveaxis(np.where(seen, bricks.features, 0), -1, 0).astype(np.uint8),
        "bake/ranges": ranges,
    }
    return arrays | {f"bake/network/{name}": array for name, array in (bricks.network or {}).items()}


def metadata_of(bricks: Bricks) -> dict[str, Any]:
    """What twin.json says of a bake."""
    features = bricks.features.shape[-1]
    return {"kind": "bricks", "resolution": bricks.resolution, "bricks": bricks.count, "features": features}


def from_arrays(arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any]) -> Bricks:
    """The bake that a `.twin` holds: bricks, or the dense grid of earlier ones.

    Args:
        arrays: those of a twin whose names start with "bake/", as `to_arrays` made them, or "bake/density" [n, n, n]
            and "bake/colour" [n, n, n, 3].
        metadata: twin.json.

    Raises:
        UserError: an array is missing or makes no sense. The line lacks the file's name.
    """
    said = metadata.get("bake")
    kind = said.get("kind", "grid") if isinstance(said, dict) else "grid"
    if kind not in ("grid", "bricks"):
        raise UserError(f"its bake is of a kind that is not known here ({str(kind)[:40]}); update Radiance Twin")
    return _from_grid(arrays) if kind == "grid" else _from_bricks(arrays, said if isinstance(said, dict) else {})


def _from_grid(arrays: Mapping[str, NDArray[Any]]) -> Bricks:
    density, colour = _array(arrays, "density"), _array(arrays, "colour")
    n = density.shape[0] if density.ndim else 0
    if density.shape != (n, n, n) or colour.shape != (n, n, n, 3) or n % SIDE or not SIDE <= n <= MOST_VOXELS:
        raise UserError(f"its bake has {density.shape} and {colour.shape} voxels, which makes no sense; train again")
    density, colour = density.astype(np.float16), colour.astype(np.float16)
    if not np.isfinite(density).all() or not np.isfinite(colour).all() or density.min() < 0:
        raise UserError("its bake has values that are no numbers; train again")
    return bricks_of_grid(density, colour)


def _from_bricks(arrays: Mapping[str, NDArray[Any]], said: Mapping[str, Any]) -> Bricks:
    n = said.get("resolution")
    if not isinstance(n, int) or n % SIDE or not SIDE <= n <= MOST_VOXELS:
        raise UserError(f"its bake has a resolution of {str(n)[:40]} voxels, which makes no sense; train again")
    names = ("places", "density", "colour", "features", "ranges")
    places, density, colour, features, ranges = (_array(arrays, name) for name in names)
    k = len(places) if places.ndim == 2 else -1
    shape = (k, SIDE, SIDE, SIDE)
    shapes_fit = places.shape == (k, 3) and density.shape == shape and colour.shape == (3, *shape)
    if not shapes_fit or features.shape not in [(f, *shape) for f in (0, *WIDTHS)] or ranges.shape != (3,):
        raise UserError(f"its bake has arrays of {density.shape} and {colour.shape}, which makes no sense; train again")
    if any(array.dtype != np.uint8 for array in (places, density, colour, features)):
        raise UserError("its bake holds numbers of the wrong kind; train again")
    m = n // SIDE
    flat = places.astype(np.int64) @ (m * m, m, 1)
    if k and (places.max() >= m or len(np.unique(flat)) < k):
        raise UserError("its bake has bricks in impossible places; train again")
    low, high, brightest = (float(value) for value in ranges.astype(np.float64))
    if not (np.isfinite([low, high, brightest]).all() and 0 < low < high <= HALF_MAX and 0 < brightest <= HALF_MAX):
        raise UserError("its bake has values that are no numbers; train again")
    # a byte has 256 values: each is worked out once
    codes = np.arange(256)
    densities = np.where(codes == 0, 0.0, low * (high / low) ** (np.maximum(codes - 1, 0) / 254)).astype(np.float16)
    lights = (DIM * np.expm1(codes / 255 * np.log1p(brightest / DIM))).astype(np.float16)
    network = _network(arrays, len(features))
    if (network is None) != (len(features) == 0):
        raise UserError("its bake has only a half of what makes its highlights; train again")
    thick, light = np.empty(shape, np.float16), np.empty((*shape, 3), np.float16)
    told = np.empty((*shape, len(features)), np.uint8)
    # so many at a time as the processor's cache holds
    for rows in (slice(first, first + 64) for first in range(0, k, 64)):
        thick[rows] = densities.take(density[rows])
        for channel in range(3):
            light[rows, ..., channel] = lights.take(colour[channel, rows])
        for number, plane in enumerate(features):
            told[rows, ..., number] = plane[rows]
    return Bricks(n, index_of(places, n), thick, light, told, network)


def _network(arrays: Mapping[str, NDArray[Any]], features: int) -> dict[str, NDArray[np.float32]] | None:
    if not any(name.startswith("bake/network/") for name in arrays):
        return None
    # one that nothing is told is refused by who asks, whatever its size is
    told = features or FEW
    network = {name: _array(arrays, f"network/{name}").astype(np.float32) for name in network_sizes(told)}
    width = network["b1"].size
    sizes = network_sizes(told, width)
    if width not in WIDTHS[told] or any(network[name].shape != size for name, size in sizes.items()):
        raise UserError("its bake has a network of another size than is known here; update Radiance Twin")
    if not all(np.isfinite(array).all() for array in network.values()):
        raise UserError("its bake has values that are no numbers; train again")
    return network


def _array(arrays: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
    try:
        return arrays[f"bake/{name}"]
    except KeyError:
        raise UserError(f"it lacks bake/{name}; train again") from None
