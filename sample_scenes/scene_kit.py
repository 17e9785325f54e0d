# SPDX-License-Identifier: GPL-3.0-or-later
"""What the three sample scenes are made with: lathes, tubes, leaves, materials, lights, cameras, saving.

Everything is built from data (no operators), so the result does not depend on selection, mode or history.
Lengths are metres, colours scene-linear Rec.709, angles radians; z is up.
"""

from __future__ import annotations

import fnmatch
import itertools
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix, Vector

Colour = tuple[float, float, float]
Array = np.ndarray[Any, Any]
Place = Sequence[float] | Array
Points = Sequence[Place] | Array
# what an object's data or a node has depends on its kind, which Blender's type stubs do not follow
Object = Any
Scene = Any
World = Any
Light = Any
Nodes = Any
Node = Any
Socket = Any


def open_scene() -> Scene:
    """The scene of the open file."""
    return bpy.context.scene


def empty_scene(name: str) -> Scene:
    """Forget everything that is open and return one empty scene with the settings all samples share."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = open_scene()
    scene.name = name
    scene.unit_settings.system = "METRIC"
    scene.render.engine = "CYCLES"
    scene.view_settings.view_transform = "AgX"
    cycles = scene.cycles
    cycles.samples = 128
    cycles.use_denoising = True
    cycles.max_bounces = 6
    cycles.diffuse_bounces = 3
    cycles.glossy_bounces = 3
    cycles.transmission_bounces = 6
    cycles.transparent_max_bounces = 8
    # caustics cost hundreds of samples; the shadows of glass stay light through `transparent_shadow` materials instead
    cycles.caustics_reflective = False
    cycles.caustics_refractive = False
    cycles.sample_clamp_indirect = 8.0
    cycles.blur_glossy = 0.5
    return scene


def save(path: Path) -> None:
    """Write the open file, compressed, without a backup beside it."""
    preferences: Any = bpy.context.preferences
    preferences.filepaths.save_version = 0
    bpy.ops.wm.save_as_mainfile(filepath=str(path), compress=True, check_existing=False)


def run(build: Callable[[], None], script: str) -> None:
    """Build a scene and save it beside its script: build_NAME.py makes NAME.blend."""
    build()
    path = Path(script).resolve()
    target = path.with_name(path.stem.removeprefix("build_") + ".blend")
    save(target)
    print(f"{target} {target.stat().st_size // 1024} KB", file=sys.stderr)


def collection(name: str) -> bpy.types.Collection:
    """Return the scene's collection of this name, made at first need."""
    found = bpy.data.collections.get(name)
    if found is None:
        found = bpy.data.collections.new(name)
        open_scene().collection.children.link(found)
    return found


def place(
    thing: Object,
    group: str,
    location: Place = (0.0, 0.0, 0.0),
    rotation: Sequence[float] = (0.0, 0.0, 0.0),
    scale: float | Sequence[float] = 1.0,
) -> Object:
    """Link an object into the collection `group` and put it somewhere."""
    collection(group).objects.link(thing)
    thing.location = location
    thing.rotation_euler = rotation
    thing.scale = (scale, scale, scale) if isinstance(scale, (int, float)) else scale
    return thing


def copy_of(thing: Object, name: str) -> Object:
    """Another object with the same mesh (and modifiers)."""
    twin = thing.copy()
    twin.name = name
    return twin


def classify(classes: dict[str, Sequence[str]]) -> None:
    """Give objects their custom property `class`, which labels go by: the first class that has a pattern for the name.

    Patterns are as in file names. What none fits is a class of its own, by its name.
    """
    for thing in open_scene().objects:
        for name, patterns in classes.items():
            if any(fnmatch.fnmatchcase(thing.name, pattern) for pattern in patterns):
                thing["class"] = name
                break


# ---------------------------------------------------------------------------------------------------- shapes


