# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs inside a real Blender with its window: the four steps by pointer and keys, as a user's hands do them.

    blender --python drive_by_hand.py -- FOLDER TWIN

The sample is opened, rendered and trained by clicks on the panel's buttons; the training is looked at, and cancelled
by its X. What was learned is looked at, too. TWIN then takes the place of what was not finished, is loaded and compared
by clicks, this frame first; Esc stops the last of three Compare This Frame. Writes screenshots and found.json into
FOLDER.
"""

import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy

sys.path.insert(0, str(Path(__file__).parent))
import mouse
from play import close_the_timeline, play, region_of, take_picture, until_our_tab_is_open, viewport

FOLDER, TWIN = (Path(word) for word in sys.argv[sys.argv.index("--") + 1 :])
EXTENSION = "bl_ext.user_default.radiance_twin"
# from a button to the header of the sub-panel below it, pixels
HEADER = 34
found: dict[str, Any] = {}


def script() -> Iterator[float]:
    """What the user does; yields how many seconds to wait, for Blender to work and to draw."""
    yield from open_the_sidebar()
    yield from press("open_sample")
    yield 2.0
    found["objects"] = len(bpy.context.scene.objects)
    bpy.ops.wm.save_as_mainfile(filepath=str(FOLDER / "still_life.blend"))
    settings = bpy.context.scene.radiance_twin
    settings.views, settings.val_views, settings.test_views = 16, 1, 1
    settings.width, settings.height = 64, 64
    settings.samples, settings.reference_samples = 4, 4
    settings.preset, settings.seconds, settings.device, settings.bake = "custom", 600.0, "cpu", "small"
    make_room()
    yield from open_the_sidebar()

    yield from press("render_views")
    yield from until_it_has_ended("render")
    yield 1.0
    take_picture(FOLDER, "before")
    yield from press("train")
    yield from until_the_training_is_seen()
    take_picture(FOLDER, "training")
    found["badge"] = badge()
    job, found["standing"] = running(), twins()
    yield from press("cancel")
    found["cancelling"] = job.cancelling
    yield from until_it_has_ended("train", job)
    yield from until_the_field_is_seen()
    found["left"], found["badge_of_left"] = twins(), badge()
    take_picture(FOLDER, "cancelled")

    bpy.data.objects.remove(bpy.data.objects["still_life"])
    shutil.copy(TWIN, FOLDER / "radiance_twin" / "still_life.twin")
    yield 1.0
    yield from press("load_twin")
    yield 1.0
    found["loaded"] = twins()
    yield from open_this_frame()
    scene = bpy.context.scene
    scene.cycles.samples, scene.render.resolution_percentage = 4, 10
    yield from press("compare_frame")
    yield from until_the_frame_is_compared("frame")
    take_picture(FOLDER, "compared")
    scene.camera.data.type, scene.camera.data.ortho_scale = "ORTHO", 1.0
    bpy.ops.radiance_twin.compare_frame()
    yield from until_the_frame_is_compared("orthographic")

    scene.cycles.samples = 100_000
    engine = scene.render.engine
    bpy.ops.radiance_twin.compare_frame()
    until = time.monotonic() + 20.0
    while not bpy.app.is_job_running("RENDER") and time.monotonic() < until:
        yield 0.1
    yield 2.0
    mouse.press("Escape")
    frame = comparison()
    while (bpy.app.is_job_running("RENDER") or frame._running is not None) and time.monotonic() < until + 40.0:
        yield 0.2
    found["escaped"] = {"problem": frame.problem(), "engine_kept": scene.render.engine == engine}
    take_picture(FOLDER, "escaped")

    yield from press("compare")
    yield from until_it_has_ended("compare")


def open_this_frame() -> Iterator[float]:
    """The sub-panel below the button Compare, by a click on its header."""
    window, area = viewport()
    yield from mouse.find_button(window, area, region_of(area, "UI"), "radiance_twin.compare")
    mouse.xdotool("mousemove_relative", "--", 0, round(HEADER * bpy.context.preferences.system.ui_scale))
    mouse.xdotool("click", mouse.LEFT)
    yield 0.5


def comparison() -> Any:
    return sys.modules[f"{EXTENSION}.addon.operators.compare_frame"]


def until_the_frame_is_compared(name: str) -> Iterator[float]:
    """Also saves what the two slots of the render result hold."""
    frame, engine = comparison(), bpy.context.scene.render.engine
    while frame._running is not None:
        yield 0.2
    assert not frame.problem(), frame.problem()
    worker = sys.modules[f"{EXTENSION}.addon.jobs.worker"]
    yield from until_it_has_ended(name, worker.running() or worker.last("measure_frame"))
    result = bpy.data.images["Render Result"]
    for slot, side in enumerate(("classic", "neural")):
        result.render_slots.active_index = slot
        result.save_render(str(FOLDER / f"{name}_{side}.png"))
    found[name] |= {"engine_after": bpy.context.scene.render.engine, "engine": engine}
    found[name]["kept"] = [frame.frame_image(side).packed_file is not None for side in ("classic", "neural")]


def running() -> Any:
    return sys.modules[f"{EXTENSION}.addon.jobs.worker"].running()


def twins() -> list[str]:
    return [thing.name for thing in bpy.context.scene.objects if thing.type == "EMPTY"]


def badge() -> str:
    """What the corner of the view says."""
    exact, words = (sys.modules[f"{EXTENSION}.addon.viewport.{name}"] for name in ("exact", "badge"))
    twin = next(thing for thing in bpy.context.scene.objects if thing.type == "EMPTY")
    bake = sys.modules[f"{EXTENSION}.addon.viewport.twin"].bake_of(twin)
    return str(words.in_words(bake, list(exact.wishes()), 1))


def until_it_has_ended(step: str, job: Any = None) -> Iterator[float]:
    job = job or running()
    assert job is not None, f"the button of {step} was pressed, and nothing runs"
    while not job.ended:
        yield 0.3
    found[step] = {"outcome": job.outcome, "error": repr(job.error)}
    yield 0.5


def until_the_training_is_seen() -> Iterator[float]:
    """Until the view shows the field that is being trained."""
    exact = sys.modules[f"{EXTENSION}.addon.viewport.exact"]
    while not any(wish.is_shown and wish.training for wish in exact.wishes()):
        assert running() is not None, "the training ended before it was seen"
        yield 0.2
    yield 1.5


def until_the_field_is_seen() -> Iterator[float]:
    """Until the view shows a field that rests in a file."""
    exact = sys.modules[f"{EXTENSION}.addon.viewport.exact"]
    while not any(wish.complete for wish in exact.wishes()):
        yield 0.2
    yield 1.5


def press(operator: str) -> Iterator[float]:
    """Find a button in the sidebar and click it."""
    window, area = viewport()
    yield from mouse.press_button(window, area, region_of(area, "UI"), f"radiance_twin.{operator}")


def open_the_sidebar() -> Iterator[float]:
    """By its key, with the pointer in the viewport; then our tab."""
    window, area = viewport()
    if not area.spaces.active.show_region_ui:
        mouse.move(mouse.place_in(window, region_of(area), 300, 300))
        yield mouse.NOTICE
        mouse.press("n")
    yield from until_our_tab_is_open()


def make_room() -> None:
    """The whole window's height for the viewport."""
    close_the_timeline()
    viewport()[1].spaces.active.overlay.show_extras = False


bpy.context.preferences.view.render_display_type = "NONE"
play(script, found, FOLDER)
