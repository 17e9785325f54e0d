# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernels, built for the CPU once for all tests, and a GPU that is asked for everything else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from radiance_twin.core.field.cuda.program import program_of
from radiance_twin.core.field.model import FieldConfig, RadianceField
from radiance_twin.core.training import run

from .batch import SMALL
from .host import HostKernels
from .host import device as gpu_device
from .trainings import write_scene

SHAPES = {
    "default": SMALL,
    # the width that a GPU trains: two tiles on the way there, one on the way back
    "trained": replace(SMALL, hidden=64),
    # levels that do not fill a tile, layers that are no power of two, a background
    "odd": replace(SMALL, levels=5, hidden=48, colour_layers=3, background=True),
    # wide: one tile to a warp, weights outside of shared memory
    "wide": replace(SMALL, levels=9, hidden=128, colour_layers=1, background=True),
}


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """The reference is too small to be shared out: threads would wait for one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cuda")


# what runs kernels alone: the CPU's build of them, and a GPU where there is one
RUN_BY = ["cpu", "gpu"] if torch.cuda.is_available() else ["cpu"]


def kernels_run_by(what: str, config: FieldConfig, folder: Path) -> Any:
    if what == "gpu":
        return gpu_device.DeviceKernels(config, folder)
    return HostKernels(program_of(config, intrinsics=False), folder)


@pytest.fixture(scope="session", params=[(what, name) for what in RUN_BY for name in SHAPES], ids="-".join)
def shape(request: pytest.FixtureRequest, folder: Path) -> Any:
    what, name = request.param
    return SimpleNamespace(config=SHAPES[name], host=kernels_run_by(what, SHAPES[name], folder))


@pytest.fixture(scope="session", params=RUN_BY)
def host(request: pytest.FixtureRequest, folder: Path) -> Any:
    """Kernels for what does not depend on the field's shape."""
    return kernels_run_by(request.param, SMALL, folder)


@pytest.fixture(scope="session")
def ball(folder: Path) -> Path:
    return write_scene(folder, "transparent")


@pytest.fixture
def gpu(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is asked of CUDA goes to the GPU, or to the kernels on the CPU."""
    if gpu_device.DEVICE.type == "cuda":
        yield
        return
    monkeypatch.setattr(run, "load_kernels", lambda config, device: gpu_device.kernels_for(config, folder))
    monkeypatch.setattr(RadianceField, "to", lambda self, device: self)
    with gpu_device.without_gpu():
        yield
