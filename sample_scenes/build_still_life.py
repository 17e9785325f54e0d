# SPDX-License-Identifier: GPL-3.0-or-later
"""Still life on a turned board: flowers, fruit, books, pottery. Made to be seen from every side.

    python sample_scenes/build_still_life.py      writes still_life.blend beside this file (needs bpy 4.5)

The scene ends at its board, without ground or backdrop, so it stands free on a transparent film. This scene
and its file are in the public domain (CC0).
"""

from __future__ import annotations

import math

import bpy
import numpy as np
import scene_kit as kit

BOARD = 0.11  # height of the board's top above the foot, metres
RIM = 0.29  # radius of the board

# what is more than one object, or there more than once, by the names of its parts
CLASSES = {
    "Ball flower": ["*[Bb]all flower*"],
    "Basket": ["Basket *"],
    "Book": ["* book *"],
    "Cup": ["Cup", "Cup *"],
    "Frond": ["*[Ff]rond*"],
    "Grapes": ["Grape*"],
    "Jug": ["Jug", "Jug *"],
    "Lemon": ["Lemon*"],
    "Orange": ["Orange*"],
    "Pear": ["Pear*"],
    "Plum": ["Plum*"],
    "Tulip": ["Tulip*"],
}


def build() -> None:
    """Build the whole scene into an empty file."""
    scene = kit.empty_scene("Still Life")
    scene.render.film_transparent = True
    board()
    cloth_and_basket(angle=math.radians(-42))
    jug((-0.165, -0.035))
    flowers((0.0, 0.045))
    books((0.135, 0.125))
    succulent((-0.115, 0.165))
    grapes((-0.085, -0.175), heading=math.radians(215))
    pears(((0.005, -0.205, 0.1), (0.055, -0.245, 1.9)))
    cup((0.222, 0.018))
    plums(((0.012, 0.205, 0.3), (0.048, 0.232, 2.0), (-0.222, 0.085, 4.0)))
    lights()
    kit.camera("Camera", (-0.33, -1.20, 0.70), (0.005, 0.0, 0.262), 50.0, (1080, 1080)).data.display_size = 0.1
    kit.classify(CLASSES)


def board() -> None:
    """The round oak board, its edge rounded, on a low turned foot."""
    oak = kit.wood("Oak", (0.46, 0.215, 0.085), (0.27, 0.105, 0.036), 15.0)
    top = [(0.0, BOARD), (RIM - 0.010, BOARD)]
    edge = [(RIM - 0.010, BOARD), (RIM - 0.002, BOARD - 0.003), (RIM, BOARD - 0.012), (RIM - 0.006, BOARD - 0.022)]
    under = [(RIM - 0.006, BOARD - 0.022), (RIM - 0.03, BOARD - 0.028)]
    stem = [(0.07, BOARD - 0.032), (0.05, 0.062), (0.045, 0.05), (0.062, 0.038)]
    bead = [(0.062, 0.038), (0.072, 0.031), (0.066, 0.024)]
    foot = [(0.066, 0.024), (0.11, 0.018), (0.15, 0.010), (0.155, 0.004), (0.15, 0.0)]
    profile = [[*reversed(foot)], [*reversed(bead)], [*reversed(stem)], [*reversed(under)], [*reversed(edge)]]
    kit.place(kit.lathe("Board", [[(0.0, 0.0), (0.15, 0.0)], *profile, [*reversed(top)]], oak, segments=96), "Table")


