# SPDX-License-Identifier: GPL-3.0-or-later
"""What things look like: parameters of materials, their pictures, and other materials."""

from __future__ import annotations

from typing import Any

import bpy

from ....core.errors import UserError
from ....core.rendering.randomisation import DrawsOf
from ....core.rendering.rules import Material, Texture
from ... import compat
from .changes import Changes
from .select import family, materials_named, pictures_in, selected, selected_materials

INPUTS = {
    "metallic": "Metallic",
    "roughness": "Roughness",
    "ior": "IOR",
    "alpha": "Alpha",
    "transmission": "Transmission Weight",
    "coat": "Coat Weight",
    "sheen": "Sheen Weight",
    "emission": "Emission Strength",
}
COLOUR = "Base Color"
# how softly the sides of a box-mapped picture meet
BLEND = 0.2


def change_materials(changes: Changes, scene: bpy.types.Scene, rule: Material, of: DrawsOf) -> None:
    """Give objects other materials, and materials other parameters; what fed these is unlinked for the time.

    Raises:
        UserError: no material has a Principled BSDF, or nothing that is selected can have a material.
    """
    if rule.swap is not None:
        _swap(changes, scene, rule, materials_named(rule.swap), of)
    ranges = {name: getattr(rule, name) for name in INPUTS if getattr(rule, name) is not None}
    if rule.colour is None and not ranges:
        return
    for material, shaders in _with_shaders(selected_materials(scene, rule)):
        draws = of(material.name)
        colour = None if rule.colour is None else (*draws.vector(rule.colour), 1.0)
        values: dict[str, Any] = {INPUTS[name]: draws.number(limits) for name, limits in ranges.items()}
        _freeze(changes, material)
        for shader in shaders:
            for name, value in {**values, **({} if colour is None else {COLOUR: colour})}.items():
                _unlink(changes, material.node_tree, shader.inputs[name])
                changes.put(shader.inputs[name], "default_value", value)


def change_textures(changes: Changes, scene: bpy.types.Scene, rule: Texture, of: DrawsOf) -> None:
    """Put other pictures in the place of those that colour materials; materials without one get it box-mapped.

    Raises:
        UserError: no material has a Principled BSDF, or the folder has no pictures.
    """
    paths = pictures_in(rule.folder or "")
    for material, shaders in _with_shaders(selected_materials(scene, rule)):
        image = changes.picture(of(material.name).choice(paths))
        _freeze(changes, material)
        for shader in shaders:
            pictures = _pictures_before(shader.inputs[COLOUR])
            for node in pictures:
                changes.put(node, "image", image)
            if not pictures:
                _paper(changes, material.node_tree, shader.inputs[COLOUR], image)


def _swap(
    changes: Changes, scene: bpy.types.Scene, rule: Material, choices: list[bpy.types.Material], of: DrawsOf
) -> None:
    able = 0
    for root in selected(scene, rule):
        material = of(root.name).choice(choices)
        for thing in family(root):
            materials: Any = getattr(thing.data, "materials", None)
            able += materials is not None
            if materials is not None and not len(materials) and rule.materials is None:
                # a place for one; others that share the mesh have it too, and look as before
                materials.append(None)
                changes.callback(materials.clear)
            for slot in thing.material_slots:
                _put_into(changes, slot, material, rule)
    if not able:
        raise UserError("a rule of randomise for materials selects nothing that can have one; select meshes or curves")


def _put_into(changes: Changes, slot: bpy.types.MaterialSlot, material: bpy.types.Material, rule: Material) -> None:
    """Another material for one object; others that share its mesh keep theirs."""
    if rule.materials is not None and slot.material not in materials_named(rule.materials):
        return
    changes.put(slot, "link", "OBJECT")
    changes.put(slot, "material", material)


def _with_shaders(materials: list[bpy.types.Material]) -> list[tuple[Any, list[Any]]]:
    """Each material that has any with its Principled BSDFs."""
    found = []
    for material in materials:
        nodes: Any = material.node_tree.nodes if compat.has_nodes(material) else ()
        shaders = [node for node in nodes if node.type == "BSDF_PRINCIPLED"]
        if shaders:
            found.append((material, shaders))
    if not found:
        some = ", ".join(material.name for material in materials[:8])
        raise UserError(f"a rule of randomise finds no Principled BSDF in {some}; name other materials")
    return found


def _freeze(changes: Changes, material: bpy.types.Material) -> None:
    changes.freeze(material)
    changes.freeze(material.node_tree)


def _pictures_before(socket: Any) -> list[Any]:
    """Nodes of pictures, less those of data, that a socket's value is made from."""
    found = []
    waiting, seen = [link.from_node for link in socket.links], set()
    while waiting:
        node = waiting.pop()
        if node.name in seen:
            continue
        seen.add(node.name)
        if node.type == "TEX_IMAGE" and (node.image is None or not node.image.colorspace_settings.is_data):
            found.append(node)
        waiting += [link.from_node for inner in node.inputs for link in inner.links]
    return found


def _paper(changes: Changes, tree: Any, socket: Any, image: bpy.types.Image) -> None:
    """Colour a socket by a picture, seen on all sides of the object's box."""
    _unlink(changes, tree, socket)
    picture, coordinates = tree.nodes.new("ShaderNodeTexImage"), tree.nodes.new("ShaderNodeTexCoord")
    for node in (picture, coordinates):
        changes.callback(tree.nodes.remove, node)
    picture.projection, picture.projection_blend = "BOX", BLEND
    changes.put(picture, "image", image)
    tree.links.new(coordinates.outputs["Generated"], picture.inputs["Vector"])
    tree.links.new(picture.outputs["Color"], socket)


def _unlink(changes: Changes, tree: Any, socket: Any) -> None:
    for link in list(socket.links):
        changes.callback(_link_again, tree, link.from_socket, socket, link.is_muted)
        tree.links.remove(link)


def _link_again(tree: Any, start: Any, end: Any, is_muted: bool) -> None:
    tree.links.new(start, end).is_muted = is_muted
