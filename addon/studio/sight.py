# SPDX-License-Identifier: GPL-3.0-or-later
"""What a camera would see, asked by rays before anything is rendered: cameras inside things, before walls, or blind."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import bpy
import numpy as np
from mathutils import Vector
from numpy.typing import NDArray

from ...core.cameras import ray_directions
from ...core.covers import fibonacci

Array = NDArray[np.float64]

# rays through a picture, and all around a camera
ACROSS, DOWN, AROUND = 12, 9, 14
# columns and rows of the rays through a picture, in an order in which any few are spread all over it
TRIED = np.random.default_rng(0).permutation(np.stack(np.divmod(np.arange(ACROSS * DOWN), DOWN), axis=1))
# a wall: so much of the picture is nearer than this share of the way to the target
WALL_SHARE, WALL_NEAR = 0.9, 0.15
# of the rays, under which a view shows too little of its target
BLIND = 0.02


@dataclass(frozen=True)
class Sight:
    """Rays through the scene as it is evaluated for the viewport: what only a render shows is not seen by them.

    Attributes:
        scene: with everything in its place.
        target: names of the objects to be seen; None: anything.
        centre: [3], of the target.
    """

    scene: bpy.types.Scene
    target: frozenset[str] | None
    centre: Array

    def complaint(self, pose: Array, intrinsics: Array, size: tuple[int, int]) -> str:
        """Why a view is of little use, in words that follow its name; empty when it is well."""
        inside = self._inside(pose[:3, 3])
        if inside:
            return f"stands inside {inside}"
        width, height = size
        pixels = (TRIED + 0.5) / (ACROSS, DOWN) * (width, height)
        limit = WALL_NEAR * float(np.linalg.norm(pose[:3, 3] - self.centre))
        seen, near = 0, Counter[str]()
        for tried, way in enumerate(ray_directions(pose, intrinsics, pixels), 1):
            hit = self._first(pose[:3, 3], way)
            if hit is not None:
                seen += self.target is None or hit[0] in self.target
                near[hit[0]] += hit[1] < limit
            # most views are well, and have shown it after a few rays
            if seen >= BLIND * len(TRIED) and tried - near.total() >= (1.0 - WALL_SHARE) * len(TRIED):
                return ""
        if seen < BLIND * len(TRIED):
            return "sees nothing of the target"
        return f"looks into {near.most_common(1)[0][0]} from close by"

    def cut_by_clipping(self, pose: Array, clip_start: float) -> str:
        """The object that stands between a camera and where its picture begins; empty when there is none."""
        hit = self._first(pose[:3, 3], -pose[:3, 2])
        return hit[0] if hit is not None and hit[1] < clip_start else ""

    def _inside(self, place: Array) -> str:
        """The object whose inner side is seen in most directions."""
        backs, outside = Counter[str](), 0
        for way in fibonacci(AROUND):
            hit = self._first(place, way)
            if hit is not None and float(np.dot(hit[2], way)) > 0.0:
                backs[hit[0]] += 1
            else:
                outside += 1
                if outside >= AROUND / 2:
                    return ""
        name, count = backs.most_common(1)[0]
        return name if count > AROUND / 2 else ""

    def _first(self, origin: Array, way: Array) -> tuple[str, float, Array] | None:
        """Name, distance and normal of what a ray meets first."""
        depsgraph = bpy.context.evaluated_depsgraph_get()
        hit, place, normal, _, thing, _ = self.scene.ray_cast(depsgraph, Vector(origin.tolist()), Vector(way.tolist()))
        if not hit:
            return None
        return thing.name, float(np.linalg.norm(np.array(place) - origin)), np.array(normal)
