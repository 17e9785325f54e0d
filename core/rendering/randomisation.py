# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws: the numbers behind each rule of [[randomise]]. Numpy alone.

A draw depends on the seed, the rule's number, the view and the name of what it is for, never on the order of work: any
view can be rendered alone, on any machine, and is the same.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .rules import Box, Camera, Range

Array = NDArray[np.float64]
Thing = TypeVar("Thing")


class Draws:
    """Random numbers for one thing. All are made from uniform doubles, whose stream no version of numpy has changed."""

    def __init__(self, seed: int, rule: int, view: int | None, name: str = "") -> None:
        """`view` is None for what is drawn once for all views."""
        self._random = np.random.default_rng([seed, rule, 0 if view is None else view + 1, zlib.crc32(name.encode())])

    def number(self, limits: Range) -> float:
        """Evenly between two numbers."""
        low, high = limits
        return low + (high - low) * float(self._random.random())

    def whole(self, limits: tuple[int, int]) -> int:
        """Evenly among whole numbers, both ends included."""
        low, high = limits
        return low + min(int(self._random.random() * (high - low + 1)), high - low)

    def vector(self, box: Box) -> Array:
        """[3], evenly in a box."""
        return np.array([self.number(limits) for limits in box])

    def choice(self, things: Sequence[Thing]) -> Thing:
        """One of several."""
        return things[self.whole((0, len(things) - 1))]

    def some(self, things: Sequence[Thing], count: int) -> list[Thing]:
        """So many of several, in their own order; all of them when there are not more."""
        order = np.argsort(self._random.random(len(things)), kind="stable")[:count]
        return [things[place] for place in sorted(order.tolist())]

    def in_ball(self, radius: float) -> Array:
        """[3], evenly in a ball around the origin."""
        z, angle = self.number((-1.0, 1.0)), self.number((0.0, 2.0 * np.pi))
        ring = np.sqrt(1.0 - z * z)
        return radius * self.number((0.0, 1.0)) ** (1 / 3) * np.array([ring * np.cos(angle), ring * np.sin(angle), z])

    def on_triangles(self, corners: Array) -> Array:
        """A point [3], evenly on the area of triangles [n, 3, 3]."""
        a, b, c = corners.transpose(1, 0, 2)
        areas = np.cumsum(np.linalg.norm(np.cross(b - a, c - a), axis=1))
        place = int(np.searchsorted(areas, self.number((0.0, float(areas[-1]))), side="right"))
        place = min(place, len(areas) - 1)
        # the corner beyond the diagonal of the parallelogram is folded back
        u, v = self.number((0.0, 1.0)), self.number((0.0, 1.0))
        u, v = (1.0 - u, 1.0 - v) if u + v > 1.0 else (u, v)
        point: Array = a[place] + u * (b[place] - a[place]) + v * (c[place] - a[place])
        return point


# those of each thing by its name
DrawsOf = Callable[[str], Draws]


def turned(degrees: ArrayLike) -> Array:
    """The rotation [3, 3] around x, then y, then z."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    around_x = np.array([[1.0, 0.0, 0.0], [0.0, cx, -sx], [0.0, sx, cx]])
    around_y = np.array([[cy, 0.0, sy], [0.0, 1.0, 0.0], [-sy, 0.0, cy]])
    around_z = np.array([[cz, -sz, 0.0], [sz, cz, 0.0], [0.0, 0.0, 1.0]])
    rotation: Array = around_z @ around_y @ around_x
    return rotation


def jittered(camera_to_world: Array, rule: Camera, draws: Draws, target: ArrayLike) -> Array:
    """A camera [4, 4], moved along its own axes, turned and rolled.

    Args:
        target: [3]; the camera looks at the point of its viewing axis that is as far away.
    """
    pose = camera_to_world.copy()
    backward = pose[:3, 2].copy()
    pivot = pose[:3, 3] - backward * max(float((pose[:3, 3] - np.asarray(target)) @ backward), 1e-6)
    if rule.move is not None:
        pose[:3, 3] += pose[:3, :3] @ draws.vector(rule.move)
    if rule.look_at is not None:
        wanted = pose[:3, 3] - (pivot + draws.in_ball(rule.look_at))
        pose[:3, :3] = _rotation_between(backward, wanted / np.linalg.norm(wanted)) @ pose[:3, :3]
    if rule.roll is not None:
        pose[:3, :3] = pose[:3, :3] @ turned((0.0, 0.0, draws.number(rule.roll)))
    return pose


def _rotation_between(first: Array, second: Array) -> Array:
    """The shortest rotation [3, 3] of one unit vector onto another that is not its opposite."""
    axis, cosine = np.cross(first, second), float(first @ second)
    cross = np.array([[0.0, -axis[2], axis[1]], [axis[2], 0.0, -axis[0]], [-axis[1], axis[0], 0.0]])
    rotation: Array = np.eye(3) + cross + cross @ cross / (1.0 + cosine)
    return rotation
