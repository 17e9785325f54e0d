# SPDX-License-Identifier: GPL-3.0-or-later
"""How often planned views see each part of the surface, asked by rays before anything is rendered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from mathutils import Vector
from mathutils.bvhtree import BVHTree
from numpy.typing import NDArray

from ...core.cameras import Camera, look_at
from ...core.rendering.coverage import shares
from ...core.rendering.covers import fibonacci
from .cameras import Array
from .sight import Sight
from .surfaces import SurfacePoints, surface_points, surface_tree

# points on the surface, and views that are asked, evenly spread; what they say stands for all
POINTS, MOST_VIEWS = 2000, 40
# points of a plan, whose shares are wanted alone
POINTS_OF_A_PLAN = 500
# cameras all around: a place that they do not see either is hidden for good, like the underside of a vase
AROUND = 20
# a ray ends this share before the surface, so that it does not meet the surface itself
SHORT = 1e-3


def views_around(centre: Array, views: Sequence[Camera]) -> list[Camera]:
    """Cameras all around the target, as far away as the middle one of some views that stand around it."""
    distance = float(np.median([np.linalg.norm(view.camera_to_world[:3, 3] - centre) for view in views]))
    ways = fibonacci(AROUND)
    return [replace(views[0], camera_to_world=look_at(centre + distance * way, centre)) for way in ways]


def times_seen(tree: BVHTree, points: SurfacePoints, views: Sequence[Camera]) -> NDArray[np.float64]:
    """How many of the views see each point [N]; of many views some are asked, and the count is made that of all.

    Args:
        tree: what may hide them.
    """
    asked = np.unique(np.linspace(0, len(views) - 1, min(len(views), MOST_VIEWS)).round().astype(int))
    times = np.zeros(len(points.position))
    for number in asked:
        view = views[number]
        pixels, depth = view.project(points.position)
        inside = (depth > 0) & (pixels >= 0).all(axis=1) & (pixels < view.size).all(axis=1)
        eye = view.camera_to_world[:3, 3]
        begin, ways = Vector(eye.tolist()), points.position[inside] - eye
        lengths = np.linalg.norm(ways, axis=1)
        for one, way, length in zip(
            np.flatnonzero(inside), (ways / lengths[:, None]).tolist(), (lengths * (1.0 - SHORT)).tolist(), strict=True
        ):
            times[one] += tree.ray_cast(begin, Vector(way), length)[0] is None
    return times * (len(views) / max(len(asked), 1))


def coverage(
    centre: Array,
    points: SurfacePoints,
    train: Sequence[Camera],
    held_out: Sequence[Camera],
    around: bool,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """How many of the views that train see each point [N], and which points [N] can be seen at all: by them, by the
    held-out views, or by cameras all around the target.

    Args:
        centre: [3], of the target. around: whether the views stand around it.
    """
    others = [*held_out, *(views_around(centre, train) if around else [])]
    tree = surface_tree()
    times = times_seen(tree, points, train)
    return times, (times > 0) | (times_seen(tree, points, others) > 0)


def planned_coverage(sight: Sight, cameras: dict[str, list[Camera]], around: bool) -> dict[str, float]:
    """How often the views of a plan see the target's surface, of what can be seen at all.

    See `shares` in core/rendering/coverage.py.

    Args:
        cameras: of each split. around: whether they stand around the target.
    """
    points = surface_points(POINTS_OF_A_PLAN, sight.target)
    times, at_all = coverage(sight.centre, points, cameras["train"], [*cameras["val"], *cameras["test"]], around)
    return shares(times[at_all])
