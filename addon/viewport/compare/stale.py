# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the scene is still the one that the open file's twin was made of, and what has changed if not.

When views are rendered, a short description of the scene goes into a file beside the dataset: of each object digests of
where it is, of its shape and of its look, and one of the world. A moment after every change the open scene is described
anew and held against it; undo takes the badge away again. It looks at vertices, bounds, modifiers, lights and the nodes
of materials, lights and world, not at the contents of image files or of what is simulated. Another Blender has other
settings of the same things: what it has described says nothing here.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from bpy.app.handlers import persistent

from ... import compat
from ...paths import paths_of_open_file
from ..redraw import redraw
from ..twin import is_twin, path_of, twins_of

State = dict[str, list[str]]

# after a change, seconds
REST = 0.5
# a look may take this share of Blender's time
SHARE = 0.05
RENDERS = {"MESH", "CURVE", "SURFACE", "META", "FONT", "CURVES", "POINTCLOUD", "VOLUME", "EMPTY", "LIGHT"}
WORLD, BLENDER = "\n world", "\n blender"
# the parts of an object's description, and what is said when one of them differs
PARTS = ("moved", "changed", "looks different")
# of everything: whether there are nodes is asked of compat
NO_VALUE = {"use_nodes"}
SIMPLE = {"BOOLEAN", "INT", "FLOAT", "STRING", "ENUM"}
# of nodes, and of modifiers, which may change without changing any picture
NO_LOOK = {"location", "location_absolute", "width", "height", "select", "hide", "name", "label", "dimensions"}
NO_SHAPE = {"name", "is_active"}


def describe(scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph) -> State:
    """Of everything that a render of the scene would show: name to digests; and which Blender says so."""
    looks: dict[str, str] = {}
    state = {BLENDER: [str(bpy.app.version[:2])], WORLD: [_digest(*_nodes(scene.world))] if scene.world else []}
    for thing in scene.objects:
        if thing.type not in RENDERS or thing.hide_render or is_twin(thing):
            continue
        for material in filter(None, (slot.material for slot in thing.material_slots)):
            if material.name not in looks:
                looks[material.name] = _digest(*_nodes(material))
        look = [looks[slot.material.name] if slot.material else "" for slot in thing.material_slots]
        state[thing.name] = [
            _digest(np.round(np.array(thing.matrix_world, np.float64), 5) + 0.0),
            _digest(*_shape(thing, depsgraph)),
            _digest(*look),
        ]
    return state


def changes(before: State, now: State) -> list[str]:
    """What differs, in words, the most telling first; nothing when two Blenders have described it."""
    if before.get(BLENDER) != now[BLENDER]:
        return []
    words = [f"{name} is gone" for name in before if name not in now]
    words += [f"{name} is new" for name in now if name not in before]
    for name in before:
        if name in (WORLD, BLENDER) or name not in now:
            continue
        differs = [said for said, one, other in zip(PARTS, before[name], now[name], strict=False) if one != other]
        words += [f"{name} {' and '.join(differs)}"] if differs else []
    return words + (["the world changed"] if before.get(WORLD) != now.get(WORLD) else [])


def in_words(differences: list[str]) -> str:
    """One line for the badge; empty when nothing differs."""
    if not differences:
        return ""
    more = f" · {len(differences) - 1} more" if len(differences) > 1 else ""
    return f"Stale: {differences[0]}{more}"


def state_file(dataset: Path) -> Path:
    """Where the description of the scene that a dataset shows lies."""
    return dataset.with_name(f"{dataset.stem}_scene.json")


def write_state(path: Path, scene: bpy.types.Scene) -> None:
    """Describe a scene as it is now into a file.

    Raises:
        OSError: it cannot be written.
    """
    depsgraph = bpy.context.evaluated_depsgraph_get()
    path.write_text(json.dumps(describe(scene, depsgraph)), encoding="utf-8")


