# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of a configuration on a scene: those of the scene once, those of views for each view."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bpy

from ....core.errors import UserError
from ....core.files import sha256_of_file
from ....core.rendering.randomisation import Array, Draws, DrawsOf, jittered
from ....core.rendering.rules import (
    Background,
    Camera,
    Distractor,
    Light,
    Material,
    Placement,
    Pose,
    Rule,
    Texture,
    Time,
    Visibility,
    World,
    read_rules,
)
from ..scene import Bounds, Measured
from .changes import Changes
from .material import change_materials, change_textures
from .place import move_lightly, place
from .reach import with_reach
from .select import family, materials_named, pictures_in, selected
from .world import change_background, change_world

# the frame before everything that animation may change, and things in their places last
ORDER = (Time, World, Background, Light, Material, Texture, Visibility, Distractor, Pose)


class Randomiser:
    """Applies what is drawn to a scene. Cameras are for `jitter`: they are planned, not applied."""

    def __init__(self, scene: bpy.types.Scene, tables: list[dict[str, Any]], seed: int) -> None:
        """
        Args:
            tables: the rules as the configuration has them. seed: of those that have none of their own.

        Raises:
            UsageError: one of them makes no sense.
        """
        self._scene, self._seed = scene, seed
        self._rules = list(enumerate(read_rules(tables)))

    def reached(self, measured: Measured, held: dict[str, Bounds]) -> Measured:
        """What was measured, as large as all views together: see `with_reach`.

        Raises:
            UserError: a rule is about something that is not there.
        """
        rules = [rule for _, rule in self._rules if not isinstance(rule, Camera)]
        return with_reach(self._scene, measured, held, sorted(rules, key=lambda one: ORDER.index(type(one))))

    @property
    def frames(self) -> set[int]:
        """In which views may stand; empty: in the scene's."""
        spans = [
            rule.frames for _, rule in self._rules if isinstance(rule, Time) and rule.per == "view" and rule.frames
        ]
        return {frame for first, last in spans for frame in range(first, last + 1)}

    @property
    def hides(self) -> bool:
        """Whether some of the scene is not in every view."""
        return any(isinstance(rule, Visibility | Distractor) for _, rule in self._rules)

    def apply_to_scene(self, changes: Changes, remarks: list[str]) -> None:
        """What is drawn once; what is good to know of it goes to `remarks`.

        Raises:
            UserError: a rule is about something that is not there.
        """
        self._apply(changes, "scene", None, remarks)

    @contextmanager
    def view(self, draw: int, remarks: list[str]) -> Iterator[None]:
        """While this is open, the scene is that of a view; then it is as it was.

        Args:
            draw: the view's number. remarks: what is good to know of it is added.

        Raises:
            UserError: a rule is about something that is not there.
        """
        with Changes() as changes:
            changes.callback(bpy.context.view_layer.update)
            self._apply(changes, "view", draw, remarks)
            yield

    @contextmanager
    def everything_shown(self) -> Iterator[None]:
        """While this is open, all is there that a view may show."""
        with Changes() as changes:
            for _, rule in self._rules:
                if isinstance(rule, Visibility | Distractor):
                    for thing in selected(self._scene, rule):
                        show(changes, self._scene, thing)
            yield

    def materials(self) -> list[bpy.types.Material]:
        """Those that objects may be given."""
        swaps = [rule.swap for _, rule in self._rules if isinstance(rule, Material) and rule.swap is not None]
        return [material for swap in swaps for material in materials_named(swap)]

    def frame(self, draw: int) -> int | None:
        """In which a view stands; None: in the scene's."""
        frames = [
            self._draws(number, rule, draw)("").whole(rule.frames)
            for number, rule in self._rules
            if isinstance(rule, Time) and rule.per == "view" and rule.frames is not None
        ]
        return frames[-1] if frames else None

    def jitter(self, draw: int, pose: Array, target: Array) -> Array:
        """A camera [4, 4] as the rules of cameras move it."""
        for number, rule in self._rules:
            if isinstance(rule, Camera):
                of = self._draws(number, rule, None if rule.per == "scene" else draw)
                pose = jittered(pose, rule, of(""), target)
        return pose

    def files(self) -> dict[str, str]:
        """Paths and hashes of the pictures that are drawn from."""
        folders = {getattr(rule, "folder", None) for _, rule in self._rules} - {None}
        return {path: sha256_of_file(path) for folder in sorted(folders) for path in pictures_in(folder)}

    def _draws(self, number: int, rule: Rule, view: int | None) -> DrawsOf:
        seed = self._seed if rule.seed is None else rule.seed
        return lambda name: Draws(seed, number, view, name)

    def _apply(self, changes: Changes, per: str, view: int | None, remarks: list[str]) -> None:
        mine = [(number, rule) for number, rule in self._rules if rule.per == per and not isinstance(rule, Camera)]
        mine.sort(key=lambda one: ORDER.index(type(one[1])))
        later = [
            rule for _, rule in self._rules if isinstance(rule, Placement) and (rule.per == "view" or per == "scene")
        ]
        for number, rule in mine:
            of = self._draws(number, rule, view)
            waiting: set[bpy.types.Object] = set()
            if isinstance(rule, Placement):
                later.remove(rule)
                waiting = {one for other in later for root in selected(self._scene, other) for one in family(root)}
            where = "" if view is None else f" in view {view}"
            for lost in self._apply_rule(changes, rule, of, waiting):
                remarks.append(f"{lost.name} finds no place to rest{where}; it is left out")
                hide(changes, lost)

    def _apply_rule(
        self, changes: Changes, rule: Rule, of: DrawsOf, waiting: set[bpy.types.Object]
    ) -> list[bpy.types.Object]:
        """Returns what found no place."""
        scene = self._scene
        match rule:
            case Time():
                changes.callback(scene.frame_set, scene.frame_current, subframe=scene.frame_subframe)
                scene.frame_set(of("").whole(rule.frames or (1, 1)))
            case World():
                change_world(changes, scene, rule, of(""))
            case Background():
                change_background(changes, scene, rule, of(""))
            case Light():
                _change_lights(changes, scene, rule, of)
            case Material():
                change_materials(changes, scene, rule, of)
            case Texture():
                change_textures(changes, scene, rule, of)
            case Visibility():
                _show_some(changes, scene, rule, of)
            case Distractor():
                things = selected(scene, rule)
                shown = of("").some(things, of("count").whole(rule.count))
                show_these(changes, scene, shown, things)
                return place(changes, scene, rule, shown, of, waiting)
            case Pose():
                return place(changes, scene, rule, selected(scene, rule), of, waiting)
        return []


