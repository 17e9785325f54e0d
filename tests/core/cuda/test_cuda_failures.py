# SPDX-License-Identifier: GPL-3.0-or-later
"""What a training on CUDA does when something is missing or fails: it goes on in plain PyTorch, or says what
to do in one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from radiance_twin.core.errors import UserError
from radiance_twin.core.field.cuda import load
from radiance_twin.core.field.cuda.cache import compile_cached
from radiance_twin.core.field.cuda.failure import KernelsUnavailable
from radiance_twin.core.field.cuda.program import program_of
from radiance_twin.core.field.cuda.renderer import CudaRenderer
from radiance_twin.core.field.model import FieldConfig
from radiance_twin.core.training import run
from radiance_twin.core.training.cuda_stepper import CudaStepper
from radiance_twin.core.training.host_stepper import HostStepper
from radiance_twin.core.training.torch_execution import TorchExecution

from .host import device as gpu_device
from .trainings import advance, prepared, stepper_of

pytestmark = pytest.mark.usefixtures("gpu")


def test_a_gpu_that_fails_in_training_is_said_in_one_line(ball: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = prepared(ball)
    stepper = stepper_of(training)
    advance(training, 1)

    def failing(error: Exception) -> Callable[[], Any]:
        def fail() -> Any:
            raise error

        return fail

    monkeypatch.setattr(
        stepper, "_replay", failing(RuntimeError("CUDA error: unspecified launch failure\nCompile with"))
    )
    with pytest.raises(UserError, match=r"GPU failed: CUDA error: unspecified launch failure; try again, .*cpu$"):
        training.step(0.1)
    monkeypatch.setattr(stepper, "_state", failing(torch.OutOfMemoryError("CUDA out of memory")))
    with pytest.raises(UserError, match=r"memory ran out.*--device cpu$"):
        stepper.snapshot()


def test_plain_pytorch_trains_when_the_kernels_cannot(ball: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(config: FieldConfig, device: torch.device) -> Any:
        raise KernelsUnavailable("NVRTC was not found")

    monkeypatch.setattr(run, "load_kernels", missing)
    said: list[str] = []
    training = prepared(ball, log=said.append)
    assert said == ["NVRTC was not found; plain PyTorch trains instead, several times slower"]
    assert isinstance(training._stepper, HostStepper)
    advance(training, 2)
    assert np.isfinite(training._stepper.loss)


def why_pytorch_trains(ball: Path) -> str:
    """The one line that a training says whose kernels are not trusted."""
    said: list[str] = []
    training = prepared(ball, log=said.append)
    assert len(said) == 1 and "plain PyTorch" in said[0]
    assert isinstance(training._stepper, HostStepper)
    return said[0]


def test_kernels_that_compute_something_else_are_not_trusted(ball: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    render = CudaRenderer.render

    def other(self: CudaRenderer, *rays: Any) -> Any:
        colour, alpha, distance = render(self, *rays)
        return colour[::-1], alpha, distance

    monkeypatch.setattr(CudaRenderer, "render", other)
    assert "something else" in why_pytorch_trains(ball)


def test_kernels_that_descend_by_something_else_are_not_trusted(ball: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gradients = CudaStepper.gradients

    def other(self: CudaStepper, *given: Any) -> Any:
        found = gradients(self, *given)
        found.by_name["colour.1"].t_()  # as products would have it that take another order
        return found

    monkeypatch.setattr(CudaStepper, "gradients", other)
    assert "colour.1: off by" in why_pytorch_trains(ball)


def test_no_room_to_try_the_kernels_asks_for_a_smaller_table(ball: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loss, asked = TorchExecution.loss, 0

    def scarce(self: TorchExecution, *given: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return loss(self, *given)

    monkeypatch.setattr(TorchExecution, "loss", scarce)
    monkeypatch.setattr(run, "SMALLEST_TABLE", 8)
    said: list[str] = []
    training = prepared(ball, log=said.append)
    assert len(said) == 1 and "entries a level" in said[0]
    assert isinstance(training._stepper, CudaStepper)


@pytest.fixture
def loadable(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """All that `load_kernels` needs, with the driver that has no GPU; afterwards nothing is remembered."""
    fake = gpu_device.build_fake_driver(tmp_path)
    (folder / "cache").mkdir(exist_ok=True)
    monkeypatch.setattr(load, "compile_cached", partial(compile_cached, folder=folder / "cache"))
    monkeypatch.setattr(load, "capability", lambda index: 90)
    monkeypatch.setattr(load, "Driver", lambda index: gpu_device.Driver(str(fake), index))
    load._attempt.cache_clear()
    yield folder / "cache"
    load._attempt.cache_clear()


SMALL = FieldConfig(log2_table_size=14, finest_resolution=64)
CUDA = torch.device("cuda", 0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="the real driver is used by all other tests")
def test_kernels_are_loaded_once(loadable: Path) -> None:
    kernels = load.load_kernels(SMALL, CUDA)
    assert len(list(loadable.glob("field-sm_90-*.bin"))) == 1
    assert load.load_kernels(SMALL, CUDA) is kernels


@pytest.mark.skipif(torch.cuda.is_available(), reason="the real driver is used by all other tests")
@pytest.mark.parametrize(
    ("name", "replacement", "reason"),
    [
        ("capability", lambda index: 35, "compute capability 3.5"),
        ("program_of", lambda config: replace(program_of(config), source="this is no C++"), "do not compile for sm_90"),
        ("Driver", lambda index: gpu_device.Driver("/nowhere/libcuda.so.1"), "driver cannot be loaded"),
        ("OPTIONS", ("--no-such-option",), "do not compile"),
    ],
)
def test_what_is_missing_is_said_each_time(
    loadable: Path, monkeypatch: pytest.MonkeyPatch, name: str, replacement: Any, reason: str
) -> None:
    monkeypatch.setattr(load, name, replacement)
    for _ in range(2):
        with pytest.raises(KernelsUnavailable, match=reason) as caught:
            load.load_kernels(SMALL, CUDA)
        assert "\n" not in str(caught.value)


def test_a_field_of_another_shape_is_left_to_pytorch(loadable: Path) -> None:
    with pytest.raises(KernelsUnavailable, match="hidden layers of width 200"):
        load.load_kernels(replace(SMALL, hidden=200), CUDA)
