# SPDX-License-Identifier: GPL-3.0-or-later
"""Trains a rough twin of the analytic scene in a few seconds: `python tests/tiny_twin.py OUT.twin`, with the worker's
Python. For tests in Pythons that have no torch."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).resolve().parent.parent

if __name__ == "__main__":
    runpy.run_path(str(ROOT / "core" / "bootstrap.py"))["register"](ROOT)
    from radiance_twin.core.reporting import QuietReporter
    from radiance_twin.core.training.recipe import Recipe
    from radiance_twin.core.training.trainer import TrainSettings, train

    scene = SimpleNamespace(**runpy.run_path(str(ROOT / "tests" / "core" / "analytic_scene.py")))
    twin = Path(sys.argv[1])
    dataset = scene.write(twin.with_suffix(".h5"), views=12, size=40)
    train(TrainSettings(str(dataset), str(twin), steps=100, device="cpu"), QuietReporter(), Recipe(8192, bake_steps=10))
