# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rule is about: objects with their children, and materials."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import bpy

from ....core.errors import UserError
from ....core.rendering.rules import Distractor, Material, Selection, Texture
from ..scene import ancestors

PICTURES = (".hdr", ".exr", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")


def selected(scene: bpy.types.Scene, rule: Selection) -> list[bpy.types.Object]:
    """The objects to which all that a rule says applies, by name; what moves with a selected parent is not among them.

    Distractors may be in collections that are no part of the scene.

    Raises:
        UserError: there is none.
    """
    things: Iterable[bpy.types.Object] = bpy.data.objects if isinstance(rule, Distractor) else scene.objects
    if rule.collection is not None:
        collection = bpy.data.collections.get(rule.collection)
        if collection is None:
            raise UserError(_nothing("collection", rule.collection, bpy.data.collections))
        members = set(collection.all_objects)
        things = [thing for thing in things if thing in members]
    if rule.select is not None:
        things = [thing for thing in things if fnmatchcase(thing.name, rule.select)]
    if rule.property is not None:
        things = [thing for thing in things if thing.get(rule.property)]
    found = set(things)
    roots = [thing for thing in found if not any(parent in found for parent in ancestors(thing))]
    if not roots:
        said = " and ".join(filter(None, (rule.select, rule.collection, rule.property)))
        raise UserError(_nothing("object", said, scene.objects))
    return sorted(roots, key=lambda thing: thing.name_full)


def family(thing: bpy.types.Object) -> list[bpy.types.Object]:
    """It and all that moves with it."""
    return [thing, *thing.children_recursive]


def named(scene: bpy.types.Scene, name: str) -> bpy.types.Object:
    """An object of the scene.

    Raises:
        UserError: there is none of that name.
    """
    thing = scene.objects.get(name)
    if thing is None:
        raise UserError(_nothing("object", name, scene.objects))
    return thing


def selected_materials(scene: bpy.types.Scene, rule: Material | Texture) -> list[bpy.types.Material]:
    """Those of the selected objects and of their children, or all; of these those of the rule's pattern; by name.

    Raises:
        UserError: there is none.
    """
    found: set[Any] = set(bpy.data.materials)
    if rule.select or rule.collection or rule.property:
        things = [thing for root in selected(scene, rule) for thing in family(root)]
        found = {slot.material for thing in things for slot in thing.material_slots if slot.material is not None}
    found = {one for one in found if rule.materials is None or fnmatchcase(one.name, rule.materials)}
    if not found:
        raise UserError(_nothing("material", rule.materials or "for the rule", bpy.data.materials))
    return sorted(found, key=lambda one: one.name_full)


def materials_named(pattern: str) -> list[bpy.types.Material]:
    """By name.

    Raises:
        UserError: there is none.
    """
    found = [one for one in bpy.data.materials if fnmatchcase(one.name, pattern)]
    if not found:
        raise UserError(_nothing("material", pattern, bpy.data.materials))
    return sorted(found, key=lambda one: one.name_full)


def pictures_in(folder: str) -> list[str]:
    """Paths of the pictures in a folder, by name.

    Raises:
        UserError: there are none.
    """
    place = Path(bpy.path.abspath(folder))
    found = sorted(str(path) for path in place.glob("*") if path.suffix.lower() in PICTURES)
    if not found:
        raise UserError(f"{place} holds no pictures to draw from; name a folder with {', '.join(PICTURES)} files")
    return found


def _nothing(kind: str, name: str, there: Iterable[Any]) -> str:
    some = ", ".join(sorted(one.name for one in there)[:8])
    return f"a rule of randomise finds no {kind} {name}; there is for example: {some}"
