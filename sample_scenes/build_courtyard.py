# SPDX-License-Identifier: GPL-3.0-or-later
"""A courtyard seen from inside: arcades on four sides, a fountain, plants, tiled roofs, an open sky.

    python sample_scenes/build_courtyard.py      writes courtyard.blend beside this file (needs bpy 4.5)

The camera walks past the fountain in frames 1 to 48. This scene and its file are in the public domain (CC0).
"""

from __future__ import annotations

import math

import bpy
import numpy as np
import scene_kit as kit

COURT = 4.0  # half the distance between opposite rows of columns, metres
WALL = 6.0  # half the distance between opposite outer walls
STEP = 0.12  # the arcades' floor above the court's
SPRING = 2.35  # where the arches begin
EAVE, CREST = 3.55, 4.45  # the arcades' roof, low and high end
SIDES = [("South", -math.pi), ("East", -math.pi / 2), ("North", 0.0), ("West", math.pi / 2)]  # name, turn about z

STONE = (0.62, 0.54, 0.42)
OCHRE = [(0.66, 0.40, 0.19), (0.74, 0.49, 0.26), (0.78, 0.55, 0.32)]

# what is more than one object, or there more than once, by the names of its parts
CLASSES = {
    "Agave": ["Agave*"],
    "Bench": ["Bench *"],
    "Bougainvillea": ["Bougainvillea *"],
    "Column": ["Column*", "Abacus*"],
    "Cypress": ["Cypress *"],
    "Door": ["* door", "* door *"],
    "Fountain": ["Basin*", "Bowl*", "Falling water", "Fountain *"],
    "Geranium": ["Geranium*", "Pink geranium *"],
    "Ground": ["Paving", "Pebble mosaic", "Mosaic kerb", "* walk"],
    "Jar": ["Jar*"],
    "Lantern": ["Lantern *"],
    "Orange tree": ["Orange*"],
    "Pot": ["Pot*", "Soil*"],
    "Roof": ["* boards", "* eave", "* rafters", "* roof"],
    "Shutter": ["* shutter *"],
    "Wall": ["* wall", "* arches", "* coping", "* mouldings", "* skirting"],
    "Window": ["* window *"],
}


def build() -> None:
    """Build the whole scene into an empty file."""
    scene = kit.empty_scene("Courtyard")
    scene.cycles.diffuse_bounces = 2
    scene.frame_start, scene.frame_end = 1, 48
    floors()
    walls()
    arcades()
    openings()
    roofs()
    fountain()
    furniture()
    planting()
    surroundings()
    light()
    walk()
    kit.classify(CLASSES)


# ---------------------------------------------------------------------------------------------- the building


def floors() -> None:
    """Brick paving with a star of pebbles in the middle, and the arcades' stone floor one step up."""
    paving = kit.material("Paving", (0.45, 0.20, 0.11), 0.75)
    tree = kit.node_tree(paving)
    tiles = kit.add_node(
        tree,
        "ShaderNodeTexBrick",
        Vector=kit.coordinates(tree),
        Color1=(0.50, 0.215, 0.115, 1.0),
        Color2=(0.62, 0.33, 0.18, 1.0),
        Mortar=(0.42, 0.34, 0.25, 1.0),
        Scale=1.0,
        Mortar_Size=0.012,
        Brick_Width=0.5,
        Row_Height=0.5,
    )
    tiles.offset = 0.5
    kit.colour_from(paving, tiles.outputs["Color"])
    side = WALL
    plane = [(-side, -side, 0.0), (side, -side, 0.0), (side, side, 0.0), (-side, side, 0.0)]
    kit.place(kit.mesh_object("Paving", plane, [(0, 1, 2, 3)], paving, smooth=False), "Ground")

    mosaic = kit.material("Pebble mosaic", STONE, 0.6)
    tree = kit.node_tree(mosaic)
    where = kit.coordinates(tree)
    radius = kit.add_node(tree, "ShaderNodeVectorMath")
    radius.operation = "LENGTH"
    tree.links.new(where, radius.inputs[0])
    star = kit.zigzag(tree, radius.outputs["Value"], where, teeth=8, depth=0.42)
    cream, slate, clay = (0.70, 0.60, 0.44), (0.07, 0.16, 0.24), (0.52, 0.17, 0.08)
    stops = [(0.0, slate), (0.50, cream), (0.56, clay), (0.68, cream), (0.74, slate), (0.84, cream)]
    kit.colour_from(mosaic, kit.ramp(tree, kit.remap(tree, star, 0.0, 2.6), stops, "CONSTANT"))
    disc = kit.lathe("Pebble mosaic", [[(2.1, 0.0), (2.1, 0.012)], [(2.1, 0.012), (0.0, 0.012)]], mosaic, 64)
    kit.place(disc, "Ground")
    kerb = kit.lathe(
        "Mosaic kerb", [[(2.2, 0.0), (2.2, 0.02)], [(2.2, 0.02), (2.1, 0.02)], [(2.1, 0.02), (2.1, 0.0)]], stone(), 64
    )
    kit.place(kerb, "Ground")

    inner = COURT - 0.35
    for name, turn in SIDES:
        length = 2 * (WALL if name in ("North", "South") else inner)  # so that no two tops lie in one plane
        flags = kit.box(f"{name} walk", (length, WALL - inner, STEP), stone(), bevel=0.012, segments=2)
        kit.place(flags, "Ground", turned((0.0, (WALL + inner) / 2, 0.0), turn), (0.0, 0.0, turn))


