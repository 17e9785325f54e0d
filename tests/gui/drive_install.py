# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs inside a real Blender with its window and nothing that could train: Install is pressed, then Render and Train.

    blender --online-mode --python drive_install.py -- FOLDER

Writes screenshots and what it found (found.json) into FOLDER.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy

sys.path.insert(0, str(Path(__file__).parent))
import mouse
from play import play, region_of, take_picture, until_our_tab_is_open, viewport

FOLDER = Path(sys.argv[sys.argv.index("--") + 1])
EXTENSION = "bl_ext.user_default.radiance_twin"
HEADER = 26  # pixels, of a panel
found: dict[str, Any] = {}


def script() -> Iterator[float]:
    """What the user does; yields how many seconds to wait, for Blender to work and to draw."""
    bpy.ops.radiance_twin.open_sample("INVOKE_DEFAULT")
    yield 1.0
    bpy.ops.wm.save_as_mainfile(filepath=str(FOLDER / "still_life.blend"))
    yield from open_the_panel()
    preferences = sys.modules[f"{EXTENSION}.addon.preferences"]
    found["before"] = {"python": preferences.find_worker_python(), "can_render": can_render()}
    take_picture(FOLDER, "before")
    bpy.ops.radiance_twin.doctor()
    yield from until_it_has_ended("examined_before")

    window, area = viewport()
    yield from mouse.press_button(window, area, region_of(area, "UI"), "radiance_twin.install_runtime")
    yield 1.0
    take_picture(FOLDER, "asked")
    mouse.press("Return")
    yield 1.0
    job = jobs().running()
    assert job is not None, "Install was pressed and confirmed, and nothing runs"
    seen = []
    while not job.ended:
        if not seen or job.fraction > seen[-1]:
            seen.append(job.fraction)
        if job.fraction > 0.2 and "installing" not in found:
            found["installing"] = job.note
            take_picture(FOLDER, "installing")
        yield 0.3
    found["install"] = {"outcome": job.outcome, "error": repr(job.error), "progress": seen, "log": job.lines[-20:]}
    assert job.error is None, found["install"]
    yield 1.0
    take_picture(FOLDER, "installed")
    found["after"] = {"python": preferences.find_worker_python(), "can_render": can_render()}

    settings = bpy.context.scene.radiance_twin
    settings.views, settings.val_views, settings.test_views = 12, 1, 1
    settings.width, settings.height = 48, 48
    settings.samples, settings.reference_samples = 4, 4
    bpy.ops.radiance_twin.render_views()
    yield from until_it_has_ended("render")
    settings.preset, settings.seconds, settings.device, settings.bake = "custom", 2.0, "cpu", "small"
    bpy.ops.radiance_twin.train()
    yield from until_it_has_ended("train")
    bpy.ops.radiance_twin.doctor()
    yield from until_it_has_ended("examined")
    yield from open_the_doctor()
    found["report"] = bpy.context.window_manager.clipboard
    take_picture(FOLDER, "doctor")
    bpy.ops.screen.userpref_show()
    bpy.ops.preferences.addon_show(module=EXTENSION)
    yield 2.0
    take_picture(FOLDER, "preferences")
    found["twins"] = [thing.name for thing in bpy.context.scene.objects if thing.type == "EMPTY"]
    yield 4.0
    take_picture(FOLDER, "trained")


def open_the_doctor() -> Iterator[float]:
    """Scroll down, and click on the last panel's header."""
    window, area = viewport()
    sidebar = region_of(area, "UI")
    yield from mouse.scroll(window, sidebar, mouse.WHEEL_DOWN)
    mouse.move(mouse.place_in(window, sidebar, sidebar.width / 2, HEADER / 2))
    yield mouse.NOTICE
    mouse.xdotool("click", mouse.LEFT)
    yield 0.5
    yield from mouse.press_button(window, area, sidebar, "radiance_twin.copy_report")
    yield 0.5


def can_render() -> bool:
    return bool(bpy.ops.radiance_twin.render_views.poll())


def until_it_has_ended(step: str) -> Iterator[float]:
    job = jobs().running()
    assert job is not None, f"{step} was pressed, and nothing runs"
    while not job.ended:
        yield 0.3
    found[step] = {"outcome": job.outcome, "error": repr(job.error), "log": job.lines[-20:]}
    assert job.error is None, found[step]


def jobs() -> Any:
    return sys.modules[f"{EXTENSION}.addon.jobs.worker"]


def open_the_panel() -> Iterator[float]:
    _, area = viewport()
    area.spaces.active.show_region_ui = True
    area.spaces.active.overlay.show_extras = False
    yield from until_our_tab_is_open()


play(script, found, FOLDER)
