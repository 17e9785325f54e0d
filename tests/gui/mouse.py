# SPDX-License-Identifier: GPL-3.0-or-later
"""A user's hands, for scripts that run inside a real Blender with its window: pointer and keys as X11 events.

Each function sends its events and returns at once. Blender takes them when its own loop goes on, so a script yields
some tenths of a second before it looks at what they did. Places are pixels of the window from its upper left corner.
"""

import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager

import bpy

Place = tuple[float, float]

# seconds for Blender to notice where the pointer is, and to make the button under it the active one
NOTICE = 0.15
ROW = 15  # pixels between two places that are tried for a button: less than one is high
LEFT, MIDDLE, RIGHT, WHEEL_UP, WHEEL_DOWN = 1, 2, 3, 4, 5
# shares of a region's width at which buttons of one row are looked for
COLUMNS = (0.5, 0.25, 0.82)
# how often a region is scrolled to look further down, and by how many notches; so many reach either end
PARTS, NOTCHES, ALL_NOTCHES = 4, 10, 60


def xdotool(*words: object) -> None:
    subprocess.run(["xdotool", *map(str, words)], check=True)


def move(place: Place) -> None:
    xdotool("mousemove", *map(round, place))


def click(place: Place, button: int = LEFT) -> None:
    move(place)
    xdotool("click", button)


def drag(start: Place, end: Place, steps: int = 12) -> Iterator[float]:
    """Press at `start`, go to `end` in steps, and let go there."""
    move(start)
    yield NOTICE
    xdotool("mousedown", LEFT)
    yield NOTICE
    for step in range(1, steps + 1):
        share = step / steps
        move(((1 - share) * start[0] + share * end[0], (1 - share) * start[1] + share * end[1]))
        yield 0.03
    yield NOTICE
    xdotool("mouseup", LEFT)
    yield NOTICE


def press(key: str) -> None:
    """A key by its X11 name: Escape, Return, F12, alt+Home ... It goes to what is under the pointer."""
    xdotool("key", key)


def hold(key: str) -> None:
    xdotool("keydown", key)


def release(key: str) -> None:
    xdotool("keyup", key)


def place_in(window: bpy.types.Window, region: bpy.types.Region, x: float, y: float) -> Place:
    """A region's pixel, counted from its lower left corner as Blender does, as a place in the window."""
    return region.x + x, window.height - 1 - (region.y + y)


def find_button(
    window: bpy.types.Window, area: bpy.types.Area, region: bpy.types.Region, operator: str
) -> Iterator[float]:
    """Point at one place of the region after another until the button under the pointer is that of `operator`.

    The region is looked through from its top to its end. The pointer stays on the button. Blender tells no script where
    its buttons are, but it tells which operator the active one runs.

    Raises:
        AssertionError: there is none.
    """
    for share in COLUMNS:
        yield from scroll(window, region, WHEEL_UP)
        for _ in range(PARTS):
            for y in range(region.height - ROW, 0, -ROW):
                move(place_in(window, region, share * region.width, y))
                yield NOTICE
                if _button_under_pointer(window, area, region).startswith(f"bpy.ops.{operator}("):
                    return
            yield from scroll(window, region, WHEEL_DOWN, NOTCHES)
    raise AssertionError(f"no button of {operator} is there")


def scroll(
    window: bpy.types.Window, region: bpy.types.Region, wheel: int, notches: int = ALL_NOTCHES
) -> Iterator[float]:
    """Turn the wheel with the pointer in the middle of a region; by default to its end."""
    move(place_in(window, region, region.width / 2, region.height / 2))
    yield NOTICE
    xdotool("click", "--repeat", notches, "--delay", 5, wheel)
    yield 4 * NOTICE


def press_button(
    window: bpy.types.Window, area: bpy.types.Area, region: bpy.types.Region, operator: str
) -> Iterator[float]:
    """Find a button and click it."""
    yield from find_button(window, area, region, operator)
    xdotool("click", LEFT)
    yield NOTICE


def _button_under_pointer(window: bpy.types.Window, area: bpy.types.Area, region: bpy.types.Region) -> str:
    """The Python that the active button runs; empty when there is none."""
    context: AbstractContextManager[None] = bpy.context.temp_override(window=window, area=area, region=region)
    with context:
        if not bpy.ops.ui.copy_python_command_button.poll():
            return ""
        bpy.ops.ui.copy_python_command_button()
    return bpy.context.window_manager.clipboard