def stone() -> bpy.types.Material:
    """Warm limestone, one material for all that is cut from it."""
    found = bpy.data.materials.get("Limestone")
    return found or kit.mottled(
        kit.material("Limestone", STONE, 0.75), [(0.50, 0.42, 0.31), STONE, (0.72, 0.64, 0.51)], 1.7, 4.0
    )


def plaster() -> bpy.types.Material:
    """Ochre limewash, one material for all walls."""
    return bpy.data.materials.get("Limewash") or kit.mottled(kit.material("Limewash", OCHRE[1], 0.9), OCHRE, 0.55, 4.0)


def turned(point: tuple[float, float, float], turn: float) -> tuple[float, float, float]:
    """A point of the north side moved to the side that `turn` names."""
    c, s = math.cos(turn), math.sin(turn)
    return (point[0] * c - point[1] * s, point[0] * s + point[1] * c, point[2])


def walls() -> None:
    """The four outer walls with their copings; the north one is a house of two storeys."""
    for name, turn in SIDES:
        top = 7.0 if name == "North" else CREST + 0.35
        across = name in ("North", "South")  # these reach around the corners, the others end between them
        wall = kit.box(f"{name} wall", (2 * WALL + (0.6 if across else 0.0), 0.3, top), plaster())
        kit.place(wall, "Walls", turned((0.0, WALL + 0.15, 0.0), turn), (0.0, 0.0, turn))
        coping = kit.box(
            f"{name} coping",
            (2 * WALL + (0.72 if across else 0.0), 0.44, 0.125 if across else 0.12),
            stone(),
            bevel=0.025,
            segments=2,
        )
        kit.place(coping, "Walls", turned((0.0, WALL + 0.15, top), turn), (0.0, 0.0, turn))
    skirting = kit.material("Skirting", (0.40, 0.12, 0.07), 0.85)
    for name, turn in SIDES:
        board = kit.box(f"{name} skirting", (2 * WALL, 0.02, 0.75), skirting)
        kit.place(board, "Walls", turned((0.0, WALL - 0.008, STEP), turn), (0.0, 0.0, turn))


def arcades() -> None:
    """Four rows of round arches on columns."""
    base = [(0.215, STEP), (0.215, STEP + 0.09)]
    torus = [(0.20, STEP + 0.09), (0.222, STEP + 0.13), (0.20, STEP + 0.17), (0.165, STEP + 0.185)]
    shaft = [(0.158, STEP + 0.21), (0.160, 0.9), (0.150, 1.6), (0.136, 2.02)]
    collar = [(0.136, 2.02), (0.155, 2.04), (0.155, 2.065), (0.140, 2.085)]
    bell = [(0.140, 2.085), (0.150, 2.14), (0.205, 2.235), (0.23, 2.25)]
    parts = [
        [(0.0, STEP), base[0]],
        base,
        [base[-1], torus[0]],
        torus,
        [torus[-1], shaft[0]],
        shaft,
        collar,
        bell,
        [bell[-1], (0.0, 2.25)],
    ]
    column = kit.lathe("Column", parts, stone(), 28, 4)
    abacus = kit.box("Abacus", (0.5, 0.5, 0.1), stone(), bevel=0.015, segments=2)
    spots = [(x, y) for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4) if max(abs(x), abs(y)) == 4]
    for i, (x, y) in enumerate(spots):
        for thing, z in ((column, 0.0), (abacus, 2.25)):
            kit.place(thing if i == 0 else kit.copy_of(thing, f"{thing.name} {i + 1}"), "Arcade", (x, y, z))

    white = kit.mottled(
        kit.material("Arch limewash", (0.80, 0.68, 0.50), 0.9), [(0.72, 0.58, 0.40), (0.82, 0.71, 0.54)], 0.7, 3.0
    )
    for name, turn in SIDES:
        kit.place(arch_wall(f"{name} arches", white), "Arcade", rotation=(0.0, 0.0, turn))
        trim = []
        for bay in (-3, -1, 1, 3):
            a = np.linspace(math.pi, 0.0, 21)
            trim.append(
                np.stack([bay + 0.83 * np.cos(a), np.full(21, COURT - 0.185), SPRING + 0.83 * np.sin(a)], axis=1)
            )
        kit.place(
            kit.wires(f"{name} mouldings", trim, 0.035, stone(), resolution=1), "Arcade", rotation=(0.0, 0.0, turn)
        )


def arch_wall(name: str, stuff: bpy.types.Material) -> kit.Object:
    """The wall above one row of columns, 0.36 thick, four bays of 2 m with arches of radius 0.8."""
    along: list[float] = []
    under: list[float] = []
    for bay in (-3, -1, 1, 3):
        for a in np.linspace(math.pi, 0.0, 17):
            along.append(bay + 0.8 * math.cos(a))
            under.append(SPRING + 0.8 * math.sin(a))
    along = [-COURT - 0.18, *along, COURT + 0.18]
    under = [SPRING, *under, SPRING]
    near, far, top = COURT - 0.18, COURT + 0.18, EAVE + 0.25
    rows = [
        [(x, far, top) for x in along],
        [(x, far, z) for x, z in zip(along, under, strict=True)],
        [(x, near, z) for x, z in zip(along, under, strict=True)],
        [(x, near, top) for x in along],
    ]
    points = [point for row in rows for point in row]
    return kit.mesh_object(name, points, kit.sheet_faces(4, len(along)), stuff, sharp_angle=math.radians(30))


