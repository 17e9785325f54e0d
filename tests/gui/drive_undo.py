# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs inside a real Blender with its window: undo, redo, deleting, another file and a lost file, with a twin in sight
and while one is trained. The worker is the fake one of tests/addon.

    blender --python drive_undo.py -- TREE FOLDER

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

from play import (  # noqa: E402
    close_the_timeline,
    in_the_viewport,
    play,
    region_of,
    take_picture,
    until,
    until_our_tab_is_open,
    viewport,
)

import radiance_twin  # noqa: E402
from radiance_twin.addon import wishes  # noqa: E402
from radiance_twin.addon.jobs import worker  # noqa: E402
from radiance_twin.addon.viewport import draw  # noqa: E402
from radiance_twin.addon.viewport.twin import problem_of, twins_of  # noqa: E402
from radiance_twin.core.twin_file import write_twin  # noqa: E402

BLEND, TWIN = FOLDER / "table.blend", FOLDER / "radiance_twin" / "table.twin"
WAITS = 1  # a seed of the fake worker
found: dict[str, Any] = {}


def script() -> Iterator[float]:
    """What the user does; yields how many seconds to wait, for Blender to work and to draw."""
    radiance_twin.register()
    # the fake worker renders no frames
    wishes.unregister()
    plain_scene()
    write_red_twin(FOLDER / "red.twin")
    yield 0.5
    yield from look("empty")
    with in_the_viewport():
        bpy.ops.radiance_twin.load_twin("EXEC_DEFAULT", True, filepath=str(FOLDER / "red.twin"), placement="IN_PLACE")
    yield from look("loaded")
    yield from undo("loading undone")
    yield from redo("loading redone")
    # as deep as it goes, and all the way back
    yield from undo("undone again")
    yield from redo("redone again")

    bpy.context.scene.radiance_twin.seed = WAITS
    bpy.ops.radiance_twin.render_views()
    render = worker.running()
    yield from undo("undone while rendering")
    yield from redo("redone while rendering")
    render.cancel()
    yield from until(lambda: render.ended)

    yield from train("trained")
    yield from undo("undone while training")
    yield from redo("redone while training")
    for thing in list(twins_of(bpy.data.objects)):
        bpy.data.objects.remove(thing)
    yield from look("deleted while training")
    other = bpy.data.scenes.new("Other")
    bpy.context.window.scene = other
    bpy.data.scenes.remove(bpy.data.scenes["Scene"])
    yield from look("scene deleted while training")
    yield from finish("into the other scene")

    bpy.ops.wm.open_mainfile(filepath=str(BLEND))
    yield 1.0
    yield from train("trained again")
    bpy.ops.wm.read_homefile()
    yield from look("other file while training")
    yield from finish("into the other file")

    bpy.ops.wm.open_mainfile(filepath=str(BLEND))
    yield 1.0
    bpy.ops.radiance_twin.load_twin(filepath=str(FOLDER / "red.twin"), placement="IN_PLACE")
    bpy.ops.wm.save_mainfile()
    (FOLDER / "red.twin").rename(FOLDER / "elsewhere.twin")
    bpy.ops.wm.open_mainfile(filepath=str(BLEND))
    yield from look("file moved away")
    (FOLDER / "elsewhere.twin").rename(FOLDER / "red.twin")
    yield 1.5
    viewport()[1].tag_redraw()
    yield from look("file back")
    close_the_timeline()
    yield 0.5
    viewport()[1].spaces.active.show_region_ui = True
    yield from until_our_tab_is_open()
    yield from look("panel")
    yield from inside_a_cube()


def inside_a_cube() -> Iterator[float]:
    """The twin where it is hidden, and rendered by its own engine, which draws no cube."""
    with in_the_viewport():
        bpy.ops.mesh.primitive_cube_add(size=3.0)
    yield from look("inside a cube")
    bpy.context.scene.render.engine, viewport()[1].spaces.active.shading.type = "RADIANCE_TWIN", "RENDERED"
    yield from look("inside a cube, by its engine")


def undo(name: str) -> Iterator[float]:
    with in_the_viewport():
        bpy.ops.ed.undo()
    yield from look(name)


def redo(name: str) -> Iterator[float]:
    with in_the_viewport():
        bpy.ops.ed.redo()
    yield from look(name)


def look(name: str) -> Iterator[float]:
    """What is there, what the view shows in its middle, and whether drawing has gone on without an error."""
    for _ in range(3):
        viewport()[1].tag_redraw()
        yield 0.4
    yield from until(lambda: all(pictures.done >= 1.0 for pictures in draw._state.pictures.values()))
    window, area = viewport()
    region = region_of(area)
    place = [region.x + region.width // 2, window.height - 1 - (region.y + region.height // 2)]
    take_picture(FOLDER, name)
    things = list(twins_of(bpy.context.scene.objects))
    found[name] = {
        "twins": [thing.name for thing in things],
        "problems": [problem_of(thing) for thing in things],
        "failure": draw.failure(),
        "middle": place,
    }


def train(name: str) -> Iterator[float]:
    """Until the twin's stand-in is there."""
    settings = bpy.context.scene.radiance_twin
    settings.seed, settings.load_after = WAITS, True
    bpy.ops.radiance_twin.train()
    yield from until(lambda: worker.training() is not None and worker.training().fraction > 0.0)
    yield from look(name)


def finish(name: str) -> Iterator[float]:
    """End the training in good order, in whatever file and scene is open now."""
    job = worker.running()
    assert job is not None
    job.finish()
    yield from until(lambda: job.ended)
    found[f"{name}: outcome"] = {"outcome": job.outcome, "error": repr(job.error)}
    yield from look(name)


def plain_scene() -> None:
    """Saved, with a dataset to train from; nothing in the view's middle but what a twin shows there."""
    for thing in list(bpy.data.objects):
        bpy.data.objects.remove(thing)
    space = viewport()[1].spaces.active
    for name in ("show_floor", "show_axis_x", "show_axis_y", "show_extras", "show_cursor", "show_object_origins"):
        setattr(space.overlay, name, False)
    bpy.context.scene.view_settings.view_transform = "Standard"
    TWIN.parent.mkdir()
    TWIN.with_suffix(".h5").touch()
    bpy.ops.wm.save_as_mainfile(filepath=str(BLEND))
    bpy.ops.ed.undo_push(message="plain")


def write_red_twin(path: Path) -> None:
    """A red cube from −1 to 1."""
    world_from_field = np.diag([2.0, 2.0, 2.0, 1.0])
    world_from_field[:3, 3] = -1.0
    colour = np.broadcast_to(np.float16((1.0, 0.0, 0.0)), (16, 16, 16, 3)).copy()
    arrays = {"bake/density": np.full((16, 16, 16), 4000.0, np.float16), "bake/colour": colour}
    write_twin(path, {"world_from_field": world_from_field.tolist()}, arrays)


play(script, found, FOLDER)
