# SPDX-License-Identifier: GPL-3.0-or-later
"""How far rules may carry things: boxes around all that any view may show, without drawing any of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import bpy
import numpy as np

from ....core.cameras import corners_of_bounds
from ....core.rendering.rules import Placement, Rule
from ..scene import Bounds, Measured, ancestors, union_of_boxes
from .place import DROP, box_of_room
from .select import family, named, selected

VERTICAL = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class Reach:
    """Where a thing with its family may be.

    Attributes:
        origins: box [2, 3] of the places of its origin. around: of all of it, seen from there.
        box: around all of it, wherever it is.
    """

    origins: Bounds
    around: Bounds
    box: Bounds


def with_reach(scene: bpy.types.Scene, measured: Measured, held: dict[str, Bounds], rules: list[Rule]) -> Measured:
    """What was measured, as large as all views together: its bounds, and the sphere around the target.

    Args:
        held: boxes of all that some view shows, as `Measured.held` has them.
        rules: of randomise, in the order in which they are applied.
    """
    reaches = _reaches(scene, held, [one for one in rules if isinstance(one, Placement) and one.per == "view"])
    if not reaches and held is measured.held:
        return measured
    carried = {member.name_full for root in reaches for member in family(root)}
    boxes = {name: box for name, box in held.items() if name not in carried}
    boxes |= {root.name_full: reach.box for root, reach in reaches.items()}
    bounds = union_of_boxes(list(boxes.values()))
    aimed_at = boxes
    if measured.target is not None:
        members = {root.name_full: {one.name for one in family(root)} for root in reaches}
        aimed_at = {name: box for name, box in boxes.items() if measured.target & members.get(name, {name})}
        if all(np.array_equal(box, measured.held.get(name)) for name, box in aimed_at.items()):
            return replace(measured, bounds=bounds)
    centre = union_of_boxes(list(aimed_at.values())).mean(axis=0)
    corners = {name: float(np.linalg.norm(np.abs(box - centre).max(axis=0))) for name, box in aimed_at.items()}
    # what stays where it is was measured more closely than by its box
    moved = [corners[name] for name, box in aimed_at.items() if not np.array_equal(box, measured.held.get(name))]
    as_it_was = measured.radius + float(np.linalg.norm(centre - measured.centre))
    radius = min(max(corners.values()), max([as_it_was, *moved]))
    return replace(measured, bounds=bounds, centre=centre, radius=radius)


def _reaches(scene: bpy.types.Scene, held: dict[str, Bounds], rules: list[Placement]) -> dict[bpy.types.Object, Reach]:
    found: dict[bpy.types.Object, Reach] = {}
    things = [(rule, thing) for rule in rules for thing in selected(scene, rule)]
    carried = {member.name_full for _, thing in things for member in family(thing)}
    still = [box for name, box in held.items() if name not in carried]
    for rule, thing in things:
        box = _box_of(thing, held, found)
        if box is not None:  # lights and empties are not seen
            found[thing] = _reach(scene, rule, _begin(thing, box, found), held, still, found)
    return found


def _box_of(thing: bpy.types.Object, held: dict[str, Bounds], found: dict[bpy.types.Object, Reach]) -> Bounds | None:
    """Around a thing and its family, wherever rules so far may have put them."""
    boxes = [found[member].box for member in family(thing) if member in found]
    boxes += [held[member.name_full] for member in family(thing) if member.name_full in held and member not in found]
    return union_of_boxes(boxes) if boxes else None


def _begin(thing: bpy.types.Object, box: Bounds, found: dict[bpy.types.Object, Reach]) -> Reach:
    """Where a thing may be before a rule moves it."""
    if thing in found:
        return found[thing]
    origin = np.array(thing.matrix_world.translation, np.float64)
    origins = np.stack([origin, origin])
    for parent in ancestors(thing):
        if parent in found:
            origins = found[parent].box
            break
    return Reach(origins, box - origin, origins + box - origin)


def _reach(
    scene: bpy.types.Scene,
    rule: Placement,
    begin: Reach,
    held: dict[str, Bounds],
    still: list[Bounds],
    found: dict[bpy.types.Object, Reach],
) -> Reach:
    """Where a thing may be after a rule has moved it; `still` are the boxes of what none moves."""
    origins, around = begin.origins, begin.around
    if rule.turn is not None or rule.scale is not None or rule.settle:
        farthest = np.linalg.norm(np.abs(around).max(axis=0)) * max(1.0, rule.scale[1] if rule.scale else 1.0)
        around = np.array([[-farthest] * 3, [farthest] * 3])
    if rule.move is not None:
        origins = origins + np.array(rule.move).T
    if rule.inside is not None:
        origins = _room(named(scene, rule.inside), found)
    ground = None if rule.on is None else _box_of(named(scene, rule.on), held, found)
    if ground is not None:
        # its lowest point stands there
        origins = ground - around[::-1] * VERTICAL
    if rule.settle:
        # it begins a little higher, may roll wherever there is something to roll on, and rests no higher than it began
        below = union_of_boxes([*still, *(one.box for one in found.values())] or [begin.box])
        ground = union_of_boxes([origins, below])
        ground[0, 2], height = below[0, 2], float(np.ptp(around[:, 2]))
        origins = ground.copy()
        origins[:, 2] = ground[0, 2] - height, ground[1, 2] + (1.0 + DROP) * height
    box: Bounds = origins + around
    if ground is not None:
        box[0, 2] = ground[0, 2]
    return Reach(origins, around, box)


def _room(room: bpy.types.Object, found: dict[bpy.types.Object, Reach]) -> Bounds:
    if room in found:
        return found[room].box
    around = np.array(room.matrix_world, np.float64)
    corners = corners_of_bounds(box_of_room(room)) @ around[:3, :3].T + around[:3, 3]
    return np.stack([corners.min(axis=0), corners.max(axis=0)])
