# SPDX-License-Identifier: GPL-3.0-or-later
"""Small trainings on CUDA. With a GPU they are what a user's machine does; without one the same calls go through the
driver's interface to the same kernels built for the CPU (`host/device.py`)."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from radiance_twin.core.dataset.store import open_dataset
from radiance_twin.core.field.cpu import thread_pool
from radiance_twin.core.lenses import CameraModel
from radiance_twin.core.training import run
from radiance_twin.core.training.cuda_stepper import CudaStepper
from radiance_twin.core.training.recipe import Recipe
from radiance_twin.core.training.run import Run

SCENE = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent.with_name("analytic_scene.py"))))


class Little(Recipe):
    """As the product trains, with less of everything."""

    def on_cuda(self) -> Recipe:
        return replace(super().on_cuda(), hidden=32)


QUICK = Little(samples_on_cuda=1024, bake_steps=4)


def write_scene(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.h5"
    film = "world" if kind == "world" else "transparent"
    background = (1.0, 0.5, 0.2) if kind == "blind" else (0.0, 0.0, 0.0)
    if not path.exists():
        model = CameraModel("fisheye" if kind == "fisheye" else "opencv")
        SCENE.write(path, views=12, size=32, film=film, depth=kind != "blind", background=background, model=model)
    return path


def prepared(scene: Path, recipe: Recipe = QUICK, log: Callable[[str], None] = lambda text: None) -> Run:
    """A training on CUDA."""
    with open_dataset(scene) as dataset, thread_pool() as pool:
        return run.prepare(dataset, torch.device("cuda"), 1, pool, recipe, log=log)


def stepper_of(training: Run) -> CudaStepper:
    stepper = training._stepper
    assert isinstance(stepper, CudaStepper)
    return stepper


def advance(training: Run, steps: int, of: int = 100) -> None:
    for _ in range(steps):
        training.step(training.steps / of)
    training.synchronise()


def on_host(array: torch.Tensor) -> Any:
    return array.detach().cpu().numpy()


def bytes_of(shapes: dict[str, tuple[torch.dtype, tuple[int, ...]]]) -> int:
    return sum(kind.itemsize * int(np.prod(shape)) for kind, shape in shapes.values())
