# SPDX-License-Identifier: GPL-3.0-or-later
"""Glass and metal on a slab of dark marble: everything looks different from everywhere.

    python sample_scenes/build_glass_and_metal.py      writes glass_and_metal.blend beside this file (needs bpy 4.5)

The light is a procedural studio in the world (windows and softboxes), so no lamp stands in any view. The scene ends at
its slab and stands free on a transparent film. This scene and its file are in the public domain (CC0).
"""

from __future__ import annotations

import itertools
import math

import bpy
import numpy as np
import scene_kit as kit

SLAB = 0.07  # height of the slab's top, metres
RIM = 0.27  # radius of the slab

# what is more than one object, or there more than once, by the names of its parts
CLASSES = {
    "Armillary sphere": ["Axis *", "Colure", "Ecliptic", "Equator", "Meridian", "Stem"],
    "Bottle": ["Emerald bottle", "Stopper"],
    "Gem": ["Amethyst", "Aquamarine", "Citrine"],
    "Marble": ["Marble *"],
    "Mirror ball": ["Mirror ball*"],
    "Pot": ["Copper pot*"],
    "Slab": ["Slab*", "Foot*"],
}


def build() -> None:
    """Build the whole scene into an empty file."""
    scene = kit.empty_scene("Glass and Metal")
    scene.render.film_transparent = True
    cycles = scene.cycles
    cycles.max_bounces = 10
    cycles.transmission_bounces = 10
    cycles.glossy_bounces = 4
    slab()
    armillary((0.0, 0.03))
    mirror_ball((-0.085, -0.135))
    goblet((0.075, -0.165))
    vase((-0.175, 0.035))
    copper_pot((0.175, -0.02))
    bottle((0.085, 0.185))
    bowl((-0.085, 0.185))
    knot((-0.005, -0.225))
    gems()
    studio()
    kit.camera("Camera", (-0.36, -0.99, 0.56), (0.0, 0.0, 0.24), 50.0, (1080, 1080)).data.display_size = 0.1
    kit.classify(CLASSES)


def slab() -> None:
    """A round slab of green-black marble with a brass band, on three brass balls."""
    marble = kit.material("Marble", (0.02, 0.05, 0.05), 0.16)
    tree = kit.node_tree(marble)
    where = kit.coordinates(tree)
    warp = kit.add_node(tree, "ShaderNodeTexNoise", Vector=where, Scale=5.0, Detail=4.0, Distortion=1.6)
    deep, green, vein = (0.010, 0.030, 0.032), (0.030, 0.095, 0.085), (0.42, 0.50, 0.44)
    stops = [(0.0, deep), (0.44, green), (0.485, deep), (0.50, vein), (0.515, deep), (0.58, green), (1.0, deep)]
    kit.colour_from(marble, kit.ramp(tree, warp.outputs["Fac"], stops))
    edge = [(RIM - 0.004, 0.034), (RIM, 0.038), (RIM, SLAB - 0.004), (RIM - 0.004, SLAB)]
    kit.place(
        kit.lathe("Slab", [[(0.0, 0.034), edge[0]], edge[:2], edge[1:3], edge[2:], [edge[3], (0.0, SLAB)]], marble, 96),
        "Slab",
    )
    kit.place(ring("Slab band", RIM + 0.0015, 0.010, 0.003, brass()), "Slab", (0, 0, 0.052))
    foot = kit.sphere("Foot", 0.0185, brass(), 24)
    for i in range(3):
        a = math.radians(90 + 120 * i)
        kit.place(
            foot if i == 0 else kit.copy_of(foot, f"Foot {i + 1}"),
            "Slab",
            (0.19 * math.cos(a), 0.19 * math.sin(a), 0.0175),
        )


def brass() -> bpy.types.Material:
    """Polished brass, one material for all that is made of it."""
    return bpy.data.materials.get("Brass") or kit.material("Brass", (0.88, 0.58, 0.20), 0.14, metallic=1.0)


def ring(name: str, radius: float, width: float, thickness: float, stuff: bpy.types.Material) -> kit.Object:
    """A flat hoop about z: `width` along z, `thickness` along the radius."""
    r, t, w = radius, thickness / 2, width / 2
    corners = [(r - t, -w), (r + t, -w), (r + t, w), (r - t, w), (r - t, -w)]
    sides = [[a, b] for a, b in itertools.pairwise(corners)]
    return kit.lathe(name, sides, stuff, 96)


