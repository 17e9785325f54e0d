# SPDX-License-Identifier: GPL-3.0-or-later
"""What a camera would see, asked by rays before anything is rendered: cameras inside things, before walls, or blind."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import bpy
import numpy as np
from mathutils import Vector
from numpy.typing import NDArray

from ...core.cameras import Camera
from ...core.dataset.staging import Plan, PlannedView
from ...core.rendering.covers import fibonacci

Array = NDArray[np.float64]

# rays through a picture, and all around a camera
ACROSS, DOWN, AROUND = 12, 9, 14
# columns and rows of the rays through a picture, in an order in which any few are spread all over it
TRIED = np.random.default_rng(0).permutation(np.stack(np.divmod(np.arange(ACROSS * DOWN), DOWN), axis=1))
# a wall: so much of the picture is nearer than this share of the way to the target
WALL_SHARE, WALL_NEAR = 0.9, 0.15
# of the rays, under which a view shows too little of its target, unless more is asked for
BLIND = 0.02
# of a plan, how many views are asked, and of those the share that stands inside what is the place of all
MOST_ASKED, PLACE_SHARE = 200, 0.9


@dataclass(frozen=True)
class Sight:
    """Rays through the scene as it is evaluated for the viewport: what only a render shows is not seen by them, and
    what only the viewport shows is not in their way.

    Attributes:
        scene: with everything in its place.
        target: names of the objects to be seen; None: anything.
        centre: [3], of the target.
        hidden: full names of objects that rays go through.
        least: share of a picture that the target has to fill.
    """

    scene: bpy.types.Scene
    target: frozenset[str] | None
    centre: Array
    hidden: frozenset[str]
    least: float = BLIND

    def complaint(self, camera: Camera) -> str:
        """Why a view is of little use, in words that follow its name; empty when it is well."""
        inside = self.inside(camera.camera_to_world[:3, 3])
        return f"stands inside {inside}" if inside else self.complaint_of_picture(camera)

    def complaint_of_picture(self, camera: Camera) -> str:
        """The same of what the picture shows alone, wherever the camera stands."""
        eye = camera.camera_to_world[:3, 3]
        ways = camera.ray_directions((TRIED + 0.5) / (ACROSS, DOWN) * camera.size)
        ways = ways[np.isfinite(ways[:, 0])]
        limit = WALL_NEAR * float(np.linalg.norm(eye - self.centre))
        seen, near = 0, Counter[str]()
        for tried, way in enumerate(ways, 1):
            hit = self._first(eye, way)
            if hit is not None:
                seen += self.target is None or hit[0] in self.target
                near[hit[0]] += hit[1] < limit
            # most views are well, and have shown it after a few rays
            if seen >= self.least * len(ways) and tried - near.total() >= (1.0 - WALL_SHARE) * len(ways):
                return ""
        if seen < self.least * len(ways):
            return "sees too little of the target" if seen else "sees nothing of the target"
        return f"looks into {near.most_common(1)[0][0]} from close by"

    def distances(self, origin: Array, ways: Array) -> Array:
        """How far it is [N] along unit directions [N, 3] to a surface; infinite where there is none."""
        hits = [self._first(origin, way) for way in ways]
        return np.array([np.inf if hit is None else hit[1] for hit in hits])

    def cut_by_clipping(self, pose: Array, clip_start: float) -> str:
        """The object that stands between a camera and where its picture begins; empty when there is none."""
        hit = self._first(pose[:3, 3], -pose[:3, 2])
        return hit[0] if hit is not None and hit[1] < clip_start else ""

    def inside(self, place: Array) -> str:
        """The object whose inner side is seen from a place in most directions; empty when it is in the open."""
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
        begin, direction = Vector(origin.tolist()), Vector(way.tolist())
        step, reached = 0.0, -np.inf
        while True:
            hit, place, normal, _, thing, _ = self.scene.ray_cast(depsgraph, begin, direction)
            if not hit:
                return None
            gone = float(np.linalg.norm(np.array(place) - origin))
            if thing.name_full not in self.hidden:
                return thing.name, gone, np.array(normal)
            # Blender's rays have single precision: a step that it swallows meets the same again, and has to grow
            least = 1e-5 * gone + 4.0 * float(np.spacing(np.float32(np.abs(np.array(place)).max())))
            step = 2.0 * step if gone < reached + 0.5 * step else least
            reached = max(reached, gone)
            begin = Vector((origin + (gone + step) * way).tolist())


def complaints(plan: Plan, sight: Sight) -> dict[str, list[str]]:
    """What is wrong with views, and their names; of many views some are asked, evenly spread."""
    asked = spread(plan.views)
    found: dict[str, list[str]] = {}
    for view in asked:
        complaint = sight.complaint(view.camera(plan.resolution))
        if complaint:
            found.setdefault(complaint, []).append(view.name)
    # what nearly all views stand in is a place, and no thing in their way
    return {
        complaint: names
        for complaint, names in found.items()
        if not (complaint.startswith("stands inside") and len(names) > PLACE_SHARE * len(asked) > 1)
    }


def named(wrong: dict[str, list[str]]) -> list[str]:
    """Complaints about views in words, what most have first."""
    return [
        f"{names[0]} {complaint}" if len(names) == 1 else f"{names[0]} and {len(names) - 1} more: each {complaint}"
        for complaint, names in sorted(wrong.items(), key=lambda one: -len(one[1]))
    ]


def spread(views: list[PlannedView], count: int = MOST_ASKED) -> list[PlannedView]:
    """At most so many of them, evenly spread."""
    places = np.linspace(0, len(views) - 1, min(count, len(views))).round().astype(int)
    return [views[place] for place in sorted(set(places.tolist()))]
