# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes this tree importable as `radiance_twin`, and says which folders of tests this machine can run.

tests/core   anywhere with the package's dependencies     tests/addon  a Python with bpy
tests/house  the same, and bpy                            tests/gpu    bpy >= 5.2 (it can draw without a window)
tests/gui    a real Blender, named by the environment variable BLENDER
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"

runpy.run_path(str(ROOT / "core" / "bootstrap.py"))["register"](ROOT)

from radiance_twin.core.bake.bricks import FEW, SIDE, Bricks, index_of, network_sizes  # noqa: E402  (registered just now)


def bpy_version() -> tuple[int, int] | None:
    """(major, minor) of the bpy of this Python, without importing it."""
    try:
        major, minor, *_ = importlib.metadata.version("bpy").split(".")
    except importlib.metadata.PackageNotFoundError:
        return None
    return int(major), int(minor)


def folders_left_out() -> dict[str, str]:
    """Which folders of tests cannot run here, and why."""
    version = bpy_version()
    found = "this Python has none" if version is None else f"this Python has {version[0]}.{version[1]}"
    reasons = {}
    if version is None:
        reasons["addon"] = reasons["house"] = f"needs bpy ({found})"
    if importlib.util.find_spec("torch") is None:
        reasons["house"] = "needs all that pip install -e . brings (this Python has no torch)"
    if version is None or version < (5, 2):
        reasons["gpu"] = f"needs bpy 5.2 or newer ({found})"
    if not os.environ.get("BLENDER"):
        reasons["gui"] = "needs a real Blender: set BLENDER to its executable"
    return reasons


LEFT_OUT = folders_left_out()


def pytest_report_header() -> list[str]:
    return [f"tests/{name} left out: {reason}" for name, reason in LEFT_OUT.items()]


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave a folder out as a whole: its files import what is not there."""
    if collection_path.is_relative_to(TESTS) and collection_path != TESTS:
        return True if collection_path.relative_to(TESTS).parts[0] in LEFT_OUT else None
    return None


def pytest_configure(config: pytest.Config) -> None:
    """A folder that was asked for by name and cannot run is a failure, not an empty success."""
    for argument in config.args:
        path = Path(argument.split("::")[0]).resolve()
        if path.is_relative_to(TESTS) and path != TESTS:
            name = path.relative_to(TESTS).parts[0]
            if name in LEFT_OUT:
                raise pytest.UsageError(f"tests/{name} {LEFT_OUT[name]}")


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root, which is the extension's root and the package's folder."""
    return ROOT


@pytest.fixture(scope="session", autouse=True)
def no_runtime_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whoever runs the tests may have installed the runtime: they neither see nor touch it."""
    os.environ["RADIANCE_TWIN_HOME"] = str(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def tiny_twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rough twin of the analytic scene, trained in seconds by the worker's Python: this one may have no torch."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.twin"
    python = os.environ.get("RADIANCE_TWIN_PYTHON") or sys.executable
    subprocess.run([python, str(TESTS / "tiny_twin.py"), str(path)], check=True, capture_output=True)
    return path


@pytest.fixture(scope="session")
def random_bricks() -> Callable[..., Bricks]:
    """Makes bricks that are strewn over the cube in any order, a quarter of their voxels empty."""

    def make(
        seed: int = 0, resolution: int = 48, share: float = 0.3, features: int = FEW, width: int | None = None
    ) -> Bricks:
        rng = np.random.default_rng(seed)
        m = resolution // SIDE
        places = rng.permutation(np.argwhere(rng.random((m, m, m)) < share))
        shape = (len(places), SIDE, SIDE, SIDE)
        density = np.where(rng.random(shape) < 0.25, 0.0, np.exp(rng.uniform(-3.0, 7.0, shape)))
        colour = np.exp(rng.uniform(-6.0, 2.0, (*shape, 3)))
        told = rng.integers(0, 256, (*shape, features))
        network = None
        if features:
            # the more it is told, the less of each: its light stays as bright
            sizes, spread = network_sizes(features, width), 0.4 * (FEW / features) ** 0.5
            network = {name: rng.normal(0.0, spread, size).astype(np.float32) for name, size in sizes.items()}
        return Bricks(
            resolution,
            index_of(places, resolution),
            density.astype(np.float16),
            colour.astype(np.float16),
            told.astype(np.uint8),
            network,
        )

    return make


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    # a Blender that has rendered a copied scene hangs in its own clean-up (4.5, in the thread that closes sound)
    if "bpy" in sys.modules and ended:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(ended[0])


def pytest_sessionfinish(exitstatus: int) -> None:
    ended.append(int(exitstatus))


ended: list[int] = []