def cloth_and_basket(angle: float) -> None:
    """A striped linen napkin that hangs over the rim, on it a brass basket with oranges and lemons."""
    linen = kit.material("Linen", (0.86, 0.80, 0.68), 0.85)
    tree = kit.node_tree(linen)
    along = kit.axis(tree, kit.coordinates(tree, kind="UV"), 0)
    cream, coral = (0.86, 0.80, 0.68), (0.78, 0.11, 0.06)
    stops = [
        (0.0, cream),
        (0.055, coral),
        (0.085, cream),
        (0.72, cream),
        (0.80, coral),
        (0.86, cream),
        (0.89, coral),
        (0.92, cream),
    ]
    kit.colour_from(linen, kit.ramp(tree, along, stops, "CONSTANT"))

    length, width, lift, bend = 0.345, 0.20, 0.0022, 0.014
    u, v = np.meshgrid(np.linspace(0, 1, 56), np.linspace(-1, 1, 33), indexing="ij")
    side = v * width / 2
    path = 0.035 + u * length
    rim = np.sqrt((RIM - 0.004) ** 2 - side**2)
    turned = np.clip((path - rim) / bend, 0.0, math.pi / 2)  # the angle of the bend over the edge
    hanging = np.maximum(path - rim - bend * math.pi / 2, 0.0)
    fold = np.cos(3.2 * math.pi * v + 0.8)
    x = np.minimum(path, rim) + bend * np.sin(turned) + hanging * (0.10 + 0.24 * (fold + 1.0))
    z = BOARD + lift - bend * (1 - np.cos(turned)) - hanging * 0.95
    ripple = np.clip((np.abs(path - 0.03) - 0.20) / 0.06, 0, 1) * (turned < 0.05)
    z += 0.0035 * ripple * (fold + 1.0)
    side = side * (1 - 1.2 * hanging)
    grid = np.stack([x * math.cos(angle) - side * math.sin(angle), x * math.sin(angle) + side * math.cos(angle), z], -1)
    kit.place(kit.surface("Napkin", grid, linen, thickness=0.002, subdivisions=1), "Table")

    centre = np.array([0.165 * math.cos(angle), 0.165 * math.sin(angle), BOARD + 2 * lift])
    brass = kit.material("Brass", (0.91, 0.60, 0.22), 0.28, metallic=1.0)
    height, bottom, top, turns = 0.068, 0.050, 0.103, 0.30

    def on_wall(t: kit.Array, start: float, direction: float) -> kit.Array:
        radius = bottom + (top - bottom) * np.sin(t * math.pi / 2)
        a = start + direction * turns * math.pi * t
        return np.stack([radius * np.cos(a), radius * np.sin(a), 0.004 + height * t**1.35], axis=1)

    lattice = [
        on_wall(np.linspace(0, 1, 12), 2 * math.pi * i / 16, direction) for i in range(16) for direction in (-1, 1)
    ]
    basket = kit.wires("Basket lattice", lattice, 0.0017, brass, resolution=1)
    around = np.linspace(0, 2 * math.pi, 64, endpoint=False)
    rings = [
        np.stack([r * np.cos(around), r * np.sin(around), np.full(64, z)], axis=1)
        for r, z in ((top, 0.004 + height), (bottom, 0.004), (bottom - 0.02, 0.004))
    ]
    kit.place(basket, "Fruit basket", centre)
    kit.place(kit.wires("Basket rings", rings, 0.0032, brass, cyclic=True), "Fruit basket", centre)

    peel = kit.bumpy(kit.material("Orange peel", (0.90, 0.25, 0.015), 0.38), 420, 0.0006)
    zest = kit.bumpy(kit.material("Lemon peel", (0.92, 0.66, 0.03), 0.36), 300, 0.0006)
    r = 0.0345
    ball = [
        (0.0, -r),
        (0.55 * r, -0.85 * r),
        (0.97 * r, -0.25 * r),
        (0.96 * r, 0.28 * r),
        (0.5 * r, 0.83 * r),
        (0.12 * r, 0.90 * r),
        (0.0, 0.86 * r),
    ]
    lemon_profile = [
        (0.0, -1.42 * r),
        (0.16 * r, -1.33 * r),
        (0.42 * r, -1.05 * r),
        (0.86 * r, -0.4 * r),
        (0.88 * r, 0.35 * r),
        (0.45 * r, 1.02 * r),
        (0.17 * r, 1.28 * r),
        (0.0, 1.36 * r),
    ]
    orange = kit.lathe("Orange", [ball], peel, 32)
    lemon = kit.lathe("Lemon", [lemon_profile], zest, 32)
    for i, (kind, a) in enumerate(((orange, 0.3), (orange, 1.87), (lemon, 3.44), (orange, 5.01))):
        spot = centre + np.array([0.047 * math.cos(a), 0.047 * math.sin(a), 0.042])
        tilt = (1.35, 0.2, a) if kind is lemon else (0.5 + i, 0.4 * i, a)
        kit.place(kind if i in (0, 2) else kit.copy_of(kind, f"{kind.name} {i + 1}"), "Fruit basket", spot, tilt)
    kit.place(
        kit.copy_of(lemon, "Lemon 2"), "Fruit basket", centre + np.array([0.004, -0.002, 0.085]), (1.5, 0.25, 0.7)
    )


