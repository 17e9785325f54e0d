# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing breaks when the user takes back, deletes or opens something else while a twin is seen or trained: in a real
Blender with its window, where undo replaces every object. Look at the screenshots, too."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from .driven import driven
from .screenshots import EXPECTED, MOST, assert_as_stored, share_that_differs, small

# half a minute on two cores that have nothing else to do
pytestmark = pytest.mark.timeout(300)

DRIVE = Path(__file__).with_name("drive_undo.py")
FAKE_WORKER = Path(__file__).parent.parent / "addon" / "fake_worker.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("undo")


@pytest.fixture(scope="module")
def found(root: Path, folder: Path) -> dict[str, Any]:
    """What drive_undo.py found."""
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{FAKE_WORKER}"\n', encoding="utf-8")
    python.chmod(0o755)
    return driven(DRIVE, root, folder, RADIANCE_TWIN_PYTHON=str(python))


@pytest.mark.parametrize(
    ("name", "twins", "is_red"),
    [
        ("empty", [], False),
        ("loaded", ["red"], True),
        ("loading undone", [], False),
        ("loading redone", ["red"], True),
        ("undone again", [], False),
        ("redone again", ["red"], True),
        ("undone while rendering", [], False),
        ("redone while rendering", ["red"], True),
        ("trained", ["red", "table"], True),
        ("undone while training", ["red"], True),
        ("redone while training", ["red", "table"], True),
        ("deleted while training", [], False),
        ("scene deleted while training", [], False),
        # what was trained comes back to the file that it was trained for, and to no other
        ("into the other scene", ["table"], False),
        ("trained again", ["table"], False),
        ("other file while training", [], False),
        ("into the other file", [], False),
        ("file moved away", ["red"], False),
        ("file back", ["red"], True),
        # a render by its own engine shows twins alone, and so does the view
        ("inside a cube", ["red"], False),
        ("inside a cube, by its engine", ["red"], True),
    ],
)
def test_the_view_shows_what_is_there(found: dict[str, Any], folder: Path, name: str, twins: Any, is_red: Any) -> None:
    assert found[name]["twins"] == twins
    assert found[name]["failure"] == ""
    image = cv2.imread(str(folder / f"{name}.png"))
    assert image is not None
    x, y = found[name]["middle"]
    blue, green, red = np.median(image[y - 3 : y + 4, x - 3 : x + 4].reshape(-1, 3), axis=0)
    assert (red > 150 and max(blue, green) < 80) == is_red


def test_a_file_that_is_gone_is_said_and_nothing_else(found: dict[str, Any]) -> None:
    assert "does not exist" in found["file moved away"]["problems"][0]
    assert found["file back"]["problems"] == [""]


@pytest.mark.parametrize("name", ["into the other scene", "into the other file"])
def test_the_training_ends_in_good_order(found: dict[str, Any], name: str) -> None:
    assert found[f"{name}: outcome"]["error"] == "None"
    assert found[f"{name}: outcome"]["outcome"].startswith("31.25 dB after ")


@pytest.mark.parametrize(("name", "stored"), [("loaded", "twin"), ("panel", "panel")])
def test_it_looks_as_it_did(found: dict[str, Any], folder: Path, name: str, stored: str) -> None:
    assert_as_stored(folder / f"{name}.png", stored)


def test_a_stored_picture_tells_when_the_panel_or_the_twin_is_missing(found: dict[str, Any], folder: Path) -> None:
    panel, without = small(EXPECTED / "panel.png"), small(EXPECTED / "panel.png")
    # the tab's place, in the colour of the empty view beside it
    without[10:, 165:205] = without[100, 20]
    assert share_that_differs(panel, without) > 2 * MOST
    assert share_that_differs(small(folder / "empty.png"), small(EXPECTED / "twin.png")) > 2 * MOST
