# SPDX-License-Identifier: GPL-3.0-or-later
"""The comparison in the viewport without a window: its line, what each view shows, its keys, and FLIP by the worker."""

from __future__ import annotations

import subprocess
import time
from math import pi, radians, sqrt
from types import SimpleNamespace
from typing import Any

import bpy
import numpy as np
import pytest

from radiance_twin.addon import flip_maps
from radiance_twin.addon.jobs import viewer
from radiance_twin.addon.viewport.badge import free_corner
from radiance_twin.addon.viewport.compare.flip import flip_wish_of, forget_flip_wishes
from radiance_twin.addon.viewport.compare.settings import comparison_of, shown
from radiance_twin.addon.viewport.compare.wipe import Wipe, part_at
from radiance_twin.addon.viewport.compare.words import place_of_loupe, place_of_name, quality_in_words, ramp_numbers
from radiance_twin.addon.viewport.march import Rectangle

SIZE = (200, 100)


def test_an_upright_line_has_the_render_on_its_left():
    wipe = Wipe((80.0, 50.0), 0.0)
    assert wipe.distance((70.0, 10.0)) == pytest.approx(-10.0)
    assert wipe.distance((95.0, 90.0)) == pytest.approx(15.0)
    assert wipe.ends(SIZE) == (pytest.approx((80.0, 0.0)), pytest.approx((80.0, 100.0)))


def test_at_any_angle_the_line_ends_at_the_rim_of_the_view():
    for degrees in range(-180, 181, 15):
        wipe = Wipe((60.0, 30.0), radians(degrees))
        for x, y in wipe.ends(SIZE):
            assert wipe.distance((x, y)) == pytest.approx(0.0, abs=1e-6)
            assert -1e-6 <= x <= 200.0 + 1e-6 and -1e-6 <= y <= 100.0 + 1e-6
            assert min(x, y, 200.0 - x, 100.0 - y) == pytest.approx(0.0, abs=1e-6)


def test_dragging_moves_the_middle_and_never_out_of_the_view():
    wipe = Wipe((80.0, 50.0), 0.3)
    assert wipe.moved((80.0, 50.0), (100.0, 40.0), SIZE) == Wipe((100.0, 40.0), 0.3)
    assert wipe.moved((80.0, 50.0), (900.0, -700.0), SIZE).middle == (200.0, 0.0)


def test_turning_follows_the_pointer_around_the_middle():
    wipe = Wipe((80.0, 50.0), 0.0)
    quarter = wipe.turned((100.0, 50.0), (80.0, 90.0))
    assert quarter.angle == pytest.approx(pi / 2)
    assert quarter.normal == pytest.approx((0.0, 1.0))
    assert wipe.turned((100.0, 50.0), (100.0, 57.0), step=radians(15)).angle == pytest.approx(radians(15))
    # past half a turn the angle comes in from the other side
    assert Wipe((0.0, 0.0), radians(170)).turned((1.0, 0.0), (sqrt(0.5), sqrt(0.5))).angle == pytest.approx(
        radians(-145)
    )


def test_handle_ring_and_line_can_be_pointed_at():
    wipe = Wipe((80.0, 50.0), 0.0)
    places = {
        (80, 50): "handle",
        (90, 55): "handle",
        (107, 50): "ring",
        (80, 23): "ring",
        (82, 5): "line",
        (150, 50): "",
    }
    assert {place: part_at(wipe, place, 11.0, 27.0, 6.0) for place in places} == places


def test_what_a_view_shows():
    """mode, what J is for, whether it is held, number of the view from the left."""
    assert shown("WIPE", "NEURAL", False, 0) == "WIPE"
    assert shown("WIPE", "NEURAL", True, 0) == "NEURAL"
    assert shown("WIPE", "CLASSIC", True, 0) == "CLASSIC"
    assert [shown("BLINK", "NEURAL", held, 0) for held in (False, True)] == ["CLASSIC", "NEURAL"]
    assert [shown("BLINK", "CLASSIC", held, 0) for held in (False, True)] == ["NEURAL", "CLASSIC"]
    assert [shown("SPLIT", "NEURAL", False, number) for number in (0, 1)] == ["CLASSIC", "NEURAL"]
    assert [shown("SPLIT", "NEURAL", True, number) for number in (0, 1)] == ["NEURAL", "CLASSIC"]
    assert shown("DIFFERENCE", "NEURAL", False, 0) == "DIFFERENCE"


def test_legends_say_what_their_ends_are_worth():
    assert ramp_numbers("ABSOLUTE", 4.0) == ["0", "31.9", "63.8 of 255"]
    assert ramp_numbers("SIGNED", 1.0) == ["−255", "0", "+255 of 255"]
    assert ramp_numbers("FLIP", 1.0) == ["0", "0.5", "1"]
    assert quality_in_words(31.24, None) == "31.2 dB in view"
    assert quality_in_words(float("inf"), 0.0) == "identical · FLIP 0.000"


def test_it_is_the_workspace_that_remembers(extension):
    workspace = bpy.context.workspace
    settings = comparison_of(workspace)
    settings.mode, settings.angle = "WIPE", 0.5
    bpy.ops.ed.undo_push(message="anything")
    assert comparison_of(bpy.data.workspaces[workspace.name]).mode == "WIPE"
    others = [each for each in bpy.data.workspaces if each != workspace]
    assert {comparison_of(each).mode for each in others} == {"OFF"}