def openings() -> None:
    """Doors and windows in the walls behind the arcades, shuttered windows in the house above."""
    door_wood = kit.wood("Door wood", (0.30, 0.16, 0.075), (0.17, 0.08, 0.035), 6.0, 0.55)
    blue = kit.mottled(
        kit.material("Blue paint", (0.04, 0.22, 0.38), 0.6), [(0.05, 0.27, 0.45), (0.10, 0.38, 0.56)], 3.0, 3.0
    )
    dark = kit.material("Window dark", (0.03, 0.04, 0.05), 0.2)
    iron = kit.material("Iron", (0.05, 0.05, 0.055), 0.45, metallic=0.6)
    for name, turn in SIDES:
        arch = arched_panel(f"{name} door", 0.62, 1.55, door_wood if name in ("North", "South") else blue)
        kit.place(arch, "Doors and windows", turned((0.0, WALL - 0.05, STEP), turn), (0.0, 0.0, turn))
        a = np.linspace(math.pi, 0.0, 17)
        outline = [(-0.68, 0, 0.0), *[(0.68 * math.cos(t), 0, 1.55 + 0.68 * math.sin(t)) for t in a], (0.68, 0, 0.0)]
        kit.place(
            kit.wires(f"{name} door frame", [outline], 0.075, stone(), resolution=1),
            "Doors and windows",
            turned((0.0, WALL - 0.03, STEP), turn),
            (0.0, 0.0, turn),
        )
        knob = kit.sphere(f"{name} door knob", 0.035, iron, 16)
        kit.place(knob, "Doors and windows", turned((0.12, WALL - 0.14, STEP + 1.05), turn), (0.0, 0.0, turn))
        window(f"{name} window left", -3.0, 1.15, 1.25, turn, dark, blue)
        window(f"{name} window right", 3.0, 1.15, 1.25, turn, dark, blue)
    for i, x in enumerate((-4.0, -1.35, 1.35, 4.0)):
        window(f"Upper window {i + 1}", x, 5.0, 1.3, 0.0, dark, blue)


def arched_panel(name: str, half: float, height: float, stuff: bpy.types.Material) -> kit.Object:
    """A door leaf with a round head, 0.08 thick."""
    a = np.linspace(0.0, math.pi, 17)
    outline = [(half, 0.0), *[(half * math.cos(t), height + half * math.sin(t)) for t in a], (-half, 0.0)]
    n = len(outline)
    points = [(x, -0.04, z) for x, z in outline] + [(x, 0.04, z) for x, z in outline]
    faces = [tuple(reversed(range(n))), *[(i, (i + 1) % n, n + (i + 1) % n, n + i) for i in range(n)]]
    return kit.mesh_object(name, points, faces, stuff, smooth=False)


def window(
    name: str, x: float, z: float, height: float, turn: float, dark: bpy.types.Material, paint: bpy.types.Material
) -> None:
    """A window with a sill and two louvred shutters that stand open."""

    def put(thing: kit.Object, dx: float, dy: float, dz: float, extra: float = 0.0) -> None:
        kit.place(thing, "Doors and windows", turned((x + dx, WALL + dy, z + dz), turn), (0.0, 0.0, turn + extra))

    put(kit.box(name, (0.8, 0.03, height), dark), 0.0, -0.005, 0.0)
    put(kit.box(f"{name} sill", (1.0, 0.16, 0.07), stone(), bevel=0.012, segments=2), 0.0, -0.06, -0.07)
    bars: list[kit.Points] = [
        [(0, 0, 0), (0, 0, height)],
        [(-0.4, 0, height * 0.66), (0.4, 0, height * 0.66)],
        [(-0.4, 0, height * 0.33), (0.4, 0, height * 0.33)],
    ]
    put(kit.wires(f"{name} bars", bars, 0.018, paint, resolution=1), 0.0, -0.03, 0.0)
    for side in (-1, 1):
        put(
            shutter(f"{name} shutter {'left' if side < 0 else 'right'}", 0.42, height, paint),
            side * 0.63,
            -0.05,
            0.0,
            side * -0.12,
        )


def shutter(name: str, width: float, height: float, paint: bpy.types.Material) -> kit.Object:
    """A frame with slanted louvres."""
    vertices: list[tuple[float, float, float]] = []
    faces: list[tuple[int, ...]] = []

    def bar(x0: float, x1: float, z0: float, z1: float, y0: float, y1: float, slant: float = 0.0) -> None:
        first = len(vertices)
        vertices.extend(
            (x, y, z + (slant if y > (y0 + y1) / 2 else 0.0)) for z in (z0, z1) for y in (y0, y1) for x in (x0, x1)
        )
        quads = ((0, 2, 3, 1), (4, 5, 7, 6), (0, 1, 5, 4), (2, 6, 7, 3), (0, 4, 6, 2), (1, 3, 7, 5))
        faces.extend(tuple(first + i for i in quad) for quad in quads)

    half = width / 2
    bar(-half, -half + 0.05, 0, height, -0.02, 0.02)
    bar(half - 0.05, half, 0, height, -0.02, 0.02)
    for low in (0.0, height / 2 - 0.03, height - 0.06):
        bar(-half, half, low, low + 0.06, -0.02, 0.02)
    for z in np.arange(0.08, height - 0.08, 0.075):
        bar(-half + 0.04, half - 0.04, z, z + 0.012, -0.018, 0.018, 0.03)
    return kit.mesh_object(name, vertices, faces, paint, smooth=False)