def armillary(at: tuple[float, float]) -> None:
    """Brass hoops about a crystal ball, on a turned stem: the sky as it was drawn once."""
    foot = [(0.074, 0.0), (0.076, 0.006), (0.066, 0.012), (0.030, 0.020), (0.016, 0.032)]
    stem = [
        (0.016, 0.032),
        (0.024, 0.042),
        (0.016, 0.053),
        (0.010, 0.075),
        (0.018, 0.096),
        (0.021, 0.106),
        (0.012, 0.118),
        (0.010, 0.130),
        (0.016, 0.1385),
    ]
    kit.place(
        kit.lathe("Stem", [[(0.0, 0.0), foot[0]], foot, stem, [stem[-1], (0.0, 0.1385)]], brass(), 48),
        "Armillary",
        (*at, SLAB),
    )
    r = 0.140
    centre = (*at, SLAB + 0.138 + r)
    tilt = math.radians(23.4)
    steel = kit.material("Steel", (0.62, 0.64, 0.67), 0.16, metallic=1.0)
    hoops = [
        ("Meridian", r, 0.012, (math.pi / 2, 0.0, 0.5)),
        ("Colure", r - 0.006, 0.009, (math.pi / 2, 0.0, 0.5 + math.pi / 2)),
        ("Equator", r - 0.011, 0.012, (tilt, 0.0, 0.5)),
        ("Ecliptic", r - 0.017, 0.016, (-tilt, tilt, 0.5)),
    ]
    for name, radius, width, turn in hoops:
        kit.place(ring(name, radius, width, 0.004, steel if name == "Ecliptic" else brass()), "Armillary", centre, turn)
    axis = [
        (0.0, 0.0, -r - 0.022, 0.2),
        (0.0, 0.0, -r - 0.01, 1.0),
        (0.0, 0.0, r + 0.012, 1.0),
        (0.0, 0.0, r + 0.030, 0.1),
    ]
    crystal = kit.sphere("Crystal ball", 0.064, kit.glass("Crystal", (0.97, 0.985, 1.0), 1.5), 64)
    kit.place(crystal, "Armillary", centre)
    for name, line in (("Axis above", [(0, 0, 0.0645, 1), *axis[2:]]), ("Axis below", [*axis[:2], (0, 0, -0.0645, 1)])):
        kit.place(kit.wires(name, [line], 0.0030, steel), "Armillary", centre, (tilt, 0.0, 0.5))


def mirror_ball(at: tuple[float, float]) -> None:
    """A perfect mirror in a brass collar."""
    silver = kit.material("Silver", (0.93, 0.93, 0.92), 0.02, metallic=1.0)
    kit.place(kit.sphere("Mirror ball", 0.064, silver, 64), "Mirror ball", (*at, SLAB + 0.0695))
    kit.place(ring("Mirror ball collar", 0.030, 0.014, 0.004, brass()), "Mirror ball", (*at, SLAB + 0.007))


def goblet(at: tuple[float, float]) -> None:
    """A ruby goblet with a knop in its stem."""
    ruby = kit.glass("Ruby glass", (0.93, 0.10, 0.13))
    base = [(0.0, 0.0), (0.040, 0.0), (0.042, 0.002), (0.038, 0.005), (0.014, 0.010), (0.0065, 0.020)]
    stem = [(0.0065, 0.020), (0.006, 0.036), (0.012, 0.046), (0.012, 0.050), (0.006, 0.060), (0.008, 0.078)]
    cup = [(0.008, 0.078), (0.030, 0.092), (0.043, 0.118), (0.045, 0.146), (0.040, 0.178)]
    inside = [(0.0382, 0.1785), (0.0428, 0.146), (0.0408, 0.119), (0.027, 0.096), (0.0, 0.087)]
    kit.place(kit.lathe("Goblet", [base[:2], base[1:], stem, cup, cup[-1:] + inside], ruby, 64), "Glass", (*at, SLAB))


