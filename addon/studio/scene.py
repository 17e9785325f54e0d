# SPDX-License-Identifier: GPL-3.0-or-later
"""Our own copy of the user's scene: loaded, measured and made ready to be rendered view by view."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ...core.classes import ClassRule, class_of
from ...core.errors import UserError
from .probe import any_camera, in_a_render

Bounds = NDArray[np.float64]

# what can be seen; lights, cameras, empties and probes cannot
SURFACES = {"MESH", "CURVE", "SURFACE", "FONT", "META"}
OTHER_GEOMETRY = {"CURVES", "POINTCLOUD", "VOLUME"}
LAYER = "view"
# Blender makes this of any larger one
MOST_PASS_INDICES = 32767
# paths in a scene's animation of what we set
SETTINGS_OF_RENDERS = ("render.", "cycles.", "view_layers[")


@dataclass(frozen=True)
class RenderedObject:
    """One object that renders.

    Attributes:
        bounds, local_bounds: the box [2, 3] around all its instances in the world, and that in its own space.
        materials: those that it renders with, its modifiers' too.
    """

    original: bpy.types.Object
    bounds: Bounds
    local_bounds: Bounds
    materials: frozenset[bpy.types.Material]


@dataclass(frozen=True)
class Measured:
    """What Cycles would render.

    Attributes:
        objects: ordered by name.
        bounds: [2, 3] of all of them.
        centre, radius: of the sphere around the target.
        target: names of the objects that are the target; None when everything is.
        held: boxes [2, 3] in the world by what moves them: an object itself, or what instances it.
    """

    objects: list[RenderedObject]
    bounds: Bounds
    centre: NDArray[np.float64]
    radius: float
    target: frozenset[str] | None = None
    held: dict[str, Bounds] = field(default_factory=dict)


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
        raise UserError(f"{name} cannot be opened ({reason}); fetch it again, or save it again in Blender") from error
    saved_by: tuple[int, ...] = tuple(bpy.data.version)  # type: ignore[arg-type]
    ours = file_version_of_blender()
    if saved_by > ours and not allow_newer:
        raise UserError(
            f"{name} was saved by Blender {_version(saved_by)}, newer than the {_version(ours)} that would render it, "
            "which would lose what it does not know; name a newer one with --blender, "
            "or accept the loss with --allow-newer"
        )
    if bpy.context.mode != "OBJECT":
        # a mesh in Edit Mode has no faces for those who ask its datablock
        bpy.ops.object.mode_set(mode="OBJECT")
    return bpy.context.scene


def file_version_of_blender() -> tuple[int, ...]:
    """The version of the files that this Blender writes."""
    return bpy.app.version_file


def rendered_layer(scene: bpy.types.Scene) -> bpy.types.ViewLayer:
    """The view layer that is rendered: the first that is enabled for rendering."""
    return next((layer for layer in scene.view_layers if layer.use), scene.view_layers[0])


def prepare_scene(scene: bpy.types.Scene, resolution: tuple[int, int], transparent: bool) -> None:
    """Everything that stays the same from view to view: Cycles, size, film, no compositor, no strips, still life.

    Raises:
        UserError: this Blender has no Cycles.
    """
    _stop_animated_settings(scene)
    chosen = rendered_layer(scene)
    for layer in scene.view_layers:
        layer.use = layer == chosen
        if layer.name == LAYER:
            layer.name = "another"  # the passes in the EXR are found by the layer's name
    chosen.name = LAYER
    render: Any = scene.render
    try:
        render.engine = "CYCLES"
    except TypeError as error:
        raise UserError(
            "this Blender was built without Cycles; name another by --blender or RADIANCE_TWIN_BLENDER"
        ) from error
    render.resolution_x, render.resolution_y, render.resolution_percentage = *resolution, 100
    render.use_border = render.use_crop_to_border = False
    render.use_compositing = render.use_sequencer = render.use_multiview = False
    render.use_freestyle = render.use_motion_blur = render.use_stamp = False
    render.film_transparent = transparent
    render.use_persistent_data = True


def _stop_animated_settings(scene: bpy.types.Scene) -> None:
    """Keep settings of renders as they are in this frame: seeds are often driven, and that would win over ours."""
    animation = scene.animation_data
    if animation is None:
        return
    played: list[Any] = [animation, *(strip for track in animation.nla_tracks for strip in track.strips)]
    bags = [
        strip.channelbag(one.action_slot)
        for one in played
        if one.action is not None
        for layer in one.action.layers
        for strip in layer.strips
    ]
    for curve in (*animation.drivers, *(curve for bag in bags if bag is not None for curve in bag.fcurves)):
        curve.mute |= curve.data_path.startswith(SETTINGS_OF_RENDERS)


def measure(scene: bpy.types.Scene, target: str | None) -> Measured:
    """Measure what Cycles would render, with modifiers, instances and visibility as in a render.

    Args:
        target: name of the object (with its children) or collection to stand around; everything when None.

    Raises:
        UserError: nothing renders, or nothing of the target does.
    """
    with any_camera(scene):
        return in_a_render(scene, lambda depsgraph: measure_in(depsgraph, target))


def visible_instances(depsgraph: bpy.types.Depsgraph) -> Iterator[tuple[bpy.types.DepsgraphObjectInstance, Any]]:
    """Everything with a shape that a camera can see, and its object: the instances are good until the next is asked."""
    for instance in depsgraph.object_instances:
        item = instance.object
        seen = instance.show_self and item.visible_camera and not item.original.hide_render
        if seen and item.type in SURFACES | OTHER_GEOMETRY:
            yield instance, item


def numbered(objects: list[RenderedObject]) -> tuple[list[RenderedObject], list[str]]:
    """Objects with pass indices, which those that have none are given, and remarks on those for which there is none."""
    give_pass_indices([rendered.original for rendered in objects])
    found = [rendered for rendered in objects if rendered.original.pass_index]
    missing = len(objects) - len(found)
    remark = f"{missing} of {len(objects)} objects have no labels, as Blender tells no more apart; joining some helps"
    return found, [remark] if missing else []


def give_pass_indices(things: Sequence[bpy.types.Object] | Sequence[bpy.types.Material]) -> None:
    """Give everything that has no pass index a free one, as long as there are any."""
    used = {thing.pass_index for thing in things}
    free = (number for number in range(1, MOST_PASS_INDICES + 1) if number not in used)
    for thing in things:
        if thing.pass_index == 0:
            thing.pass_index = next(free, 0)


def objects_table(objects: list[RenderedObject], rules: list[ClassRule]) -> list[dict[str, Any]]:
    """The dataset's table of objects."""
    # not by name: objects of linked files may be called like others
    groups: dict[bpy.types.Object, list[str]] = {}
    for group in bpy.data.collections:
        for thing in group.all_objects:
            groups.setdefault(thing, []).append(group.name)
    return [
        {
            "index": rendered.original.pass_index,
            "name": rendered.original.name,
            "class": _class_of(rendered, groups.get(rendered.original, []), rules),
            "bounds": rendered.bounds.tolist(),
            "local_bounds": rendered.local_bounds.tolist(),
        }
        for rendered in objects
    ]


