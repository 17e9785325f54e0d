# SPDX-License-Identifier: GPL-3.0-or-later
"""What scripts share that run inside a real Blender with its window: they are played step by step from a timer, so that
Blender works and draws in between, and leave screenshots and what they found in a folder.
"""

import json
import subprocess
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import bpy

# of Blender's own start, seconds
SETTLE = 2.0


def play(script: Callable[[], Iterator[float]], found: dict[str, Any], folder: Path) -> None:
    """Run `script`, which yields how many seconds to wait; then write `found` into found.json and quit Blender."""
    bpy.context.preferences.view.show_splash = False
    bpy.context.preferences.filepaths.use_auto_save_temporary_files = False
    steps = script()

    def tick() -> float | None:
        try:
            return next(steps)
        except StopIteration:
            pass
        except BaseException:
            found["failed"] = traceback.format_exc()
            take_picture(folder, "failed")
        (folder / "found.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
        bpy.ops.wm.quit_blender()
        return None

    bpy.app.timers.register(tick, first_interval=SETTLE, persistent=True)


def until(condition: Callable[[], Any], seconds: float = 60.0) -> Iterator[float]:
    """Wait for something to be so.

    Raises:
        AssertionError: it never was.
    """
    waited = 0.0
    while not condition():
        yield 0.2
        waited += 0.2
        assert waited < seconds, "what was waited for does not come"


def take_picture(folder: Path, name: str) -> None:
    """A screenshot of the whole window."""
    subprocess.run(["import", "-window", "root", str(folder / f"{name}.png")], check=True)


def viewport() -> tuple[bpy.types.Window, bpy.types.Area]:
    """The window and its first 3D view."""
    window = bpy.context.window_manager.windows[0]
    return window, next(area for area in window.screen.areas if area.type == "VIEW_3D")


def region_of(area: bpy.types.Area, kind: str = "WINDOW") -> bpy.types.Region:
    """An area's region."""
    return next(region for region in area.regions if region.type == kind)


def in_the_viewport() -> AbstractContextManager[None]:
    """The context of a click into the 3D view: a timer has none."""
    window, area = viewport()
    return bpy.context.temp_override(window=window, area=area, region=region_of(area))


def close_the_timeline() -> None:
    """The whole window's height for the viewport."""
    window, _ = viewport()
    timeline = next(each for each in window.screen.areas if each.type == "DOPESHEET_EDITOR")
    with bpy.context.temp_override(window=window, area=timeline):
        bpy.ops.screen.area_close()


def until_our_tab_is_open() -> Iterator[float]:
    """Show the sidebar's tab; there are no tabs until the sidebar has been drawn."""
    while True:
        yield 0.5
        try:
            region_of(viewport()[1], "UI").active_panel_category = "Radiance Twin"
        except (AttributeError, TypeError):
            continue
        break
    yield 0.5
