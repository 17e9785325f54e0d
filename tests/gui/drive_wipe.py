# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs inside a real Blender with its window: a cube of one light and a twin of another, held against each other with
mouse and keys.

    blender --python drive_wipe.py -- TREE FOLDER

Writes screenshots and what it found (found.json) into FOLDER.
"""

import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy
import numpy as np

TREE, FOLDER = (Path(word) for word in sys.argv[sys.argv.index("--") + 1 :])
sys.path.insert(0, str(Path(__file__).parent))
runpy.run_path(str(TREE / "core" / "bootstrap.py"))["register"](TREE)

import mouse  # noqa: E402
from play import play, region_of, take_picture, until  # noqa: E402

import radiance_twin  # noqa: E402
from radiance_twin.addon.viewport import badge  # noqa: E402
from radiance_twin.addon.viewport.compare import view as comparing  # noqa: E402
from radiance_twin.addon.viewport.compare.gizmo import RING  # noqa: E402
from radiance_twin.addon.viewport.draw import failure  # noqa: E402
from radiance_twin.core.twin_file import write_twin  # noqa: E402

# scene-linear; in half floats, as Blender keeps them, they are exact
CLASSIC = (0.1875, 0.5, 2.0)
NEURAL = (1.5, 0.25, 0.125)
WORLD = (0.0625, 0.125, 0.25)
found: dict[str, Any] = {"classic": CLASSIC, "neural": NEURAL, "world": WORLD}


def script() -> Iterator[float]:
    """What the user does; yields how many seconds to wait, for Blender to work and to draw."""
    radiance_twin.register()
    area = flat_scene()
    twin_of_another_colour()
    window, region = bpy.context.window_manager.windows[0], region_of(area)
    settings = bpy.context.workspace.radiance_twin_comparison
    yield 1.0
    settings.mode, settings.angle = "WIPE", 0.0
    area.spaces.active.shading.type = "RENDERED"
    # Cycles has drawn something when the middle is as bright as only the cube is
    yield from until(lambda: compared(region) is not None and middle_of(compared(region).sides.pixels)[2] > 1.0)
    yield from until(lambda: compared(region).psnr is not None)
    yield 1.0
    found["light"] = middle_of(compared(region).sides.pixels).tolist()
    found["region"] = [region.x, window.height - region.y - region.height, region.width, region.height]
    found["psnr"] = compared(region).psnr
    yield from picture("wipe")

    def place(x: float, y: float, aside: float = 0.0) -> mouse.Place:
        return mouse.place_in(window, region, x * region.width + aside, y * region.height)

    bpy.context.scene.view_settings.view_transform = "AgX"
    yield 1.5
    yield from picture("agx")
    bpy.context.scene.view_settings.view_transform = "Standard"
    mouse.move(place(0.5, 0.4))
    yield 1.0
    yield from mouse.drag(place(0.5, 0.5), place(0.35, 0.6))
    yield 1.0
    found["moved"] = [*settings.middle, settings.angle]
    yield from picture("moved")

    ring = RING * bpy.context.preferences.system.ui_scale
    yield from mouse.drag(place(0.35, 0.6, ring), place(0.35, 0.9))
    yield 1.0
    found["turned"] = [*settings.middle, settings.angle]
    yield from picture("turned")

    mouse.move(place(0.7, 0.3))
    yield 0.5
    mouse.hold("j")
    yield 2.0
    yield from picture("held")
    mouse.release("j")
    yield 2.0
    yield from picture("released")

    settings.mode = "DIFFERENCE"
    mouse.move(place(0.7, 0.32))
    yield 2.0
    yield from picture("difference")
    mouse.press("minus")
    yield 1.0
    found["amplification"] = settings.amplification
    mouse.press("Escape")
    yield 2.0
    found["left"] = settings.mode
    yield from picture("left")

    area.spaces.active.show_region_ui = True
    settings.mode = "SPLIT"
    yield from until(lambda: len(views()) == 2)
    first, second = views()
    found["split"] = {
        "left_is_the_old_one": first == area,
        "sidebars": [view.spaces.active.show_region_ui for view in (first, second)],
    }
    said: dict[Any, str] = {}
    badge.write = lambda text, *_, **__: said.setdefault(bpy.context.area, text)
    for view in (first, second):
        view.tag_redraw()
    yield 1.0
    found["badges"] = [said.get(view, "") for view in (first, second)]
    first.spaces.active.region_3d.view_distance = 15.0
    first.tag_redraw()
    yield from until(lambda: abs(second.spaces.active.region_3d.view_distance - 15.0) < 1e-3)
    settings.mode = "WIPE"
    yield from until(lambda: len(views()) == 1)
    found["split"]["old_one_stays"] = views() == [area]
    bpy.data.objects.remove(bpy.data.objects["flat"])
    yield 2.0
    found["failure"] = failure()


def flat_scene() -> bpy.types.Area:
    """A cube and a world of one light each, seen by Cycles; no lines over it."""
    scene = bpy.context.scene
    scene.render.engine, scene.cycles.preview_samples, scene.cycles.use_preview_denoising = "CYCLES", 1, False
    scene.view_settings.view_transform = "Standard"
    scene.world.node_tree.nodes["Background"].inputs[0].default_value = (*WORLD, 1.0)
    tree = bpy.data.materials["Material"].node_tree
    emission = tree.nodes.new("ShaderNodeEmission")
    emission.inputs[0].default_value = (*CLASSIC, 1.0)
    output = next(node for node in tree.nodes if node.type == "OUTPUT_MATERIAL")
    tree.links.new(emission.outputs[0], output.inputs[0])
    area = views_of_any_kind()[0]
    overlay = area.spaces.active.overlay
    for name in ("show_floor", "show_axis_x", "show_axis_y", "show_extras", "show_cursor", "show_outline_selected"):
        setattr(overlay, name, False)
    overlay.show_object_origins = False
    area.spaces.active.region_3d.view_distance = 8.0
    return area


def twin_of_another_colour() -> None:
    """A twin that fills the cube from −1 to 1."""
    grid = np.broadcast_to(np.float16(NEURAL), (32, 32, 32, 3)).copy()
    world_from_field = np.diag([2.0, 2.0, 2.0, 1.0])
    world_from_field[:3, 3] = -1.0
    arrays = {"bake/density": np.full((32, 32, 32), 4000.0, np.float16), "bake/colour": grid}
    write_twin(FOLDER / "flat.twin", {"world_from_field": world_from_field.tolist()}, arrays)
    bpy.ops.radiance_twin.load_twin(filepath=str(FOLDER / "flat.twin"))
    twin = bpy.context.view_layer.objects.active
    twin.radiance_twin.exact_frame = False
    twin.select_set(False)


def views_of_any_kind() -> list[bpy.types.Area]:
    return [area for area in bpy.context.window_manager.windows[0].screen.areas if area.type == "VIEW_3D"]


def views() -> list[bpy.types.Area]:
    return sorted((area for area in views_of_any_kind() if area.width > 1), key=lambda area: area.x)


def compared(region: bpy.types.Region) -> Any:
    return comparing._state.regions.get(region.as_pointer())


def middle_of(pixels: Any) -> Any:
    height, width = pixels.shape[:2]
    return pixels[height // 2, width // 2, :3]


def picture(name: str) -> Iterator[float]:
    take_picture(FOLDER, name)
    yield 0.1


play(script, found, FOLDER)