def materials_of(objects: list[RenderedObject]) -> list[bpy.types.Material]:
    """All materials that the objects render with, by name."""
    found = {material for rendered in objects for material in rendered.materials}
    return sorted(found, key=lambda material: str(material.name_full))


def _class_of(rendered: RenderedObject, collections: list[str], rules: list[ClassRule]) -> str:
    item = rendered.original
    own = item.get("class")
    materials = sorted(material.name for material in rendered.materials)
    return class_of(rules, item.name, own if isinstance(own, str) else "", collections, materials)


def external_files() -> list[str]:
    """Absolute paths of the files that the scene needs beside its own: linked libraries, pictures, caches."""
    named = {bpy.path.abspath(path) for path in bpy.utils.blend_paths(absolute=True, packed=False, local=False)}
    return sorted(file for path in named for file in _tiles(path) or [path])


def _tiles(path: str) -> list[str]:
    """The pictures of which one for several tiles is made; none of a path that names one file."""
    pattern = glob.escape(path).replace("<UDIM>", "[0-9]" * 4).replace("<UVTILE>", "u*_v*")
    return glob.glob(pattern) if pattern != glob.escape(path) else []


def measure_in(depsgraph: bpy.types.Depsgraph, target: str | None) -> Measured:
    """The same of what a depsgraph shows: of the viewport's, what is hidden from renders does not count.

    Raises:
        UserError: as `measure`.
    """
    boxes: dict[str, Bounds] = {}
    local: dict[str, Bounds] = {}
    held: dict[str, Bounds] = {}
    originals: dict[str, bpy.types.Object] = {}
    materials: dict[str, set[bpy.types.Material]] = {}
    for item, holder, own, points in visible_points(depsgraph):
        key = item.original.name_full
        for found, name, of in ((boxes, key, points), (local, key, own), (held, holder.name_full, points)):
            found[name] = union_of_boxes([found[name], _box(of)] if name in found else [_box(of)])
        originals[key] = item.original
        slots = (slot.material for slot in item.material_slots)
        materials.setdefault(key, set()).update(one.original for one in slots if one is not None)
    if not boxes:
        raise UserError(
            "nothing in the scene renders; add an object, or enable the camera symbol of one or of its collection"
        )
    chosen = set(boxes) if target is None else _members_of_target(target, set(boxes))
    centre = union_of_boxes([boxes[key] for key in chosen]).mean(axis=0)
    distances = [
        float(np.linalg.norm(points - centre, axis=1).max())
        for item, _, _, points in visible_points(depsgraph)
        if item.original.name_full in chosen
    ]
    objects = [
        RenderedObject(originals[key], boxes[key], local[key], frozenset(materials[key])) for key in sorted(boxes)
    ]
    names = None if target is None else frozenset(originals[key].name for key in chosen)
    return Measured(objects, union_of_boxes(list(boxes.values())), centre, max(distances), names, held)


