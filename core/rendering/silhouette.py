# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pixels a surface covers when nothing stands before it. Numpy alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cameras import Camera

Array = NDArray[np.float64]

# rows of triangles that are looked at together
ROWS_AT_ONCE = 1 << 20
# a straight edge may be drawn as a curve that leaves its chord by this much, in pixels
STRAIGHT = 0.02
# and cut triangles are drawn larger by this much, since such neighbours would leave cracks between them
GROWN = 0.05
# a triangle this large, its radius in units of its distance, may be drawn although no point of its edges is
LARGE = 0.2
# one of half a pixel is not cut further at the edge of what a lens draws; a panorama draws its poles wide
SMALL, SMALL_AT_A_POLE = 0.5, 0.05


def covered(points: Array, triangles: NDArray[np.integer[Any]], camera: Camera, near: float) -> NDArray[np.bool_]:
    """The pixels [H, W] whose centres the triangles cover, seen from both sides.

    Args:
        points: [V, 3] in the world. triangles: [T, 3], their corners among the points.
        near: what is closer than this along the viewing axis is cut off (perspective cameras alone).
    """
    width, height = camera.size
    steps = np.zeros((height, width + 1), np.int64)
    for shapes in _drawn(points, triangles, camera, near):
        for rows, first, after in _spans(shapes, width, height):
            # of many objects in a picture, each is in a few rows
            top, bottom = int(rows.min()), int(rows.max()) + 1
            start, count = (rows - top) * (width + 1), (bottom - top) * (width + 1)
            change = np.bincount(start + first, minlength=count) - np.bincount(start + after, minlength=count)
            steps[top:bottom] += change.reshape(-1, width + 1)
    return np.cumsum(steps, axis=1)[:, :width] > 0


def _spans(shapes: Array, width: int, height: int) -> Iterator[tuple[NDArray[np.int64], ...]]:
    """Of triangles [T, 3, 2] in pixels: row, first column and the one after the last, wherever a centre is covered."""
    x, y = np.ascontiguousarray(shapes.T)
    # most triangles of a fine mesh lie between the centres; what is NaN has none
    for side, most in ((0, width), (1, height)):
        along = (x, y)[side]
        with np.errstate(invalid="ignore"):
            least = np.ceil(np.clip(along.min(axis=0) - 0.5, 0, most))
            last = np.floor(np.clip(along.max(axis=0) - 0.5, -1, most - 1))
            inside = np.flatnonzero(last >= least)
        x, y = x[:, inside], y[:, inside]
    top = least[inside].astype(np.int64)
    count = last[inside].astype(np.int64) - top + 1
    ends = np.cumsum(count)
    start = 0
    while start < len(top):
        stop = int(np.searchsorted(ends, ends[start] - count[start] + ROWS_AT_ONCE, side="right"))
        stop = max(stop, start + 1)
        some = count[start:stop]
        which = np.repeat(np.arange(start, stop), some)
        rows = top[which] + np.arange(some.sum()) - np.repeat(np.cumsum(some) - some, some)
        xa, ya, middle = x[:, which], y[:, which], rows + 0.5
        xb, yb = np.roll(xa, -1, axis=0), np.roll(ya, -1, axis=0)
        crosses = (np.minimum(ya, yb) <= middle) & (middle <= np.maximum(ya, yb)) & (ya != yb)
        part = np.divide(middle - ya, yb - ya, out=np.zeros_like(ya), where=crosses)
        at = xa + part * (xb - xa)
        left = np.where(crosses, at, np.inf).min(axis=0)
        right = np.where(crosses, at, -np.inf).max(axis=0)
        first = np.ceil(np.clip(left - 0.5, 0, width)).astype(np.int64)
        last_column = np.floor(np.clip(right - 0.5, -1, width - 1)).astype(np.int64)
        kept = last_column >= first
        if kept.any():
            yield rows[kept], first[kept], last_column[kept] + 1
        start = stop