def jug(at: tuple[float, float]) -> None:
    """A white jug with a painted band of chevrons in cobalt and teal."""
    glaze = kit.material("Chevron glaze", (0.9, 0.87, 0.8), 0.25)
    tree = kit.node_tree(glaze)
    place = kit.coordinates(tree)
    height = kit.zigzag(tree, kit.axis(tree, place, 2), place, teeth=9, depth=0.025)
    white, cobalt, teal = (0.88, 0.85, 0.77), (0.015, 0.07, 0.42), (0.02, 0.36, 0.38)
    stops = [
        (0.0, cobalt),
        (0.12, white),
        (0.30, cobalt),
        (0.40, white),
        (0.46, teal),
        (0.56, white),
        (0.62, cobalt),
        (0.72, white),
    ]
    kit.colour_from(glaze, kit.ramp(tree, kit.remap(tree, height, 0.0, 0.17), stops, "CONSTANT"))

    outside = [
        (0.045, 0.002),
        (0.062, 0.025),
        (0.072, 0.06),
        (0.062, 0.105),
        (0.043, 0.14),
        (0.040, 0.16),
        (0.049, 0.185),
    ]
    inside = [(0.046, 0.186), (0.036, 0.16), (0.039, 0.14), (0.057, 0.105), (0.0, 0.02)]
    white_glaze = kit.material("White glaze", white, 0.25)
    body = kit.lathe("Jug", [[(0.0, 0.0), (0.042, 0.0)], outside], glaze, 64)
    lining = kit.lathe("Jug lining", [outside[-1:] + inside], white_glaze, 64)
    rotation = (0.0, 0.0, math.radians(245))
    for thing in (body, lining):
        for vertex in thing.data.vertices:  # the lip is pulled out into a spout
            towards = max(0.0, math.cos(math.atan2(vertex.co.y, vertex.co.x))) ** 6
            pull = max(0.0, (vertex.co.z - 0.15) / 0.036) ** 2 * towards
            vertex.co.x += 0.024 * pull
            vertex.co.z += 0.006 * pull
        kit.place(thing, "Jug", (*at, BOARD), rotation)
    bow = [
        (-0.040, 0, 0.165, 0.8),
        (-0.062, 0, 0.176, 1.0),
        (-0.094, 0, 0.155, 1.0),
        (-0.100, 0, 0.115, 1.0),
        (-0.085, 0, 0.075, 1.0),
        (-0.066, 0, 0.058, 0.9),
    ]
    kit.place(
        kit.wires("Jug handle", [kit.smooth_curve(bow, 7)], 0.0085, white_glaze, resolution=4),
        "Jug",
        (*at, BOARD),
        rotation,
    )


