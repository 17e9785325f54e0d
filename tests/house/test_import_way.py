# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody else's dataset, the whole way: a NeRF-Synthetic folder is imported, trained on and compared.

The folder is written here, as that benchmark's authors wrote theirs, from a sample scene; the import knows nothing of
depth, normals or indices, and nothing of the .h5 that the pictures came from.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

VIEWS = ["--views", "12", "--val-views", "2", "--test-views", "3", "--resolution", "64x64"]
SAMPLES = ["--samples", "4", "--reference-samples", "8"]


class Command:
    """`radiance-twin` as a process of its own, working in one folder."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.start = [sys.executable, str(root / "core" / "bootstrap.py"), "core.cli"]
        self.folder = folder

    def json(self, *words: str) -> Any:
        done = subprocess.run(
            [*self.start, *words, "--json"], cwd=self.folder, capture_output=True, text=True, timeout=280, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def srgb(linear: np.ndarray) -> np.ndarray:
    x = np.clip(linear, 0.0, 1.0)
    return np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 1e-9) ** (1 / 2.4) - 0.055)


def write_nerf_synthetic(rendered: Path, folder: Path) -> None:
    """The views of a rendered .h5 as RGBA PNG with straight alpha, and the three JSONs."""
    with h5py.File(rendered) as file:
        width, focal = int(file["cameras/size"][0][0]), float(file["cameras/intrinsics"][0][0])
        for split in ("train", "val", "test"):
            (folder / split).mkdir(parents=True)
            frames = []
            for number, index in enumerate(file[f"splits/{split}"][()]):
                rgba = file["views/rgba"][index].astype(np.float64)
                alpha = np.clip(rgba[..., 3:], 0, 1)
                straight = np.concatenate([srgb(rgba[..., :3] / np.maximum(alpha, 1e-6)), alpha], axis=-1)
                image = Image.fromarray(np.rint(straight * 255).astype(np.uint8))
                image.save(folder / split / f"r_{number}.png")
                matrix = file["cameras/camera_to_world"][index].tolist()
                frames.append({"file_path": f"./{split}/r_{number}", "rotation": 0.0, "transform_matrix": matrix})
            data = {"camera_angle_x": 2 * math.atan(0.5 * width / focal), "frames": frames}
            (folder / f"transforms_{split}.json").write_text(json.dumps(data))


@pytest.fixture(scope="module")
def command(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Command:
    """In a folder with the NeRF-Synthetic set `table` and nothing else."""
    folder = tmp_path_factory.mktemp("import way")
    command = Command(root, folder)
    scene = str(root / "sample_scenes" / "still_life.blend")
    command.json("render", scene, "-o", "rendered.h5", *VIEWS, *SAMPLES)
    write_nerf_synthetic(folder / "rendered.h5", folder / "table")
    (folder / "rendered.h5").unlink()
    return command


def test_import_train_compare(command: Command) -> None:
    imported = command.json("import", "table", "-o", "table.h5")
    assert imported["format"] == "nerf" and imported["problems"] == []
    assert imported["views"] == {"train": 12, "val": 2, "test": 3} and imported["film"] == "transparent"

    info = command.json("info", "table.h5")
    assert info["passes"] == ["rgba"] and info["objects"] == [] and info["background"] == [1.0, 1.0, 1.0]

    trained = command.json("train", "table.h5", "-o", "table.twin", "--seconds", "8")
    assert trained["psnr"] > 18.0

    metrics = command.json("compare", "table.h5", "table.twin", "-o", "report", "--benchmark", "nerf-synthetic")
    # twelve views of 64 x 64 in a few seconds: far below what a real set reaches, and far above a wrong pose's 12 dB
    assert metrics["protocol"] == "nerf-synthetic" and metrics["mean"]["psnr"] > 18.0
    # nobody measured how long these pictures took
    assert all(view["classic_seconds"] == 0.0 for view in metrics["views"])

    report = command.folder / "report"
    page = (report / "index.html").read_text("utf-8")
    assert "measured as NeRF-Synthetic does" in page and "Reference" in page
    for number, view in enumerate(metrics["views"]):
        # the classic side is the PNG on white: where it is opaque to the last bit, elsewhere within one level
        png = np.asarray(Image.open(command.folder / "table" / "test" / f"r_{number}.png")) / 255.0
        on_white = np.floor((png[..., :3] * png[..., 3:] + 1 - png[..., 3:]) * 255 + 1e-6).astype(np.uint8)
        shown = np.asarray(Image.open(report / view["images"]["classic"])).astype(int)
        opaque = (png[..., 3] == 1.0) | (png[..., 3] == 0.0)
        np.testing.assert_array_equal(shown[opaque], on_white[opaque])
        assert np.abs(shown - on_white).max() <= 1
