# SPDX-License-Identifier: GPL-3.0-or-later
"""What is around the scene: worlds of our own in the place of its own, and pictures behind everything."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np

from ....core.errors import UserError
from ....core.rendering.randomisation import Draws
from ....core.rendering.rules import Background, World
from ... import compat
from .changes import Changes
from .select import pictures_in

# what a clear sky has of its brightness in nature, at which a view transform shows it as white
SKY_STRENGTH = 0.1
# pixels across the map of where a world is bright, which Cycles makes anew for each: 3 s for the one of its choice
BRIGHTNESS_MAP = 1024


def change_world(changes: Changes, scene: bpy.types.Scene, rule: World, draws: Draws) -> None:
    """Let an HDRI, a clear sky, a colour, or else the scene's own world shine.

    Raises:
        UserError: the scene's own does not shine, or the folder has no pictures.
    """
    if rule.folder is None and rule.sun is None and rule.colour is None:
        tree: Any = _copied(changes, scene).node_tree
        shining = [node for node in tree.nodes if node.type == "BACKGROUND"]
    else:
        world: Any = changes.add(bpy.data.worlds, "Radiance Twin world")
        tree = compat.tree_of(world)
        tree.nodes.clear()
        shining = [tree.nodes.new("ShaderNodeBackground")]
        tree.links.new(shining[0].outputs[0], tree.nodes.new("ShaderNodeOutputWorld").inputs["Surface"])
        angle = np.radians(draws.number(rule.angle)) if rule.angle is not None else 0.0
        if rule.folder is not None:
            picture, mapping = _mapped_picture(tree, "ShaderNodeTexEnvironment", "Generated", shining[0])
            picture.image = changes.picture(draws.choice(pictures_in(rule.folder)))
            mapping.inputs["Rotation"].default_value = (0.0, 0.0, angle)
        elif rule.sun is not None:
            sky = tree.nodes.new("ShaderNodeTexSky")
            sky.sky_type = compat.clear_sky()
            sky.sun_elevation, sky.sun_rotation = np.radians(draws.number(rule.sun)), angle
            shining[0].inputs["Strength"].default_value = SKY_STRENGTH
            tree.links.new(sky.outputs["Color"], shining[0].inputs["Color"])
        elif rule.colour is not None:
            shining[0].inputs["Color"].default_value = (*draws.vector(rule.colour), 1.0)
        _sample_quickly(world)
        changes.put(scene, "world", world)
    if rule.strength is not None:
        if not shining:
            raise UserError(
                "a rule of randomise finds no Background in the scene's world whose strength it could draw; "
                "add a world, or let the rule name a colour, a sun or a folder"
            )
        factor = draws.number(rule.strength)
        for node in shining:
            node.inputs["Strength"].default_value *= factor


def change_background(changes: Changes, scene: bpy.types.Scene, rule: Background, draws: Draws) -> None:
    """Let cameras see a picture or a colour where there is nothing else; it fills the view and keeps its shape."""
    tree: Any = _copied(changes, scene).node_tree
    output = tree.get_output_node("CYCLES") or tree.nodes.new("ShaderNodeOutputWorld")
    shining = [link.from_socket for link in output.inputs["Surface"].links]
    behind = tree.nodes.new("ShaderNodeBackground")
    if rule.folder is not None:
        image: Any = changes.picture(draws.choice(pictures_in(rule.folder)))
        picture, mapping = _mapped_picture(tree, "ShaderNodeTexImage", "Window", behind)
        picture.image, picture.extension = image, "EXTEND"
        view = scene.render.resolution_x / scene.render.resolution_y
        wider = (image.size[0] / image.size[1]) / view
        scale = np.array([1.0 / max(wider, 1.0), min(wider, 1.0), 1.0])
        mapping.inputs["Scale"].default_value = scale
        mapping.inputs["Location"].default_value = 0.5 - 0.5 * scale
    elif rule.colour is not None:
        behind.inputs["Color"].default_value = (*draws.vector(rule.colour), 1.0)
    path, mix = tree.nodes.new("ShaderNodeLightPath"), tree.nodes.new("ShaderNodeMixShader")
    tree.links.new(path.outputs["Is Camera Ray"], mix.inputs[0])
    if shining:
        tree.links.new(shining[0], mix.inputs[1])
    tree.links.new(behind.outputs[0], mix.inputs[2])
    tree.links.new(mix.outputs[0], output.inputs["Surface"])


def _mapped_picture(tree: Any, kind: str, coordinates: str, background: Any) -> tuple[Any, Any]:
    """New nodes of a `kind` of picture, which colours a background by these coordinates, and of their mapping."""
    picture, mapping = tree.nodes.new(kind), tree.nodes.new("ShaderNodeMapping")
    tree.links.new(tree.nodes.new("ShaderNodeTexCoord").outputs[coordinates], mapping.inputs["Vector"])
    tree.links.new(mapping.outputs["Vector"], picture.inputs["Vector"])
    tree.links.new(picture.outputs["Color"], background.inputs["Color"])
    return picture, mapping


def _sample_quickly(world: bpy.types.World) -> None:
    """Without a map of where an even world is bright, and with a small one of any other."""
    settings = compat.cycles_of(world)
    if settings.sampling_method == "AUTOMATIC":
        even = not any(node.type.startswith("TEX_") for node in compat.tree_of(world).nodes)
        settings.sampling_method = "NONE" if even else "MANUAL"
        settings.sample_map_resolution = BRIGHTNESS_MAP


def _copied(changes: Changes, scene: bpy.types.Scene) -> bpy.types.World:
    """A copy of the scene's world in its place, as animation makes it in this frame."""
    copy: bpy.types.World = (
        scene.world.copy() if scene.world is not None else bpy.data.worlds.new("Radiance Twin world")
    )
    changes.callback(bpy.data.worlds.remove, copy)
    tree = compat.tree_of(copy)
    if scene.world is None:
        tree.nodes.clear()  # a new world shines a little, none does not
    changes.put(scene, "world", copy)
    for owner in (copy, tree):
        owner.animation_data_clear()
    _sample_quickly(copy)
    return copy