def smooth_curve(points: Points, steps: int = 8, cyclic: bool = False) -> Array:
    """Catmull-Rom curve through `points` [N,D], `steps` segments between two neighbours -> [M,D]."""
    p = np.asarray(points, dtype=float)
    padded = np.vstack([p[-1:], p, p[:2]]) if cyclic else np.vstack([2 * p[0] - p[1], p, 2 * p[-1] - p[-2]])
    t = np.linspace(0.0, 1.0, steps, endpoint=False)[:, None]
    pieces = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        pieces.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    if not cyclic:
        pieces.append(p[-1:])
    return np.vstack(pieces)


def mesh_object(
    name: str,
    vertices: Iterable[Place],
    faces: Iterable[Sequence[int]],
    material: bpy.types.Material,
    smooth: bool = True,
    sharp_angle: float = math.radians(40),
) -> Object:
    """A mesh object, smooth but for edges sharper than `sharp_angle`."""
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata([tuple(map(float, v)) for v in vertices], [], [tuple(map(int, f)) for f in faces])
    mesh.validate()
    if smooth:
        mesh.shade_smooth()
        mesh.set_sharp_from_angle(angle=sharp_angle)
    mesh.materials.append(material)
    return bpy.data.objects.new(name, mesh)


def lathe(
    name: str, sections: Sequence[Points], material: bpy.types.Material, segments: int = 64, steps: int = 6
) -> Object:
    """Turn a profile about z. Each section is a list of (radius, z); inside one the profile is smooth,
    where two meet there is an edge. List the sections so that the outside is on the right of the way."""
    profile: list[Array] = []
    for section in sections:
        curve = smooth_curve(section, steps) if len(section) > 2 else np.asarray(section, dtype=float)
        profile += [point for point in curve if not profile or np.linalg.norm(point - profile[-1]) > 1e-6]
    angles = np.linspace(0.0, 2 * math.pi, segments, endpoint=False)
    vertices: list[tuple[float, float, float]] = []
    rings: list[list[int]] = []
    for radius, z in profile:
        start = len(vertices)
        if radius < 1e-6:
            vertices.append((0.0, 0.0, z))
            rings.append([start] * segments)
        else:
            vertices += [(radius * math.cos(a), radius * math.sin(a), z) for a in angles]
            rings.append(list(range(start, start + segments)))
    faces = []
    for lower, upper in itertools.pairwise(rings):
        for i in range(segments):
            j = (i + 1) % segments
            corners = dict.fromkeys((lower[i], lower[j], upper[j], upper[i]))
            if len(corners) > 2:
                faces.append(tuple(corners))
    return mesh_object(name, vertices, faces, material)