def vase(at: tuple[float, float]) -> None:
    """A cobalt vase with flutes that wind about it."""
    cobalt = kit.glass("Cobalt glass", (0.20, 0.42, 0.97))
    outside = [
        (0.034, 0.001),
        (0.040, 0.012),
        (0.062, 0.075),
        (0.066, 0.115),
        (0.045, 0.175),
        (0.036, 0.205),
        (0.052, 0.245),
    ]
    inside = [
        (0.048, 0.2455),
        (0.031, 0.205),
        (0.040, 0.175),
        (0.059, 0.115),
        (0.054, 0.075),
        (0.030, 0.022),
        (0.0, 0.016),
    ]
    thing = kit.lathe("Cobalt vase", [[(0.0, 0.001), outside[0]], outside, outside[-1:] + inside], cobalt, 96)
    for vertex in thing.data.vertices:
        angle = math.atan2(vertex.co.y, vertex.co.x) + 9.0 * vertex.co.z
        swell = 1.0 + 0.055 * math.cos(8 * angle) * math.sin(math.pi * min(1.0, vertex.co.z / 0.25)) ** 0.5
        vertex.co.x *= swell
        vertex.co.y *= swell
    kit.place(thing, "Glass", (*at, SLAB))


def copper_pot(at: tuple[float, float]) -> None:
    """A hammered copper pot with a brass handle."""
    copper = kit.material("Copper", (0.90, 0.36, 0.18), 0.18, metallic=1.0)
    tree = kit.node_tree(copper)
    dents = kit.add_node(tree, "ShaderNodeTexVoronoi", Vector=kit.coordinates(tree), Scale=75.0)
    dents.feature = "SMOOTH_F1"
    bump = kit.add_node(tree, "ShaderNodeBump", Height=dents.outputs["Distance"], Distance=0.0022, Strength=1.0)
    tree.links.new(bump.outputs["Normal"], kit.shader(copper).inputs["Normal"])
    outside = [(0.050, 0.002), (0.066, 0.014), (0.074, 0.045), (0.066, 0.078), (0.052, 0.096)]
    lip = [(0.052, 0.096), (0.060, 0.108), (0.0575, 0.109)]
    inside = [(0.0575, 0.109), (0.049, 0.096), (0.063, 0.076), (0.070, 0.045), (0.0, 0.01)]
    kit.place(
        kit.lathe("Copper pot", [[(0.0, 0.0), (0.046, 0.0)], [(0.046, 0.0), *outside], lip, inside], copper, 64),
        "Metal",
        (*at, SLAB),
    )
    a = np.linspace(0.0, math.pi, 24)
    bow = np.stack([0.066 * np.cos(a), 0 * a, 0.092 + 0.085 * np.sin(a) ** 0.8], axis=1)
    kit.place(kit.wires("Copper pot handle", [bow], 0.0035, brass()), "Metal", (*at, SLAB), (0, 0, 0.9))
    ear = kit.sphere("Copper pot ear", 0.0075, brass(), 20)
    for i, side in enumerate((-1, 1)):
        spot = (at[0] + side * 0.066 * math.cos(0.9), at[1] + side * 0.066 * math.sin(0.9), SLAB + 0.092)
        kit.place(ear if i == 0 else kit.copy_of(ear, "Copper pot ear 2"), "Metal", spot)


def bottle(at: tuple[float, float]) -> None:
    """A square-shouldered emerald bottle with a glass stopper."""
    emerald = kit.glass("Emerald glass", (0.22, 0.80, 0.42))
    outside = [
        (0.040, 0.001),
        (0.045, 0.006),
        (0.046, 0.09),
        (0.046, 0.125),
        (0.034, 0.158),
        (0.0165, 0.172),
        (0.0145, 0.20),
        (0.0150, 0.222),
    ]
    collar = [(0.0150, 0.222), (0.020, 0.226), (0.020, 0.232), (0.0145, 0.236)]
    inside = [
        (0.0115, 0.236),
        (0.0112, 0.20),
        (0.014, 0.174),
        (0.031, 0.153),
        (0.0425, 0.122),
        (0.0425, 0.09),
        (0.041, 0.012),
        (0.0, 0.009),
    ]
    body = kit.lathe(
        "Emerald bottle", [[(0.0, 0.001), outside[0]], outside, collar, [collar[-1], inside[0]], inside], emerald, 64
    )
    kit.place(body, "Glass", (*at, SLAB))
    amber = kit.glass("Amber glass", (0.97, 0.58, 0.16))
    stopper = kit.sphere("Stopper", 0.0225, amber, 32)
    kit.place(stopper, "Glass", (*at, SLAB + 0.2578))


