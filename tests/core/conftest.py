# SPDX-License-Identifier: GPL-3.0-or-later
"""A Blender that is none."""

import sys
from pathlib import Path

import pytest


@pytest.fixture
def fake_blender(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Path of a program that answers as Blender's part does (see fake_blender.py)."""
    monkeypatch.setenv("RADIANCE_TWIN_TEST_ROOT", str(root))
    program = tmp_path / "blender"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).with_name("fake_blender.py")}"\n')
    program.chmod(0o755)
    return str(program)
