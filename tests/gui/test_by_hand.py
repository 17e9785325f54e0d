# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel's steps by pointer and keys alone, in a real Blender with its window. Look at the screenshots, too."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from .test_window import VISIBLE, picture, run

pytestmark = pytest.mark.timeout(600)

DRIVE = Path(__file__).with_name("drive_by_hand.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("by_hand")


@pytest.fixture(scope="module")
def found(root: Path, folder: Path, tiny_twin: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What drive_by_hand.py found."""
    resources, archive = tmp_path_factory.mktemp("resources"), folder / "radiance_twin.zip"
    run(["--command", "extension", "build", "--source-dir", root, "--output-filepath", archive], resources)
    run(["--command", "extension", "install-file", "--repo", "user_default", "--enable", archive], resources)
    run(["--python", DRIVE, "--", folder, tiny_twin], resources)
    print(f"\nscreenshots: {folder}")
    result: dict[str, Any] = json.loads((folder / "found.json").read_text("utf-8"))
    assert "failed" not in result, result["failed"]
    return result


def test_buttons_do_what_they_say(found: dict[str, Any]) -> None:
    assert found["objects"] > 10, "Open the Sample"
    assert found["render"]["outcome"].startswith("18 views in "), "Render"
    assert found["compare"]["outcome"].startswith("PSNR "), "Compare"


def test_a_field_is_seen_while_it_is_trained(found: dict[str, Any], folder: Path) -> None:
    name, part, quality, age = found["badge"].split(" · ")
    assert name == "Training" and part.endswith("%") and quality.endswith(" dB") and age.endswith(" s old")
    colourful_and_in_one_piece(folder, "training")


def colourful_and_in_one_piece(folder: Path, name: str) -> None:
    before, training = picture(folder, "before"), picture(folder, name)
    # right of the original, left of the sidebar
    where = (slice(200, 700), slice(600, 1020))
    changed = (np.abs(training - before).max(axis=2) > VISIBLE)[where]
    assert changed.sum() > 10_000
    # as colourful as fruit, and in one piece
    pixels = training[where][changed]
    assert np.median(pixels.max(axis=1) - pixels.min(axis=1)) > 20
    count, _, sizes, _ = cv2.connectedComponentsWithStats(changed.astype(np.uint8))
    assert count > 1 and sizes[1:, cv2.CC_STAT_AREA].max() > 0.8 * changed.sum()


def test_what_a_cancelled_training_has_learned_is_seen(found: dict[str, Any], folder: Path) -> None:
    assert found["standing"] == found["left"] == ["still_life"] and found["cancelling"]
    assert "Cancelled" in found["train"]["error"] and "still_life.unfinished.twin" in found["train"]["outcome"]
    assert found["badge_of_left"].startswith("Field · ")
    colourful_and_in_one_piece(folder, "cancelled")


def test_a_twin_is_loaded_by_its_button(found: dict[str, Any]) -> None:
    assert found["loaded"] == ["still_life"]


@pytest.mark.parametrize("name", ["frame", "orthographic"])
def test_both_slots_show_the_frame_and_their_difference_is_what_is_said(
    found: dict[str, Any], folder: Path, name: str
) -> None:
    said = found[name]
    assert said["error"] == "None" and said["kept"] == [True, True]
    assert said["engine_after"] == "CYCLES", "the scene's own engine is put back"
    classic, neural = (over_black(folder / f"{name}_{side}.png") for side in ("classic", "neural"))
    for shown in (classic, neural):
        assert (shown.max(axis=2) > 40).mean() > 0.05, "there is something to see"
    measured = float(re.match(r"This frame: ([0-9.]+) dB, SSIM", said["outcome"]).group(1))  # type: ignore[union-attr]
    # they differ at soft edges, where one is made see-through before the view transform and the other after it
    assert measured == pytest.approx(cv2.PSNR(classic, neural), abs=0.5)


def over_black(path: Path) -> NDArray[np.uint8]:
    """What the screen shows of a saved render, without what is behind it."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None and image.shape[2] == 4
    return np.rint(image[..., :3] * (image[..., 3:] / 255.0)).astype(np.uint8)


def test_escape_stops_compare_this_frame(found: dict[str, Any]) -> None:
    assert found["escaped"] == {"problem": "The render was stopped; nothing was compared", "engine_kept": True}
