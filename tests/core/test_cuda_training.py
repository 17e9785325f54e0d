# SPDX-License-Identifier: GPL-3.0-or-later
"""Training and rendering by our CUDA kernels, all of it: what the kernels compute is held against the plain PyTorch
reference and the CPU's renderer, and everything that can be missing or go wrong is made to.

With a GPU this is what a user's machine does. Without one the same calls go through the driver's interface to the same
kernels built for the CPU (`cuda_host/device.py`).
"""

from __future__ import annotations

import copy
import runpy
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from radiance_twin.core.dataset.store import open_dataset
from radiance_twin.core.errors import UserError
from radiance_twin.core.field.cpu import thread_pool
from radiance_twin.core.field.cuda import load
from radiance_twin.core.field.cuda.cache import compile_cached
from radiance_twin.core.field.cuda.failure import KernelsUnavailable
from radiance_twin.core.field.cuda.parameters import occupancy_words, occupied_cells
from radiance_twin.core.field.cuda.program import Counter, Setting, State, program_of
from radiance_twin.core.field.cuda.renderer import CudaRenderer
from radiance_twin.core.field.model import FieldConfig, RadianceField
from radiance_twin.core.field.render import TrainedField, render_view
from radiance_twin.core.reporting import QuietReporter
from radiance_twin.core.training import cuda_arrays, cuda_stepper, run, trainer
from radiance_twin.core.training.cuda_stepper import LOSS_SCALE, CudaStepper
from radiance_twin.core.training.host_stepper import HostStepper
from radiance_twin.core.training.recipe import Recipe, scale_of
from radiance_twin.core.training.run import Run
from radiance_twin.core.training.sampler import Rays
from radiance_twin.core.training.torch_execution import TorchExecution
from radiance_twin.core.training.trainer import TrainSettings, train
from radiance_twin.core.twin_file import read_twin

SCENE = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("analytic_scene.py"))))
GPU = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "cuda_host" / "device.py")))


class Little(Recipe):
    """As the product trains, with less of everything."""

    def on_cuda(self) -> Recipe:
        return replace(super().on_cuda(), hidden=32)


