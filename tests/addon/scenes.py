# SPDX-License-Identifier: GPL-3.0-or-later
"""Small scenes whose pictures can be computed by hand, and a reader of EXRs that is not ours."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from radiance_twin.core.rendering.rigs import RigShape

SETTINGS: dict[str, Any] = {
    "rig": "hemisphere",
    "views": 2,
    "val_views": 0,
    "test_views": 0,
    "resolution": [24, 18],
    "samples": 1,
    "reference_samples": 2,
    "denoise": False,
    "motion_blur": False,
    "film": "auto",
    "target": None,
    "seed": 0,
    "cycles_device": "cpu",
    "allow_newer": False,
    "least_target": 0.02,
    "frames": None,
    "train_camera": None,
    "test_camera": None,
    **asdict(RigShape()),
    "poses": None,
    "add": None,
    "randomise": [],
    "passes": [],
    "moving": False,
    "labels": False,
    "classes": [],
    "keypoints": [],
    "camera_model": "scene",
    "intrinsics": [0.0] * 4,
    "distortion": [0.0] * 6,
    "fisheye_fov": 180.0,
}


def new_scene() -> bpy.types.Scene:
    """An empty scene in frames 1 to 10, set up for Cycles, lit by a grey world."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.preferences.filepaths.use_file_compression = False
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.frame_start, scene.frame_end = 1, 10
    scene.world = bpy.data.worlds.new("World")
    light_world((0.5, 0.5, 0.5))
    return scene


def light_world(colour: Any) -> None:
    """Let the world shine evenly."""
    nodes_of(bpy.context.scene.world)["Background"].inputs["Color"].default_value = (*colour, 1.0)


def nodes_of(owner: Any) -> Any:
    """The nodes of a material or world, which has them from the start since Blender 5."""
    if owner.node_tree is None:
        owner.use_nodes = True
    return owner.node_tree.nodes


def add_object(name: str, vertices: Any, faces: Any, location: Any = (0.0, 0.0, 0.0)) -> bpy.types.Object:
    """A mesh in the scene."""
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata([tuple(map(float, v)) for v in vertices], [], faces)
    item = bpy.data.objects.new(name, mesh)
    item.location = location
    bpy.context.scene.collection.objects.link(item)
    return item


def add_box(name: str, size: Any = (2.0, 2.0, 2.0), location: Any = (0.0, 0.0, 0.0)) -> bpy.types.Object:
    """An axis-aligned box around `location`."""
    corners = [(x, y, z) for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)]
    faces = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    return add_object(name, np.array(corners) * size, faces, location)


def add_ball(name: str, radius: float, location: Any, segments: int = 16) -> bpy.types.Object:
    """A smooth sphere: a cube of segments x segments squares a side, blown up."""
    angle = np.linspace(-np.pi / 4, np.pi / 4, segments + 1)
    u, v = np.meshgrid(np.tan(angle), np.tan(angle), indexing="ij")
    side = np.stack([u, v, np.ones_like(u)], axis=-1).reshape(-1, 3)
    sides = [side[:, order] * sign for sign in (1, -1) for order in ([0, 1, 2], [1, 2, 0], [2, 0, 1])]
    vertices = np.concatenate(sides)
    vertices *= radius / np.linalg.norm(vertices, axis=1, keepdims=True)
    corner = np.arange(len(side)).reshape(segments + 1, segments + 1)
    square = np.stack([corner[:-1, :-1], corner[1:, :-1], corner[1:, 1:], corner[:-1, 1:]], axis=-1).reshape(-1, 4)
    # mirrored sides are wound the other way round
    faces = [(square if index < 3 else square[:, ::-1]) + index * len(side) for index in range(6)]
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(vertices, [], np.concatenate(faces), shade_flat=False)
    # the corners' own normals, or the seams between the sides would show
    mesh.normals_split_custom_set_from_vertices(vertices / radius)
    item = bpy.data.objects.new(name, mesh)
    item.location = location
    bpy.context.scene.collection.objects.link(item)
    return item


def add_camera(location: Any, rotation: Any, **data: Any) -> bpy.types.Object:
    """The scene's camera; `data` are its lens, shift_x ..."""
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    camera.location, camera.rotation_euler = location, rotation
    for name, value in data.items():
        setattr(camera.data, name, value)
    bpy.context.scene.collection.objects.link(camera)
    bpy.context.scene.camera = camera
    return camera