def flowers(at: tuple[float, float]) -> None:
    """A turquoise vase with fronds, coral tulips and yellow ball flowers."""
    glaze = kit.graded(
        kit.material("Turquoise glaze", (0.02, 0.4, 0.42), 0.22),
        0.0,
        0.24,
        [
            (0.0, (0.30, 0.13, 0.05)),
            (0.14, (0.30, 0.14, 0.05)),
            (0.19, (0.008, 0.16, 0.22)),
            (0.55, (0.015, 0.33, 0.36)),
            (1.0, (0.12, 0.60, 0.52)),
        ],
        wobble=0.012,
    )
    outside = [
        (0.040, 0.002),
        (0.058, 0.03),
        (0.076, 0.085),
        (0.070, 0.135),
        (0.042, 0.175),
        (0.033, 0.195),
        (0.043, 0.222),
    ]
    inside = [(0.039, 0.223), (0.028, 0.195), (0.037, 0.175), (0.062, 0.13), (0.0, 0.05)]
    kit.place(kit.lathe("Vase", [[(0.0, 0.0), (0.038, 0.0)], outside, inside], glaze, 64), "Flowers", (*at, BOARD))
    mouth = np.array([*at, BOARD + 0.195])

    leaf = kit.material("Leaf", (0.09, 0.30, 0.045), 0.5)
    kit.mottled(leaf, [(0.025, 0.14, 0.03), (0.06, 0.24, 0.03), (0.15, 0.33, 0.035)], 22.0, 1.0)
    kit.translucent(leaf, (0.22, 0.50, 0.04), 0.35)
    long, short = frond("Frond", 0.30, 0.30, 1.35, leaf), frond("Short frond", 0.23, 0.55, 1.25, leaf)
    for i in range(9):
        kind = long if i % 3 == 0 else short
        thing = kind if i < 2 else kit.copy_of(kind, f"{kind.name} {i + 1}")
        kit.place(thing, "Flowers", mouth, (0.0, 0.0, 2.4 * i + 0.25), 0.92 + 0.03 * (i % 4))

    stem = kit.material("Stem", (0.16, 0.36, 0.07), 0.55)
    petal = kit.graded(
        kit.material("Tulip petal", (0.85, 0.10, 0.06), 0.45),
        0.0,
        0.07,
        [(0.0, (0.93, 0.48, 0.10)), (0.28, (0.88, 0.11, 0.07)), (1.0, (0.80, 0.05, 0.11))],
    )
    yellow = kit.bumpy(kit.material("Ball flower", (0.90, 0.58, 0.02), 0.7), 260, 0.002)
    pink = kit.bumpy(kit.material("Pink ball flower", (0.72, 0.09, 0.28), 0.7), 260, 0.002)
    tulip = tulip_head(kit.translucent(petal, (0.95, 0.16, 0.06), 0.3))
    balls = {
        "Ball flower": kit.sphere("Ball flower", 0.021, yellow),
        "Pink ball flower": kit.sphere("Pink ball flower", 0.017, pink),
    }
    blooms = [
        ("Tulip", 0.6, 0.075, 0.150),
        ("Tulip", 2.75, 0.085, 0.125),
        ("Tulip", 4.75, 0.062, 0.165),
        ("Ball flower", 1.6, 0.105, 0.120),
        ("Ball flower", 3.7, 0.075, 0.172),
        ("Ball flower", 5.75, 0.115, 0.110),
        ("Pink ball flower", 5.3, 0.04, 0.21),
        ("Pink ball flower", 2.1, 0.045, 0.215),
        ("Pink ball flower", 0.0, 0.12, 0.125),
        ("Pink ball flower", 3.2, 0.12, 0.13),
        ("Pink ball flower", 4.3, 0.105, 0.11),
    ]
    stems = []
    for i, (kind, a, out, up) in enumerate(blooms):
        reach = np.array([math.cos(a) * out, math.sin(a) * out, up])
        stems.append(kit.smooth_curve([mouth - (0, 0, 0.04), mouth + reach * (0.25, 0.25, 0.45), mouth + reach], 6))
        first = kind not in {other[0] for other in blooms[:i]}
        thing = tulip if kind == "Tulip" else balls[kind]
        lean = (0.0, math.atan2(out, up) * 0.8, a)
        kit.place(thing if first else kit.copy_of(thing, f"{kind} {i + 1}"), "Flowers", mouth + reach, lean)
    kit.place(kit.wires("Stems", stems, 0.0027, stem), "Flowers")


def frond(name: str, length: float, lean: float, arch: float, green: bpy.types.Material) -> kit.Object:
    """An arching feathered leaf that grows from the origin towards +x; its leaflets hang a little."""
    t = np.linspace(0.0, 1.0, 25)
    angle = lean + arch * t**1.3
    step = length / 24
    spine = np.cumsum(np.stack([np.sin(angle), np.zeros(25), np.cos(angle)], axis=1) * step, axis=0)
    vertices: list[kit.Array] = []
    faces: list[tuple[int, ...]] = []

    def blade(root: kit.Array, along: kit.Array, across: kit.Array, up: kit.Array, size: float, wide: float) -> None:
        s, w = np.meshgrid(np.linspace(0, 1, 7), np.array([-1.0, 0.0, 1.0]), indexing="ij")
        half = wide * np.sin(math.pi * np.clip(s * 0.93 + 0.04, 0, 1)) ** 0.8
        grid = (
            root
            + along * (s * size)[..., None]
            + across * (w * half)[..., None]
            + up * (0.25 * half * np.abs(w) - 0.22 * size * s**2)[..., None]
        )
        faces.extend(kit.sheet_faces(7, 3, len(vertices)))
        vertices.extend(grid.reshape(-1, 3))

    for k in range(5, 25, 2):
        tangent = np.array([math.sin(angle[k]), 0.0, math.cos(angle[k])])
        up = np.array([-math.cos(angle[k]), 0.0, math.sin(angle[k])])
        size = length * 0.27 * math.sin(math.pi * min(1.0, 0.22 + 0.75 * (k - 4) / 21)) ** 0.8
        for hand in (-1.0, 1.0):
            along = 0.82 * hand * np.array([0.0, 1.0, 0.0]) + 0.57 * tangent
            blade(spine[k], along, np.cross(up, along), up, size, 0.19 * size)
    end = np.array([math.sin(angle[-1]), 0.0, math.cos(angle[-1])])
    up = np.array([-math.cos(angle[-1]), 0.0, math.sin(angle[-1])])
    blade(spine[-1], end, np.cross(up, end), up, 0.15 * length, 0.03 * length)
    ring = np.linspace(0, 2 * math.pi, 5, endpoint=False)
    first = len(vertices)
    for k in range(25):
        up = np.array([-math.cos(angle[k]), 0.0, math.sin(angle[k])])
        thick = 0.0026 * (1 - 0.7 * t[k])
        vertices.extend(spine[k] + thick * (np.cos(a) * up + np.sin(a) * np.array([0.0, 1.0, 0.0])) for a in ring)
    for k in range(24):
        for i in range(5):
            j = (i + 1) % 5
            faces.append((first + 5 * k + i, first + 5 * k + j, first + 5 * k + 5 + j, first + 5 * k + 5 + i))
    return kit.mesh_object(name, vertices, faces, green)