def roofs() -> None:
    """Lean-to roofs of barrel tiles over the arcades, rafters below, and the eave of the house."""
    clay = kit.material("Roof tile", (0.55, 0.20, 0.10), 0.8)
    tree = kit.node_tree(clay)
    patches = kit.add_node(
        tree, "ShaderNodeTexNoise", Vector=kit.coordinates(tree, (1.0, 0.6, 0.6)), Scale=3.2, Detail=3.0
    )
    stops = [(0.36, (0.34, 0.115, 0.06)), (0.5, (0.56, 0.21, 0.10)), (0.64, (0.70, 0.35, 0.19))]
    kit.colour_from(clay, kit.ramp(tree, patches.outputs["Fac"], stops))
    timber = kit.wood("Timber", (0.22, 0.12, 0.06), (0.12, 0.058, 0.028), 5.0, 0.65)
    low, high = COURT - 0.55, WALL
    for name, turn in SIDES:
        kit.place(tiles(f"{name} roof", low, high, EAVE, CREST, clay), "Roofs", rotation=(0.0, 0.0, turn))
        slope = (CREST - EAVE) / (high - low)
        boards = [
            (-low, low, EAVE - 0.02),
            (low, low, EAVE - 0.02),
            (high, high, CREST - 0.02),
            (-high, high, CREST - 0.02),
        ]
        kit.place(
            kit.mesh_object(f"{name} boards", boards, [(0, 3, 2, 1)], timber, smooth=False),
            "Roofs",
            rotation=(0.0, 0.0, turn),
        )
        lines = [[(x, max(low + 0.04, abs(x)), 0.0), (x, high, 0.0)] for x in np.arange(-5.0, 5.01, 0.5)]
        lines = [[(x, y, EAVE - 0.075 + slope * (y - low)) for x, y, _ in line] for line in lines]
        kit.place(kit.wires(f"{name} rafters", lines, 0.05, timber, resolution=0), "Roofs", rotation=(0.0, 0.0, turn))
    house = tiles("House eave", WALL - 0.45, WALL + 1.4, 6.98, 7.75, clay, mitre=False)
    kit.place(house, "Roofs")
    lines = [[(x, WALL - 0.38, 6.93), (x, WALL + 0.2, 7.13)] for x in np.arange(-6.0, 6.01, 0.5)]
    kit.place(kit.wires("House rafters", lines, 0.05, timber, resolution=0), "Roofs")


def tiles(
    name: str, low: float, high: float, z_low: float, z_high: float, clay: bpy.types.Material, mitre: bool = True
) -> kit.Object:
    """A slope of barrel tiles that faces -y, from y = low to y = high; `mitre` cuts its ends along the diagonals."""
    pitch, courses = 0.24, round((high - low) / 0.33)
    x = np.arange(-6.36, 6.361, pitch / 8)
    wave = 0.055 * np.abs(np.cos(math.pi * x / pitch)) - 0.02
    rows = []
    for course in range(courses):
        for t, lift in ((course / courses, 0.035), ((course + 1) / courses, 0.0)):
            y = low + (high - low) * t
            z = z_low + (z_high - z_low) * t + wave + lift
            edge = y if mitre else np.inf
            rows.append(np.stack([np.clip(x, -edge, edge), np.full_like(x, y), z], axis=1))
    front = rows[0].copy()
    front[:, 2] -= 0.03
    grid = np.stack([front, *rows])
    return kit.mesh_object(
        name, grid.reshape(-1, 3), kit.sheet_faces(len(grid), len(x))[::1], clay, sharp_angle=math.radians(50)
    )


# ------------------------------------------------------------------------------------------- inside the court


