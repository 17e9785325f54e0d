# SPDX-License-Identifier: GPL-3.0-or-later
"""Keypoints: empties, vertex groups and bones that name places of an object."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, field
from typing import Any, Literal

import bpy
import numpy as np
from numpy.typing import NDArray

from .scene import RenderedObject, ancestors, points_of_mesh

Array = NDArray[np.float64]


@dataclass
class Keypoint:
    """A named place.

    Attributes:
        name: of the empty, the vertex group or the bone.
        place: of the object that it belongs to, among those that render.
        kind: what `owner` is asked for: its own place, that of a group of its vertices, or of one of its bones.
        weights: of a vertex group: the vertices in it and how much each counts; known when it is first asked for.
    """

    name: str
    place: int
    kind: Literal["empty", "group", "bone"]
    owner: bpy.types.Object
    weights: tuple[NDArray[np.int64], Array] | None = field(default=None, repr=False)

    def stands_at(self, depsgraph: bpy.types.Depsgraph) -> Array:
        """Its place [3] in the world; NaN when nothing says where it is.

        A vertex group stands at the mean of its vertices by their weights, a bone at its head.
        """
        item = self.owner.evaluated_get(depsgraph)
        if self.kind == "empty":
            return np.array(item.matrix_world.translation)
        if self.kind == "bone":
            bone = item.pose.bones.get(self.name)
            return np.full(3, np.nan) if bone is None else np.array(item.matrix_world @ bone.head)
        group = item.vertex_groups.get(self.name)
        if group is None:  # nodes may make another mesh, without groups
            return np.full(3, np.nan)
        mesh = item.data
        if self.weights is None or (len(self.weights[0]) and self.weights[0].max() >= len(mesh.vertices)):
            self.weights = _weights(mesh, group.index)
        vertices, weights = self.weights
        if not len(vertices):
            return np.full(3, np.nan)
        middle = np.average(points_of_mesh(mesh)[vertices], axis=0, weights=weights)
        matrix = np.array(item.matrix_world)
        return matrix[:3, :3] @ middle + matrix[:3, 3]


def find_keypoints(
    scene: bpy.types.Scene, objects: list[RenderedObject], patterns: list[str]
) -> tuple[list[Keypoint], list[str]]:
    """The keypoints of the objects that render, in their order, and a line for each that belongs to none of them and
    for each pattern that finds none.

    An empty is one when its name fits a pattern or it has a custom property "keypoint"; it belongs to the object that
    it is a child of. A bone belongs to the first object that its armature deforms or carries.
    """
    places = {rendered.original.name_full: place for place, rendered in enumerate(objects)}
    found: list[Keypoint] = []
    remarks: list[str] = []
    for item in sorted(scene.objects, key=lambda one: str(one.name_full)):
        place = places.get(item.name_full)
        if item.type == "EMPTY" and (item.get("keypoint") or _fits(item.name, patterns)):
            place = next((places[one.name_full] for one in ancestors(item) if one.name_full in places), None)
            if place is None:
                remarks.append(f"The keypoint {item.name} is no child of an object that renders, and is left out")
            else:
                found.append(Keypoint(item.name, place, "empty", item))
        elif item.type == "MESH" and place is not None:
            groups = [group.name for group in item.vertex_groups if _fits(group.name, patterns)]
            found += [Keypoint(name, place, "group", item) for name in groups]
        elif item.type == "ARMATURE":
            names = [bone.name for bone in item.data.bones if _fits(bone.name, patterns)]
            bodies = [place for place, rendered in enumerate(objects) if _is_moved_by(rendered.original, item)]
            if names and not bodies:
                remarks.append(f"The bones of {item.name} move nothing that renders, and are no keypoints")
            found += [Keypoint(name, bodies[0], "bone", item) for name in names if bodies]
    for pattern in patterns:
        if not any(_fits(keypoint.name, [pattern]) for keypoint in found):
            remarks.append(f"No empty, vertex group or bone of what renders is called {pattern}: it is no keypoint")
    return sorted(found, key=lambda one: (one.place, one.name)), remarks


def _fits(name: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _is_moved_by(item: bpy.types.Object, armature: bpy.types.Object) -> bool:
    modifiers: Any = item.modifiers  # the type stubs do not know what each kind of them has
    deforms = any(modifier.type == "ARMATURE" and modifier.object == armature for modifier in modifiers)
    return deforms or armature in ancestors(item)


def _weights(mesh: Any, index: int) -> tuple[NDArray[np.int64], Array]:
    pairs = [
        (vertex.index, group.weight)
        for vertex in mesh.vertices
        for group in vertex.groups
        if group.group == index and group.weight > 0
    ]
    return np.array([vertex for vertex, _ in pairs], np.int64), np.array([weight for _, weight in pairs], np.float64)