def tulip_head(petal: bpy.types.Material) -> kit.Object:
    """Six petals in two rings around +z."""
    u, v = np.meshgrid(np.linspace(0, 1, 10), np.linspace(-1, 1, 7), indexing="ij")
    vertices: list[kit.Array] = []
    faces: list[tuple[int, ...]] = []
    for i in range(6):
        inner = i % 2
        reach = (0.029 - 0.004 * inner) * np.sin(math.pi * (0.10 + 0.66 * u)) * (1 - 0.10 * v**2)
        a = math.pi * i / 3 + v * 0.80 * np.sin(math.pi * (0.20 + 0.785 * u)) ** 0.5
        z = 0.070 * u * (1 - 0.05 * v**2) - 0.004 * inner
        faces.extend(kit.sheet_faces(10, 7, len(vertices)))
        vertices.extend(np.stack([reach * np.cos(a), reach * np.sin(a), z], axis=-1).reshape(-1, 3))
    head = kit.mesh_object("Tulip", vertices, faces, petal, sharp_angle=math.pi)
    solid = head.modifiers.new("Thickness", "SOLIDIFY")
    solid.thickness = 0.0016
    return head


def books(at: tuple[float, float]) -> None:
    """Three cloth-bound books and, on them, a lacquered lattice ball with a blue one inside."""
    paper = kit.material("Paper", (0.80, 0.72, 0.56), 0.9)
    bindings = [
        ("Navy book", (0.02, 0.06, 0.22), (0.185, 0.135, 0.030), 0.35),
        ("Mustard book", (0.72, 0.36, 0.02), (0.170, 0.122, 0.024), 0.62),
        ("Red book", (0.55, 0.025, 0.04), (0.148, 0.108, 0.027), 0.18),
    ]
    height = BOARD
    for name, colour, (length, depth, thick), turn in bindings:
        cover = kit.mottled(
            kit.material(name, colour, 0.7), [(0.8 * colour[0], 0.8 * colour[1], 0.8 * colour[2]), colour], 60.0
        )
        parts = [
            ("cover below", (length, depth, 0.003), 0.0, 0.0, cover),
            ("cover above", (length, depth, 0.003), 0.0, thick - 0.003, cover),
            ("spine", (length, 0.004, thick), -depth / 2 + 0.001, 0.0, cover),
            ("pages", (length - 0.008, depth - 0.008, thick - 0.006), 0.0, 0.003, paper),
        ]
        for part, size, shift, lift, stuff in parts:
            thing = kit.box(f"{name} {part}", size, stuff, bevel=0.001 if part != "pages" else 0.0, segments=2)
            spot = (at[0] - math.sin(turn) * shift, at[1] + math.cos(turn) * shift, height + lift)
            kit.place(thing, "Books", spot, (0.0, 0.0, turn))
        height += thick
    lacquer = kit.material("Coral lacquer", (0.85, 0.10, 0.05), 0.3)
    radius = 0.062
    centre = (at[0] - 0.005, at[1], height + radius + 0.001)
    kit.place(kit.wires("Lattice ball", goldberg_edges(radius), 0.0032, lacquer), "Books", centre, (0.25, 0.1, 0.0))
    blue = kit.material("Blue enamel", (0.01, 0.11, 0.50), 0.22)
    kit.place(kit.sphere("Blue ball", 0.036, blue, 32), "Books", (centre[0], centre[1], centre[2] - radius + 0.040))