def hide(changes: Changes, thing: bpy.types.Object) -> None:
    """Leave it and its children out of renders."""
    for member in family(thing):
        changes.freeze(member)
        changes.put(member, "hide_render", True)


def show_these(
    changes: Changes, scene: bpy.types.Scene, shown: list[bpy.types.Object], things: list[bpy.types.Object]
) -> None:
    """Show some of `things`, and leave out the others."""
    for thing in things:
        if thing in shown:
            show(changes, scene, thing)
        else:
            hide(changes, thing)


def show(changes: Changes, scene: bpy.types.Scene, thing: bpy.types.Object) -> None:
    """Let it render, with those of its children that are hidden as it is, wherever its collection is."""
    hidden = thing.hide_render
    for member in family(thing):
        changes.freeze(member)
        if hidden:
            changes.put(member, "hide_render", False)
        changes.put(member, "hide_viewport", member.hide_render)
        if member not in scene.collection.objects.values():
            scene.collection.objects.link(member)
            changes.callback(scene.collection.objects.unlink, member)


def _show_some(changes: Changes, scene: bpy.types.Scene, rule: Visibility, of: DrawsOf) -> None:
    things = selected(scene, rule)
    if rule.count is not None:
        shown = of("").some(things, of("count").whole(rule.count))
    else:
        shown = [thing for thing in things if of(thing.name).number((0.0, 1.0)) < (rule.chance or 0.0)]
    show_these(changes, scene, shown, things)


def _change_lights(changes: Changes, scene: bpy.types.Scene, rule: Light, of: DrawsOf) -> None:
    lights: Any = [member for thing in selected(scene, rule) for member in family(thing) if member.type == "LIGHT"]
    if not lights:
        raise UserError("a rule of randomise for lights selects none; select lights, or what holds some")
    if any(given is not None for given in (rule.move, rule.inside, rule.turn)):
        move_lightly(changes, scene, rule, selected(scene, rule), of)
    for data in sorted({light.data for light in lights}, key=lambda one: one.name_full):
        draws = of(data.name)
        changes.freeze(data)
        if rule.colour is not None:
            changes.put(data, "color", tuple(draws.vector(rule.colour)))
        if rule.strength is not None:
            changes.put(data, "energy", data.energy * draws.number(rule.strength))
