# SPDX-License-Identifier: GPL-3.0-or-later
"""The surfaces of things as triangles in world space: what touches what, and where something can be put."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import bpy
import numpy as np
from mathutils import Vector
from mathutils.bvhtree import BVHTree
from numpy.typing import NDArray

from ..scene import SURFACES, points_of_mesh, triangles_of_mesh

Array = NDArray[np.float64]

# of a thing's size, from one hit of a ray to where it goes on
STEP = 1e-5


@dataclass(frozen=True)
class Shape:
    """A surface: vertices [n, 3] in world space, triangles [m, 3] of their numbers."""

    vertices: Array
    triangles: NDArray[np.int64]

    @cached_property
    def box(self) -> Array:
        """[2, 3]"""
        return np.stack([self.vertices.min(axis=0), self.vertices.max(axis=0)])

    @cached_property
    def tree(self) -> BVHTree:
        return BVHTree.FromPolygons(self.vertices.tolist(), self.triangles.tolist(), all_triangles=True)

    def moved(self, matrix: Array) -> Shape:
        """By a matrix [4, 4]."""
        return Shape(self.vertices @ matrix[:3, :3].T + matrix[:3, 3], self.triangles)

    def touches(self, other: Shape) -> bool:
        """Whether the surfaces meet."""
        return boxes_meet(self.box, other.box) and bool(self.tree.overlap(other.tree))

    def holds(self, point: Array) -> bool:
        """Whether a point is inside, as seen along all three axes; of a surface with holes it is not."""
        if (point < self.box[0]).any() or (point > self.box[1]).any():
            return False
        return all(self._crossings(point, axis) % 2 == 1 for axis in np.eye(3))

    def _crossings(self, point: Array, way: Array) -> int:
        step = STEP * float(np.ptp(self.box, axis=0).max())
        crossings, start = 0, Vector(point.tolist())
        while True:
            hit, _, _, _ = self.tree.ray_cast(start, Vector(way.tolist()))
            if hit is None:
                return crossings
            crossings, start = crossings + 1, hit + step * Vector(way.tolist())


def boxes_meet(first: Array, second: Array) -> bool:
    return bool((first[0] <= second[1]).all() and (second[0] <= first[1]).all())


def joined(shapes: Iterable[Shape]) -> Shape | None:
    """All as one; None when there are none."""
    vertices, triangles, count = [], [], 0
    for shape in shapes:
        vertices.append(shape.vertices)
        triangles.append(shape.triangles + count)
        count += len(shape.vertices)
    return Shape(np.concatenate(vertices), np.concatenate(triangles)) if vertices else None


def shapes_in_sight() -> dict[bpy.types.Object, Shape]:
    """Of every object whose surface renders, as evaluated for the viewport; instances belong to what makes them."""
    found: dict[bpy.types.Object, list[Shape]] = {}
    for instance in bpy.context.evaluated_depsgraph_get().object_instances:
        thing = instance.object
        owner = instance.parent.original if instance.is_instance else thing.original
        if owner.hide_render or thing.type not in SURFACES:
            continue
        mesh = thing.to_mesh()
        if mesh is not None and len(mesh.polygons):
            matrix = np.array(instance.matrix_world, np.float64)
            found.setdefault(owner, []).append(Shape(points_of_mesh(mesh), triangles_of_mesh(mesh)).moved(matrix))
        thing.to_mesh_clear()
    return {owner: shape for owner, shapes in found.items() if (shape := joined(shapes)) is not None}