def goldberg_edges(radius: float) -> list[list[tuple[float, float, float]]]:
    """The 120 edges of hexagons and pentagons: the dual of a once subdivided icosahedron."""
    import bmesh

    mesh = bmesh.new()
    bmesh.ops.create_icosphere(mesh, subdivisions=2, radius=radius)
    edges = []
    for edge in mesh.edges:
        ends = [face.calc_center_median().normalized() * radius for face in edge.link_faces]
        edges.append([tuple(ends[0]), tuple(ends[1])])
    mesh.free()
    return edges


def succulent(at: tuple[float, float]) -> None:
    """A rosette of thick leaves along the golden angle, in a terracotta pot."""
    clay = kit.mottled(
        kit.material("Terracotta", (0.60, 0.20, 0.09), 0.8), [(0.50, 0.16, 0.07), (0.68, 0.26, 0.12)], 30.0
    )
    soil = kit.material("Soil", (0.06, 0.035, 0.02), 0.95)
    wall = [(0.040, 0.0), (0.056, 0.062)]
    rim = [(0.056, 0.062), (0.062, 0.063), (0.064, 0.082), (0.058, 0.084)]
    pot = kit.lathe(
        "Pot",
        [[(0.0, 0.0), (0.040, 0.0)], wall, rim[:2], rim[1:3], rim[2:], [(0.058, 0.084), (0.054, 0.072)]],
        clay,
        48,
    )
    kit.place(pot, "Succulent", (*at, BOARD))
    earth = kit.lathe("Earth", [[(0.0545, 0.071), (0.03, 0.078), (0.0, 0.08)]], soil, 48)
    kit.place(earth, "Succulent", (*at, BOARD))

    skin = kit.material("Succulent leaf", (0.16, 0.42, 0.28), 0.5)
    tree = kit.node_tree(skin)
    tip = kit.axis(tree, kit.coordinates(tree, kind="UV"), 0)
    kit.colour_from(
        skin, kit.ramp(tree, tip, [(0.0, (0.07, 0.27, 0.16)), (0.7, (0.13, 0.37, 0.24)), (1.0, (0.55, 0.09, 0.16))])
    )
    rows, columns = 8, 10
    u, around = np.meshgrid(np.linspace(0, 1, rows), np.linspace(0, 2 * math.pi, columns), indexing="ij")
    swell = np.sin(math.pi * np.clip(u, 0, 1) ** 1.35) ** 0.6
    swell[0], swell[-1] = 0.25, 0.02
    leaf = np.stack([u, 0.30 * swell * np.cos(around), 0.13 * swell * np.sin(around) + 0.22 * u**2], axis=-1)
    vertices: list[kit.Array] = []
    faces: list[tuple[int, ...]] = []
    count = 44
    for i in range(count):
        age = i / (count - 1)  # 0: the outermost leaf
        size = 0.062 * (1 - 0.72 * age)
        rise = math.radians(12 + 66 * age)
        turn = i * math.pi * (3 - math.sqrt(5))
        bent = (
            np.stack(
                [
                    leaf[..., 0] * math.cos(rise) - leaf[..., 2] * math.sin(rise),
                    leaf[..., 1],
                    leaf[..., 0] * math.sin(rise) + leaf[..., 2] * math.cos(rise),
                ],
                axis=-1,
            )
            * size
        )
        bent[..., 0] += 0.010 * (1 - age)
        c, s = math.cos(turn), math.sin(turn)
        spun = np.stack(
            [bent[..., 0] * c - bent[..., 1] * s, bent[..., 0] * s + bent[..., 1] * c, bent[..., 2] + 0.022 * age],
            axis=-1,
        )
        faces.extend(kit.sheet_faces(rows, columns, len(vertices)))
        vertices.extend(spun.reshape(-1, 3))
    rosette = kit.mesh_object("Rosette", vertices, faces, skin, sharp_angle=math.pi)
    uv = rosette.data.uv_layers.new(name="UVMap")
    index = np.empty(len(rosette.data.loops), dtype=np.int32)
    rosette.data.loops.foreach_get("vertex_index", index)
    tips = (index % (rows * columns)) // columns / (rows - 1)
    uv.data.foreach_set("uv", np.stack([tips, np.zeros_like(tips)], axis=1).astype(np.float32).ravel())
    kit.place(rosette, "Succulent", (*at, BOARD + 0.078))