def _drawn(points: Array, triangles: NDArray[np.integer[Any]], camera: Camera, near: float) -> Iterator[Array]:
    """The triangles [T, 3, 2] in pixels, cut so that their edges are straight in the picture."""
    if camera.model.is_pinhole:
        pixels, depth = camera.project(points)
        beyond = (depth > near)[triangles]
        whole = beyond.all(axis=1)
        yield pixels[triangles if whole.all() else triangles[whole]]
        crossing = beyond.any(axis=1) & ~whole
        if crossing.any():
            cut = _cut_off(points[triangles[crossing]], camera, near)
            yield camera.project(cut.reshape(-1, 3))[0].reshape(-1, 3, 2)
        return
    left = points[triangles]
    around = 2.0 * np.pi * camera.intrinsics[0] if camera.model.kind == "equirectangular" else np.inf
    small = (SMALL_AT_A_POLE if np.isfinite(around) else SMALL) / float(camera.intrinsics[:2].max())
    while len(left):
        corners, middles = left, 0.5 * (left + np.roll(left, -1, axis=1))
        points = np.concatenate([corners, middles], axis=1)
        pixels = camera.project(points.reshape(-1, 3))[0].reshape(-1, 6, 2)
        if np.isfinite(around):
            # all beside the first corner, although the picture's other end may be as near
            pixels[..., 0] -= around * np.round((pixels[..., 0] - pixels[:, :1, 0]) / around)
        chord = np.roll(pixels[:, :3], -1, axis=1) - pixels[:, :3]
        off = pixels[:, 3:] - pixels[:, :3]
        length = np.maximum(np.hypot(chord[..., 0], chord[..., 1]), 1e-9)
        bend = np.abs(chord[..., 0] * off[..., 1] - chord[..., 1] * off[..., 0]) / length
        centre = left.mean(axis=1)
        radius = np.linalg.norm(left - centre[:, None], axis=2).max(axis=1)
        distance = np.linalg.norm(centre - camera.camera_to_world[:3, 3], axis=1)
        large = radius > LARGE * distance
        straight = (bend < STRAIGHT).all(axis=1) & (length < 0.25 * around).all(axis=1) & ~large
        done = straight | (radius < small * distance)
        shapes = pixels[done, :3]
        outwards = shapes - shapes.mean(axis=1, keepdims=True)
        shapes += GROWN * outwards / np.maximum(np.linalg.norm(outwards, axis=2, keepdims=True), 1e-9)
        for lap in (0.0, around, -around) if np.isfinite(around) else (0.0,):
            yield shapes + np.array([lap, 0.0])
        unseen = ~np.isfinite(pixels).any(axis=(1, 2)) & ~large
        left = _quartered(left[~(done | unseen)])


def _quartered(triangles: Array) -> Array:
    a, b, c = np.moveaxis(triangles, 1, 0)
    ab, bc, ca = 0.5 * (a + b), 0.5 * (b + c), 0.5 * (c + a)
    parts = [np.stack(part, axis=1) for part in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]
    return np.concatenate(parts)


def _cut_off(triangles: Array, camera: Camera, near: float) -> Array:
    """What of triangles [T, 3, 3] that cross the near plane lies beyond it."""
    matrix = camera.camera_to_world
    depth = (triangles - matrix[:3, 3]) @ -matrix[:3, 2] - near
    beyond = depth > 0
    count = beyond.sum(axis=1)
    parts = []
    for one_beyond in (True, False):
        cut = count == (1 if one_beyond else 2)
        # the corner that is alone on its side comes first
        alone = (beyond if one_beyond else ~beyond)[cut].argmax(axis=1)
        order = (alone[:, None] + np.arange(3)) % 3
        a, b, c = np.moveaxis(np.take_along_axis(triangles[cut], order[..., None], axis=1), 1, 0)
        da, db, dc = np.take_along_axis(depth[cut], order, axis=1).T
        ab = a + (da / (da - db))[:, None] * (b - a)
        ac = a + (da / (da - dc))[:, None] * (c - a)
        corners = [(a, ab, ac)] if one_beyond else [(ab, b, c), (ab, c, ac)]
        parts += [np.stack(part, axis=1) for part in corners]
    return np.concatenate(parts)