def fountain() -> None:
    """An eight-sided tiled basin, a column and a bowl, water in both."""
    glaze = kit.material("Painted tile", (0.8, 0.78, 0.7), 0.25)
    tree = kit.node_tree(glaze)
    where = kit.coordinates(tree)
    band = kit.zigzag(tree, kit.axis(tree, where, 2), where, teeth=32, depth=0.055)
    white, blue, teal, gold = (0.80, 0.77, 0.68), (0.015, 0.09, 0.40), (0.02, 0.32, 0.34), (0.75, 0.42, 0.06)
    stops = [
        (0.0, blue),
        (0.20, white),
        (0.32, teal),
        (0.44, white),
        (0.52, gold),
        (0.60, white),
        (0.68, blue),
        (0.84, white),
    ]
    kit.colour_from(glaze, kit.ramp(tree, kit.remap(tree, band, 0.06, 0.56), stops, "CONSTANT"))
    eighth = math.pi / 8
    body = kit.lathe("Basin", [[(1.16, 0.0), (1.16, 0.50)]], glaze, 8)
    inside = kit.lathe("Basin lining", [[(1.0, 0.50), (1.0, 0.05)], [(1.0, 0.05), (0.0, 0.05)]], glaze, 8)
    plinth = kit.lathe("Basin plinth", [[(1.26, 0.0), (1.26, 0.08)], [(1.26, 0.08), (1.15, 0.08)]], stone(), 8)
    rim = kit.lathe(
        "Basin rim",
        [
            [(0.96, 0.48), (1.22, 0.48)],
            [(1.22, 0.48), (1.24, 0.51)],
            [(1.24, 0.51), (1.22, 0.56)],
            [(1.22, 0.56), (0.98, 0.56)],
            [(0.98, 0.56), (0.96, 0.48)],
        ],
        stone(),
        8,
    )
    for thing in (body, inside, plinth, rim):
        thing.data.shade_flat()
        kit.place(thing, "Fountain", rotation=(0.0, 0.0, eighth))
    foot = [(0.26, 0.05), (0.26, 0.30), (0.20, 0.36), (0.12, 0.48), (0.10, 0.62)]
    shaft = [(0.10, 0.62), (0.15, 0.72), (0.14, 0.80), (0.09, 0.92), (0.12, 1.02)]
    bowl = [
        (0.12, 1.02),
        (0.27, 1.05),
        (0.40, 1.12),
        (0.445, 1.20),
        (0.435, 1.225),
        (0.40, 1.21),
        (0.25, 1.13),
        (0.09, 1.10),
    ]
    finial = [
        (0.09, 1.10),
        (0.05, 1.20),
        (0.075, 1.27),
        (0.07, 1.31),
        (0.03, 1.36),
        (0.045, 1.41),
        (0.035, 1.45),
        (0.0, 1.49),
    ]
    kit.place(kit.lathe("Fountain column", [foot, shaft, bowl, finial], stone(), 40), "Fountain")

    water = kit.bumpy(kit.material("Water", (0.02, 0.16, 0.17), 0.06, ior=1.33), 9.0, 0.02, 2.0)
    kit.place(
        kit.lathe("Basin water", [[(0.99, 0.43), (0.0, 0.43)]], water, 8), "Fountain", rotation=(0.0, 0.0, eighth)
    )
    kit.place(kit.lathe("Bowl water", [[(0.40, 1.195), (0.0, 1.195)]], water, 32), "Fountain")
    spray = kit.material("Falling water", (0.72, 0.82, 0.86), 0.15)
    arcs = []
    for i in range(8):
        a = eighth + i * math.pi / 4
        t = np.linspace(0.0, 1.0, 12)
        out, z = 0.435 + 0.24 * t, 1.21 + 0.06 * t - 0.84 * t**2
        arcs.append(np.stack([out * math.cos(a), out * math.sin(a), z, 1.0 - 0.4 * t], axis=1))
    kit.place(kit.wires("Falling water", arcs, 0.007, spray, resolution=1), "Fountain")


def furniture() -> None:
    """Benches, jars and lanterns."""
    seat = kit.box("Bench seat", (1.5, 0.42, 0.09), stone(), bevel=0.02)
    leg = kit.box("Bench leg", (0.14, 0.34, 0.38), stone(), bevel=0.02)
    for i, (x, y, turn) in enumerate(((1.0, 3.42, 0.0), (3.42, -1.0, math.pi / 2), (-3.42, 1.0, math.pi / 2))):
        c, s = math.cos(turn), math.sin(turn)
        kit.place(seat if i == 0 else kit.copy_of(seat, f"Bench seat {i + 1}"), "Furniture", (x, y, 0.38), (0, 0, turn))
        for k, along in enumerate((-0.55, 0.55)):
            thing = leg if i == k == 0 else kit.copy_of(leg, f"Bench leg {2 * i + k + 1}")
            kit.place(thing, "Furniture", (x + along * c, y + along * s, 0.0), (0, 0, turn))

    clay = kit.mottled(
        kit.material("Jar clay", (0.55, 0.24, 0.12), 0.8), [(0.44, 0.17, 0.08), (0.64, 0.32, 0.17)], 4.0, 3.0
    )
    profile = [(0.14, 0.01), (0.25, 0.22), (0.32, 0.52), (0.29, 0.78), (0.17, 0.95), (0.15, 1.00), (0.19, 1.06)]
    lining = [(0.19, 1.06), (0.16, 1.06), (0.12, 0.98), (0.13, 0.9), (0.0, 0.7)]
    jar = kit.lathe("Jar", [[(0.0, 0.01), (0.14, 0.01)], profile, lining], clay, 36, 4)
    for i, (x, y, size) in enumerate(
        ((2.55, 3.55, 1.0), (2.95, 3.15, 0.66), (-2.9, -5.2, 1.0), (5.3, 2.0, 0.9), (-5.3, -2.2, 0.95))
    ):
        z = 0.0 if max(abs(x), abs(y)) < 3.65 else STEP
        kit.place(jar if i == 0 else kit.copy_of(jar, f"Jar {i + 1}"), "Furniture", (x, y, z - 0.005), (0, 0, i), size)

    iron = kit.material("Lantern iron", (0.06, 0.05, 0.045), 0.4, metallic=0.7)
    pane = kit.material("Lantern pane", (0.85, 0.55, 0.16), 0.3)
    cap = kit.lathe("Lantern cap", [[(0.12, 0.0), (0.0, 0.12)], [(0.0, 0.12), (0.0, 0.12)]], iron, 6)
    glow = kit.lathe("Lantern pane", [[(0.0, -0.26), (0.06, -0.26)], [(0.06, -0.26), (0.10, 0.0)]], pane, 6)
    chain = kit.wires("Lantern chain", [[(0, 0, 0.1), (0, 0, 1.05)]], 0.008, iron, resolution=0)
    for thing in (cap, glow):
        thing.data.shade_flat()
    spots = [turned((x, 5.0, 2.75), turn) for _, turn in SIDES for x in (-1.0, 1.0)]
    for i, spot in enumerate(spots):
        for thing in (cap, glow, chain):
            kit.place(thing if i == 0 else kit.copy_of(thing, f"{thing.name} {i + 1}"), "Furniture", spot)


