# SPDX-License-Identifier: GPL-3.0-or-later
"""Twins that Blender shows as instances: of a collection, on vertices or faces, by particles or geometry nodes.

Going through all instances of a scene takes time, so what was found is kept until something changes. Nothing of it
refers to objects: undo makes other ones of them.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import bpy
import numpy as np
from bpy.app.handlers import persistent
from numpy.typing import NDArray

from .twin import is_twin, twins_of

Matrix = NDArray[np.float64]

# of each view layer: the twin's and the instancer's `session_uid`, and where the instance is
_found: dict[Hashable, list[tuple[int, int, Matrix]]] = {}


def standing_in(depsgraph: bpy.types.Depsgraph) -> list[tuple[bpy.types.Object, bpy.types.Object | None, Matrix]]:
    """All twins of a depsgraph, itself or as an instance: the twin, what instances it, if anything, and the matrix
    [4, 4] that stands for the twin's own."""
    found = []
    for each in depsgraph.object_instances:
        thing = (each.instance_object if each.is_instance else each.object).original
        if each.show_self and is_twin(thing):
            parent = each.parent.original if each.is_instance else None
            found.append((thing, parent, np.array(each.matrix_world, np.float64)))
    return found


def instances_in(context: bpy.types.Context) -> list[tuple[bpy.types.Object, Matrix]]:
    """Instances of twins that the 3D view of the context shows: the twin, and where it is to be drawn."""
    twins = {thing.session_uid: thing for thing in twins_of(bpy.data.objects)}
    layer, space = context.view_layer, context.space_data
    if not twins or layer.depsgraph is None or not isinstance(space, bpy.types.SpaceView3D):
        return []
    key = (context.scene.session_uid, layer.name)
    if key not in _found:
        _found[key] = [
            (thing.session_uid, parent.session_uid, matrix)
            for thing, parent, matrix in standing_in(layer.depsgraph)
            if parent is not None
        ]
    if not _found[key]:
        return []
    seen = {thing.session_uid for thing in layer.objects if thing.visible_get(viewport=space)}
    return [(twins[uid], matrix) for uid, parent, matrix in _found[key] if uid in twins and parent in seen]


@persistent
def _forget(*_: Any) -> None:
    _found.clear()


_HANDLERS = (
    bpy.app.handlers.depsgraph_update_post,
    bpy.app.handlers.frame_change_post,
    bpy.app.handlers.undo_post,
    bpy.app.handlers.redo_post,
    bpy.app.handlers.load_post,
)


def register() -> None:
    for handlers in _HANDLERS:
        handlers.append(_forget)


def unregister() -> None:
    for handlers in _HANDLERS:
        handlers.remove(_forget)
    _found.clear()
