# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs inside a real Blender with its window, as a user would work: the sample, the four steps, a cube in the way.

    blender --python drive.py -- FOLDER

Writes screenshots and what it found (found.json) into FOLDER, then quits while the worker is training.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy
from bpy_extras.view3d_utils import location_3d_to_region_2d
from mathutils import Vector

sys.path.insert(0, str(Path(__file__).parent))
from play import close_the_timeline, in_the_viewport, play, region_of, take_picture, until_our_tab_is_open, viewport

FOLDER = Path(sys.argv[sys.argv.index("--") + 1])
EXTENSION = "bl_ext.user_default.radiance_twin"
found: dict[str, Any] = {}


def script() -> Iterator[float]:
    """What the user does; yields how many seconds to wait, for Blender to work and to draw."""
    with in_the_viewport():
        bpy.ops.radiance_twin.open_sample("INVOKE_DEFAULT")
    yield 1.0
    found["sample"] = {"path": bpy.data.filepath, "objects": len(bpy.context.scene.objects)}
    bpy.ops.wm.save_as_mainfile(filepath=str(FOLDER / "still_life.blend"))
    yield from open_the_panel()

    settings = bpy.context.scene.radiance_twin
    settings.views, settings.val_views, settings.test_views = 24, 1, 2
    settings.width, settings.height = 100, 100
    settings.samples, settings.reference_samples = 6, 12
    settings.preset, settings.seconds, settings.device, settings.bake = "custom", 20.0, "cpu", "small"
    bpy.ops.radiance_twin.render_views()
    yield from until_it_has_ended("render", "while_rendering")
    bpy.ops.radiance_twin.train()
    yield from until_it_has_ended("train", "while_training")
    (twin,) = (thing for thing in bpy.context.scene.objects if thing.type == "EMPTY")
    # the pictures below are of the bake: the field's frame would come in between at any moment
    twin.radiance_twin.exact_frame = False
    found["twin"] = {"name": twin.name, "location": list(twin.location)}
    bpy.ops.radiance_twin.compare()
    yield from until_it_has_ended("compare", "while_comparing")

    cube = stand_a_cube_before(twin)
    look_at_both(twin)
    for thing in bpy.context.scene.objects:
        thing.select_set(False)
    for name, hidden in (
        ("neither", (twin, cube)),
        ("cube", (twin,)),
        ("twin", (cube,)),
        ("both", ()),
    ):
        for thing in (twin, cube):
            thing.hide_set(thing in hidden)
        yield from until_the_view_is_fine()
        take_picture(FOLDER, name)
    found["cube_in_window"] = in_window(cube.matrix_world.translation)

    settings.seconds = 600.0
    bpy.ops.radiance_twin.train()
    job = jobs().running()
    while not job.stage:
        yield 0.2
    found["worker"] = job.process_id


def jobs() -> Any:
    return sys.modules[f"{EXTENSION}.addon.jobs.worker"]


def until_it_has_ended(step: str, picture: str) -> Iterator[float]:
    job = jobs().running()
    taken = False
    while not job.ended:
        yield 0.3
        if job.fraction > 0.4 and not taken:
            taken = True
            take_picture(FOLDER, picture)
    found[step] = {"outcome": job.outcome, "error": repr(job.error), "log": job.lines[-20:]}
    assert job.error is None, found[step]
    yield 0.5


def until_the_view_is_fine() -> Iterator[float]:
    """A view that changes is drawn coarsely at first."""
    drawing = sys.modules[f"{EXTENSION}.addon.viewport.draw"]
    yield 2.0
    while any(pictures.done < 1.0 for pictures in drawing._state.pictures.values()):
        yield 0.3
    yield 0.5


def open_the_panel() -> Iterator[float]:
    """The sidebar's tab, over the whole height of the window; no lights and cameras in the picture."""
    close_the_timeline()
    yield 0.5
    _, area = viewport()
    area.spaces.active.overlay.show_extras = False
    area.spaces.active.overlay.show_cursor = False
    area.spaces.active.show_region_ui = True
    yield from until_our_tab_is_open()


def original_bounds() -> tuple[Vector, Vector]:
    meshes = [thing for thing in bpy.context.scene.objects if thing.type in {"MESH", "CURVE"} and thing.name != "Cube"]
    corners = [thing.matrix_world @ Vector(corner) for thing in meshes for corner in thing.bound_box]
    low, high = (Vector(each(corner[axis] for corner in corners) for axis in range(3)) for each in (min, max))
    return low, high


def view_of(area: bpy.types.Area) -> bpy.types.RegionView3D:
    return area.spaces.active.region_3d


def stand_a_cube_before(twin: bpy.types.Object) -> bpy.types.Object:
    """A cube between the viewer and the twin's lower left."""
    low, high = original_bounds()
    centre = (low + high) / 2 + twin.location
    rotation = view_of(viewport()[1]).view_rotation
    towards_viewer, right = rotation @ Vector((0, 0, 1)), rotation @ Vector((1, 0, 0))
    towards_viewer.z = 0
    size = (high - low).length
    place = centre + towards_viewer.normalized() * 0.45 * size - right * 0.15 * size
    place.z = low.z + 0.12 * size
    with in_the_viewport():
        bpy.ops.mesh.primitive_cube_add(size=0.24 * size, location=place)
        return bpy.context.object


def look_at_both(twin: bpy.types.Object) -> None:
    """The original left, the twin right, both beside the sidebar."""
    low, high = original_bounds()
    view = view_of(viewport()[1])
    right = view.view_rotation @ Vector((1, 0, 0))
    view.view_location = (low + high) / 2 + twin.location / 2 + right * 0.2 * twin.location.length
    view.view_distance = 2.7 * twin.location.length


def in_window(place: Vector) -> tuple[float, float]:
    """Pixels from the window's upper left corner."""
    window, area = viewport()
    region = region_of(area)
    x, y = location_3d_to_region_2d(region, view_of(area), place)
    return region.x + x, window.height - (region.y + y)


play(script, found, FOLDER)