# ---------------------------------------------------------------------------------------------------- plants


def leaf_cloud(
    name: str,
    centres: kit.Array,
    size: float,
    green: bpy.types.Material,
    random: np.random.Generator,
    outward: kit.Array | None = None,
) -> kit.Object:
    """Pointed leaves, folded along the middle, at `centres` [N,3], looking along `outward` [N,3] more or less."""
    count = len(centres)
    up = random.normal(size=(count, 3)) * 0.6 + (0.0, 0.0, 0.3) + (0 if outward is None else outward)
    up /= np.linalg.norm(up, axis=1, keepdims=True)
    along = np.cross(up, random.normal(size=(count, 3)))
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    across = np.cross(up, along)
    length = (size * random.uniform(0.75, 1.25, count))[:, None]
    root, tip = centres - 0.5 * length * along, centres + 0.5 * length * along
    left = centres + 0.24 * length * across + 0.08 * length * up
    right = centres - 0.24 * length * across + 0.08 * length * up
    points = np.stack([root, right, tip, left], axis=1).reshape(-1, 3)
    faces = [face for i in range(0, 4 * count, 4) for face in ((i, i + 1, i + 2), (i, i + 2, i + 3))]
    return kit.mesh_object(name, points, faces, green, smooth=False)


def on_ellipsoid(
    count: int, radii: tuple[float, float, float], random: np.random.Generator
) -> tuple[kit.Array, kit.Array]:
    """Points near the surface of an ellipsoid and the directions away from its middle, both [N,3]."""
    direction = random.normal(size=(count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return direction * np.array(radii) * random.uniform(0.80, 1.05, (count, 1)), direction


def planting() -> None:
    """Orange trees at the corners, geraniums and agaves in pots, a bougainvillea that climbs the north-west corner."""
    random = np.random.default_rng(11)
    clay = kit.mottled(
        kit.material("Pot clay", (0.58, 0.23, 0.11), 0.8), [(0.48, 0.17, 0.08), (0.66, 0.29, 0.15)], 5.0, 3.0
    )
    soil = kit.material("Soil", (0.07, 0.04, 0.025), 0.95)
    wall = [(0.17, 0.0), (0.22, 0.2), (0.27, 0.40)]
    rim = [(0.30, 0.40), (0.31, 0.48)]
    pot = kit.lathe(
        "Pot",
        [
            [(0.0, 0.0), (0.17, 0.0)],
            wall,
            [wall[-1], rim[0]],
            rim,
            [rim[-1], (0.27, 0.48)],
            [(0.27, 0.48), (0.26, 0.43)],
        ],
        clay,
        36,
        3,
    )
    earth = kit.lathe("Soil", [[(0.265, 0.44), (0.0, 0.45)]], soil, 24)
    pots = 0

    def potted(x: float, y: float, size: float) -> None:
        nonlocal pots
        pots += 1
        for thing in (pot, earth):
            kit.place(
                thing if pots == 1 else kit.copy_of(thing, f"{thing.name} {pots}"),
                "Plants",
                (x, y, 0.0),
                (0, 0, pots),
                size,
            )

    green = kit.mottled(
        kit.material("Citrus leaf", (0.05, 0.16, 0.03), 0.4),
        [(0.025, 0.10, 0.02), (0.06, 0.19, 0.03), (0.11, 0.25, 0.04)],
        3.0,
    )
    kit.translucent(green, (0.20, 0.42, 0.03), 0.3)
    shade = kit.material("Leaf shade", (0.012, 0.045, 0.012), 0.8)
    bark = kit.material("Bark", (0.15, 0.09, 0.05), 0.85)
    peel = kit.material("Orange peel", (0.88, 0.24, 0.015), 0.45)
    leaves, normals = on_ellipsoid(1500, (0.62, 0.62, 0.56), random)
    crown = leaf_cloud("Orange tree crown", leaves, 0.125, green, random, 1.2 * normals)
    core = kit.sphere("Orange tree core", 0.47, shade, 20)
    trunk = kit.wires(
        "Orange tree trunk",
        [kit.smooth_curve([(0, 0, 0.5, 1.2), (0.02, 0.01, 0.9, 1.0), (-0.015, 0.0, 1.3, 0.9), (0, 0, 1.75, 0.7)], 4)],
        0.042,
        bark,
    )
    spots, _ = on_ellipsoid(26, (0.63, 0.63, 0.56), random)
    ball = kit.sphere("Oranges", 0.048, peel, 12)
    points = np.array([v.co for v in ball.data.vertices])
    quads = [tuple(face.vertices) for face in ball.data.polygons]
    bpy.data.meshes.remove(ball.data)
    fruit = kit.mesh_object(
        "Oranges",
        np.concatenate([points + spot for spot in spots]),
        [tuple(k * len(points) + i for i in quad) for k in range(len(spots)) for quad in quads],
        peel,
        sharp_angle=math.pi,
    )
    for i, (x, y) in enumerate(((-3.1, 3.1), (3.1, 3.1), (3.1, -3.1))):
        potted(x, y, 1.25)
        for thing, z in ((trunk, 0.0), (core, 1.93), (crown, 1.93), (fruit, 1.93)):
            copy = thing if i == 0 else kit.copy_of(thing, f"{thing.name} {i + 1}")
            kit.place(copy, "Plants", (x, y, z), (0, 0, 1.7 * i), 1.0 if thing is trunk else 0.96 + 0.03 * i)

    soft = kit.translucent(kit.material("Geranium leaf", (0.08, 0.24, 0.05), 0.6), (0.22, 0.45, 0.05), 0.3)
    red = kit.material("Geranium flower", (0.75, 0.02, 0.04), 0.6)
    pink = kit.material("Pink geranium flower", (0.80, 0.10, 0.25), 0.6)
    leaves, normals = on_ellipsoid(420, (0.30, 0.30, 0.22), random)
    leaves[:, 2] = np.abs(leaves[:, 2])
    bush = leaf_cloud("Geranium", leaves, 0.10, soft, random, 1.5 * normals)
    blossoms = []
    for spot in on_ellipsoid(16, (0.31, 0.31, 0.28), random)[0]:
        spot[2] = abs(spot[2]) + 0.02
        blossoms.append(spot + random.normal(0, 0.022, (14, 3)))
    flowers = leaf_cloud("Geranium flowers", np.concatenate(blossoms), 0.042, red, random)
    pale = kit.mesh_object(
        "Pink geranium flowers",
        [v.co for v in flowers.data.vertices],
        [f.vertices for f in flowers.data.polygons],
        pink,
        smooth=False,
    )
    core = kit.sphere("Geranium core", 0.2, shade, 16)
    for i, (x, y) in enumerate(
        (
            (-1.45, 3.4),
            (-2.15, 3.45),
            (3.4, 1.4),
            (3.45, 2.1),
            (-3.4, -0.9),
            (0.5, -3.45),
            (-1.2, -3.45),
            (3.4, -2.2),
            (-3.4, 2.25),
        )
    ):
        size = (1.0, 0.82, 0.9)[i % 3]
        potted(x, y, size)
        blossom = (flowers, pale)[i % 2]
        for thing in (bush, blossom, core):
            copy = thing if i < (2 if thing is pale else 1) else kit.copy_of(thing, f"{thing.name} {i + 1}")
            kit.place(copy, "Plants", (x, y, 0.47 * size), (0, 0, 2.1 * i), size)

    blade_green = kit.translucent(kit.material("Agave leaf", (0.16, 0.30, 0.22), 0.5), (0.2, 0.4, 0.15), 0.1)
    agave = agave_plant("Agave", blade_green)
    for i, (x, y) in enumerate(((-0.62, 3.45), (3.45, 0.35), (-3.45, -1.75))):
        potted(x, y, 0.9)
        kit.place(
            agave if i == 0 else kit.copy_of(agave, f"Agave {i + 1}"), "Plants", (x, y, 0.40), (0, 0, i), 0.9 + 0.1 * i
        )
    bougainvillea(random, green, bark)


def agave_plant(name: str, green: bpy.types.Material) -> kit.Object:
    """A rosette of long, stiff, pointed leaves along the golden angle."""
    vertices: list[kit.Array] = []
    faces: list[tuple[int, ...]] = []
    u, w = np.meshgrid(np.linspace(0, 1, 7), np.array([-1.0, 0.0, 1.0]), indexing="ij")
    for i in range(30):
        age = i / 29
        length, rise, turn = 0.52 - 0.14 * age, math.radians(14 + 64 * age), i * math.pi * (3 - math.sqrt(5))
        half = 0.055 * (1 - u) ** 0.7 * (0.6 + 0.9 * u)
        out = 0.03 + length * u * np.cos(rise + 0.25 * u)
        up = length * u * np.sin(rise + 0.25 * u) + 0.35 * half * np.abs(w) + 0.05
        side = w * half
        c, s = math.cos(turn), math.sin(turn)
        faces.extend(kit.sheet_faces(7, 3, len(vertices)))
        vertices.extend(np.stack([out * c - side * s, out * s + side * c, up], axis=-1).reshape(-1, 3))
    return kit.mesh_object(name, vertices, faces, green, sharp_angle=math.pi)


def bougainvillea(random: np.random.Generator, green: bpy.types.Material, bark: bpy.types.Material) -> None:
    """A climber: stems up the column, leaves and magenta bracts over the arches of the north-west corner."""
    corner = np.array([-COURT + 0.28, COURT - 0.28, 0.0])

    def along(x: float, y: float, z: float) -> kit.Array:
        return corner + np.array([x, y, z])

    up = [along(0.03 * math.sin(3 * z), 0.03 * math.cos(4 * z), z) for z in np.linspace(0.0, 3.1, 12)]
    over_x = [along(d, 0.02 * math.sin(5 * d), 3.1 + 0.32 * math.sin(1.2 * d)) for d in np.linspace(0.0, 3.1, 14)]
    over_y = [along(0.02 * math.sin(5 * d), -d, 3.1 + 0.3 * math.sin(1.3 * d)) for d in np.linspace(0.0, 2.3, 11)]
    stems = [up, [up[-1], *over_x], [up[-1], *over_y]]
    kit.place(kit.wires("Bougainvillea stems", stems, 0.022, bark, resolution=1), "Plants")
    anchors = np.array([*up[3:], *over_x, *over_x, *over_y, *over_y])
    spread = np.array(
        [
            *[0.09] * len(up[3:]),
            *(2 * list(np.linspace(0.17, 0.08, len(over_x)))),
            *(2 * list(np.linspace(0.17, 0.08, len(over_y)))),
        ]
    )
    magenta = kit.mottled(
        kit.material("Bougainvillea bract", (0.72, 0.03, 0.30), 0.6), [(0.62, 0.02, 0.22), (0.80, 0.06, 0.42)], 2.5
    )
    kit.translucent(magenta, (0.85, 0.05, 0.35), 0.35)
    for name, count, size, stuff in (
        ("Bougainvillea leaves", 1500, 0.10, green),
        ("Bougainvillea bracts", 2600, 0.085, magenta),
    ):
        pick = random.integers(len(anchors), size=count)
        scatter = random.normal(size=(count, 3)) * spread[pick, None]
        inside = np.array([1.0, -1.0, 0.0])
        scatter += 0.10 * inside * (stuff is magenta)
        points = (
            anchors[pick] + scatter - (0.0, 0.0, 0.25) * (np.abs(random.normal(size=(count, 1))) * spread[pick, None])
        )
        kit.place(leaf_cloud(name, points, size, stuff, random, 0.6 * np.tile(inside, (count, 1))), "Plants")


# -------------------------------------------------------------------------------- beyond the walls, light, walk


def surroundings() -> None:
    """Cypresses that look over the walls."""
    dark = kit.mottled(
        kit.material("Cypress", (0.03, 0.09, 0.04), 0.8), [(0.015, 0.05, 0.02), (0.05, 0.13, 0.05)], 2.0, 3.0
    )
    random = np.random.default_rng(5)
    profile = [(0.0, 0.0), (0.35, 0.3), (0.75, 1.8), (0.72, 3.4), (0.45, 5.4), (0.16, 6.9), (0.0, 7.6)]
    for i, (x, y, size) in enumerate(
        ((7.05, 2.7, 0.95), (7.15, 0.9, 1.08), (7.0, -1.5, 0.9), (-7.05, 3.2, 1.04), (-7.1, 0.6, 0.92))
    ):
        tree = kit.lathe(f"Cypress {i + 1}", [profile], dark, 40, 10)
        for vertex in tree.data.vertices:
            swell = 1.0 + random.normal(0.0, 0.09)
            vertex.co.x *= swell
            vertex.co.y *= swell
        kit.place(tree, "Surroundings", (x, y, 0.0), (0, 0, i), size)


def light() -> None:
    """A warm sun in the south-south-east and a blue sky."""
    sun: kit.Light = bpy.data.lights.new("Sun", "SUN")
    sun.energy, sun.angle, sun.color = 5.6, math.radians(1.5), (1.0, 0.87, 0.70)
    lamp = bpy.data.objects.new("Sun", sun)
    kit.place(lamp, "Lights")
    lamp.matrix_world = kit.look_at((3.0, -4.6, 8.4), (0.0, 0.0, 0.0))
    haze, sky = (0.52, 0.67, 0.90), (0.08, 0.24, 0.64)
    kit.gradient_world(
        "Sky",
        [(0.0, (0.30, 0.24, 0.18)), (0.48, (0.46, 0.42, 0.38)), (0.52, haze), (0.64, (0.22, 0.43, 0.82)), (1.0, sky)],
        2.1,
    )


def walk() -> None:
    """48 frames: the camera steps out of the south-west corner and goes past the fountain."""
    thing = kit.camera("Camera", (0.0, 0.0, 1.7), (0.0, 1.0, 1.7), 24.0, (1280, 720))
    steps = [
        ((-3.25, -3.30, 1.75), (0.25, 1.0, 1.62)),
        ((-2.45, -3.35, 1.72), (0.20, 1.0, 1.62)),
        ((-1.45, -3.25, 1.75), (0.10, 1.0, 1.62)),
        ((-0.40, -3.10, 1.72), (0.00, 1.0, 1.60)),
        ((0.65, -2.95, 1.75), (-0.15, 1.0, 1.60)),
        ((1.60, -2.70, 1.72), (-0.35, 1.0, 1.60)),
        ((2.35, -2.15, 1.75), (-0.55, 1.0, 1.60)),
    ]
    for (eye, target), frame in zip(steps, np.linspace(1, 48, len(steps)), strict=True):
        matrix = kit.look_at(eye, target)
        thing.location = matrix.to_translation()
        thing.rotation_euler = matrix.to_euler()
        thing.keyframe_insert("location", frame=float(frame))
        thing.keyframe_insert("rotation_euler", frame=float(frame))
    kit.open_scene().frame_set(1)


if __name__ == "__main__":
    kit.run(build, __file__)
