# SPDX-License-Identifier: GPL-3.0-or-later
"""The comparison in a real Blender over a live Cycles, with mouse and keys: a cube of one light, a twin of another.

The screenshots stay in the folder that the test prints: look at them.
"""

from __future__ import annotations

from math import degrees
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from radiance_twin.core.colour import linear_to_srgb

from .driven import driven
from .screenshots import EXPECTED, MOST, assert_as_stored, share_that_differs, small

# half a minute on two cores that have nothing else to do
pytestmark = pytest.mark.timeout(300)

DRIVE = Path(__file__).with_name("drive_wipe.py")
SIDE = 12  # of the squares of pixels that are looked at


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("wipe")


@pytest.fixture(scope="module")
def found(root: Path, folder: Path) -> dict[str, Any]:
    """What drive_wipe.py found."""
    return driven(DRIVE, root, folder)


@pytest.fixture(scope="module")
def colour_at(found: dict[str, Any], folder: Path) -> Any:
    """Mean RGB of a small square of a screenshot, at a place in the 3D view: shares of its width and, from below,
    height."""
    left, top, width, height = found["region"]

    def colour(name: str, x: float, y: float) -> NDArray[np.float64]:
        image = cv2.imread(str(folder / f"{name}.png"))
        assert image is not None
        column, row = round(left + x * width), round(top + (1.0 - y) * height)
        square = image[row - SIDE // 2 : row + SIDE // 2, column - SIDE // 2 : column + SIDE // 2, ::-1]
        return square.reshape(-1, 3).mean(axis=0)

    return colour


def displayed(light: Any, tolerance: float = 1.5) -> Any:
    """What the screen shows of scene-linear light by the view Standard."""
    return pytest.approx(255.0 * linear_to_srgb(light), abs=tolerance)


# the surface of a bake is a voxel soft: its light mixes with the dark around it
SOFT = 25.0


# both cubes cover these places; the handle is between them at first
LEFT, RIGHT = (0.47, 0.46), (0.53, 0.46)


def test_a_view_hands_over_the_very_light_that_cycles_has_rendered(found):
    assert found["light"] == found["classic"]


def test_each_side_of_the_line_shows_its_own_in_the_same_colours(found, colour_at):
    assert colour_at("wipe", *LEFT) == displayed(found["classic"])
    assert colour_at("wipe", *RIGHT) == displayed(found["neural"], SOFT)
    # around both there is the same world
    for x in (0.3, 0.7):
        assert colour_at("wipe", x, 0.3) == displayed(found["world"])
    assert 5.0 < found["psnr"] < 30.0


def test_the_handle_is_dragged_and_the_ring_turns(found, colour_at):
    x, y, angle = found["moved"]
    assert (x, y) == pytest.approx((0.35, 0.6), abs=0.02) and angle == 0.0
    assert colour_at("moved", *LEFT) == displayed(found["neural"], SOFT)
    x, y, angle = found["turned"]
    assert (x, y) == pytest.approx((0.35, 0.6), abs=0.02)
    # from straight right to straight up
    assert degrees(angle) == pytest.approx(90.0, abs=8.0)
    # now what is above is neural: the cubes are below
    assert colour_at("turned", *RIGHT) == displayed(found["classic"])


def test_holding_a_key_shows_the_twin_until_it_is_released(found, colour_at):
    assert colour_at("held", *RIGHT) == displayed(found["neural"], SOFT)
    assert colour_at("released", *RIGHT) == displayed(found["classic"])


def test_the_difference_is_amplified_by_keys_and_left_by_escape(found, colour_at):
    difference = colour_at("difference", *RIGHT)
    # the red channels are 135 of 255 apart, which is beyond the end of magma when it is amplified four times
    assert difference == pytest.approx((252, 253, 191), abs=3)
    assert colour_at("difference", 0.3, 0.3).max() < 8, "the world is the same on both sides"
    assert found["amplification"] == 2.0
    assert found["left"] == "OFF"
    assert colour_at("left", *RIGHT) == displayed(found["classic"])


def test_a_split_adds_a_view_on_the_right_and_takes_that_one_away_again(found):
    assert found["split"] == {"left_is_the_old_one": True, "sidebars": [True, False], "old_one_stays": True}
    classic, neural = found["badges"]
    assert classic == "" and neural.startswith("Bake"), "the side without a twin says nothing of one"


@pytest.mark.parametrize("name", ["wipe", "difference"])
def test_it_looks_as_it_did(found, folder, name):
    assert_as_stored(folder / f"{name}.png", name)


@pytest.mark.parametrize(
    ("name", "other"), [("wipe", "held"), ("wipe", "agx"), ("wipe", "left"), ("difference", "wipe")]
)
def test_a_stored_picture_tells_a_wrong_side_and_another_view_transform(found, folder, name, other):
    assert share_that_differs(small(folder / f"{other}.png"), small(EXPECTED / f"{name}.png")) > 2 * MOST


def test_deleting_the_twin_ends_it_in_peace(found):
    assert found["failure"] == ""