def animate(owner: Any, path: str, first: Any, last: Any) -> None:
    """Let a property run from `first` in frame 1 to `last` in frame 10."""
    for frame, value in ((1, first), (10, last)):
        setattr(owner, path, value)
        owner.keyframe_insert(path, frame=frame)
    bpy.context.scene.frame_set(1)


def add_nodes(item: bpy.types.Object, kind: str, **inputs: Any) -> None:
    """A modifier of one geometry node, through which the object goes if the node takes geometry."""
    tree: Any = bpy.data.node_groups.new(kind, "GeometryNodeTree")
    for direction in ("INPUT", "OUTPUT"):
        tree.interface.new_socket("Geometry", in_out=direction, socket_type="NodeSocketGeometry")
    start, node, end = (tree.nodes.new(name) for name in ("NodeGroupInput", kind, "NodeGroupOutput"))
    for name, value in inputs.items():
        node.inputs[name].default_value = value
    if node.inputs[0].type == "GEOMETRY":
        tree.links.new(start.outputs[0], node.inputs[0])
    tree.links.new(node.outputs[0], end.inputs[0])
    modifier: Any = item.modifiers.new(kind, "NODES")
    modifier.node_group = tree


def link_from(file: Path, collection: str) -> bpy.types.Collection:
    """A collection of another file, linked into the scene."""
    with bpy.data.libraries.load(str(file), link=True) as (_, wanted):
        wanted.collections = [collection]
    linked = bpy.data.collections[collection]
    bpy.context.scene.collection.children.link(linked)
    return linked


def add_collection(name: str, *members: bpy.types.Object) -> bpy.types.Collection:
    """A collection in the scene, into which objects are moved."""
    made = bpy.data.collections.new(name)
    bpy.context.scene.collection.children.link(made)
    for member in members:
        bpy.context.scene.collection.objects.unlink(member)
        made.objects.link(member)
    return made


def make_emitter(item: bpy.types.Object, strength: float) -> None:
    """Let it glow and reflect nothing."""
    material = bpy.data.materials.new("Glow")
    nodes = nodes_of(material)
    nodes.clear()
    glow, output = nodes.new("ShaderNodeEmission"), nodes.new("ShaderNodeOutputMaterial")
    glow.inputs["Strength"].default_value = strength
    material.node_tree.links.new(glow.outputs[0], output.inputs["Surface"])
    item.data.materials.append(material)


def save(path: Path) -> Path:
    """Save the scene as it is."""
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    return path


def request(scene: Path, staging: Path, **settings: Any) -> dict[str, Any]:
    """What Blender's part is asked for; the folder is made."""
    staging.mkdir(exist_ok=True)
    return {
        "scene": str(scene),
        "staging": str(staging),
        "settings": {**SETTINGS, **settings},
        "skip": [],
        "only": None,
    }


def read_exr(path: Path) -> dict[str, np.ndarray]:
    """Passes [H, W, channels] of a multilayer EXR by OpenImageIO, which Blender bundles."""
    bpy.utils.expose_bundled_modules()
    import OpenImageIO

    source = OpenImageIO.ImageInput.open(str(path))
    channels: dict[str, dict[str, np.ndarray]] = {}
    part = 0
    while source.seek_subimage(part, 0):
        pixels = source.read_image(part, 0, 0, source.spec().nchannels, OpenImageIO.FLOAT)
        for index, name in enumerate(source.spec().channelnames):
            _, pass_name, letter = name.rsplit(".", 2)
            channels.setdefault(pass_name, {})[letter] = pixels[..., index]
        part += 1
    source.close()
    order = "RGBArgbaXYZW"
    return {name: np.stack([c[k] for k in sorted(c, key=order.find)], axis=-1) for name, c in channels.items()}


def read_cryptomatte(path: Path) -> dict[str, int]:
    """The manifest of objects in an EXR by OpenImageIO: an object's name to its hash."""
    bpy.utils.expose_bundled_modules()
    import OpenImageIO

    source = OpenImageIO.ImageInput.open(str(path))
    found = {attribute.name: attribute.value for attribute in source.spec().extra_attribs}
    source.close()
    for name, value in found.items():
        if name.startswith("cryptomatte/") and str(value).endswith("CryptoObject"):
            manifest = json.loads(found[name.replace("/name", "/manifest")])
            return {thing: int(number, 16) for thing, number in manifest.items()}
    return {}
