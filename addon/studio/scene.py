# SPDX-License-Identifier: GPL-3.0-or-later
"""Our own copy of the user's scene: loaded, measured and made ready to be rendered view by view."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ...core.errors import UserError

Bounds = NDArray[np.float64]

# what can be seen; lights, cameras, empties and probes cannot
SURFACES = {"MESH", "CURVE", "SURFACE", "FONT", "META"}
OTHER_GEOMETRY = {"CURVES", "POINTCLOUD", "VOLUME"}
LAYER = "view"


@dataclass(frozen=True)
class RenderedObject:
    """One object that renders.

    Attributes:
        bounds: [2, 3] of all its instances, world units.
        collections: names of the collections it is in, at any depth.
    """

    original: bpy.types.Object
    bounds: Bounds


def open_scene(path: str, allow_newer: bool) -> bpy.types.Scene:
    """Load a .blend; Python in it is not run.

    Raises:
        UserError: it is damaged, no .blend, or saved by a newer Blender (unless `allow_newer`).
    """
    name = Path(path).name
    try:
        bpy.ops.wm.open_mainfile(filepath=path, load_ui=False, use_scripts=False)
    except RuntimeError as error:
        reason = str(error).removeprefix("Error: ").strip().splitlines()[0]
        raise UserError(f"{name} cannot be opened ({reason}); is it complete, and a .blend?") from error
    saved_by, ours = tuple(bpy.data.version), tuple(bpy.app.version_file)
    if saved_by > ours and not allow_newer:
        raise UserError(
            f"{name} was saved by Blender {_version(saved_by)}, newer than the {_version(ours)} that would render it, "
            "which would lose what it does not know; name a newer one with --blender, or accept the loss with --allow-newer"
        )
    return bpy.context.scene


def prepare_scene(scene: bpy.types.Scene, resolution: tuple[int, int], transparent: bool) -> None:
    """Everything that stays the same from view to view: Cycles, size, film, no compositor, no strips, still life."""
    for layer in scene.view_layers:
        layer.use = layer == bpy.context.view_layer
    bpy.context.view_layer.name = LAYER
    render = scene.render
    render.engine = "CYCLES"
    render.resolution_x, render.resolution_y, render.resolution_percentage = *resolution, 100
    render.use_border = render.use_crop_to_border = False
    render.use_compositing = render.use_sequencer = render.use_multiview = False
    render.use_freestyle = render.use_motion_blur = False
    render.film_transparent = transparent
    render.use_persistent_data = True
    for marker in scene.timeline_markers:
        marker.camera = None  # a marker would put its own camera in the place of ours


def rendered_objects(scene: bpy.types.Scene) -> list[RenderedObject]:
    """What Cycles would render, with modifiers, instances and visibility as in a render, ordered by name.

    Only a render engine is ever given the depsgraph of a render (the one of the viewport has other modifiers and
    hides other things), so a probe takes Cycles' place for one render of a single pixel.
    """
    boxes: dict[str, tuple[bpy.types.Object, Bounds]] = {}

    class Probe(bpy.types.RenderEngine):
        bl_idname = "RADIANCE_TWIN_PROBE"
        bl_label = "Radiance Twin probe"

        def render(self, depsgraph: bpy.types.Depsgraph) -> None:
            for instance in depsgraph.object_instances:
                box = _bounds_of_instance(instance)
                if box is None:
                    continue
                original = instance.object.original
                key = original.name_full
                before = boxes[key][1] if key in boxes else box
                boxes[key] = (original, np.stack([np.minimum(before[0], box[0]), np.maximum(before[1], box[1])]))

    render = scene.render
    engine, size = render.engine, (render.resolution_x, render.resolution_y, render.resolution_percentage)
    bpy.utils.register_class(Probe)
    try:
        render.engine = Probe.bl_idname
        render.resolution_x = render.resolution_y = 4
        render.resolution_percentage = 100
        bpy.ops.render.render(scene=scene.name)
    finally:
        render.engine = engine
        render.resolution_x, render.resolution_y, render.resolution_percentage = size
        bpy.utils.unregister_class(Probe)
    return [RenderedObject(*boxes[key]) for key in sorted(boxes)]


def bounds_of(objects: list[RenderedObject]) -> Bounds:
    """The box [2, 3] around all of them.

    Raises:
        UserError: there are none.
    """
    if not objects:
        raise UserError(
            "nothing in the scene renders; add an object, or enable the camera symbol of one or of its collection"
        )
    return np.stack([np.min([o.bounds[0] for o in objects], axis=0), np.max([o.bounds[1] for o in objects], axis=0)])


def target_objects(objects: list[RenderedObject], target: str) -> list[RenderedObject]:
    """Those that are the object named `target`, its children, or in the collection of that name.

    Raises:
        UserError: no such object or collection, or nothing of it renders.
    """
    collection = bpy.data.collections.get(target)
    wanted = bpy.data.objects.get(target)
    if collection is None and wanted is None:
        names = ", ".join(o.original.name for o in objects[:8])
        raise UserError(f"there is no object or collection named {target}; there are for example: {names}")
    if wanted is not None:
        members = {wanted.name_full, *(child.name_full for child in wanted.children_recursive)}
    else:
        members = {member.name_full for member in collection.all_objects}
    found = [o for o in objects if o.original.name_full in members]
    if not found:
        raise UserError(f"nothing of the target {target} renders; enable it for renders or name another target")
    return found


def give_pass_indices(objects: list[RenderedObject]) -> list[dict[str, Any]]:
    """Give every object that has no pass index a free one; returns the dataset's table of objects."""
    used = {o.original.pass_index for o in objects}
    free = (number for number in range(1, 65536) if number not in used)
    for rendered in objects:
        if rendered.original.pass_index == 0:
            rendered.original.pass_index = next(free, 0)
    return [
        {"index": o.original.pass_index, "name": o.original.name, "bounds": o.bounds.tolist()} for o in objects
    ]


def external_files() -> list[str]:
    """Absolute paths of the files that the scene needs beside its own: linked libraries, pictures, caches."""
    return sorted({bpy.path.abspath(path) for path in bpy.utils.blend_paths(absolute=True, packed=False, local=False)})


def _bounds_of_instance(instance: bpy.types.DepsgraphObjectInstance) -> Bounds | None:
    item = instance.object
    if not instance.show_self or not item.visible_camera:
        return None
    corners: NDArray[np.float64] | None = None
    if item.type in SURFACES:
        corners = _corners_of_surface(item, every_vertex=not instance.is_instance)
    elif item.type in OTHER_GEOMETRY:
        corners = np.array(item.bound_box)
    if corners is None:
        return None
    matrix = np.array(instance.matrix_world)
    world = corners @ matrix[:3, :3].T + matrix[:3, 3]
    return np.stack([world.min(axis=0), world.max(axis=0)])


def _corners_of_surface(item: bpy.types.Object, every_vertex: bool) -> NDArray[np.float64] | None:
    """Points around a surface in its own space; None when it has no faces (a path, a skeleton of edges)."""
    mesh = item.data if item.type == "MESH" else item.to_mesh()
    if mesh is None or len(mesh.polygons) == 0:
        return None
    if not every_vertex:
        return np.array(item.bound_box)
    points = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.vertices.foreach_get("co", points)
    if item.type != "MESH":
        item.to_mesh_clear()
    return points.reshape(-1, 3).astype(np.float64)


def _version(version: tuple[int, ...]) -> str:
    return f"{version[0]}.{version[1]}"