def read_state(path: Path) -> State | None:
    """What `write_state` has written; None when it is not there, or is something else."""
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return state if isinstance(state, dict) and all(isinstance(one, list) for one in state.values()) else None


def stale() -> str:
    """Why the twin is not one of the scene as it is, as the badge says it; empty when it is, or nobody knows."""
    return in_words(_found)


_found: list[str] = []
_seconds = 0.0


def look() -> None:
    """Hold the open scene against what was rendered."""
    global _found, _seconds
    began = time.perf_counter()
    scene, paths, before = bpy.context.scene, paths_of_open_file(), None
    if paths is not None and any(Path(path_of(thing)) == paths.twin for thing in twins_of(scene.objects)):
        before = read_state(state_file(paths.dataset))
    found = [] if before is None else changes(before, describe(scene, bpy.context.evaluated_depsgraph_get()))
    _seconds = time.perf_counter() - began
    if found != _found:
        _found = found
        redraw()


def _shape(thing: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> Iterator[Any]:
    data: Any = thing.data
    if isinstance(data, bpy.types.Mesh):
        places = np.empty(3 * len(data.vertices), np.float32)
        data.vertices.foreach_get("co", places)
        yield places
        yield len(data.polygons)
    elif data is not None:
        yield from _values(data)
    if thing.type == "LIGHT" and compat.has_nodes(data):
        yield from _nodes(data)
    if thing.type not in {"LIGHT", "EMPTY"}:
        yield np.round(np.array([tuple(corner) for corner in thing.evaluated_get(depsgraph).bound_box]), 4) + 0.0
    for modifier in thing.modifiers:
        if modifier.show_render:
            yield from _values(modifier, NO_SHAPE)


def _nodes(owner: Any) -> Iterator[Any]:
    """All of a material, world or light that its nodes say."""
    if not compat.has_nodes(owner):
        yield from _values(owner)
        return
    tree = owner.node_tree
    for node in tree.nodes:
        yield from _values(node, NO_LOOK)
        for socket in node.inputs:
            if not socket.is_linked and hasattr(socket, "default_value"):
                yield _plain(socket.default_value)
        ramp = getattr(node, "color_ramp", None)
        if ramp is not None:
            yield [(element.position, tuple(element.color)) for element in ramp.elements]
    for link in tree.links:
        yield link.from_node.name, link.from_socket.identifier, link.to_node.name, link.to_socket.identifier


def _values(owner: Any, but: Collection[str] = ()) -> Iterator[Any]:
    """The numbers, words and choices of a thing, and the names of what it points at."""
    for name, prop in owner.bl_rna.properties.items():
        if name in but or name in NO_VALUE or name.startswith("show_") or prop.is_readonly or prop.is_hidden:
            continue
        if prop.type in SIMPLE:
            yield name, _plain(getattr(owner, name))
        elif prop.type == "POINTER":
            yield name, getattr(getattr(owner, name), "name", "")


def _plain(value: Any) -> Any:
    return tuple(value) if hasattr(value, "__len__") and not isinstance(value, str | set) else str(value)


def _digest(*parts: Any) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode())
    return digest.hexdigest()[:12]


@persistent
def _look_soon(*_: Any) -> None:
    if not bpy.app.background and not bpy.app.timers.is_registered(_look_now):
        bpy.app.timers.register(_look_now, first_interval=max(REST, _seconds / SHARE))


def _look_now() -> None:
    look()


_HANDLERS = (
    bpy.app.handlers.depsgraph_update_post,
    bpy.app.handlers.frame_change_post,
    bpy.app.handlers.load_post,
)


def register() -> None:
    for handlers in _HANDLERS:
        handlers.append(_look_soon)


def unregister() -> None:
    for handlers in _HANDLERS:
        handlers.remove(_look_soon)
    if bpy.app.timers.is_registered(_look_now):
        bpy.app.timers.unregister(_look_now)
    _found.clear()
