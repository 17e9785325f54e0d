# SPDX-License-Identifier: GPL-3.0-or-later
"""Rays through pixels, and the samples along them, as loops of the fast CPU execution (see `cpu_kernels.py`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from .cpu_kernels import ONE, ZERO, compiled


@compiled
def _shifted_way(ways: Any, pixel: Any, row: Any, column: Any, rows: Any, width: Any, shift: Any, way: Any) -> None:
    """Fill `way` [3] with the unit direction `shift` [2] beside a pixel's centre, from the pixels next to it.

    Where the picture or what the lens draws ends, the pixel on the other side tells as well.
    """
    for k in range(3):
        way[k] = ways[pixel, k]
    for axis in range(2):
        place, count, stride = (column, width, 1) if axis == 0 else (row, rows, width)
        side = 1 if shift[axis] >= ZERO else -1
        for sign in (side, -side):
            other = pixel + sign * stride
            if 0 <= place + sign < count and (ways[other, 0] or ways[other, 1] or ways[other, 2]):
                for k in range(3):
                    way[k] += np.float32(sign) * shift[axis] * (ways[other, k] - ways[pixel, k])
                break
    square = way[0] * way[0] + way[1] * way[1] + way[2] * way[2]
    if square > ZERO:
        for k in range(3):
            way[k] /= np.sqrt(square)


@compiled
def gather_rays(
    pixels: Any,
    first_pixel: Any,
    widths: Any,
    rotations: Any,
    centres: Any,
    intrinsics: Any,
    ways: Any,
    distances: Any,
    shifts: Any,
    origins: Any,
    directions: Any,
    nearest: Any,
    farthest: Any,
) -> None:
    """Rays (field coordinates) through `pixels` [R]; `shifts` [R, 2] moves them from the pixels' centres.

    `ways` [P, 3] are the pixels' directions when no pinhole tells them; [0, 3]: it does.
    `nearest` and `farthest` [R] are filled with the pixels' own distances and with the largest among their neighbours,
    when `distances` [P] knows any (it may be empty).
    """
    for i in range(pixels.shape[0]):
        pixel = pixels[i]
        view, above = 0, widths.shape[0]
        while above - view > 1:
            middle = (view + above) // 2
            if first_pixel[middle] <= pixel:
                view = middle
            else:
                above = middle
        first, width = first_pixel[view], np.int64(widths[view])
        row = (pixel - first) // width
        column = pixel - first - row * width
        if ways.shape[0]:
            rows = (first_pixel[view + 1] - first) // width
            _shifted_way(ways, pixel, row, column, rows, width, shifts[i], directions[i])
        else:
            x = (np.float32(column) + np.float32(0.5) + shifts[i, 0] - intrinsics[view, 2]) / intrinsics[view, 0]
            y = -(np.float32(row) + np.float32(0.5) + shifts[i, 1] - intrinsics[view, 3]) / intrinsics[view, 1]
            length = ONE / np.sqrt(x * x + y * y + ONE)
            for k in range(3):
                way = rotations[view, k, 0] * x + rotations[view, k, 1] * y - rotations[view, k, 2]
                directions[i, k] = way * length
        for k in range(3):
            origins[i, k] = centres[view, k]
        if distances.shape[0]:
            nearest[i] = distances[pixel]
            most = distances[pixel]
            rows = (first_pixel[view + 1] - first) // width
            for v in range(max(row - 1, 0), min(row + 2, rows)):
                for u in range(max(column - 1, 0), min(column + 2, width)):
                    most = max(most, distances[first + v * width + u])
            farthest[i] = most


@compiled
def march_on(
    origins: Any,
    directions: Any,
    last: Any,
    jitter: Any,
    step: Any,
    bits: Any,
    coarse: Any,
    most: int,
    cursor: Any,
    positions: Any,
    times: Any,
    ray: Any,
) -> int:
    """The next samples in occupied cells, as `march.march`, at most `most` of each ray. Returns their number.

    `bits` [n, n, n / 8] u1 holds eight cells along z in one byte, lowest first; `coarse` one flag for each 8³ cells.
    `cursor` [R] i4 says where each ray goes on (0 at first), -1 when it has come to its end. `ray` [S] i4 are the rays
    that the samples belong to.
    """
    n = bits.shape[0]
    count = 0
    size, eight = np.float32(n), np.float32(8.0)
    far = np.float32(1e30)
    for r in range(origins.shape[0]):
        k = cursor[r]
        if k < 0:
            continue
        full = count + most
        cursor[r] = -1
        entry, leave = ZERO, last[r]
        # in units of cells
        ox, oy, oz = origins[r, 0] * size, origins[r, 1] * size, origins[r, 2] * size
        dx, dy, dz = directions[r, 0] * size, directions[r, 1] * size, directions[r, 2] * size
        ix = ONE / dx if abs(dx) > np.float32(1e-30) else far
        iy = ONE / dy if abs(dy) > np.float32(1e-30) else far
        iz = ONE / dz if abs(dz) > np.float32(1e-30) else far
        a, b = -ox * ix, (size - ox) * ix
        entry, leave = max(entry, min(a, b)), min(leave, max(a, b))
        a, b = -oy * iy, (size - oy) * iy
        entry, leave = max(entry, min(a, b)), min(leave, max(a, b))
        a, b = -oz * iz, (size - oz) * iz
        entry, leave = max(entry, min(a, b)), min(leave, max(a, b))
        # no way through the cube is longer; a direction of nothing would never leave it
        leave = min(leave, entry + np.float32(2.0))
        # which face of a cell the ray leaves through, along each axis
        bx = np.int32(1) if dx > 0 else np.int32(0)
        by = np.int32(1) if dy > 0 else np.int32(0)
        bz = np.int32(1) if dz > 0 else np.int32(0)
        shift = jitter[r]
        while True:
            t = entry + (np.float32(k) + shift) * step
            if t >= leave:
                break
            x, y, z = ox + t * dx, oy + t * dy, oz + t * dz
            cx = min(max(np.int32(x), 0), n - 1)
            cy = min(max(np.int32(y), 0), n - 1)
            cz = min(max(np.int32(z), 0), n - 1)
            # skip the empty block or the empty cell, but never past a sample that might be inside the next one
            if not coarse[cx >> 3, cy >> 3, cz >> 3]:
                tx = (np.float32((cx >> 3) + bx) * eight - ox) * ix
                ty = (np.float32((cy >> 3) + by) * eight - oy) * iy
                tz = (np.float32((cz >> 3) + bz) * eight - oz) * iz
            elif bits[cx, cy, cz >> 3] >> (cz & 7) & 1:
                if count == full:
                    cursor[r] = k
                    break
                positions[count, 0] = origins[r, 0] + t * directions[r, 0]
                positions[count, 1] = origins[r, 1] + t * directions[r, 1]
                positions[count, 2] = origins[r, 2] + t * directions[r, 2]
                times[count] = t
                ray[count] = r
                count += 1
                k += np.int32(1)
                continue
            else:
                tx = (np.float32(cx + bx) - ox) * ix
                ty = (np.float32(cy + by) - oy) * iy
                tz = (np.float32(cz + bz) - oz) * iz
            beyond = min(tx, min(ty, tz)) - np.float32(1e-5)
            k = max(k + np.int32(1), np.int32((beyond - entry) / step - shift))
    return count


@compiled
def march(
    origins: Any,
    directions: Any,
    last: Any,
    jitter: Any,
    step: Any,
    bits: Any,
    coarse: Any,
    positions: Any,
    times: Any,
    offsets: Any,
) -> int:
    """All samples of every ray, one ray after another; `offsets` [R + 1] i8 are their first ones. See `march_on`."""
    rays = origins.shape[0]
    cursor, ray = np.zeros(rays, np.int32), np.empty(positions.shape[0], np.int32)
    count = march_on(
        origins, directions, last, jitter, step, bits, coarse, positions.shape[0], cursor, positions, times, ray
    )
    offsets[:] = 0
    for i in range(count):
        offsets[ray[i] + 1] += 1
    for r in range(rays):
        offsets[r + 1] += offsets[r]
    return count
