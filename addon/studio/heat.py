# SPDX-License-Identifier: GPL-3.0-or-later
"""The heat map: a coloured skin over the scene's surfaces that shows where the twin errs, or how often each is seen.

It is one mesh object of its own, in a collection of its own: what the user made is never touched, whatever modifiers,
instances or curves it is made of, and renders do not show it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ...core.colour import srgb_to_linear
from ...core.colour_maps import magma
from ...core.comparison.error_points import ErrorPoints, SurfaceError
from ...core.errors import UserError
from .surfaces import shown_surfaces, triangles_of
from .volume import glow_material

NAME = "Radiance Twin Heat Map"
# attributes of the mesh: the values, named by what they are, and the colours
ERROR, COVERAGE, COLOUR = "radiance_twin_error", "radiance_twin_coverage", "radiance_twin_colour"
# of the collection: what is shown, the value that is shown brightest, and how solid viewports were coloured before
KIND, BRIGHTEST, SHADING = "radiance_twin_kind", "radiance_twin_brightest", "radiance_twin_shading"
NOTHING_SEEN = "nothing that is visible was seen by held-out views; show the objects first (Alt H)"
UNSEEN = 0.12  # grey, linear
# the skin lies so far above and below the surface, in sizes of the scene
LIFT = 0.0015
MOST_TRIANGLES = 500_000
# of the errors, this share is below the brightest colour
BRIGHT = 0.99


@dataclass(frozen=True)
class Heat:
    """Values at points of surfaces.

    Attributes:
        kind: what they are, ERROR or COVERAGE.
        position: [N, 3] in the world. value: [N]. index: [N], of the object. spacing: how fine they are known.
        brightest: the value that is shown brightest.
    """

    kind: str
    position: NDArray[np.float64]
    value: NDArray[np.float32]
    index: NDArray[Any]
    spacing: float
    brightest: float


def paint(scene: bpy.types.Scene, points: ErrorPoints, index_of: dict[str, int]) -> bpy.types.Object:
    """Make the heat map of an error; see `paint_values`."""
    if not len(points):
        raise UserError(NOTHING_SEEN)
    brightest = max(float(np.quantile(points.flip, BRIGHT)), 0.01)
    heat = Heat(ERROR, points.position, points.flip, points.object_index, points.spacing, brightest)
    return paint_values(scene, heat, index_of)


def paint_values(scene: bpy.types.Scene, heat: Heat, index_of: dict[str, int]) -> bpy.types.Object:
    """Make the heat map of what is visible now; an earlier one is replaced.

    Args:
        index_of: names of objects to their index in `heat`; when empty, all objects share all points.

    Raises:
        UserError: nothing that is visible has values.
    """
    remove()
    depsgraph = bpy.context.evaluated_depsgraph_get()
    skins = [
        (number, *triangles_of(mesh, matrix))
        for name, mesh, matrix in shown_surfaces(depsgraph)
        if (number := index_of.get(name) if index_of else 0) is not None
    ]
    if not skins:
        raise UserError(NOTHING_SEEN)
    lift = LIFT * float(np.linalg.norm(np.ptp(np.concatenate([vertices for _, vertices, _, _ in skins]), axis=0)))
    fields: dict[int, SurfaceError] = {}
    places, corners, values, count = [], [], [], 0
    for number, vertices, normals, triangles in skins:
        if number not in fields:
            own = heat.index == number if index_of else slice(None)
            fields[number] = SurfaceError(heat.position[own], heat.value[own], heat.spacing)
        most = MOST_TRIANGLES // 2 * len(triangles) // sum(len(skin[3]) for skin in skins)
        place, triangles = divide(np.concatenate([vertices, normals], axis=1), triangles, heat.spacing, most)
        value = fields[number].at(place[:, :3])
        # above and below: leaves and paper have two sides, and normals need not point outwards
        for side in (lift, -lift):
            places.append(place[:, :3] + side * place[:, 3:])
            corners.append(triangles + count)
            values.append(value)
            count += len(place)
    return _show(scene, np.concatenate(places), np.concatenate(corners), np.concatenate(values), heat)


def remove() -> None:
    """Take the heat map away, with all that belongs to it."""
    collection = bpy.data.collections.get(NAME)
    if collection is None:
        return
    for thing in list(collection.objects):
        mesh = thing.data
        materials = list(mesh.materials)
        bpy.data.objects.remove(thing)
        bpy.data.meshes.remove(mesh)
        for material in materials:
            bpy.data.materials.remove(material)
    for space in _solid_viewports():
        space.shading.color_type = collection.get(SHADING, space.shading.color_type)
    bpy.data.collections.remove(collection)


def shown(kind: str) -> bpy.types.Collection | None:
    """The heat map's collection; None when there is none, or it shows something else."""
    collection = bpy.data.collections.get(NAME)
    return collection if collection is not None and collection.get(KIND, ERROR) == kind else None