def test_without_a_twin_there_is_nothing_to_compare(extension):
    area = next(area for area in bpy.context.window_manager.windows[0].screen.areas if area.type == "VIEW_3D")
    with bpy.context.temp_override(window=bpy.context.window_manager.windows[0], area=area):
        assert not bpy.ops.radiance_twin.compare_in_view.poll()
        assert not bpy.ops.radiance_twin.hold_side.poll()
        assert not bpy.ops.radiance_twin.amplify.poll()
        assert not bpy.ops.radiance_twin.leave_comparison.poll()


def flip_of(images, python, folder):
    """Map and mean by the reference implementation, which is where the worker is."""
    np.savez(folder / "pair.npz", *images)
    script = (
        "import sys, numpy, flip_evaluator\n"
        "pair = [(one / 255.0).astype('float32') for one in numpy.load(sys.argv[1]).values()]\n"
        "error, mean, _ = flip_evaluator.evaluate(*pair, 'LDR', applyMagma=False, parameters={'ppd': 67.0})\n"
        "numpy.savez(sys.argv[2], error=error[..., 0], mean=mean)\n"
    )
    subprocess.run([python, "-c", script, folder / "pair.npz", folder / "flip.npz"], check=True, timeout=60)
    with np.load(folder / "flip.npz") as found:
        return found["error"], float(found["mean"])


def test_flip_is_measured_by_the_worker(extension, worker_python, monkeypatch, tmp_path):
    monkeypatch.setenv("RADIANCE_TWIN_PYTHON", worker_python)
    bpy.context.scene.radiance_twin.device = "cpu"
    rng = np.random.default_rng(1)
    images = tuple(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8) for _ in range(2))
    wish = flip_wish_of(1, images)
    began = time.monotonic()
    while wish.error is None:
        flip_maps.step()
        assert time.monotonic() - began < 60 and not wish.problem, wish.problem
        time.sleep(0.02)
    error, mean = flip_of(images, worker_python, tmp_path)
    assert wish.error == pytest.approx(error)
    assert wish.mean == pytest.approx(mean)
    assert flip_wish_of(1, images) is wish
    assert flip_wish_of(1, None) is None
    forget_flip_wishes()
    viewer.stop()


def test_a_map_stays_until_the_next_one_of_the_same_view_comes():
    pairs = [(np.full((2, 2, 3), shade, np.uint8),) * 2 for shade in range(4)]
    wish = flip_wish_of(7, pairs[0])
    assert flip_wish_of(7, pairs[1]) is wish and wish.classic is pairs[1][0], "not asked for yet: the newest is"
    wish.asked = True
    assert flip_wish_of(7, pairs[2]) is wish and wish.classic is pairs[1][0]
    wish.asked, wish.error, wish.mean, wish.came = False, np.ones((2, 2), np.float32), 1.0, time.monotonic()
    assert flip_wish_of(7, pairs[2]) is wish, "it has only just come"
    wish.came -= 60.0
    following = flip_wish_of(7, pairs[3])
    assert following is not wish and following.came is None and following.error is wish.error
    assert flip_wish_of(7, None) is None, "the view moves"
    forget_flip_wishes()


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_a_sides_name_stands_beside_blenders_own_lines_or_below_them(scale: float) -> None:
    # three lines in the upper left corner, as wide as "(1) Scene Collection | Cube"
    width, height = 220 * scale, 60 * scale
    for wide in (1200, 700, 500, 330):
        x, y = place_of_name(Rectangle(50, 0, round(wide * scale), 800), scale)
        assert 50 < x < 50 + wide * scale
        assert x - 30 * scale > 50 + width or y < 800 - height


def test_the_loupe_stands_beside_the_pointer_and_under_no_panel() -> None:
    size, away = (240.0, 190.0), 22.0
    # one as wide as the loupe and half as much again, and one that has room all around
    for free in (Rectangle(60, 30, 360, 320), Rectangle(60, 30, 1200, 800)):
        for x in range(free.x, free.x + free.width, 20):
            for y in range(free.y, free.y + free.height, 20):
                left, bottom = place_of_loupe((x, y), size, free, away)
                assert free.x <= left <= free.x + free.width - size[0]
                assert free.y <= bottom <= free.y + free.height - size[1]
                roomy = free.width > 2 * (size[0] + away)
                assert not roomy or not (left <= x <= left + size[0] and bottom <= y <= bottom + size[1])
    assert place_of_loupe((200, 600), size, Rectangle(60, 30, 1200, 800), away) == (222, 388)


def test_the_badge_stands_beside_the_toolbar_and_above_the_last_operations_panel() -> None:
    def region(kind: str, x: int, y: int, width: int, height: int) -> Any:
        return SimpleNamespace(type=kind, x=x, y=y, width=width, height=height)

    # as Blender says of a 3D view with its toolbar, its sidebar and a panel, alone and as four views
    toolbar, sidebar = region("TOOLS", 2, 87, 58, 732), region("UI", 1021, 87, 292, 732)
    area = SimpleNamespace(regions=[toolbar, sidebar, region("HUD", 65, 92, 168, 25)])
    assert free_corner(area, region("WINDOW", 2, 87, 1311, 786)) == (58, 30)
    assert free_corner(area, region("WINDOW", 2, 480, 656, 393)) == (58, 0)
    assert free_corner(area, region("WINDOW", 660, 87, 656, 393)) == (0, 0)
    area.regions[2] = region("HUD", 65, 92, 1, 1)
    assert free_corner(area, region("WINDOW", 2, 87, 1311, 786)) == (58, 0)