def bowl(at: tuple[float, float]) -> None:
    """A fluted silver bowl with glass marbles."""
    silver = kit.material("Sterling", (0.90, 0.89, 0.86), 0.12, metallic=1.0)
    outside = [(0.030, 0.006), (0.056, 0.024), (0.076, 0.062)]
    inside = [(0.0735, 0.0625), (0.053, 0.026), (0.028, 0.0095), (0.0, 0.008)]
    thing = kit.lathe(
        "Silver bowl",
        [[(0.0, 0.0), (0.030, 0.0)], [(0.030, 0.0), (0.030, 0.006)], outside, outside[-1:] + inside],
        silver,
        144,
    )
    for vertex in thing.data.vertices:
        wave = 0.045 * abs(math.cos(9 * math.atan2(vertex.co.y, vertex.co.x))) * max(0.0, (vertex.co.z - 0.012) / 0.05)
        vertex.co.x *= 1 + wave
        vertex.co.y *= 1 + wave
    kit.place(thing, "Metal", (*at, SLAB))
    tints = {
        "Aqua": (0.45, 0.92, 0.95),
        "Rose": (0.98, 0.45, 0.62),
        "Honey": (0.98, 0.72, 0.22),
        "Lime": (0.66, 0.93, 0.30),
    }
    glasses = [kit.glass(f"{name} glass", colour) for name, colour in tints.items()]
    radius = 0.0195
    for i in range(6):
        a, out, up = (i * 2 * math.pi / 5, 0.036, 0.040) if i < 5 else (0.3, 0.004, 0.064)
        marble = kit.sphere(f"Marble {i + 1}", radius, glasses[i % 4], 32)
        kit.place(marble, "Glass", (at[0] + out * math.cos(a), at[1] + out * math.sin(a), SLAB + up))


def knot(at: tuple[float, float]) -> None:
    """A trefoil knot in gold."""
    gold = kit.material("Gold", (0.98, 0.70, 0.25), 0.10, metallic=1.0)
    a = np.linspace(0, 2 * math.pi, 120, endpoint=False)
    line = np.stack([np.sin(a) + 2 * np.sin(2 * a), np.cos(a) - 2 * np.cos(2 * a), -np.sin(3 * a)], axis=1) * 0.0115
    kit.place(
        kit.wires("Gold knot", [line], 0.0066, gold, cyclic=True, resolution=4),
        "Metal",
        (*at, SLAB + 0.0181),
        (0, 0, 0.3),
    )


def gems() -> None:
    """Three brilliant-cut stones that lie on their sides."""
    cut = [(0.0, -0.026), (0.031, 0.0), (0.031, 0.003), (0.018, 0.015), (0.0, 0.015)]
    lean = math.atan2(0.031, 0.026) - math.pi / 2
    stones = [
        ("Amethyst", (0.62, 0.25, 0.93), (0.165, -0.135), 0.4),
        ("Citrine", (0.98, 0.72, 0.12), (-0.185, -0.085), 2.6),
        ("Aquamarine", (0.25, 0.86, 0.90), (0.205, 0.115), 4.4),
    ]
    for name, colour, (x, y), turn in stones:
        stone = kit.lathe(
            name, [[a, b] for a, b in itertools.pairwise(cut)], kit.glass(f"{name} glass", colour, 1.65), 10
        )
        stone.data.shade_flat()
        down = min(v.co.z * math.cos(lean) - v.co.y * 0 + v.co.x * -math.sin(lean) for v in stone.data.vertices)
        kit.place(stone, "Gems", (x, y, SLAB - down), (0.0, lean, turn))


def studio() -> None:
    """The world: a dusky gradient with a tall window, two strips and a softbox above."""
    stops = [
        (0.0, (0.16, 0.11, 0.08)),
        (0.42, (0.20, 0.15, 0.12)),
        (0.5, (0.34, 0.25, 0.19)),
        (0.6, (0.14, 0.19, 0.28)),
        (1.0, (0.10, 0.16, 0.30)),
    ]
    world = kit.gradient_world("Studio", stops, 1.0)
    kit.softbox(world, (-0.80, -0.75, 0.62), (0.42, 0.55), 6.5, (1.0, 0.93, 0.82))
    kit.softbox(world, (1.0, -0.25, 0.28), (0.16, 0.75), 5.5, (0.70, 0.84, 1.0))
    kit.softbox(world, (0.45, 1.0, 0.45), (0.50, 0.30), 5.5, (1.0, 0.80, 0.62))
    kit.softbox(world, (-0.9, 0.75, 0.25), (0.14, 0.60), 4.5, (0.85, 0.90, 1.0))
    kit.softbox(world, (0.1, 0.05, 1.0), (0.40, 0.40), 2.2, (1.0, 1.0, 1.0))


if __name__ == "__main__":
    kit.run(build, __file__)