def grapes(at: tuple[float, float], heading: float) -> None:
    """A bunch of dark grapes that lies on the board."""
    skin = kit.mottled(
        kit.material("Grape", (0.10, 0.02, 0.12), 0.32), [(0.05, 0.008, 0.07), (0.16, 0.025, 0.11)], 45.0
    )
    berry = kit.sphere("Grapes", 0.0142, skin, 18)
    points = np.array([v.co for v in berry.data.vertices])
    quads = [tuple(face.vertices) for face in berry.data.polygons]
    bpy.data.meshes.remove(berry.data)
    random = np.random.default_rng(4)
    centres = []
    for layer, (rows, shift) in enumerate(((7, 0.0), (5, 0.013), (3, 0.026))):
        for row in range(rows):
            across = max(1, min(4 - layer, rows - row)) if row else max(1, 3 - layer)
            for k in range(across):
                centres.append((shift + row * 0.0235 - 0.06, (k - (across - 1) / 2) * 0.0265, 0.0142 + layer * 0.0195))
    vertices: list[kit.Array] = []
    faces: list[tuple[int, ...]] = []
    for centre in centres:
        faces.extend(tuple(len(vertices) + i for i in quad) for quad in quads)
        jitter = random.normal(0.0, 0.0013, 3) * (1, 1, 0.4)
        vertices.extend(
            points * (1 + random.normal(0, 0.03)) * (1, 1, 1.06)
            + centre
            + np.abs(jitter) * (0, 0, 1)
            + jitter * (1, 1, 0)
        )
    kit.place(
        kit.mesh_object("Grapes", vertices, faces, skin, sharp_angle=math.pi), "Fruit", (*at, BOARD), (0, 0, heading)
    )
    twig = kit.material("Twig", (0.23, 0.20, 0.06), 0.7)
    line = kit.smooth_curve(
        [
            (-0.035, 0.0, 0.045, 1.0),
            (-0.065, 0.002, 0.047, 1.0),
            (-0.088, 0.010, 0.058, 1.1),
            (-0.092, 0.020, 0.068, 1.4),
        ],
        5,
    )
    kit.place(kit.wires("Grape stalk", [line], 0.0024, twig), "Fruit", (*at, BOARD), (0, 0, heading))


def pears(spots: tuple[tuple[float, float, float], ...]) -> None:
    """Yellow-green pears with a red cheek: (x, y, which way they lean)."""
    skin = kit.material("Pear skin", (0.55, 0.50, 0.06), 0.38)
    tree = kit.node_tree(skin)
    cheek = kit.remap(tree, kit.axis(tree, kit.coordinates(tree), 0), -0.03, 0.036)
    kit.colour_from(
        skin, kit.ramp(tree, cheek, [(0.0, (0.50, 0.52, 0.06)), (0.55, (0.66, 0.48, 0.05)), (1.0, (0.66, 0.13, 0.04))])
    )
    profile = [
        (0.0, 0.003),
        (0.010, 0.0),
        (0.028, 0.010),
        (0.037, 0.034),
        (0.030, 0.062),
        (0.018, 0.082),
        (0.014, 0.096),
        (0.006, 0.103),
        (0.0, 0.101),
    ]
    pear = kit.lathe("Pear", [profile], skin, 40)
    bark = kit.material("Fruit stalk", (0.12, 0.06, 0.02), 0.8)
    stalk = kit.wires(
        "Pear stalk", [[(0, 0, 0.098, 1), (0.001, 0, 0.11, 0.9), (0.005, 0.001, 0.122, 1.3)]], 0.0019, bark
    )
    for i, (x, y, turn) in enumerate(spots):
        for thing in (pear, stalk):
            kit.place(
                thing if i == 0 else kit.copy_of(thing, f"{thing.name} {i + 1}"),
                "Fruit",
                (x, y, BOARD),
                (0.0, 0.0, turn),
            )


