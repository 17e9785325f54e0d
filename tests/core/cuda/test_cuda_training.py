# SPDX-License-Identifier: GPL-3.0-or-later
"""Training and rendering by our CUDA kernels, all of it: what they compute is held against the plain PyTorch reference
and the CPU's renderer."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from radiance_twin.core.cameras import Camera
from radiance_twin.core.dataset.store import open_dataset
from radiance_twin.core.field.cpu import thread_pool
from radiance_twin.core.field.cuda.parameters import occupancy_words, occupied_cells
from radiance_twin.core.field.cuda.renderer import CudaRenderer
from radiance_twin.core.field.cuda.signatures import Counter
from radiance_twin.core.field.render import TrainedField, render_view
from radiance_twin.core.reporting import QuietReporter
from radiance_twin.core.training import cuda_stepper, run, trainer
from radiance_twin.core.training.host_stepper import HostStepper
from radiance_twin.core.training.torch_execution import TorchExecution
from radiance_twin.core.training.trainer import TrainSettings, train
from radiance_twin.core.twin_file import read_twin

from .host import device as gpu_device
from .trainings import QUICK, advance, on_host, prepared, stepper_of, write_scene

pytestmark = pytest.mark.usefixtures("gpu")


@pytest.mark.parametrize(("kind", "whole_pixels"), [("transparent", False), ("world", True), ("blind", False)])
def test_a_step_has_the_loss_and_the_gradient_of_the_reference(folder: Path, kind: str, whole_pixels: bool) -> None:
    # blind rays take many samples: room for those of the fewest rays there can be
    training = prepared(write_scene(folder, kind), replace(QUICK, samples_on_cuda=4096 if kind == "blind" else 1024))
    advance(training, 8 if kind != "blind" else 4)
    stepper = stepper_of(training)
    progress = 0.9 if whole_pixels else 0.1
    training.step(progress)  # samples are as far apart as they are then
    stride = QUICK.stride(progress, kind != "blind")
    assert (stride > 1) == (kind == "blind")
    found = stepper.gradients(progress)
    count, together = len(found.rays.origins), 4 if whole_pixels else 1
    assert count >= 256 and count % together == 0 and found.rays.together == together
    assert stepper._counter(Counter.PIXELS) == count // together and not found.dropped
    assert stepper._counter(Counter.NONFINITE) == 0
    reference = TorchExecution(
        copy.deepcopy(training._field).cpu().double(), stepper.occupied(), stepper._scale.step, QUICK
    )
    loss, samples = reference.loss(found.rays, found.jitter, stride)
    loss.backward()
    # a sample that rounding puts on a cell's face may fall to either side
    assert abs(samples - found.samples) <= 0.001 * samples
    assert found.loss == pytest.approx(loss.item(), rel=2e-3)
    for name, parameter in reference._field.named_parameters():
        wanted = on_host(parameter.grad)
        difference = np.linalg.norm(on_host(found.by_name[name]) - wanted) / np.linalg.norm(wanted)
        assert difference < 0.02, name
    assert not stepper._arrays["table_gradient"].any() and not stepper._arrays["matrix_gradient"].any()


def test_a_scene_is_learned_from_the_first_ray_to_the_twin(
    ball: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "choose_device", lambda name: torch.device("cuda"))
    reporter = QuietReporter()
    settings = TrainSettings(str(ball), str(tmp_path / "x.twin"), steps=30, device="cuda")
    result = train(settings, reporter, replace(QUICK, samples_on_cuda=2048))
    assert result["psnr"] > 12  # what is all wrong has less than 9
    training = read_twin(tmp_path / "x.twin").metadata["training"]
    assert training["device"] == "cuda"
    assert training["steps"] == 30
    assert not [line for line in reporter.lines if "instead" in line]


def test_a_fisheye_is_trained_on_by_its_own_rays(folder: Path) -> None:
    training = prepared(write_scene(folder, "fisheye"))
    advance(training, 4)
    arrays = stepper_of(training)._arrays
    chosen, picked = (on_host(arrays[name]).astype(np.int64) for name in ("chosen", "picked"))
    expected = training.pixels.rays(chosen[picked[:32]])
    np.testing.assert_allclose(on_host(arrays["rays"])[:32, 4:7], expected.directions, atol=1e-5)
    assert len(training.pixels.ways) == training.pixels.count
    assert np.std(expected.directions, axis=0).min() > 0.05, "they come from all around"


def test_it_learns_as_the_reference_does(ball: Path) -> None:
    ours, steps = prepared(ball), 50
    with open_dataset(ball) as dataset, thread_pool() as pool:
        theirs = run.prepare(dataset, torch.device("cuda"), 1, pool, QUICK, reference=True)
    assert isinstance(theirs._stepper, HostStepper)
    for training in (ours, theirs):
        advance(training, steps, of=steps)
    # other random numbers, the same mathematics: so early, single runs differ by a decibel
    assert abs(ours.quick_psnr() - theirs.quick_psnr()) < 2.5
    assert ours.quick_psnr() > 14


def test_the_occupancy_grid_keeps_what_is_dense(ball: Path) -> None:
    training = prepared(ball)
    stepper, field = stepper_of(training), training._field
    # a field that is dense here and thin there, smoothly
    coarse = int(field.layout.offsets[1])
    random = np.random.default_rng(0)
    stepper._arrays["table_master"][:coarse] = torch.tensor(
        random.normal(0, 4.0, (coarse, 4)), dtype=torch.float32, device=gpu_device.DEVICE
    )
    stepper._arrays["matrix_master"] *= 3.0
    stepper._parameters.pack()
    before = stepper.occupied()
    stepper.look_everywhere()
    occupied = stepper.occupied()
    assert not (occupied & ~before).any()
    # the reference's density in each cell that could hold something
    n, cells = len(occupied), np.argwhere(before)
    most, least = np.zeros(len(cells)), np.full(len(cells), np.inf)
    for _ in range(16):
        points = torch.tensor((cells + random.random(cells.shape)) / n, dtype=torch.float32, device=gpu_device.DEVICE)
        with torch.no_grad():
            density = on_host(field.density_features(points)[0])
        most, least = np.maximum(most, density), np.minimum(least, density)
    # a cell was asked at four random points: what is thin in all of sixteen others is empty, and the other way round
    kept, threshold = occupied[before], cuda_stepper.THIN / stepper._scale.step
    dense, thin = least > 1.2 * threshold, most < threshold / 1.2
    assert dense.mean() > 0.2 and thin.mean() > 0.05
    assert kept[dense].all()
    assert kept[thin].mean() < 0.1


@pytest.mark.parametrize("resolution", [8, 32])
def test_occupancy_bits_are_those_that_the_kernels_read(resolution: int) -> None:
    occupied = np.random.default_rng(1).random((resolution,) * 3) < 0.01
    bits, coarse = occupancy_words(torch.from_numpy(occupied))
    words = on_host(bits).view(np.uint32)
    for x, y, z in np.ndindex(occupied.shape):
        i = (x * resolution + y) * resolution + z
        assert bool(words[i // 32] >> (i % 32) & 1) == occupied[x, y, z]
    blocks = on_host(coarse).view(np.uint32)
    for i, (x, y, z) in enumerate(np.ndindex((resolution // 8,) * 3)):
        block = occupied[8 * x : 8 * x + 8, 8 * y : 8 * y + 8, 8 * z : 8 * z + 8]
        assert bool(blocks[i // 32] >> (i % 32) & 1) == block.any()
    np.testing.assert_array_equal(on_host(occupied_cells(bits, resolution)), occupied)


@pytest.mark.parametrize("kind", ["transparent", "world"])
def test_pictures_are_those_of_the_cpu(folder: Path, kind: str) -> None:
    scene = write_scene(folder, kind)
    training = prepared(scene)
    advance(training, 30)
    trained = training.trained_field()
    on_cpu = TrainedField(copy.deepcopy(trained.model).cpu(), trained.occupied, trained.world_from_field, trained.step)
    kernels = gpu_device.kernels_for(trained.model.config, folder)
    ours = CudaRenderer(trained.model, trained.occupied, trained.step, kernels)
    on_gpu = replace(on_cpu)
    on_gpu.__dict__["kernels"] = ours  # as `TrainedField.kernels` finds it on a GPU
    with open_dataset(scene) as dataset:
        index = int(dataset.splits["test"][0])
        view = Camera(dataset.camera_to_world[index], dataset.intrinsics[index] * 0.75, (26, 22))
        seen, depth = render_view(on_gpu, view)
        wanted, wanted_depth = render_view(on_cpu, view)
        rays = training.pixels.rays(np.arange(0, training.pixels.count, 37))
    assert seen.shape == wanted.shape
    assert np.sqrt(np.mean((seen - wanted) ** 2)) < 4e-3
    solid = (depth > 0) & (wanted_depth > 0)
    assert solid.sum() > 100
    assert np.median(np.abs(depth - wanted_depth)[solid]) < 4e-3
    for found, truth in zip(
        ours.render(rays.origins, rays.directions, 0.25),
        run.ray_renderer(on_cpu)(rays.origins, rays.directions, 0.25),
        strict=True,
    ):
        assert found.shape == truth.shape
        assert np.sqrt(np.mean((found - truth) ** 2)) < 6e-3
