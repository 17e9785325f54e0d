# SPDX-License-Identifier: GPL-3.0-or-later
"""The product in a real Blender with its window, named by the environment variable BLENDER.

The screenshots stay in the folder that the test prints: look at them.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

# about two minutes on two cores that have nothing else to do
pytestmark = pytest.mark.timeout(600)

DRIVE = Path(__file__).with_name("drive.py")
# of 255: what antialiasing may change between two drawings of the same thing stays below
VISIBLE = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the driven Blender leaves its screenshots and found.json."""
    return tmp_path_factory.mktemp("gui")


@pytest.fixture(scope="module")
def found(root: Path, folder: Path, resources: Path) -> dict[str, Any]:
    """What drive.py found, in a Blender that knows nothing but the extension's zip."""
    archive = folder / "radiance_twin.zip"
    run(["--command", "extension", "build", "--source-dir", root, "--output-filepath", archive], resources)
    run(["--command", "extension", "install-file", "--repo", "user_default", "--enable", archive], resources)
    run(["--python", DRIVE, "--", folder], resources)
    print(f"\nscreenshots: {folder}")
    result: dict[str, Any] = json.loads((folder / "found.json").read_text("utf-8"))
    assert "failed" not in result, result["failed"]
    return result


@pytest.fixture(scope="module")
def resources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Blender's own folder of preferences and extensions, empty at first."""
    return tmp_path_factory.mktemp("resources")


def run(arguments: Sequence[str | Path], resources: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run Blender; it has to end with the exit code `code`."""
    environment = {
        **os.environ,
        "BLENDER_USER_RESOURCES": str(resources),
        # Mesa's cache is mapped into memory by every process that draws; one of its own cannot be cut short by another
        "MESA_SHADER_CACHE_DIR": str(resources),
        "BROWSER": "true",
    }
    command = [os.environ["BLENDER"], *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=540, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def picture(folder: Path, name: str) -> NDArray[np.int16]:
    image = cv2.imread(str(folder / f"{name}.png"))
    assert image is not None
    return image.astype(np.int16)


def differs(first: NDArray[np.int16], second: NDArray[np.int16]) -> NDArray[np.bool_]:
    """[H, W] where two screenshots visibly differ."""
    return np.asarray(np.abs(first - second).max(axis=2) > VISIBLE)


def shrunk(mask: NDArray[np.bool_], pixels: int = 3) -> NDArray[np.bool_]:
    """Without its rim, where antialiasing mixes both sides."""
    return cv2.erode(mask.astype(np.uint8), np.ones((2 * pixels + 1,) * 2, np.uint8)).astype(bool)


def test_sample_is_a_new_file(found: dict[str, Any]) -> None:
    assert found["sample"]["path"] == ""
    assert found["sample"]["objects"] > 10


def test_steps_ran_beside_the_interface(found: dict[str, Any], folder: Path) -> None:
    assert found["render"]["outcome"].startswith("27 views in ")
    assert " dB after " in found["train"]["outcome"]
    assert found["compare"]["outcome"].startswith("PSNR ")
    metrics = json.loads((folder / "radiance_twin/still_life_report/metrics.json").read_text("utf-8"))
    assert len(metrics["views"]) == 2
    assert metrics["mean"]["psnr"] > 18, "a twin of half a minute is rough, but it is one"


def test_twin_stands_beside_the_original_and_behind_the_cube(found: dict[str, Any], folder: Path) -> None:
    neither, cube, twin, both = (picture(folder, name) for name in ("neither", "cube", "twin", "both"))
    twin_pixels, cube_pixels = differs(twin, neither), differs(cube, neither)
    assert twin_pixels.sum() > 20_000
    x, y = (round(value) for value in found["cube_in_window"])
    assert cube_pixels[y, x], "the cube is where Blender says it is"
    hidden = shrunk(cube_pixels) & twin_pixels
    shown = shrunk(~cube_pixels) & twin_pixels
    assert hidden.sum() > 2_000, "the cube stands before a part of the twin"
    assert shown.sum() > 10_000
    # with both in sight, the cube's pixels are the cube's alone and the others are the twin's alone
    assert differs(both, cube)[hidden].mean() < 0.01
    assert differs(both, twin)[shown].mean() < 0.01


def test_twin_has_the_colours_of_the_original(found: dict[str, Any], folder: Path) -> None:
    """Saturated, as fruit and flowers are: a grey cloud would be none."""
    neither, twin = picture(folder, "neither"), picture(folder, "twin")
    pixels = twin[shrunk(differs(twin, neither))]
    spread = pixels.max(axis=1) - pixels.min(axis=1)
    assert np.median(spread) > 20
    assert pixels.max(axis=1).mean() > 60


def test_quitting_blender_ends_the_worker(found: dict[str, Any]) -> None:
    deadline = time.monotonic() + 15
    while Path(f"/proc/{found['worker']}").exists():
        assert time.monotonic() < deadline, "the worker outlived Blender"
        time.sleep(0.2)


def test_same_words_inside_a_headless_blender(found: dict[str, Any], folder: Path, resources: Path) -> None:
    headless = ["--background", folder / "still_life.blend", "--command", "radiance_twin"]
    told = run([*headless, "compare", "--device", "cpu", "--json"], resources)
    metrics, _ = json.JSONDecoder().raw_decode(told.stdout[told.stdout.index("{") :])
    written = json.loads((folder / "radiance_twin/still_life_report/metrics.json").read_text("utf-8"))
    assert metrics["mean"] == written["mean"]
    assert "Compare " in told.stderr
    assert "unrecognized arguments: --hours" in run([*headless, "train", "--hours", "3"], resources, code=2).stderr
