# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things go: places are drawn until nothing touches, then things may fall and settle."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix

from ....core.errors import UserError
from ....core.rendering.randomisation import Draws, DrawsOf, turned
from ....core.rendering.rules import Movement, Placement
from .changes import Changes
from .select import family, named
from .settle import settled
from .shapes import Array, Shape, boxes_meet, joined, shapes_in_sight

# a face looks up when its normal is within 60 degrees of the vertical
UPWARDS = 0.5
# of its size, how far above its place a thing begins to fall
DROP = 0.1


def move_to(changes: Changes, thing: bpy.types.Object, matrix: Array) -> None:
    """Let an object stand at `matrix` [4, 4] in the world, whatever animation, parents and constraints say.

    Nothing of its own is changed: a last constraint copies the matrix of an empty.

    Raises:
        UserError: a simulation would win, or it is linked from another file.
    """
    if thing.rigid_body is not None and thing.rigid_body.type == "ACTIVE":
        raise UserError(
            f"{thing.name} is moved by a rigid body simulation already; bake that, or leave it out of the rule"
        )
    home = changes.add(bpy.data.objects, "Radiance Twin home", None)
    place = changes.add(bpy.data.objects, "Radiance Twin place", None)
    # unlike a place, rotation and scale of its own, this keeps a matrix as it is
    place.parent = home
    place.matrix_parent_inverse = Matrix(matrix.tolist())
    constraint: Any = thing.constraints.new("COPY_TRANSFORMS")
    changes.callback(thing.constraints.remove, constraint)
    changes.put(constraint, "target", place)


def move_lightly(changes: Changes, scene: bpy.types.Scene, rule: Movement, things: Iterable[Any], of: DrawsOf) -> None:
    """Move what has no surface, such as lights."""
    for thing in things:
        draws = of(thing.name)
        base = np.array(thing.matrix_world, np.float64)
        move_to(changes, thing, _drawn(scene, rule, base, draws))


def place(
    changes: Changes,
    scene: bpy.types.Scene,
    rule: Placement,
    things: list[bpy.types.Object],
    of: DrawsOf,
    waiting: set[bpy.types.Object],
) -> list[bpy.types.Object]:
    """Place things one after the other; returns those that found no place, or no rest.

    Args:
        waiting: what will be placed later: where it is now, nothing is in the way.

    Raises:
        UserError: a rule is about something that is not there, or that cannot be stood on.
    """
    bpy.context.view_layer.update()
    shapes = shapes_in_sight()
    moving = {member for thing in things for member in family(thing)}
    apart = rule.apart or rule.settle
    ground = named(scene, rule.on) if rule.on is not None else None
    # a place is no obstacle, unless things are to fall on it
    around = [named(scene, name) for name in (rule.inside, None if rule.settle else rule.on) if name is not None]
    free = {member for thing in around for member in family(thing)} | moving | waiting
    scenery = {other: shape for other, shape in shapes.items() if other not in free}
    upper = _upper_side(ground, shapes) if ground is not None else None
    placed: dict[bpy.types.Object, tuple[Array, Shape | None]] = {}
    lost: list[bpy.types.Object] = []
    for thing in things:
        draws = of(thing.name)
        base = np.array(thing.matrix_world, np.float64)
        shape = joined(shapes[member] for member in family(thing) if member in shapes)
        others = [one for _, one in placed.values() if one is not None]
        # what held it before is a room that it is in, not something in its way
        rooms = [] if shape is None else [other for other in scenery.values() if other.holds(shape.vertices[0])]
        for _ in range(rule.tries):
            matrix, there = _try(scene, rule, base, shape, upper, draws)
            if there is None or not apart or _is_free(there, scenery.values(), others, rooms):
                placed[thing] = matrix, there
                break
        else:
            lost.append(thing)
    motions = [None] * len(placed)
    if rule.settle:
        solid = {thing: shape for thing, (_, shape) in placed.items() if shape is not None}
        found = dict(zip(solid, settled(list(solid.values()), joined(scenery.values())), strict=True))
        motions = [found.get(thing, np.eye(4)) for thing in placed]
    for (thing, (matrix, _)), motion in zip(placed.items(), motions, strict=True):
        if rule.settle and motion is None:
            lost.append(thing)
            continue
        matrix = matrix if motion is None else motion @ matrix
        # what stays where it is may be linked from another file
        if not np.array_equal(matrix, np.array(thing.matrix_world, np.float64)):
            move_to(changes, thing, matrix)
    bpy.context.view_layer.update()
    return lost


def _try(
    scene: bpy.types.Scene, rule: Placement, base: Array, shape: Shape | None, upper: Array | None, draws: Draws
) -> tuple[Array, Shape | None]:
    """A matrix for a thing that stood at `base`, and its shape there."""
    matrix = _drawn(scene, rule, base, draws)
    if rule.scale is not None:
        matrix[:3, :3] *= draws.number(rule.scale)
    change = matrix @ np.linalg.inv(base)
    there = None if shape is None else shape.moved(change)
    if upper is None:
        return matrix, there
    lift = np.eye(4)
    lift[:3, 3] = draws.on_triangles(upper) - matrix[:3, 3]
    if there is not None:
        # its lowest point is as high as the ground
        lift[2, 3] += matrix[2, 3] - there.box[0, 2]
        if rule.settle:
            lift[2, 3] += DROP * float(np.ptp(there.box, axis=0).max())
    return lift @ matrix, None if there is None else there.moved(lift)


def _drawn(scene: bpy.types.Scene, rule: Movement, base: Array, draws: Draws) -> Array:
    """A matrix in place of `base`, moved and turned about its own origin."""
    matrix = base.copy()
    if rule.turn is not None:
        matrix[:3, :3] = turned(draws.vector(rule.turn)) @ matrix[:3, :3]
    if rule.move is not None:
        matrix[:3, 3] += draws.vector(rule.move)
    if rule.inside is not None:
        room = named(scene, rule.inside)
        spot = draws.vector(tuple(zip(*box_of_room(room), strict=True)))  # type: ignore[arg-type]
        around = np.array(room.matrix_world, np.float64)
        matrix[:3, 3] = around[:3, :3] @ spot + around[:3, 3]
    return matrix


def box_of_room(room: bpy.types.Object) -> Array:
    """[2, 3] in its own space; an empty that is shown as a cube has no other."""
    reach = room.empty_display_size
    corners = np.array(room.bound_box if room.type != "EMPTY" else [(-reach,) * 3, (reach,) * 3], np.float64)
    return np.stack([corners.min(axis=0), corners.max(axis=0)])


def _upper_side(ground: bpy.types.Object, shapes: dict[bpy.types.Object, Shape]) -> Array:
    """Triangles [n, 3, 3] of what looks up of an object and its children."""
    shape = joined(shapes[member] for member in family(ground) if member in shapes)
    if shape is not None:
        corners = shape.vertices[shape.triangles]
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        looks_up: Array = corners[normals[:, 2] > UPWARDS * np.maximum(np.linalg.norm(normals, axis=1), 1e-300)]
        if len(looks_up):
            return looks_up
    raise UserError(f"{ground.name} has no faces that look up, on which something could stand; name another object")


def _is_free(shape: Shape, scenery: Iterable[Shape], placed: Iterable[Shape], rooms: list[Shape]) -> bool:
    for other in (*placed, *scenery):
        if not boxes_meet(shape.box, other.box):
            continue
        if shape.touches(other) or shape.holds(other.vertices[0]):
            return False
        if not any(other is room for room in rooms) and other.holds(shape.vertices[0]):
            return False
    return True
