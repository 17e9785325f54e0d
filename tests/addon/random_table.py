# SPDX-License-Identifier: GPL-3.0-or-later
"""A small scene for rules to work on, and all of a file's state, to see that it is as before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import numpy as np

from radiance_twin.addon.studio.randomise.apply import Randomiser

from .scenes import add_box, animate, new_scene, nodes_of

BOXES = [f"Box.{number}" for number in range(5)]
LISTS = ("objects", "scenes", "worlds", "materials", "lights", "images", "meshes", "collections", "actions", "cameras")

# of Blender, which no user sees
BOOKKEEPING = ("rna_type", "session_uid", "users", "is_evaluated", "is_library_indirect")


def values_of(owner: Any) -> dict[str, Any]:
    """All properties of a thing of Blender that are no things themselves; of those the names."""
    found = {}
    for name, kind in owner.bl_rna.properties.items():
        if name in BOOKKEEPING or kind.type == "COLLECTION":
            continue
        value = getattr(owner, name)
        if kind.type == "POINTER":
            found[name] = getattr(value, "name", None) if value is not None else None
        elif hasattr(value, "__len__") and not isinstance(value, str | set):
            found[name] = np.array(value).tolist()
        else:
            found[name] = value
    return found


def state() -> dict[str, Any]:
    """The whole file: every datablock with its values, matrices, nodes, links, constraints, slots and animation."""
    bpy.context.view_layer.update()
    found: dict[str, Any] = {}
    for kind in LISTS:
        for one in getattr(bpy.data, kind):
            found[f"{kind} {one.name}"] = values_of(one)
            tree, animation = getattr(one, "node_tree", None), getattr(one, "animation_data", None)
            if tree is not None:
                for node in tree.nodes:
                    inputs = {i.name: np.array(getattr(i, "default_value", 0)).tolist() for i in node.inputs}
                    found[f"{kind} {one.name} {node.name}"] = values_of(node) | inputs
                links = {
                    (link.from_node.name, link.to_node.name, link.to_socket.name, link.is_muted) for link in tree.links
                }
                found[f"{kind} {one.name} links"] = links
            if animation is not None:
                found[f"{kind} {one.name} animation"] = values_of(animation)
                found[f"{kind} {one.name} drivers"] = [driver.mute for driver in animation.drivers]
            if kind == "objects":
                found[f"{one.name} constraints"] = [values_of(constraint) for constraint in one.constraints]
                found[f"{one.name} slots"] = [values_of(slot) for slot in one.material_slots]
            if kind == "collections":
                found[f"{one.name} objects"] = sorted(thing.name for thing in one.objects)
    scene = bpy.context.scene
    found["shown"] = sorted(thing.name for thing in scene.collection.objects)
    return found


def randomiser(*rules: dict[str, Any], seed: int = 0) -> Randomiser:
    return Randomiser(bpy.context.scene, list(rules), seed)


def paint(thing: bpy.types.Object, name: str) -> bpy.types.Material:
    """A material with a Principled BSDF."""
    material = bpy.data.materials.new(name)
    nodes_of(material)
    thing.data.materials.append(material)
    return material


def shader_of(material: bpy.types.Material) -> Any:
    return next(node for node in material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")


def picture(path: Path, colour: tuple[float, float, float], size: tuple[int, int] = (4, 4)) -> Path:
    """A picture of one colour as a file."""
    image = bpy.data.images.new("picture", *size)
    image.pixels = (*colour, 1.0) * (size[0] * size[1])
    image.filepath_raw, image.file_format = str(path), "PNG"
    image.save()
    bpy.data.images.remove(image)
    return path


def places(names: list[str]) -> np.ndarray:
    return np.array([bpy.data.objects[name].matrix_world for name in names])


def table() -> bpy.types.Scene:
    """A table of 4 x 4, its top at height 0, with five boxes of 0.4 beside it, and a light."""
    scene = new_scene()
    add_box("Table", (4, 4, 0.2), (0, 0, -0.1))
    for number in range(5):
        box = add_box(f"Box.{number}", (0.4, 0.4, 0.4), (5, number, 0))
        box["movable"] = True
    light = bpy.data.objects.new("Lamp", bpy.data.lights.new("Lamp", "POINT"))
    light.location = (0, 0, 3)
    light.data.energy = 100
    scene.collection.objects.link(light)
    bpy.context.view_layer.update()
    return scene


EVERYTHING = (
    {"what": "pose", "select": "Box.[01]", "on": "Table", "settle": True, "turn": [[0, 360]] * 3},
    {"what": "distractor", "select": "Box.[23]", "count": [1, 1], "move": [[-9, -6], [0, 0], [0, 0]]},
    {"what": "visibility", "select": "Box.4", "chance": 0.0},
    {"what": "light", "select": "Lamp", "inside": "Table", "strength": [2, 3]},
    {"what": "world", "sun": [10, 20]},
    {"what": "background", "colour": [[1, 1], [0, 1], [0, 0]]},
    {"what": "material", "select": "Box.*", "roughness": [0, 1], "alpha": [0, 1]},
    {"what": "texture", "materials": "Paint", "folder": "//pictures"},
    {"what": "time", "frames": [4, 9]},
)


def everything(tmp_path: Path) -> Randomiser:
    """A scene with animation and drivers, and all rules at once."""
    scene = table()
    (tmp_path / "pictures").mkdir()
    picture(tmp_path / "pictures" / "a.png", (0, 0, 1))
    box, lamp = bpy.data.objects["Box.4"], bpy.data.objects["Lamp"]
    material = paint(box, "Paint")
    animate(box, "location", (0, 0, 1), (1, 0, 1))
    animate(box, "hide_render", False, False)
    animate(lamp.data, "energy", 10.0, 20.0)
    animate(shader_of(material).inputs["Roughness"], "default_value", 0.1, 0.9)
    driver = shader_of(material).inputs["Alpha"].driver_add("default_value").driver
    driver.expression = "0.5"
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    scene.frame_set(3)
    return randomiser(*EVERYTHING)