QUICK = Little(samples_on_cuda=1024, bake_steps=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cuda_training")


def write_scene(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.h5"
    film = "world" if kind == "world" else "transparent"
    return path if path.exists() else Path(SCENE.write(path, views=12, size=32, film=film, depth=kind != "blind"))


@pytest.fixture(scope="module")
def ball(folder: Path) -> Path:
    return write_scene(folder, "transparent")


@pytest.fixture(autouse=True)
def gpu(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is asked of CUDA goes to the GPU, or to the kernels on the CPU."""
    if GPU.DEVICE.type == "cuda":
        yield
        return
    monkeypatch.setattr(run, "load_kernels", lambda config, device: GPU.kernels_for(config, folder))
    monkeypatch.setattr(RadianceField, "to", lambda self, device: self)
    with GPU.without_gpu():
        yield


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


def host(array: torch.Tensor) -> Any:
    return array.detach().cpu().numpy()


@pytest.mark.parametrize(("kind", "whole_pixels"), [("transparent", False), ("world", True), ("blind", False)])
def test_a_step_has_the_loss_and_the_gradient_of_the_reference(folder: Path, kind: str, whole_pixels: bool) -> None:
    # blind rays take many samples: room for those of the fewest rays there can be
    training = prepared(write_scene(folder, kind), replace(QUICK, samples_on_cuda=4096 if kind == "blind" else 1024))
    advance(training, 8 if kind != "blind" else 4)
    stepper = stepper_of(training)
    arrays = stepper._arrays
    progress = 0.9 if whole_pixels else 0.1
    training.step(progress)  # samples are as far apart as they are then
    stride = QUICK.stride(progress, kind != "blind")
    assert (stride > 1) == (kind == "blind")
    stepper._write_controls(progress)
    for call in stepper._gradients:
        call()
    counters = host(arrays["counters"]).view(np.uint32)
    count, together = int(counters[Counter.RAYS]), 4 if whole_pixels else 1
    assert count >= 256 and count % together == 0
    assert counters[Counter.PIXELS] == count // together
    assert counters[Counter.NONFINITE] == 0
    drawn, targets = host(arrays["rays"])[:count], host(arrays["targets"])[:count]
    rays = Rays(drawn[:, :3], drawn[:, 4:7], targets, drawn[:, 3], together)
    reference = TorchExecution(
        copy.deepcopy(training._field).cpu().double(), stepper.occupied(), stepper._scale.step, QUICK
    )
    loss, samples = reference.loss(rays, drawn[:, 7], stride)
    loss.backward()
    pixels = count // together
    assert samples == counters[Counter.SAMPLES]
    assert float(arrays["state"][State.LOSS_SUM]) / pixels == pytest.approx(loss.item(), rel=2e-3)
    field, first = reference._field, 0
    found = {"table": host(arrays["table_gradient"])}
    if field.background_table is not None:
        found["background_table"] = host(arrays["background_table_gradient"])
    for name, parameter in field.named_parameters():
        if not name.endswith("table"):
            found[name] = host(arrays["matrix_gradient"])[first : first + parameter.numel()].reshape(parameter.shape)
            first += parameter.numel()
    for name, parameter in field.named_parameters():
        wanted = host(parameter.grad)
        difference = np.linalg.norm(found[name] / (LOSS_SCALE * pixels) - wanted) / np.linalg.norm(wanted)
        assert difference < 0.02, name


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


def test_the_host_knows_the_counters_some_steps_late_and_all_of_them_when_it_waits(ball: Path) -> None:
    training = prepared(ball, replace(QUICK, samples_on_cuda=2048))
    stepper = stepper_of(training)
    samples, known = 0, []
    for _ in range(40):
        training.step(0.1)
        samples += stepper._counter(Counter.SAMPLES)
        known.append(stepper.samples)
        assert len(stepper._looks) <= cuda_stepper.LOOKS_UNDER_WAY
    assert known[0] > 0  # the first step is waited for: a training that fails at once says so at once
    assert known[-1] < samples
    training.synchronise()
    assert training.samples == samples
    assert training.rays == stepper._counter(Counter.TOTAL_RAYS)
    # the number of rays follows the samples
    assert 0.7 * 2048 < samples / 40 < 1.3 * 2048
    assert np.isfinite(stepper.loss)
    assert float(stepper._arrays["settings"][Setting.RATE]) == pytest.approx(QUICK.rate(39, 0.1), rel=1e-6)


class Operations(TorchDispatchMode):
    """What PyTorch is asked to do."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(str(function))
        return function(*args, **(kwargs or {}))


def test_nothing_waits_for_the_device_between_two_looks(ball: Path) -> None:
    training = prepared(ball)
    stepper = stepper_of(training)
    advance(training, 3)
    with Operations() as recorded:
        # what a graph holds: launches alone, nothing that allocates or waits
        stepper._start_step()
        stepper._start_occupancy()
    assert recorded.names == set()
    with Operations() as asked:
        for _ in range(2 * cuda_stepper.LOOK_EVERY):
            training.step(0.1)
    # settings to the device and counters from it, without waiting; a row of each
    assert asked.names == {"aten.copy_.default", "aten.detach.default", "aten.select.int"}


def test_the_field_is_the_kernels_own_memory(ball: Path) -> None:
    training = prepared(ball)
    before = [host(parameter).copy() for parameter in training._field.parameters()]
    training.compile()
    for parameter, value in zip(training._field.parameters(), before, strict=True):
        np.testing.assert_array_equal(host(parameter), value)
    assert stepper_of(training)._counter(Counter.UPDATES) == 0
    advance(training, 1)
    for parameter, value in zip(training._field.parameters(), before, strict=True):
        assert (host(parameter) != value).any()


def test_a_snapshot_brings_everything_back_but_the_dice(ball: Path) -> None:
    training = prepared(ball, replace(QUICK, occupancy_every=4))
    stepper = stepper_of(training)
    advance(training, 10)
    kept, occupied = stepper.snapshot(), stepper.occupied()
    field = copy.deepcopy(training._field.state_dict())
    seen = host(stepper._arrays["picked"]).copy()
    advance(training, 6)
    stepper.restore(kept)
    for name, value in training._field.state_dict().items():
        assert torch.equal(value, field[name])
    np.testing.assert_array_equal(stepper.occupied(), occupied)
    assert stepper._counter(Counter.UPDATES) == 10
    training.step(0.1)
    assert (host(stepper._arrays["picked"]) != seen).any()
    assert np.isfinite(stepper.loss)


def test_a_field_that_breaks_goes_back_to_where_it_was_sound(ball: Path) -> None:
    said: list[str] = []
    training = prepared(ball, log=said.append)
    stepper = stepper_of(training)
    advance(training, 10)
    for name in ("table", "table_master"):
        stepper._arrays[name][:2000] = torch.nan
    assert stepper.snapshot() is None
    for _ in range(3 * cuda_stepper.LOOK_EVERY):
        training.step(0.1)
    training.synchronise()
    assert len(said) == 1 and "half the learning rate" in said[0]
    assert np.isfinite(stepper.loss)
    assert stepper.snapshot() is not None
    assert stepper.caution == 0.5


def test_the_occupancy_grid_keeps_what_is_dense(ball: Path) -> None:
    training = prepared(ball)
    stepper, field = stepper_of(training), training._field
    # a field that is dense here and thin there, smoothly
    coarse = int(field.layout.offsets[1])
    random = np.random.default_rng(0)
    stepper._arrays["table_master"][:coarse] = torch.tensor(
        random.normal(0, 4.0, (coarse, 4)), dtype=torch.float32, device=GPU.DEVICE
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
        points = torch.tensor((cells + random.random(cells.shape)) / n, dtype=torch.float32, device=GPU.DEVICE)
        with torch.no_grad():
            density = host(field.density_features(points)[0])
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
    words = host(bits).view(np.uint32)
    for x, y, z in np.ndindex(occupied.shape):
        i = (x * resolution + y) * resolution + z
        assert bool(words[i // 32] >> (i % 32) & 1) == occupied[x, y, z]
    blocks = host(coarse).view(np.uint32)
    for i, (x, y, z) in enumerate(np.ndindex((resolution // 8,) * 3)):
        block = occupied[8 * x : 8 * x + 8, 8 * y : 8 * y + 8, 8 * z : 8 * z + 8]
        assert bool(blocks[i // 32] >> (i % 32) & 1) == block.any()
    np.testing.assert_array_equal(host(occupied_cells(bits, resolution)), occupied)


# --- pictures


@pytest.mark.parametrize("kind", ["transparent", "world"])
def test_pictures_are_those_of_the_cpu(folder: Path, kind: str) -> None:
    scene = write_scene(folder, kind)
    training = prepared(scene)
    advance(training, 30)
    trained = training.trained_field()
    on_cpu = TrainedField(copy.deepcopy(trained.model).cpu(), trained.occupied, trained.world_from_field, trained.step)
    kernels = GPU.kernels_for(trained.model.config, folder)
    ours = CudaRenderer(trained.model, trained.occupied, trained.step, kernels)
    on_gpu = replace(on_cpu)
    on_gpu.__dict__["kernels"] = ours  # as `TrainedField.kernels` finds it on a GPU
    with open_dataset(scene) as dataset:
        index = int(dataset.splits["test"][0])
        view = dataset.camera_to_world[index], dataset.intrinsics[index] * 0.75, (26, 22)
        seen, depth = render_view(on_gpu, *view)
        wanted, wanted_depth = render_view(on_cpu, *view)
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


# --- memory


def bytes_of(shapes: dict[str, tuple[torch.dtype, tuple[int, ...]]]) -> int:
    return sum(kind.itemsize * int(np.prod(shape)) for kind, shape in shapes.values())


def test_a_hundred_views_of_800_pixels_fit_into_four_gigabytes() -> None:
    count, recipe = 100 * 800 * 800, Recipe().on_cuda()
    # a pixel of such a view is about a thousandth of the cube where the surfaces are
    scale = scale_of(1 / 1000, recipe.largest_table)
    config = FieldConfig(
        hidden=recipe.hidden, log2_table_size=scale.log2_table_size, finest_resolution=scale.finest_resolution
    )
    program = program_of(config)
    adam = bytes_of(cuda_arrays.adam_shapes(program))
    masters, copies = adam // 3, adam // 6
    snapshots = 2 * adam  # master and both means: of the last sound state, and of the one that is being taken
    cells = 6 * scale.occupancy_resolution**3
    total = (
        bytes_of(cuda_arrays.pixel_shapes(count, count, 100))
        + 4 * count  # the farthest hits
        + bytes_of(cuda_arrays.batch_shapes(program, cuda_stepper.ROOM * recipe.samples, recipe.most_rays))
        + adam
        + masters
        + copies
        + snapshots
        + cells
    )
    assert total < 4e9


def test_a_batch_that_does_not_fit_is_halved(ball: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allocate, said = cuda_stepper.allocate, []

    def scarce(shapes: Any, device: torch.device) -> Any:
        if full_for in shapes and bytes_of(shapes) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return allocate(shapes, device)

    monkeypatch.setattr(cuda_stepper, "allocate", scarce)
    monkeypatch.setattr(cuda_stepper, "LEAST_SAMPLES", 1024)
    full_for, room = "samples", 3_000_000
    training = prepared(ball, replace(QUICK, samples_on_cuda=8192), said.append)
    assert said == ["the GPU's memory is short: training on 4,096 samples at a time"]
    advance(training, 3)
    assert np.isfinite(stepper_of(training).loss)
    room = 400_000
    with pytest.raises(UserError, match="too little memory left"):
        prepared(ball, replace(QUICK, samples_on_cuda=8192))
    full_for, room = "pixels", 1000
    with pytest.raises(UserError, match=r"too little memory for 12,288 pixels .*--device cpu"):
        prepared(ball)


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


# --- when our kernels cannot run


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


def test_kernels_that_compute_something_else_are_not_trusted(ball: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    render = CudaRenderer.render

    def other(self: CudaRenderer, *rays: Any) -> Any:
        colour, alpha, distance = render(self, *rays)
        return colour[::-1], alpha, distance

    monkeypatch.setattr(CudaRenderer, "render", other)
    said: list[str] = []
    training = prepared(ball, log=said.append)
    assert len(said) == 1 and "something else" in said[0] and "plain PyTorch" in said[0]
    assert isinstance(training._stepper, HostStepper)


@pytest.fixture
def loadable(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """All that `load_kernels` needs, with the driver that has no GPU; afterwards nothing is remembered."""
    fake = GPU.build_fake_driver(tmp_path)
    (folder / "cache").mkdir(exist_ok=True)
    monkeypatch.setattr(load, "compile_cached", partial(compile_cached, folder=folder / "cache"))
    monkeypatch.setattr(load, "capability", lambda index: 90)
    monkeypatch.setattr(load, "Driver", lambda index: GPU.Driver(str(fake), index))
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
        ("Driver", lambda index: GPU.Driver("/nowhere/libcuda.so.1"), "driver cannot be loaded"),
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