def cup(at: tuple[float, float]) -> None:
    """A small speckled cup on its saucer."""
    glaze = kit.graded(
        kit.material("Rose glaze", (0.75, 0.22, 0.24), 0.25),
        0.0,
        0.07,
        [(0.0, (0.80, 0.66, 0.52)), (0.25, (0.76, 0.40, 0.34)), (0.6, (0.70, 0.16, 0.20)), (1.0, (0.74, 0.20, 0.22))],
        wobble=0.006,
    )
    dish = [(0.022, 0.003), (0.040, 0.008), (0.058, 0.015), (0.059, 0.0175), (0.040, 0.012), (0.0, 0.009)]
    kit.place(kit.lathe("Saucer", [[(0.0, 0.0), (0.020, 0.0)], dish], glaze, 48, 4), "Cup", (*at, BOARD))
    outside = [(0.019, 0.011), (0.029, 0.022), (0.034, 0.042), (0.0365, 0.066)]
    inside = [(0.034, 0.066), (0.031, 0.042), (0.0, 0.018)]
    body = kit.lathe("Cup", [[(0.0, 0.010), (0.018, 0.010)], outside, outside[-1:] + inside], glaze, 48, 4)
    turn = (0.0, 0.0, math.radians(35))
    kit.place(body, "Cup", (*at, BOARD), turn)
    bow = [
        (0.033, 0, 0.056, 0.9),
        (0.047, 0, 0.058, 1.0),
        (0.054, 0, 0.045, 1.0),
        (0.046, 0, 0.031, 1.0),
        (0.031, 0, 0.029, 0.9),
    ]
    kit.place(
        kit.wires("Cup handle", [kit.smooth_curve(bow, 5)], 0.0038, glaze, resolution=3), "Cup", (*at, BOARD), turn
    )
    coffee = kit.material("Coffee", (0.035, 0.012, 0.005), 0.2)
    kit.place(kit.lathe("Coffee", [[(0.0325, 0.055), (0.0, 0.055)]], coffee, 32), "Cup", (*at, BOARD))


def plums(spots: tuple[tuple[float, float, float], ...]) -> None:
    """Blue plums with a soft bloom: (x, y, which way the seam looks)."""
    skin = kit.mottled(
        kit.material("Plum skin", (0.08, 0.03, 0.20), 0.42),
        [(0.03, 0.012, 0.09), (0.09, 0.05, 0.22), (0.20, 0.13, 0.34)],
        30.0,
    )
    r = 0.0225
    profile = [
        (0.0, -0.92 * r),
        (0.5 * r, -0.84 * r),
        (0.98 * r, -0.2 * r),
        (0.93 * r, 0.35 * r),
        (0.45 * r, 0.84 * r),
        (0.14 * r, 0.90 * r),
        (0.0, 0.84 * r),
    ]
    plum = kit.lathe("Plum", [profile], skin, 32, 4)
    for vertex in plum.data.vertices:  # the seam
        vertex.co.x -= 0.0028 * math.exp(-((vertex.co.y / 0.004) ** 2)) * max(0.0, vertex.co.x / r)
    for i, (x, y, turn) in enumerate(spots):
        kit.place(
            plum if i == 0 else kit.copy_of(plum, f"Plum {i + 1}"), "Fruit", (x, y, BOARD + 0.92 * r), (0.0, 0.12, turn)
        )


def lights() -> None:
    """A large warm key, a cool fill, a rim light from behind and a soft box above; the world fills every back."""
    middle = (0.0, 0.0, 0.28)
    kit.area_light("Key", (-1.45, -1.35, 1.75), middle, 1.0, 52.0, (1.0, 0.90, 0.76))
    kit.area_light("Fill", (1.9, -0.9, 0.9), middle, 1.4, 18.0, (0.72, 0.85, 1.0))
    kit.area_light("Rim", (0.7, 2.0, 1.3), middle, 0.9, 36.0, (1.0, 0.84, 0.70))
    kit.area_light("Back", (-1.7, 1.3, 0.9), middle, 1.2, 16.0, (0.80, 0.88, 1.0))
    kit.area_light("Top", (0.0, 0.0, 2.3), middle, 1.2, 10.0, (1.0, 1.0, 1.0))
    kit.gradient_world(
        "Studio", [(0.0, (0.55, 0.44, 0.36)), (0.5, (0.50, 0.48, 0.47)), (1.0, (0.62, 0.72, 0.85))], 0.38
    )


if __name__ == "__main__":
    kit.run(build, __file__)