def _members_of_target(target: str, rendered: set[str]) -> set[str]:
    item: bpy.types.Object | None = bpy.data.objects.get(target)
    collection: bpy.types.Collection | None = bpy.data.collections.get(target)
    if item is not None:
        members = {item, *item.children_recursive}
    elif collection is not None:
        members = set(collection.all_objects)
    else:
        some = ", ".join(sorted(rendered)[:8])
        raise UserError(f"there is no object or collection named {target}; what renders is for example: {some}")
    chosen = {member.name_full for member in members} & rendered
    if not chosen:
        raise UserError(f"nothing of the target {target} renders; enable it for renders or name another target")
    return chosen


def visible_points(
    depsgraph: bpy.types.Depsgraph,
) -> Iterator[tuple[bpy.types.Object, bpy.types.Object, NDArray[np.float64], NDArray[np.float64]]]:
    """As evaluated, what holds it (itself, or what instances it), and points [n, 3], in its own space and in the world.

    Of everything that a camera can see: a surface's vertices, the corners of the box around whatever else there is.
    """
    for instance, item in visible_instances(depsgraph):
        if item.type in SURFACES:
            points = _points_of_surface(item, every_vertex=not instance.is_instance)
        else:
            points = np.array(item.bound_box)
        if points is not None:
            matrix = np.array(instance.matrix_world)
            holder = instance.parent.original if instance.is_instance else item.original
            yield item, holder, points, points @ matrix[:3, :3].T + matrix[:3, 3]


def _points_of_surface(item: bpy.types.Object, every_vertex: bool) -> NDArray[np.float64] | None:
    """Points around a surface in its own space; None when it has no faces (a path, a skeleton of edges)."""
    # the datablock of a mesh in Edit Mode has no faces
    is_mesh = item.type == "MESH" and item.mode != "EDIT"
    mesh = item.data if is_mesh else item.to_mesh()
    if mesh is None or len(mesh.polygons) == 0:
        return None
    if not every_vertex:
        return np.array(item.bound_box)
    points = points_of_mesh(mesh)
    if not is_mesh:
        item.to_mesh_clear()
    return points


def points_of_mesh(mesh: Any) -> NDArray[np.float64]:
    """The vertices [V, 3] of a mesh in its own space."""
    points = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.vertices.foreach_get("co", points)
    return points.reshape(-1, 3).astype(np.float64)


def triangles_of_mesh(mesh: Any) -> NDArray[np.int64]:
    """The triangles [T, 3] of a mesh, as numbers of its vertices."""
    mesh.calc_loop_triangles()
    corners = np.empty(len(mesh.loop_triangles) * 3, np.int32)
    mesh.loop_triangles.foreach_get("vertices", corners)
    return corners.reshape(-1, 3).astype(np.int64)


def collection_for_new(context: bpy.types.Context) -> bpy.types.Collection:
    """Where new objects go: the active collection, or the scene's own where it is hidden, linked or overridden."""
    active = context.view_layer.active_layer_collection
    collection = active.collection
    takes = active.is_visible and not collection.library and not collection.override_library
    return collection if takes else context.scene.collection


def ancestors(thing: bpy.types.Object) -> Iterator[bpy.types.Object]:
    """What an object is a child of, from the nearest up."""
    while thing.parent is not None:
        thing = thing.parent
        yield thing


def _box(points: NDArray[np.float64]) -> Bounds:
    return np.stack([points.min(axis=0), points.max(axis=0)])


def union_of_boxes(boxes: list[Bounds]) -> Bounds:
    """The box [2, 3] around some."""
    stacked = np.array(boxes)
    return np.stack([stacked[:, 0].min(axis=0), stacked[:, 1].max(axis=0)])


def _version(version: tuple[int, ...]) -> str:
    return f"{version[0]}.{version[1]}"
