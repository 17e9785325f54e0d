# SPDX-License-Identifier: GPL-3.0-or-later
"""The surfaces that the viewport shows: their triangles in the world, and points spread over them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
from mathutils.bvhtree import BVHTree
from numpy.typing import NDArray

from .scene import SURFACES, points_of_mesh, triangles_of_mesh


@dataclass(frozen=True)
class SurfacePoints:
    """Points spread evenly over surfaces.

    Attributes:
        position, normal: [N, 3] in the world; the normal may point to either side.
        index: [N], which of `names` it lies on.
        names: of the objects.
        spacing: about how far they are apart, world units.
    """

    position: NDArray[np.float64]
    normal: NDArray[np.float64]
    index: NDArray[np.int64]
    names: list[str]
    spacing: float


def surface_tree() -> BVHTree:
    """All that the viewport shows, for many rays: many times as fast as asking the scene, which asks each object."""
    vertices: list[NDArray[np.float64]] = []
    triangles: list[NDArray[np.int64]] = []
    count = 0
    for _, mesh, matrix in shown_surfaces(bpy.context.evaluated_depsgraph_get()):
        places, _, corners = triangles_of(mesh, matrix)
        vertices.append(places)
        triangles.append(corners + count)
        count += len(places)
    if not count:
        return BVHTree.FromPolygons([], [])
    return BVHTree.FromPolygons(
        np.concatenate(vertices).tolist(), np.concatenate(triangles).tolist(), all_triangles=True
    )


def surface_points(count: int, only: frozenset[str] | None = None) -> SurfacePoints:
    """`count` points on what the viewport shows, each part of the area as likely as any other; none when it shows none.

    Args:
        only: names of the objects that count; None: all.
    """
    corners: list[NDArray[np.float64]] = []
    owners: list[NDArray[np.int64]] = []
    names: list[str] = []
    for name, mesh, matrix in shown_surfaces(bpy.context.evaluated_depsgraph_get()):
        if only is None or name in only:
            vertices, _, triangles = triangles_of(mesh, matrix)
            if name not in names:
                names.append(name)
            corners.append(vertices[triangles])
            owners.append(np.full(len(triangles), names.index(name)))
    if not corners:
        return SurfacePoints(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0, np.int64), [], 1.0)
    a, b, c = np.moveaxis(np.concatenate(corners), 1, 0)
    across = np.cross(b - a, c - a)
    area = np.cumsum(0.5 * np.linalg.norm(across, axis=1))
    chosen = np.searchsorted(area, (np.arange(count) + 0.5) / count * area[-1])
    # uniform in a triangle: R. Osada et al., "Shape Distributions", ACM Trans. Graph. 21, 2002
    draws = np.random.default_rng(0).random((2, count, 1))
    root, part = np.sqrt(draws[0]), draws[1]
    position = (1 - root) * a[chosen] + root * (1 - part) * b[chosen] + root * part * c[chosen]
    normal = across[chosen] / np.linalg.norm(across[chosen], axis=1, keepdims=True)
    return SurfacePoints(position, normal, np.concatenate(owners)[chosen], names, float(np.sqrt(area[-1] / count)))


def hidden_from_cameras(scene: bpy.types.Scene) -> frozenset[str]:
    """Full names of the objects that a viewport may show and no camera sees in a render: cutters, guides, blockers."""
    shown: set[bpy.types.Object] = set()
    waiting = [scene.collection]
    while waiting:
        group = waiting.pop()
        if not group.hide_render:
            shown.update(group.objects)
            waiting += group.children
    hidden = set(scene.objects) - shown
    return frozenset(
        thing.name_full
        for thing in bpy.data.objects
        if thing.hide_render or not thing.visible_camera or thing in hidden
    )


def shown_surfaces(depsgraph: bpy.types.Depsgraph) -> Iterator[tuple[str, Any, NDArray[np.float64]]]:
    """Name, mesh and object-to-world of each surface that viewport and renders show, instances included."""
    hidden = hidden_from_cameras(depsgraph.scene)
    for instance in depsgraph.object_instances:
        thing = instance.object
        if not instance.show_self or thing.type not in SURFACES or thing.name_full in hidden:
            continue
        mesh = thing.to_mesh()
        if mesh is not None and len(mesh.polygons):
            yield thing.original.name, mesh, np.array(instance.matrix_world)
        thing.to_mesh_clear()


def triangles_of(
    mesh: Any, matrix: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Vertices [N, 3] and unit normals [N, 3] in the world, and triangles [T, 3]."""
    vertices = points_of_mesh(mesh) @ matrix[:3, :3].T + matrix[:3, 3]
    normal = np.empty(vertices.size, np.float32)
    mesh.vertex_normals.foreach_get("vector", normal)
    # normals go by the inverse transpose; a flattened object has none
    normals = normal.reshape(-1, 3) @ np.linalg.pinv(matrix[:3, :3])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    return vertices, normals.astype(np.float64), triangles_of_mesh(mesh)
