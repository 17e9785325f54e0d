# SPDX-License-Identifier: GPL-3.0-or-later
"""The line of the wipe: where it runs, which side a pixel is on, and how it follows a pointer."""

from __future__ import annotations

from dataclasses import dataclass
from math import atan2, cos, degrees, hypot, pi, radians, remainder, sin

from ..march import Point


@dataclass(frozen=True)
class Wipe:
    """A line through a view, in pixels from its lower left corner.

    Attributes:
        middle: a point of the line: its handle.
        angle: radians, counterclockwise; at 0 the line is upright with the classic side on its left.
    """

    middle: Point
    angle: float

    @property
    def normal(self) -> Point:
        """Unit vector to the neural side."""
        return cos(self.angle), sin(self.angle)

    @property
    def along(self) -> Point:
        """Unit vector along the line, up at angle 0."""
        return -sin(self.angle), cos(self.angle)

    def distance(self, point: Point) -> float:
        """In pixels from the line, positive on the neural side."""
        x, y = self.normal
        return x * (point[0] - self.middle[0]) + y * (point[1] - self.middle[1])

    def ends(self, size: tuple[int, int]) -> tuple[Point, Point]:
        """Where the line enters and leaves a view of `size` that holds its middle, in the direction of `along`."""
        reaches = [-float("inf"), float("inf")]
        for position, direction, length in zip(self.middle, self.along, size, strict=True):
            if abs(direction) > 1e-9:
                low, high = sorted(((0.0 - position) / direction, (length - position) / direction))
                reaches = [max(reaches[0], low), min(reaches[1], high)]
        first, last = (self.at(reach) for reach in reaches)
        return first, last

    def at(self, reach: float, aside: float = 0.0) -> Point:
        """The point `reach` along the line from its middle, and `aside` towards the neural side."""
        along, normal = self.along, self.normal
        return (
            self.middle[0] + reach * along[0] + aside * normal[0],
            self.middle[1] + reach * along[1] + aside * normal[1],
        )

    def turned(self, start: Point, end: Point, step: float = 0.0) -> Wipe:
        """As the line is when its ring is dragged around the middle from one point to another.

        Args:
            step: angles snap to multiples of it, radians; 0: they do not.
        """
        around = [atan2(point[1] - self.middle[1], point[0] - self.middle[0]) for point in (start, end)]
        angle = remainder(self.angle + around[1] - around[0], 2.0 * pi)
        return Wipe(self.middle, remainder(round(angle / step) * step, 2.0 * pi) if step else angle)

    def moved(self, start: Point, end: Point, size: tuple[int, int]) -> Wipe:
        """As it is when it is dragged from one point to another in a view of `size`, which its middle never leaves."""
        x, y = (
            min(max(old + b - a, 0.0), float(length))
            for old, a, b, length in zip(self.middle, start, end, size, strict=True)
        )
        return Wipe((x, y), self.angle)


def part_at(wipe: Wipe, point: Point, handle: float, ring: float, reach: float) -> str:
    """What of the wipe is under the pointer: "handle", "ring", "line" or nothing.

    Args:
        handle, ring: radii of the round handle and of the ring around it, pixels.
        reach: how far from ring and line it still counts, pixels.
    """
    away = hypot(point[0] - wipe.middle[0], point[1] - wipe.middle[1])
    if away <= handle + reach:
        return "handle"
    if abs(away - ring) <= reach:
        return "ring"
    return "line" if abs(wipe.distance(point)) <= reach else ""


def angle_in_words(angle: float) -> str:
    """As the status line says it."""
    return f"{degrees(angle):.1f}°"


SNAP = radians(15.0)
