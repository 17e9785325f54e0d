# SPDX-License-Identifier: GPL-3.0-or-later
"""The product registered in this Python's Blender, and a worker that answers at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

FAKE_WORKER = Path(__file__).with_name("fake_worker.py")


@pytest.fixture
def extension() -> Iterator[None]:
    """Blender with factory settings, and the extension's classes registered in it."""
    import bpy

    import radiance_twin

    bpy.ops.wm.read_factory_settings()
    radiance_twin.register()
    yield
    radiance_twin.unregister()


@pytest.fixture
def saved_file(extension: None, tmp_path: Path) -> Path:
    """The default scene (cube, light, camera), saved as table.blend."""
    import bpy

    path = tmp_path / "table.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    return path


@pytest.fixture
def fake_worker(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the extension takes for the worker's Python is a program that always runs the fake worker."""
    program = tmp_path_factory.mktemp("worker") / "python"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{FAKE_WORKER}"\n', encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("RADIANCE_TWIN_PYTHON", str(program))


@pytest.fixture
def worker_python() -> str:
    """A Python with PyTorch: the one named by RADIANCE_TWIN_PYTHON, else this one."""
    return os.environ.get("RADIANCE_TWIN_PYTHON") or sys.executable