def sphere(name: str, radius: float, skin: bpy.types.Material, segments: int = 24) -> Object:
    """A sphere about the origin."""
    a = np.linspace(-math.pi / 2, math.pi / 2, segments // 2 + 1)
    profile = np.stack([np.cos(a), np.sin(a)], axis=1) * radius
    profile[[0, -1], 0] = 0.0
    return lathe(name, [profile], skin, segments, steps=1)


def surface(
    name: str,
    grid: Array,
    material: bpy.types.Material,
    thickness: float = 0.0,
    subdivisions: int = 0,
) -> Object:
    """A sheet from a grid of points [U,V,3] (one UV map, 0..1 each way), thickened when asked."""
    thing = mesh_object(name, grid.reshape(-1, 3), sheet_faces(grid.shape[0], grid.shape[1]), material)
    add_grid_uv(thing.data, grid.shape[0], grid.shape[1])
    if thickness:
        solid = thing.modifiers.new("Thickness", "SOLIDIFY")
        solid.thickness = thickness
        solid.offset = 0.0
    if subdivisions:
        subdivide(thing, subdivisions)
    return thing


def sheet_faces(rows: int, columns: int, first: int = 0) -> list[tuple[int, int, int, int]]:
    """The quads of a grid of rows × columns vertices, row by row from vertex `first`."""
    corner = [(first + r * columns + c) for r in range(rows - 1) for c in range(columns - 1)]
    return [(i, i + columns, i + columns + 1, i + 1) for i in corner]


def add_grid_uv(mesh: bpy.types.Mesh, rows: int, columns: int) -> None:
    """Give a grid mesh the UV map (row, column) / (count - 1)."""
    uv: Any = mesh.uv_layers.new(name="UVMap")
    index = np.empty(len(mesh.loops), dtype=np.int32)
    mesh.loops.foreach_get("vertex_index", index)
    coordinates = np.stack([(index // columns) / (rows - 1), (index % columns) / (columns - 1)], axis=1)
    uv.data.foreach_set("uv", coordinates.astype(np.float32).ravel())


def wires(
    name: str,
    lines: Iterable[Points],
    radius: float,
    material: bpy.types.Material,
    cyclic: bool = False,
    resolution: int = 2,
) -> Object:
    """Round wires along polylines [N,3] or, tapering, [N,4] with a relative radius as the fourth number."""
    curve = bpy.data.curves.new(name, "CURVE")
    curve.dimensions = "3D"
    curve.bevel_depth = radius
    curve.bevel_resolution = resolution
    curve.use_fill_caps = True
    for line in lines:
        spline = curve.splines.new("POLY")
        spline.points.add(len(line) - 1)
        for point, values in zip(spline.points, line, strict=True):
            point.co = (*map(float, values[:3]), 1.0)
            point.radius = float(values[3]) if len(values) > 3 else 1.0
        spline.use_cyclic_u = cyclic
        spline.use_smooth = True
    curve.materials.append(material)
    return bpy.data.objects.new(name, curve)


def box(
    name: str, size: Sequence[float], material: bpy.types.Material, bevel: float = 0.0, segments: int = 3
) -> Object:
    """A box that stands on z = 0, its edges rounded by `bevel`."""
    x, y, z = size[0] / 2, size[1] / 2, size[2]
    corners = [(i * x, j * y, k * z) for k in (0, 1) for j in (-1, 1) for i in (-1, 1)]
    quads = [(0, 2, 3, 1), (4, 5, 7, 6), (0, 1, 5, 4), (2, 6, 7, 3), (0, 4, 6, 2), (1, 3, 7, 5)]
    thing = mesh_object(name, corners, quads, material)
    if bevel:
        rounding = thing.modifiers.new("Rounding", "BEVEL")
        rounding.width = bevel
        rounding.segments = segments
    return thing


def subdivide(thing: Object, levels: int) -> Object:
    """Smooth an object by subdivision, alike in the viewport and in renders."""
    modifier = thing.modifiers.new("Subdivision", "SUBSURF")
    modifier.levels = modifier.render_levels = levels
    return thing


# ------------------------------------------------------------------------------------------------- materials


def node_tree(owner: bpy.types.Material | World) -> Nodes:
    """The owner's node tree; Blender 5 always has one, 4.5 makes it when asked."""
    if owner.node_tree is None:
        owner.use_nodes = True
    return owner.node_tree


def material(
    name: str,
    colour: Colour,
    roughness: float = 0.6,
    metallic: float = 0.0,
    coat: float = 0.0,
    subsurface: float = 0.0,
    transmission: float = 0.0,
    ior: float = 1.5,
) -> bpy.types.Material:
    """A Principled material. `subsurface` is the mean free path in metres (0: none)."""
    made = bpy.data.materials.new(name)
    principled = shader(made)
    values = {
        "Base Color": (*colour, 1.0),
        "Roughness": roughness,
        "Metallic": metallic,
        "Coat Weight": coat,
        "Coat Roughness": 0.15,
        "Transmission Weight": transmission,
        "IOR": ior,
        "Subsurface Weight": 1.0 if subsurface else 0.0,
        "Subsurface Scale": subsurface,
        "Subsurface Radius": (1.0, 0.5, 0.3),
    }
    for socket, value in values.items():
        principled.inputs[socket].default_value = value
    made.diffuse_color = (*colour, 1.0)  # type: ignore[assignment]
    return made


def shader(of: bpy.types.Material) -> Node:
    """The material's Principled node."""
    return next(node for node in node_tree(of).nodes if node.type == "BSDF_PRINCIPLED")


def add_node(tree: Nodes, kind: str, **inputs: object) -> Node:
    """A node with some inputs set (underscores stand for spaces) or, given a socket, linked."""
    node = tree.nodes.new(kind)
    for name, value in inputs.items():
        socket = node.inputs[name.replace("_", " ")]
        if isinstance(value, bpy.types.NodeSocket):
            tree.links.new(value, socket)
        else:
            socket.default_value = value
    return node


def ramp(tree: Nodes, factor: Socket, stops: Sequence[tuple[float, Colour]], mode: str = "LINEAR") -> Socket:
    """A colour ramp over `factor`; returns its colour."""
    node = add_node(tree, "ShaderNodeValToRGB", Fac=factor)
    elements = node.color_ramp.elements
    node.color_ramp.interpolation = mode
    while len(elements) < len(stops):
        elements.new(1.0)
    for element, (position, colour) in zip(elements, stops, strict=True):
        element.position = position
        element.color = (*colour, 1.0)
    return node.outputs["Color"]


def coordinates(tree: Nodes, scale: Sequence[float] = (1.0, 1.0, 1.0), kind: str = "Object") -> Socket:
    """The shading point in the object's own space (or another output of Texture Coordinate), scaled."""
    source = tree.nodes.new("ShaderNodeTexCoord").outputs[kind]
    return add_node(tree, "ShaderNodeMapping", Vector=source, Scale=scale).outputs["Vector"]


def axis(tree: Nodes, vector: Socket, index: int) -> Socket:
    """One component of a vector."""
    return add_node(tree, "ShaderNodeSeparateXYZ", Vector=vector).outputs[index]


def remap(tree: Nodes, value: Socket, low: float, high: float) -> Socket:
    """`value` between low and high, as 0..1."""
    return add_node(tree, "ShaderNodeMapRange", Value=value, From_Min=low, From_Max=high).outputs["Result"]


def colour_from(of: bpy.types.Material, socket: Socket) -> bpy.types.Material:
    """Let `socket` colour the material."""
    node_tree(of).links.new(socket, shader(of).inputs["Base Color"])
    return of


def zigzag(tree: Nodes, value: Socket, vector: Socket, teeth: int, depth: float) -> Socket:
    """`value` raised and lowered by up to `depth`, `teeth` times around the z axis: bands become chevrons or stars."""
    turn = add_node(tree, "ShaderNodeTexGradient", Vector=vector)
    turn.gradient_type = "RADIAL"
    scaled = tree.nodes.new("ShaderNodeMath")
    scaled.operation, scaled.inputs[1].default_value = "MULTIPLY", float(teeth)
    tree.links.new(turn.outputs["Fac"], scaled.inputs[0])
    folded = tree.nodes.new("ShaderNodeMath")
    folded.operation, folded.inputs[1].default_value = "PINGPONG", 0.5
    tree.links.new(scaled.outputs[0], folded.inputs[0])
    added = tree.nodes.new("ShaderNodeMath")
    added.operation, added.inputs[1].default_value = "MULTIPLY_ADD", 2.0 * depth
    tree.links.new(folded.outputs[0], added.inputs[0])
    tree.links.new(value, added.inputs[2])
    return added.outputs[0]


def mottled(of: bpy.types.Material, colours: Sequence[Colour], scale: float, detail: float = 2.0) -> bpy.types.Material:
    """Cloudy variation between colours; `scale` in blobs per metre."""
    tree = node_tree(of)
    noise = add_node(tree, "ShaderNodeTexNoise", Vector=coordinates(tree), Scale=scale, Detail=detail)
    stops = [(0.35 + 0.3 * i / (len(colours) - 1), colour) for i, colour in enumerate(colours)]
    return colour_from(of, ramp(tree, noise.outputs["Fac"], stops))


def graded(
    of: bpy.types.Material, low: float, high: float, stops: Sequence[tuple[float, Colour]], wobble: float = 0.0
) -> bpy.types.Material:
    """Colour by height in the object's own space, `low`..`high` metres; `wobble` metres of unevenness."""
    tree = node_tree(of)
    height = axis(tree, coordinates(tree), 2)
    if wobble:
        noise = add_node(tree, "ShaderNodeTexNoise", Vector=coordinates(tree), Scale=0.35 / wobble, Detail=1.0)
        shift = add_node(tree, "ShaderNodeMath")
        shift.operation = "MULTIPLY_ADD"
        tree.links.new(noise.outputs["Fac"], shift.inputs[0])
        shift.inputs[1].default_value = 2 * wobble
        tree.links.new(height, shift.inputs[2])
        height = shift.outputs[0]
    return colour_from(of, ramp(tree, remap(tree, height, low, high), stops))


def wood(name: str, light: Colour, dark: Colour, scale: float, roughness: float = 0.45) -> bpy.types.Material:
    """Grain along x: stretched noise bends wide bands of two tones; `scale` in bands per metre."""
    made = material(name, light, roughness)
    tree = node_tree(made)
    bands = add_node(
        tree,
        "ShaderNodeTexWave",
        Vector=coordinates(tree, (0.12, 1.0, 1.0)),
        Scale=scale / 3.2,
        Distortion=6.0,
        Detail=2.0,
        Detail_Scale=1.2,
    )
    bands.bands_direction = "Y"
    middle: Colour = tuple((a + b) / 2 for a, b in zip(light, dark, strict=True))  # type: ignore[assignment]
    return colour_from(made, ramp(tree, bands.outputs["Fac"], [(0.0, dark), (0.35, middle), (1.0, light)]))


def translucent(of: bpy.types.Material, colour: Colour, share: float) -> bpy.types.Material:
    """Let thin leaves and petals glow when lit from behind: `share` of the light goes through, tinted `colour`."""
    tree = node_tree(of)
    through = add_node(tree, "ShaderNodeBsdfTranslucent", Color=(*colour, 1.0))
    mix = tree.nodes.new("ShaderNodeMixShader")
    mix.inputs[0].default_value = share
    tree.links.new(shader(of).outputs[0], mix.inputs[1])
    tree.links.new(through.outputs[0], mix.inputs[2])
    output = next(node for node in tree.nodes if node.type == "OUTPUT_MATERIAL")
    tree.links.new(mix.outputs[0], output.inputs["Surface"])
    return of


def glass(name: str, colour: Colour, ior: float = 1.45) -> bpy.types.Material:
    """Clear or coloured glass whose shadow is light and coloured (caustics are off: they would be black)."""
    made = material(name, colour, 0.0, transmission=1.0, ior=ior)
    tree = node_tree(made)
    pale: Colour = tuple(0.25 + 0.7 * c for c in colour)  # type: ignore[assignment]
    shade = add_node(tree, "ShaderNodeBsdfTransparent", Color=(*pale, 1.0))
    mix = tree.nodes.new("ShaderNodeMixShader")
    tree.links.new(tree.nodes.new("ShaderNodeLightPath").outputs["Is Shadow Ray"], mix.inputs[0])
    tree.links.new(shader(made).outputs[0], mix.inputs[1])
    tree.links.new(shade.outputs[0], mix.inputs[2])
    output = next(node for node in tree.nodes if node.type == "OUTPUT_MATERIAL")
    tree.links.new(mix.outputs[0], output.inputs["Surface"])
    return made


def bumpy(of: bpy.types.Material, scale: float, distance: float, detail: float = 1.0) -> bpy.types.Material:
    """Small bumps in the shading alone; `distance` metres high, `scale` of them per metre."""
    tree = node_tree(of)
    noise = add_node(tree, "ShaderNodeTexNoise", Vector=coordinates(tree), Scale=scale, Detail=detail)
    bump = add_node(tree, "ShaderNodeBump", Height=noise.outputs["Fac"], Distance=distance, Strength=1.0)
    tree.links.new(bump.outputs["Normal"], shader(of).inputs["Normal"])
    return of


# ---------------------------------------------------------------------------------------- light and cameras


def look_at(eye: Sequence[float], target: Sequence[float]) -> Matrix:
    """Camera-to-world with -z towards `target` and world z up."""
    direction = Vector(target) - Vector(eye)
    return Matrix.Translation(eye) @ direction.to_track_quat("-Z", "Y").to_matrix().to_4x4()


def area_light(
    name: str, eye: Sequence[float], target: Sequence[float], size: float, watts: float, colour: Colour
) -> Object:
    """A round soft light that no camera sees."""
    light: Light = bpy.data.lights.new(name, "AREA")
    light.shape = "DISK"
    light.size = size
    light.energy = watts
    light.color = colour
    thing = bpy.data.objects.new(name, light)
    place(thing, "Lights")
    thing.matrix_world = look_at(eye, target)
    thing.visible_camera = False
    return thing


def gradient_world(name: str, stops: Sequence[tuple[float, Colour]], strength: float) -> World:
    """A world coloured by elevation: 0 straight down, 0.5 the horizon, 1 straight up."""
    world: World = bpy.data.worlds.new(name)
    open_scene().world = world
    tree = node_tree(world)
    direction = tree.nodes.new("ShaderNodeTexCoord").outputs["Generated"]
    colour = ramp(tree, remap(tree, axis(tree, direction, 2), -1.0, 1.0), stops)
    background = next(node for node in tree.nodes if node.type == "BACKGROUND")
    tree.links.new(colour, background.inputs["Color"])
    background.inputs["Strength"].default_value = strength
    # a smooth sky is met often enough by chance: sampling it costs time and measured no less noise
    world.cycles.sampling_method = "NONE"
    return world


def softbox(
    world: World, towards: Sequence[float], half_size: tuple[float, float], strength: float, colour: Colour
) -> None:
    """Add a rectangle of light to a world: in the direction `towards`, `half_size` (across, up) at distance one."""
    # lights that small must be aimed at; Blender's own choice of map is large and slow to compute
    world.cycles.sampling_method = "MANUAL"
    world.cycles.sample_map_resolution = 512
    tree = node_tree(world)
    direction = tree.nodes.new("ShaderNodeTexCoord").outputs["Generated"]
    frame: Any = look_at((0.0, 0.0, 0.0), towards).to_3x3()

    def along(vector: Vector) -> Socket:
        node = tree.nodes.new("ShaderNodeVectorMath")
        node.operation = "DOT_PRODUCT"
        tree.links.new(direction, node.inputs[0])
        node.inputs[1].default_value = vector
        return node.outputs["Value"]

    def calculate(operation: str, *values: Socket | float) -> Socket:
        node = tree.nodes.new("ShaderNodeMath")
        node.operation = operation
        for socket, value in zip(node.inputs, values, strict=False):
            if isinstance(value, float):
                socket.default_value = value
            else:
                tree.links.new(value, socket)
        return node.outputs[0]

    forward = along(-frame.col[2])
    light = calculate("GREATER_THAN", forward, 0.0)
    for side, half in ((frame.col[0], half_size[0]), (frame.col[1], half_size[1])):
        offset = calculate("ABSOLUTE", calculate("DIVIDE", along(side), forward))
        light = calculate("MULTIPLY", light, remap(tree, offset, half * 1.12, half * 0.88))  # a soft edge
    glow = add_node(tree, "ShaderNodeBackground", Color=(*colour, 1.0), Strength=calculate("MULTIPLY", light, strength))
    output = next(node for node in tree.nodes if node.type == "OUTPUT_WORLD")
    add = tree.nodes.new("ShaderNodeAddShader")
    tree.links.new(output.inputs["Surface"].links[0].from_socket, add.inputs[0])
    tree.links.new(glow.outputs[0], add.inputs[1])
    tree.links.new(add.outputs[0], output.inputs["Surface"])


def camera(
    name: str, eye: Sequence[float], target: Sequence[float], lens: float, resolution: tuple[int, int]
) -> Object:
    """The scene's camera; 36 mm sensor."""
    data = bpy.data.cameras.new(name)
    data.lens = lens
    data.clip_start = 0.01
    thing = bpy.data.objects.new(name, data)
    place(thing, "Cameras")
    thing.matrix_world = look_at(eye, target)
    scene = open_scene()
    scene.camera = thing
    scene.render.resolution_x, scene.render.resolution_y = resolution
    return thing