def colours(error: NDArray[np.float32], brightest: float) -> NDArray[np.float32]:
    """Scene-linear RGBA [N, 4] of errors [N] in magma, as FLIP is always shown; grey where the error is NaN."""
    table = srgb_to_linear(magma())
    at = np.clip(np.nan_to_num(error) / brightest, 0.0, 1.0) * (len(table) - 1)
    rgba = np.ones((len(error), 4), np.float32)
    rgba[:, :3] = np.where(np.isnan(error)[:, None], UNSEEN, table[np.rint(at).astype(int)])
    return rgba


def divide(
    corners: NDArray[np.float64], triangles: NDArray[np.int64], longest: float, most: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Cut triangles in four until no edge is longer than `longest`, or until there would be more than `most`.

    Args:
        corners: [N, 3 or more], the place first; what follows is halved along with it.
        triangles: [T, 3].
    """
    while True:
        place = corners[triangles][..., :3]
        edges = np.linalg.norm(place - np.roll(place, -1, axis=1), axis=2)
        long = edges.max(axis=1) > longest
        if not long.any() or len(triangles) + 3 * long.sum() > most:
            return corners, triangles
        a, b, c = triangles[long].T
        first = len(corners)
        ab, bc, ca = first + np.arange(3 * len(a)).reshape(3, -1)
        corners = np.concatenate([corners, *(0.5 * (corners[i] + corners[j]) for i, j in ((a, b), (b, c), (c, a)))])
        parts = [np.stack(part, axis=1) for part in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]
        triangles = np.concatenate([triangles[~long], *parts])


def _show(
    scene: bpy.types.Scene,
    places: NDArray[np.float64],
    triangles: NDArray[np.int64],
    found: NDArray[np.float32],
    heat: Heat,
) -> bpy.types.Object:
    mesh = bpy.data.meshes.new(NAME)
    mesh.from_pydata(places, [], triangles)
    values: Any = mesh.attributes.new(heat.kind, "FLOAT", "POINT")
    # -1: nothing is known there
    values.data.foreach_set("value", np.where(np.isnan(found), np.float32(-1.0), found).astype(np.float32))
    colour: Any = mesh.color_attributes.new(COLOUR, "FLOAT_COLOR", "POINT")
    colour.data.foreach_set("color", colours(found, heat.brightest).ravel())
    mesh.color_attributes.active_color = colour
    mesh.materials.append(glow_material(NAME, COLOUR))
    thing = bpy.data.objects.new(NAME, mesh)
    thing.hide_render = thing.hide_select = True
    made = bpy.data.collections.new(NAME)
    made[KIND], made[BRIGHTEST] = heat.kind, heat.brightest
    made.objects.link(thing)
    scene.collection.children.link(made)
    for space in _solid_viewports():
        made[SHADING] = str(space.shading.color_type)
        space.shading.color_type = "VERTEX"
    return thing


def _solid_viewports() -> list[Any]:
    """Spaces of the windows' 3D views, which in Solid show a colour attribute only when told to."""
    windows = bpy.context.window_manager.windows
    areas = [area for window in windows for area in window.screen.areas]
    return [area.spaces.active for area in areas if area.type == "VIEW_3D"]
