# SPDX-License-Identifier: GPL-3.0-or-later
"""Things fall and come to rest: Blender's rigid bodies, in a scene of their own that goes again."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
from mathutils import Matrix

from ....core.rendering.covers import fibonacci
from .changes import Changes
from .shapes import Array, Shape

import bmesh  # isort: skip  (of the package bpy, which has to be there first)

FRAMES_A_SECOND, SUBSTEPS, ITERATIONS = 60, 4, 20
LONGEST = 6 * FRAMES_A_SECOND
# shares of their speed that things lose in a second: without, a ball rolls on for long
DRAG, SPIN_DRAG = 0.1, 0.9
# at rest: so many frames, in each of which nothing moves by this share of a thing's size
STILL_FRAMES, STILL = 20, 2e-4
# directions in which a hull has corners: of a ball, its sides are up to 2 % of the radius too near
CORNERS = 120
# of the size of what falls, the cells of which each keeps one vertex of what stands: Bullet asks every triangle
CELL = 0.1


def settled(falling: list[Shape], standing: Shape | None) -> list[Array | None]:
    """The motion [4, 4] of each falling thing until it rests; None for one that still moves in the end or fell off.

    Things are solid and as large as their convex hulls, and what stands is a little coarser than it is: Bullet would
    take hours for what pictures need of details.

    Args:
        standing: what they fall on.
    """
    if not falling:
        return []
    # Bullet is made for things of about a metre
    scale = 1.0 / float(np.median([np.ptp(shape.box, axis=0).max() for shape in falling]))
    with Changes() as changes:
        bodies = [_body(changes, _hull(shape, scale)) for shape in falling]
        ground = [] if standing is None else [_body(changes, _coarser(standing, scale))]
        scene = _world(changes, bodies, ground)
        starts = before = _places(scene, bodies)
        # below this a thing has fallen off
        floor = -np.inf if standing is None else scale * (standing.box[0, 2] - np.ptp(standing.box, axis=0).max())
        still = np.zeros(len(bodies), int)
        for frame in range(2, LONGEST):
            scene.frame_set(frame)
            now = _places(scene, bodies)
            # turning moves what is a body's size from its middle, which is about 1
            still = np.where(np.abs(now - before).max(axis=(1, 2)) < STILL, still + 1, 0)
            before = now
            if ((still >= STILL_FRAMES) | (now[:, 2, 3] < floor)).all():
                break
    motions: list[Array | None] = []
    for start, end, frames in zip(starts, before, still, strict=True):
        motion = end @ np.linalg.inv(start)
        motion[:3, 3] /= scale
        motions.append(motion if frames >= STILL_FRAMES else None)
    return motions


def _world(changes: Changes, bodies: list[bpy.types.Object], ground: list[bpy.types.Object]) -> bpy.types.Scene:
    """A scene in which the bodies fall on the ground, in its first frame."""
    scene = changes.add(bpy.data.scenes, "Radiance Twin settling")
    collection = changes.add(bpy.data.collections, "Radiance Twin settling")
    with bpy.context.temp_override(scene=scene, view_layer=scene.view_layers[0]):
        bpy.ops.rigidbody.world_add()
    world: Any = scene.rigidbody_world
    world.collection = collection
    world.substeps_per_frame, world.solver_iterations = SUBSTEPS, ITERATIONS
    world.point_cache.frame_start, world.point_cache.frame_end = 1, LONGEST
    scene.render.fps = FRAMES_A_SECOND
    for thing in (*bodies, *ground):
        scene.collection.objects.link(thing)
        collection.objects.link(thing)
        body: Any = thing.rigid_body
        body.type = "PASSIVE" if thing in ground else "ACTIVE"
        body.collision_shape = "MESH" if thing in ground else "CONVEX_HULL"
        body.use_margin, body.collision_margin = True, 0.0
        body.use_deactivation = False
        body.linear_damping, body.angular_damping = DRAG, SPIN_DRAG
    scene.frame_set(1)
    return scene


def _body(changes: Changes, shape: Shape) -> bpy.types.Object:
    """An object whose origin is the shape's middle, which Bullet takes for its centre of mass."""
    middle = _centre_of_mass(shape)
    mesh = changes.add(bpy.data.meshes, "Radiance Twin settling")
    mesh.from_pydata((shape.vertices - middle).tolist(), [], shape.triangles.tolist())
    thing: bpy.types.Object = changes.add(bpy.data.objects, "Radiance Twin settling", mesh)
    thing.matrix_world = Matrix.Translation(middle.tolist())
    return thing


def _places(scene: bpy.types.Scene, bodies: list[bpy.types.Object]) -> Array:
    """Matrices [n, 4, 4]."""
    depsgraph = scene.view_layers[0].depsgraph
    return np.array([thing.evaluated_get(depsgraph).matrix_world for thing in bodies], np.float64)


def _hull(shape: Shape, scale: float) -> Shape:
    """The convex hull, its triangles wound outwards."""
    outermost = np.unique((shape.vertices @ fibonacci(CORNERS).T).argmax(axis=0))
    mesh: Any = bmesh.new()
    for vertex in scale * shape.vertices[outermost]:
        mesh.verts.new(vertex.tolist())
    made = bmesh.ops.convex_hull(mesh, input=mesh.verts)["geom"]
    faces = [face for face in made if isinstance(face, bmesh.types.BMFace)]
    corners = sorted({vertex for face in faces for vertex in face.verts}, key=lambda vertex: vertex.index)
    numbers = {vertex: number for number, vertex in enumerate(corners)}
    vertices = np.array([vertex.co for vertex in corners], np.float64)
    triangles = np.array([[numbers[vertex] for vertex in face.verts] for face in faces], np.int64)
    mesh.free()
    return Shape(vertices, triangles)


def _coarser(shape: Shape, scale: float) -> Shape:
    """With one vertex a cell, which is one that it had: what is flat stays where it is."""
    vertices = scale * shape.vertices
    _, kept, cells = np.unique(np.floor(vertices / CELL), axis=0, return_index=True, return_inverse=True)
    triangles = kept[cells.reshape(-1)[shape.triangles]]
    a, b, c = triangles.T
    return Shape(vertices, triangles[(a != b) & (b != c) & (c != a)])


def _centre_of_mass(shape: Shape) -> Array:
    """[3], of a closed surface around even matter: that of the tetrahedra between its triangles and its middle."""
    middle: Array = shape.box.mean(axis=0)
    corners = (shape.vertices - middle)[shape.triangles]
    volumes = np.einsum("ni,ni->n", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))
    # flat, or what stands and need not be closed
    if abs(volumes.sum()) < 1e-9 * float(np.ptp(shape.box, axis=0).max()) ** 3:
        return middle
    centre: Array = middle + (volumes[:, None] * corners.sum(axis=1) / 4.0).sum(axis=0) / volumes.sum()
    return centre
