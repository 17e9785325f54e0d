# SPDX-License-Identifier: GPL-3.0-or-later
"""The loops of fitting bricks, compiled by numba: what rays see of them, and the gradient for each voxel.

Voxels are rows of a table [k · 512, C]: the density's logarithm, colour (3), features (C − 4); those of a brick follow
one another, z fastest. Most of them are empty, and a step touches few of the others: a byte a voxel that says so spares
reading the table, which is larger than the processor's caches.
`index` [m + 2]³ i4 says which brick stands where, −1 where there is none; it has an empty border, so that the voxels
around the cube are found to be nowhere. Sampling is that of `march.march_rays`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..field.cpu_kernels import ONE, ZERO, adam, compiled
from .bricks import NEGLIGIBLE_DENSITY

VOXELS = 512
# rays end where they let less than this through
OPAQUE = np.float32(1e-3)
# samples that cover less than this share of their pixel are left out
UNSEEN = np.float32(1e-4)
# voxels that differ by more than this (in logarithms) are an edge, and are not pulled together any harder
BEND = np.float32(0.2)
# logarithm of the density of a voxel that is in no brick
NOTHING = np.float32(np.log(NEGLIGIBLE_DENSITY))
MOST_LOGARITHM = np.float32(11.0)


def least_shown(step: np.float32) -> np.float32:
    """The logarithm of the density from which a sample in an interval of length `step` is not left out."""
    # a little less, for the interpolation's rounding
    return np.float32(np.log(UNSEEN / step) - 1e-3)


@compiled
def _row(index: Any, x: int, y: int, z: int) -> Any:
    """The row of voxel (x, y, z), each from −1 to n; −1 when it is in no brick."""
    brick = index[(x + 8) >> 3, (y + 8) >> 3, (z + 8) >> 3]
    return brick * VOXELS + ((x & 7) << 6) + ((y & 7) << 3) + (z & 7) if brick >= 0 else -1


@compiled
def _cell(index: Any, x: int, y: int, z: int, rows: Any) -> None:
    """Fill `rows` [8] with those of the voxels x … x + 1, y … y + 1, z … z + 1, x fastest."""
    if (x & 7) < 7 and (y & 7) < 7 and (z & 7) < 7:
        row = _row(index, x, y, z)
        for corner in range(8):
            beyond = (corner & 1) * 64 + (corner >> 1 & 1) * 8 + (corner >> 2)
            rows[corner] = row + beyond if row >= 0 else -1
    else:
        for corner in range(8):
            rows[corner] = _row(index, x + (corner & 1), y + (corner >> 1 & 1), z + (corner >> 2))


@compiled
def _low(scaled: Any) -> Any:
    """The lower of the two voxels that a coordinate (in voxels, centres at whole numbers) lies between, and how far."""
    low = int(scaled + ONE) - 1
    return low, scaled - np.float32(low)


@compiled
def see(
    values: Any,
    solid: Any,
    index: Any,
    origins: Any,
    directions: Any,
    shifts: Any,
    step: Any,
    positions: Any,
    offsets: Any,
    samples: Any,
    sums: Any,
) -> int:
    """March rays through bricks. Returns the number of samples that show something.

    Args:
        values: [rows, C].
        solid: [rows] which voxels' logarithms are at least `least_shown(step)`.
        origins, directions: [R, 3] in field coordinates, unit directions.
        shifts: [R] 0..1 of where in each interval its sample stands.
        step: length of the intervals, field units.
        positions, samples: filled: [S, 3], and [S, C + 1] density, colour, features there and the share of the pixel.
        offsets: [R + 1] i8, filled: the first sample of each ray.
        sums: [R, C], filled: coverage, then colour and features, weighed by what each sample covers.
    """
    n = (index.shape[0] - 2) * 8
    size, half, brick = np.float32(n), np.float32(0.5), np.float32(8.0) / np.float32(n)
    channels = values.shape[1]
    rows, shares, held = np.empty(8, np.int64), np.empty(8, np.float32), np.empty(channels, np.float32)
    count = 0
    offsets[0] = 0
    for r in range(origins.shape[0]):
        ox, oy, oz = origins[r, 0], origins[r, 1], origins[r, 2]
        dx, dy, dz = directions[r, 0], directions[r, 1], directions[r, 2]
        ix = ONE / dx if abs(dx) > np.float32(1e-9) else np.float32(1e9)
        iy = ONE / dy if abs(dy) > np.float32(1e-9) else np.float32(1e9)
        iz = ONE / dz if abs(dz) > np.float32(1e-9) else np.float32(1e9)
        entry = max(ZERO, max(min(-ox * ix, (ONE - ox) * ix), min(-oy * iy, (ONE - oy) * iy)))
        entry = max(entry, min(-oz * iz, (ONE - oz) * iz))
        leave = min(max(-ox * ix, (ONE - ox) * ix), max(-oy * iy, (ONE - oy) * iy))
        leave = min(leave, max(-oz * iz, (ONE - oz) * iz))
        transmittance = ONE
        sums[r] = ZERO
        k = 0
        while transmittance > OPAQUE:
            t = entry + (np.float32(k) + shifts[r]) * step
            if t >= leave:
                break
            k += 1
            px, py, pz = ox + t * dx, oy + t * dy, oz + t * dz
            bx = min(max(int(px * size), 0), n - 1) >> 3
            by = min(max(int(py * size), 0), n - 1) >> 3
            bz = min(max(int(pz * size), 0), n - 1) >> 3
            if index[bx + 1, by + 1, bz + 1] < 0:
                # on to the next brick, but never past a sample that might be inside of it
                tx = (np.float32(bx + (1 if dx > ZERO else 0)) * brick - ox) * ix
                ty = (np.float32(by + (1 if dy > ZERO else 0)) * brick - oy) * iy
                tz = (np.float32(bz + (1 if dz > ZERO else 0)) * brick - oz) * iz
                beyond = min(tx, min(ty, tz)) - np.float32(1e-5)
                k = max(k, int((beyond - entry) / step - shifts[r]))
                continue
            x, wx = _low(px * size - half)
            y, wy = _low(py * size - half)
            z, wz = _low(pz * size - half)
            _cell(index, x, y, z, rows)
            shows = False
            for corner in range(8):
                shows = shows or (rows[corner] >= 0 and solid[rows[corner]])
            if not shows:
                continue
            logarithm = ZERO
            for corner in range(8):
                row = rows[corner]
                w = (wx if corner & 1 else ONE - wx) * (wy if corner & 2 else ONE - wy)
                w *= wz if corner & 4 else ONE - wz
                shares[corner] = w
                logarithm += w * (values[row, 0] if row >= 0 else NOTHING)
            density = np.exp(logarithm)
            if density * step < UNSEEN:
                continue
            held[:] = ZERO
            for corner in range(8):
                row, w = rows[corner], shares[corner]
                if row >= 0:
                    for c in range(1, channels):
                        held[c] += w * values[row, c]
            after = transmittance * np.exp(-density * step)
            w = transmittance - after
            transmittance = after
            positions[count, 0], positions[count, 1], positions[count, 2] = px, py, pz
            samples[count, 0], samples[count, channels] = density, w
            for c in range(1, channels):
                samples[count, c] = held[c]
                sums[r, c] += w * held[c]
            count += 1
        sums[r, 0] = ONE - transmittance
        offsets[r + 1] = count
    return count


@compiled
def scatter(
    index: Any, positions: Any, offsets: Any, samples: Any, step: Any, upstream: Any, gradient: Any, touched: Any
) -> None:
    """Add the gradient for each voxel's values to `gradient` [rows, C], from that for `see`'s `sums` [R, C].

    `touched` [rows] becomes True where something is added.
    """
    n = (index.shape[0] - 2) * 8
    size, half = np.float32(n), np.float32(0.5)
    channels = upstream.shape[1]
    rows, moved = np.empty(8, np.int64), np.empty(channels, np.float32)
    for r in range(offsets.shape[0] - 1):
        transmittance = ONE
        for i in range(offsets[r], offsets[r + 1]):
            transmittance -= samples[i, channels]
        # what the samples behind give, weighed by the upstream gradient; from back to front
        rest = ZERO
        for i in range(offsets[r + 1] - 1, offsets[r] - 1, -1):
            w = samples[i, channels]
            value = upstream[r, 0]
            for c in range(1, channels):
                value += upstream[r, c] * samples[i, c]
                moved[c] = w * upstream[r, c]
            moved[0] = step * (transmittance * value - rest) * samples[i, 0]
            rest += w * value
            transmittance += w
            x, wx = _low(positions[i, 0] * size - half)
            y, wy = _low(positions[i, 1] * size - half)
            z, wz = _low(positions[i, 2] * size - half)
            _cell(index, x, y, z, rows)
            for corner in range(8):
                row = rows[corner]
                w = (wx if corner & 1 else ONE - wx) * (wy if corner & 2 else ONE - wy)
                w *= wz if corner & 4 else ONE - wz
                if row >= 0:
                    touched[row] = True
                    for c in range(channels):
                        gradient[row, c] += w * moved[c]


@compiled
def chain(
    parameters: Any,
    values: Any,
    gradients: Any,
    touched: Any,
    index: Any,
    places: Any,
    first: int,
    end: int,
    smooth: Any,
) -> None:
    """From the gradients for values to that for parameters, in `gradients[0]`; the others become 0. Bricks first … end.

    Colour is the exponential of its parameters, features are logistic. Where a voxel was `touched` [groups, rows], its
    difference to its six neighbours' is pulled by `smooth`, bounded as Huber's: that calms the grain which views leave
    between them. `touched[0]` is then that of all groups, and the others become False.
    """
    channels = values.shape[1]
    for brick in range(first, end):
        bx, by, bz = places[brick, 0] * 8, places[brick, 1] * 8, places[brick, 2] * 8
        for voxel in range(VOXELS):
            row = brick * VOXELS + voxel
            for group in range(1, touched.shape[0]):
                touched[0, row] |= touched[group, row]
                touched[group, row] = False
            if not touched[0, row]:
                continue
            for c in range(channels):
                g = ZERO
                for group in range(gradients.shape[0]):
                    g += gradients[group, row, c]
                    gradients[group, row, c] = ZERO
                value = values[row, c]
                slope = ONE if c == 0 else value if c < 4 else value * (ONE - value)
                gradients[0, row, c] = g * slope
            x, y, z = bx + (voxel >> 6), by + (voxel >> 3 & 7), bz + (voxel & 7)
            for side in range(6):
                away = 1 if side & 1 else -1
                axis = side >> 1
                other = _row(
                    index,
                    x + (away if axis == 0 else 0),
                    y + (away if axis == 1 else 0),
                    z + (away if axis == 2 else 0),
                )
                if other >= 0:
                    for c in range(1, channels):
                        bent = min(max(parameters[row, c] - parameters[other, c], -BEND), BEND)
                        gradients[0, row, c] += smooth * bent


@compiled
def move(
    parameters: Any,
    values: Any,
    gradient: Any,
    first_moments: Any,
    second_moments: Any,
    touched: Any,
    solid: Any,
    settings: Any,
    least: Any,
    first: int,
    end: int,
) -> None:
    """One step of Adam (`field.cpu_kernels.adam`) for the `touched` [rows] among rows first … end, which become False.

    `values` follow `parameters`, and `solid` follows them: see `see`, and `least_shown` for `least`.
    """
    for row in range(first, end):
        if touched[row]:
            touched[row] = False
            adam(parameters[row], gradient[row], first_moments[row], second_moments[row], settings, True)
            _decode(parameters[row], values[row])
            solid[row] = values[row, 0] >= least


@compiled
def decode(parameters: Any, values: Any) -> None:
    """The values [rows, C] that parameters stand for."""
    for row in range(parameters.shape[0]):
        _decode(parameters[row], values[row])


@compiled
def _decode(parameters: Any, values: Any) -> None:
    values[0] = min(max(parameters[0], NOTHING), MOST_LOGARITHM)
    for c in range(1, 4):
        values[c] = np.exp(min(parameters[c], MOST_LOGARITHM))
    for c in range(4, len(values)):
        values[c] = ONE / (ONE + np.exp(-parameters[c]))
