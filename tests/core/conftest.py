# SPDX-License-Identifier: GPL-3.0-or-later
"""A Blender that is none, and what trainings on the CPU need."""

import sys
from collections.abc import Iterator
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


@pytest.fixture(scope="module")
def on_the_cpu() -> Iterator[None]:
    """Here the CPU trains, whatever else the machine has; GPUs have `test_cuda_training.py`."""
    import torch  # not every Python that runs tests of core/ has it

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)
        yield


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The analytic scene as a dataset."""
    from .analytic_scene import write  # nor h5py

    return write(tmp_path_factory.mktemp("scene") / "analytic.h5")
