# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes: writing a twin's grids as OpenVDB, and standing the file in a scene so that any engine renders it."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
from mathutils import Matrix

from ...core.errors import UserError
from ...core.reporting import Reporter
from .. import compat
from .scene import collection_for_new

DENSITY, COLOR = "density", "color"


def write_volume(arguments: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    """A request of Blender's part: write a float grid `density` and a vec3s grid `color` into one .vdb.

    Args:
        arguments: output; density, color: paths of .npy files, [nx, ny, nz] per world unit and [nx, ny, nz, 3];
            world_from_index [4, 4]: takes a voxel's index to its centre in the world.

    Raises:
        UserError: the file cannot be written, or this Blender has no openvdb.
    """
    bpy.utils.expose_bundled_modules()
    try:
        import openvdb
    except ImportError as error:
        raise UserError(
            f"Blender {bpy.app.version_string} here was built without openvdb; name another Blender by --blender"
        ) from error
    density = np.load(arguments["density"], allow_pickle=False)
    color = np.load(arguments["color"], allow_pickle=False)
    # rows are the images of the axes and the translation: the transpose of ours
    matrix = np.array(arguments["world_from_index"], np.float64).T.tolist()
    grids = []
    for name, grid, array in ((DENSITY, openvdb.FloatGrid(), density), (COLOR, openvdb.Vec3SGrid(), color)):
        # voxels that are 0 stay inactive and cost nothing
        grid.copyFromArray(np.ascontiguousarray(array, np.float32))
        grid.name = name
        grid.gridClass = openvdb.GridClass.FOG_VOLUME
        grid.transform = openvdb.createLinearTransform(matrix)
        grid.saveFloatAsHalf = True
        grids.append(grid)
    try:
        openvdb.write(arguments["output"], grids=grids)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"cannot write {arguments['output']}: {error}; free some space or choose another place"
        ) from error
    return {"voxels": int(grids[0].activeVoxelCount())}


def new_volume(context: bpy.types.Context, path: str, name: str) -> bpy.types.Object:
    """A Volume object that shows the .vdb at `path`, linked to the scene, where the twin was trained.

    It glows by itself and casts light: nothing of ours is needed to render it. Its matrix is the identity, but for half
    a voxel in Blenders that need it (see `compat.volumes_are_shifted`): move it by multiplying from the left.
    """
    data = bpy.data.volumes.new(name)
    data.filepath = path
    # in object space a scaled volume keeps its opacity
    data.render.space = "OBJECT"
    data.render.precision = "FULL"
    data.materials.append(volume_material(name))
    thing = bpy.data.objects.new(name, data)
    collection_for_new(context).objects.link(thing)
    if compat.volumes_are_shifted() and data.grids.load():
        # the way from an index to the object: half a voxel back
        index_to_object = np.array(data.grids[0].matrix_object)
        thing.matrix_world = Matrix.Translation(index_to_object[:3, :3] @ np.full(3, -0.5))
    return thing


def volume_material(name: str) -> bpy.types.Material:
    """Emission and absorption as in the field: black absorption of `density`, emission of `color` · `density`."""
    material = bpy.data.materials.new(name)
    tree = compat.tree_of(material)
    tree.nodes.clear()

    def node(kind: str, x: float, y: float) -> Any:
        made = tree.nodes.new(kind)
        made.location = (x, y)
        return made

    density, color = node("ShaderNodeAttribute", -500, 150), node("ShaderNodeAttribute", -500, -150)
    density.attribute_name, color.attribute_name = DENSITY, COLOR
    absorption, emission = node("ShaderNodeVolumeAbsorption", -250, 150), node("ShaderNodeEmission", -250, -100)
    absorption.inputs["Color"].default_value = (0.0, 0.0, 0.0, 1.0)
    add, output = node("ShaderNodeAddShader", 0, 0), node("ShaderNodeOutputMaterial", 200, 0)
    tree.links.new(density.outputs["Fac"], absorption.inputs["Density"])
    tree.links.new(color.outputs["Color"], emission.inputs["Color"])
    tree.links.new(density.outputs["Fac"], emission.inputs["Strength"])
    tree.links.new(absorption.outputs[0], add.inputs[0])
    tree.links.new(emission.outputs[0], add.inputs[1])
    tree.links.new(add.outputs[0], output.inputs["Volume"])
    return material


def glow_material(name: str, attribute: str) -> bpy.types.Material:
    """A surface that shines with a colour attribute's light, whatever else lights the scene."""
    material = bpy.data.materials.new(name)
    tree = compat.tree_of(material)
    tree.nodes.clear()
    colour = tree.nodes.new("ShaderNodeAttribute")
    emission, output = tree.nodes.new("ShaderNodeEmission"), tree.nodes.new("ShaderNodeOutputMaterial")
    colour.location, emission.location, output.location = (-300, 0), (-100, 0), (100, 0)
    colour.attribute_name = attribute
    tree.links.new(colour.outputs["Color"], emission.inputs["Color"])
    tree.links.new(emission.outputs[0], output.inputs["Surface"])
    return material


def show_as_points(thing: bpy.types.Object) -> None:
    """Give a mesh without faces a modifier that makes its vertices balls that nearly touch, with its first material."""
    mesh: Any = thing.data
    positions = np.empty(3 * len(mesh.vertices), np.float32)
    mesh.vertices.foreach_get("co", positions)
    tree: Any = bpy.data.node_groups.new(f"{thing.name} Points", "GeometryNodeTree")
    for direction in ("INPUT", "OUTPUT"):
        tree.interface.new_socket("Geometry", in_out=direction, socket_type="NodeSocketGeometry")
    start, end = tree.nodes.new("NodeGroupInput"), tree.nodes.new("NodeGroupOutput")
    points, material = tree.nodes.new("GeometryNodeMeshToPoints"), tree.nodes.new("GeometryNodeSetMaterial")
    for number, node in enumerate((start, points, material, end)):
        node.location = (200 * number, 0)
    points.inputs["Radius"].default_value = spacing(positions.reshape(-1, 3))
    material.inputs["Material"].default_value = mesh.materials[0]
    tree.links.new(start.outputs[0], points.inputs["Mesh"])
    tree.links.new(points.outputs[0], material.inputs["Geometry"])
    tree.links.new(material.outputs[0], end.inputs[0])
    modifier: Any = thing.modifiers.new("Points", "NODES")
    modifier.node_group = tree


def spacing(positions: np.ndarray[Any, Any]) -> float:
    """About the distance [world units] between neighbours among points [N, 3] of a surface."""
    if len(positions) < 2:
        return 0.01
    # a surface through so many of the cells of a grid holds so many points in each
    edge = float(np.ptp(positions, axis=0).max()) / 64 or 1.0
    cells = len(np.unique(np.floor(positions / edge).astype(np.int64), axis=0))
    return edge * float(np.sqrt(cells / len(positions)))
