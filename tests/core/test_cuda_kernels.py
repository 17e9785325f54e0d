# SPDX-License-Identifier: GPL-3.0-or-later
"""The CUDA kernels, run on the CPU (`cuda_host`), against the plain PyTorch reference in float64 on the same rounded
weights: rays, samples, pictures, the gradient of every parameter, Adam and the occupancy grid."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from radiance_twin.core.cameras import pixel_grid, ray_directions
from radiance_twin.core.field.cuda.program import (
    DROPPED,
    KERNELS,
    NOWHERE,
    Choice,
    Counter,
    Kernel,
    Program,
    Setting,
    State,
    program_of,
    unsupported,
)
from radiance_twin.core.field.directions import spherical_harmonics
from radiance_twin.core.field.hash_grid import encode
from radiance_twin.core.field.march import Samples, composite, march
from radiance_twin.core.field.model import DENSITY_BOUND, RADIANCE_BOUND, FieldConfig, RadianceField
from radiance_twin.core.field.occupancy import coarse_blocks
from radiance_twin.core.field.render import render_rays
from radiance_twin.core.training.losses import opacity_l2, relative_l2
from radiance_twin.core.training.sampler import NOTHING

HOST = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("cuda_host") / "__init__.py")))

SMALL = FieldConfig(levels=8, base_resolution=4, finest_resolution=48, log2_table_size=10)
SHAPES = {
    "default": SMALL,
    # the width that a GPU trains: two tiles on the way there, one on the way back
    "trained": replace(SMALL, hidden=64),
    # levels that do not fill a tile, layers that are no power of two, a background
    "odd": replace(SMALL, levels=5, hidden=48, colour_layers=3, background=True),
    # wide: one tile to a warp, weights outside of shared memory
    "wide": replace(SMALL, levels=9, hidden=128, colour_layers=1, background=True),
}
STEP = 1 / 60
RAYS = 256
CAPACITY = 4096
CELLS = 16
LOSS_SCALE = 128.0
EPSILON, ALPHA_WEIGHT = 0.02, 0.7


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The reference is too small to be shared out: threads would wait for one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cuda_host")


@pytest.fixture(scope="session", params=SHAPES)
def shape(request: pytest.FixtureRequest, folder: Path) -> Any:
    config = SHAPES[request.param]
    return SimpleNamespace(config=config, host=HOST.HostKernels(program_of(config, intrinsics=False), folder))


@pytest.fixture(scope="session")
def host(folder: Path) -> Any:
    """Kernels for what does not depend on the field's shape."""
    return HOST.HostKernels(program_of(SMALL, intrinsics=False), folder)


class Device:
    """Every array of a training, by the names of `program.py`, and a field of float64 with the very same weights."""

    def __init__(
        self, host: Any, config: FieldConfig, seed: int = 0, capacity: int = CAPACITY, rays: int = RAYS
    ) -> None:
        self.host = host
        program = host.program
        self.field = lively_field(config, seed)
        half, single, word = np.float16, np.float32, np.uint32
        self.arrays: dict[str, Any] = {
            "counters": np.zeros(16, word),
            "state": np.zeros(8, single),
            "settings": np.zeros(16, single),
            "choices": np.zeros(8, word),
            **{name: np.zeros((rays, 4), single) for name in ("targets", "behind", "seen")},
            **{name: np.zeros(rays, word) for name in ("picked", "ray_first", "ray_count")},
            "rays": np.zeros((rays, 8), single),
            "harmonics": np.zeros((rays, 16), half),
            "samples": np.zeros((capacity, 4), single),
            **{name: np.zeros(capacity, word) for name in ("sample_ray", "slot", "shaded", "alive")},
            **{name: np.zeros(capacity, single) for name in ("logarithm", "shares", "logarithm_gradient")},
            "encoded": np.zeros((capacity, program.encoded), half),
            "geometry": np.zeros((capacity, 16), half),
            "colour": np.zeros((capacity, 4), single),
            "colour_gradient": np.zeros((capacity, 4), half),
            "geometry_gradient": np.zeros((capacity, 16), half),
            "background_encoded": np.zeros((rays, program.background_encoded), half),
            "background_gradient": np.zeros((rays, 4), half),
            "weights": np.full(program.weight_words, 0xDEADBEEF, word),
            "error": None,
        }
        matrices = [*self.field.density, *self.field.colour, *self.field.background]
        self.arrays["matrix_master"] = np.concatenate([matrix.detach().float().numpy().ravel() for matrix in matrices])
        for name in ("gradient", "first", "second"):
            self.arrays[f"matrix_{name}"] = np.zeros(program.matrix_values, single)
        self._add_table("", self.field.table)
        if self.field.background_table is not None:
            self._add_table("background_", self.field.background_table)
        else:
            self.arrays |= {"background_table": None, "background_table_gradient": None}
        self.run("pack_matrices")
        for name, value in (("BETA1", 0.9), ("BETA2", 0.99), ("ADAM_EPSILON", 1e-15), ("RATE", 1e-2)):
            self.arrays["settings"][Setting[name]] = value
        for name, value in (("LOSS_SCALE", LOSS_SCALE), ("LOSS_EPSILON", EPSILON), ("ALPHA_WEIGHT", ALPHA_WEIGHT)):
            self.arrays["settings"][Setting[name]] = value
        self.arrays["choices"][: len(Choice)] = [7, 1, 2000, 32, rays]
        self.arrays["counters"][Counter.RAYS] = rays

    def _add_table(self, prefix: str, table: torch.Tensor) -> None:
        master = table.detach().float().numpy().copy()
        self.arrays[f"{prefix}table_master"] = master
        self.arrays[f"{prefix}table"] = np.zeros(master.shape, np.float16)
        for name in ("gradient", "first", "second"):
            self.arrays[f"{prefix}table_{name}"] = np.zeros_like(master)
        renamed = {"table_master": master, "table": self.arrays[f"{prefix}table"]}
        self.host.run("pack_table", rows=len(master), **renamed)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["arrays"][name]
        except KeyError:
            raise AttributeError(name) from None

    def run(self, name: str, grid: int = 3, **given: Any) -> None:
        """Launch; arrays go by their names, other arguments are given."""
        parameters = {parameter.name for parameter in KERNELS[name]}
        held = {key: value for key, value in self.arrays.items() if key in parameters}
        self.host.run(name, grid, **(held | given))

    def count(self, which: Counter) -> int:
        return int(self.counters[which])


class RoundedField(RadianceField):
    """The reference, but with encodings and activations rounded to half precision as the kernels hold them.

    Without that, one unit in two thousand falls to the other side of its ReLU, which is a hundredth of a gradient.
    """

    def density_features(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.rounded_mlp(encode(positions, self.table, self.layout), self.density)
        density = torch.exp((features[:, 0] + self.config.density_shift).clamp(max=DENSITY_BOUND))
        return density, self.rounded(features)

    def radiance(self, features: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
        inputs = torch.cat([features, spherical_harmonics(directions)], dim=-1)
        return torch.exp(self.rounded_mlp(inputs, self.colour).clamp(max=RADIANCE_BOUND))

    def rounded_mlp(self, inputs: torch.Tensor, layers: torch.nn.ParameterList) -> torch.Tensor:
        hidden = self.rounded(inputs)
        for layer in list(layers)[:-1]:
            hidden = self.rounded(torch.relu(hidden @ layer))
        return hidden @ layers[-1]

    @staticmethod
    def rounded(values: torch.Tensor) -> torch.Tensor:
        return values + (values.half().double() - values).detach()


def lively_field(config: FieldConfig, seed: int) -> RadianceField:
    """A field whose tables are not near zero, its parameters rounded to half precision, in float64."""
    field = RoundedField(config, seed)
    with torch.no_grad():
        for name, parameter in field.named_parameters():
            parameter.copy_((parameter * (5e3 if name.endswith("table") else 1.0)).half())
    return field.double()


def some_rays(device: Device, seed: int = 0) -> None:
    """Rays from around the cube into it and past it, their targets, and a grid with holes."""
    random = np.random.default_rng(seed)
    origins = random.normal(size=(RAYS, 3))
    origins = 0.5 + 1.3 * origins / np.linalg.norm(origins, axis=1, keepdims=True)
    directions = random.random((RAYS, 3)) * 1.4 - 0.2 - origins
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    device.rays[:, :3], device.rays[:, 4:7] = origins, directions
    device.rays[:, 3] = np.where(random.random(RAYS) < 0.5, 1.5, 1e30)
    device.rays[:, 7] = random.random(RAYS)
    device.targets[:] = random.random((RAYS, 4))
    device.targets[::7, 3] = -1.0  # opacity unknown
    device.harmonics[:] = spherical_harmonics(torch.from_numpy(device.rays[:, 4:7].astype(np.float64))).numpy()
    occupied = random.random((CELLS,) * 3) < 0.2
    occupied[:8, 8:, :8] = False
    device.occupied = occupied
    device.arrays |= grid_arrays(occupied)


def grid_arrays(occupied: np.ndarray) -> dict[str, Any]:
    def packed(flags: np.ndarray) -> np.ndarray:
        bits = np.packbits(flags.reshape(-1), bitorder="little")
        return np.concatenate([bits, np.zeros(-len(bits) % 4, np.uint8)]).view(np.uint32)

    return {"bits": packed(occupied), "coarse": packed(coarse_blocks(occupied))}


def forward(device: Device, capacity: int = CAPACITY, step: float = STEP) -> None:
    device.run("march_rays", step=step, resolution=CELLS, capacity=capacity)
    device.run("forward_density", capacity=capacity)
    device.run("weigh", step=step)
    device.run("forward_colour")
    if device.field.config.background:
        device.run("forward_background")


def backward(device: Device, step: float = STEP) -> None:
    device.run("composite_loss", step=step, error_rate=0.0)
    device.run("backward_colour")
    device.run("backward_density")
    if device.field.config.background:
        device.run("backward_background")


def places_of(device: Device) -> tuple[np.ndarray, np.ndarray]:
    """Where each ray's samples lie, ray after ray, and their numbers."""
    counts = np.where(device.ray_count == DROPPED, 0, device.ray_count).astype(np.int64)
    firsts = zip(device.ray_first.astype(np.int64), counts, strict=True)
    return np.concatenate([np.arange(first, first + count) for first, count in firsts]), counts


def reference_samples(device: Device) -> Samples:
    """The samples that the kernels took, ray after ray."""
    places, counts = places_of(device)
    samples = torch.from_numpy(device.samples[places].astype(np.float64))
    offsets = torch.from_numpy(np.concatenate([[0], np.cumsum(counts)]))
    ray = torch.repeat_interleave(torch.arange(len(counts)), torch.from_numpy(counts))
    return Samples(samples[:, :3], samples[:, 3], ray, offsets, STEP)


def relative(ours: np.ndarray, truth: torch.Tensor) -> float:
    truth = truth.detach()
    return float((torch.from_numpy(ours.astype(np.float64)) - truth).norm() / truth.norm())


def reference_loss(device: Device, together: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """What the rays see [R, 4], and the mean loss, differentiable."""
    field, samples = device.field, reference_samples(device)
    directions = torch.from_numpy(device.rays[:, 4:7].astype(np.float64))
    density, radiance = field(samples.positions, directions[samples.ray])
    seen = composite(density, radiance, samples)
    back = field.background_radiance(directions)
    if not field.config.background:
        back = torch.from_numpy(device.behind[:, :3].astype(np.float64))
    colour = seen.colour + (1.0 - seen.alpha)[:, None] * back
    wanted = torch.from_numpy(device.targets[::together].astype(np.float64))
    pixels = colour.reshape(-1, together, 3).mean(dim=1)
    alpha = seen.alpha.reshape(-1, together).mean(dim=1)
    loss = relative_l2(pixels, wanted[:, :3], EPSILON) + ALPHA_WEIGHT * opacity_l2(alpha, wanted[:, 3])
    return torch.cat([colour, seen.alpha[:, None]], dim=1), loss


def test_the_signatures_are_those_of_the_sources(host: Any) -> None:
    letters = {"pointer": "p", "u4": "u", "f4": "f"}
    for name, parameters in KERNELS.items():
        assert host.kinds(name) == "".join(letters[parameter.kind] for parameter in parameters), name


def test_shapes_that_the_kernels_cannot_run_are_named() -> None:
    assert unsupported(SMALL) is None
    assert "width 40" in str(unsupported(replace(SMALL, hidden=40)))
    with pytest.raises(ValueError, match="8 geometry features"):
        program_of(replace(SMALL, geometry_features=8))


def test_samples_are_those_of_the_reference(host: Any) -> None:
    device = Device(host, SMALL)
    some_rays(device)
    device.rays[0, 4:7] = [0, 0, 1]  # parallel to faces, inside
    device.rays[0, :3] = [0.3, 0.6, -1]
    device.run("march_rays", step=STEP, resolution=CELLS, capacity=CAPACITY)
    ours = reference_samples(device)
    rays = torch.from_numpy(device.rays)
    truth = march(
        rays[:, :3], rays[:, 4:7], torch.from_numpy(device.occupied), STEP, rays[:, 7].clone(), rays[:, 3].clone()
    )
    assert len(truth.times) > 1200
    assert (truth.offsets.diff() == 0).sum() > 10  # rays without samples
    assert device.count(Counter.SAMPLES) == len(ours.times)
    # a sample that rounding puts on a cell's face may fall to either side
    assert (ours.offsets.diff() - truth.offsets.diff()).abs().sum() <= 0.001 * len(truth.times)
    equal = ours.offsets.diff() == truth.offsets.diff()
    np.testing.assert_allclose(ours.times[equal[ours.ray]], truth.times[equal[truth.ray]].double(), atol=2e-6)
    np.testing.assert_allclose(ours.positions[equal[ours.ray]], truth.positions[equal[truth.ray]].double(), atol=2e-6)
    places, _ = places_of(device)
    assert (np.sort(places) == np.arange(len(ours.times))).all()
    assert (device.sample_ray[places] == ours.ray.numpy()).all()


@pytest.mark.parametrize("backwards", [False, True])
def test_pictures_and_gradients_agree_with_the_reference(shape: Any, backwards: bool) -> None:
    shape.host.backwards = backwards
    device = Device(shape.host, shape.config)
    some_rays(device)
    forward(device)
    backward(device)
    shape.host.backwards = False
    assert device.count(Counter.SAMPLES) > 1200
    assert 0 < device.count(Counter.SHADED) <= device.count(Counter.SAMPLES)
    seen, loss = reference_loss(device)
    assert relative(device.seen, seen) < 1e-3
    assert device.count(Counter.PIXELS) == RAYS
    assert device.state[State.LOSS_SUM] / RAYS == pytest.approx(loss.item(), rel=1e-3)
    loss.backward()
    scale = 1.0 / (LOSS_SCALE * RAYS)
    assert max(matrix_gradient_errors(device, scale)) < 2e-3
    assert relative(device.table_gradient * scale, device.field.table.grad) < 2e-3
    if device.field.background_table is not None:
        assert relative(device.background_table_gradient * scale, device.field.background_table.grad) < 2e-3
    assert device.count(Counter.NONFINITE) == 0


def matrix_gradient_errors(device: Device, scale: float) -> list[float]:
    errors, place = [], 0
    for matrix in [*device.field.density, *device.field.colour, *device.field.background]:
        ours = device.matrix_gradient[place : place + matrix.numel()].reshape(matrix.shape) * scale
        errors.append(relative(ours, matrix.grad))
        place += matrix.numel()
    return errors


def test_rays_of_one_pixel_share_its_loss(host: Any) -> None:
    device = Device(host, SMALL)
    some_rays(device)
    device.choices[Choice.TOGETHER] = 4
    device.behind[:, :3] = np.random.default_rng(3).random((RAYS, 3))  # a random background
    device.arrays["error"] = np.full(RAYS, 0.5, np.float32)
    device.picked[:] = np.arange(RAYS) // 4
    forward(device)
    device.run("composite_loss", step=STEP, error_rate=1.0)
    device.run("backward_colour")
    device.run("backward_density")
    seen, loss = reference_loss(device, 4)
    loss.backward()
    assert device.count(Counter.PIXELS) == RAYS // 4
    assert relative(device.seen, seen) < 1e-3
    assert device.state[State.LOSS_SUM] / (RAYS // 4) == pytest.approx(loss.item(), rel=1e-3)
    assert device.error[: RAYS // 4].mean() == pytest.approx(loss.item(), rel=1e-3)
    assert (device.error[RAYS // 4 :] == 0.5).all()
    scale = 1.0 / (LOSS_SCALE * (RAYS // 4))
    assert max(matrix_gradient_errors(device, scale)) < 2e-3
    assert relative(device.table_gradient * scale, device.field.table.grad) < 2e-3


def test_compositing_is_exact_in_single_precision(host: Any) -> None:
    """From the networks' outputs to the pictures and back, without half precision between."""
    device = Device(host, SMALL)
    some_rays(device)
    device.behind[:, :3] = np.random.default_rng(3).random((RAYS, 3))
    forward(device)
    device.run("composite_loss", step=STEP, error_rate=0.0)
    places, _ = places_of(device)
    samples = reference_samples(device)
    logarithm = torch.from_numpy(device.logarithm[places].astype(np.float64)).requires_grad_()
    raw = torch.from_numpy(device.colour[device.slot[places], :3].astype(np.float64)).requires_grad_()
    seen = composite(torch.exp(logarithm + SMALL.density_shift), torch.exp(raw), samples)
    colour = seen.colour + (1.0 - seen.alpha)[:, None] * torch.from_numpy(device.behind[:, :3].astype(np.float64))
    wanted = torch.from_numpy(device.targets.astype(np.float64))
    loss = relative_l2(colour, wanted[:, :3], EPSILON) + ALPHA_WEIGHT * opacity_l2(seen.alpha, wanted[:, 3])
    (loss * LOSS_SCALE * RAYS).backward()
    assert relative(device.shares[places], seen.weights) < 1e-5
    assert relative(device.seen[:, :3], colour) < 1e-5
    assert relative(device.logarithm_gradient[places], logarithm.grad) < 1e-4
    assert relative(device.colour_gradient[device.slot[places], :3], raw.grad) < 1e-3  # it is kept in half precision


def test_what_matters_little_is_left_out(host: Any) -> None:
    device = Device(host, SMALL)
    some_rays(device)
    device.settings[Setting.SHADE_ABOVE] = 0.02
    forward(device)
    backward(device)
    places, _ = places_of(device)
    samples = reference_samples(device)
    shares = torch.from_numpy(device.shares[places])
    reached = 1.0 - torch.cat([torch.zeros(1), shares.cumsum(0)])[:-1]
    reached += torch.cat([torch.zeros(1), shares.cumsum(0)])[samples.offsets[:-1]][samples.ray]
    assert set(device.shaded[: device.count(Counter.SHADED)]) == set(places[(shares > 0.02).numpy()])
    assert (device.slot[places][(shares <= 0.02).numpy()] == NOWHERE).all()
    sure = (reached - 0.02).abs() > 1e-4
    alive = np.isin(places, device.alive[: device.count(Counter.ALIVE)])
    assert (alive == (reached > 0.02).numpy())[sure.numpy()].all()
    assert 100 < device.count(Counter.SHADED) < device.count(Counter.ALIVE) < len(places)
    seen, loss = reference_loss(device)
    assert relative(device.seen[:, 3], seen[:, 3]) < 1e-3  # alpha has all samples
    assert relative(device.seen, seen) < 0.05
    loss.backward()
    assert relative(device.table_gradient / (LOSS_SCALE * RAYS), device.field.table.grad) < 0.15


def test_rays_that_find_no_room_are_left_out_of_the_loss(host: Any) -> None:
    device = Device(host, SMALL, capacity=700)
    some_rays(device)
    device.choices[Choice.TOGETHER] = 2
    forward(device, capacity=700)
    backward(device)
    dropped = device.ray_count == DROPPED
    assert dropped.sum() == device.count(Counter.DROPPED_RAYS) > 50
    assert device.count(Counter.SAMPLES) > 1200  # what they wanted, so that the next step has fewer rays
    kept = ~dropped.reshape(-1, 2).any(axis=1)
    assert device.count(Counter.PIXELS) == kept.sum() > 50
    seen, _ = reference_loss(device)
    pixels = seen.reshape(-1, 2, 4).mean(dim=1)[torch.from_numpy(kept)]
    wanted = torch.from_numpy(device.targets[::2][kept].astype(np.float64))
    loss = relative_l2(pixels[:, :3], wanted[:, :3], EPSILON)
    loss = loss + ALPHA_WEIGHT * opacity_l2(pixels[:, 3], wanted[:, 3])
    loss.backward()
    scale = 1.0 / (LOSS_SCALE * kept.sum())
    assert device.state[State.LOSS_SUM] / kept.sum() == pytest.approx(loss.item(), rel=1e-3)
    assert max(matrix_gradient_errors(device, scale)) < 2e-3
    assert relative(device.table_gradient * scale, device.field.table.grad) < 2e-3


@pytest.mark.parametrize("rays", [0, RAYS])
def test_a_batch_may_be_empty(host: Any, rays: int) -> None:
    """No rays at all, and rays without any sample."""
    device = Device(host, SMALL)
    some_rays(device)
    device.behind[:, :3] = 0.25
    device.bits[:] = 0
    device.coarse[:] = 0
    before = device.matrix_master.copy()
    device.counters[Counter.RAYS] = rays
    device.run("begin_step")
    forward(device)
    backward(device)
    device.run("adam_matrices")
    device.run("end_step")
    assert device.count(Counter.SAMPLES) == device.count(Counter.SHADED) == device.count(Counter.ALIVE) == 0
    assert device.count(Counter.PIXELS) == rays
    assert (device.seen[:rays] == [0.25, 0.25, 0.25, 0]).all()
    assert (device.matrix_gradient == 0).all() and (device.matrix_master == before).all()
    assert device.count(Counter.UPDATES) == (1 if rays else 0)
    assert 32 <= device.count(Counter.RAYS) <= RAYS
    assert np.isfinite(device.state).all()


# --- rays


def philox(counter: tuple[int, ...], key: tuple[int, int]) -> tuple[int, ...]:
    """Philox4x32-10 in plain Python."""
    x, y, z, w = counter
    first, second = key
    for _ in range(10):
        left, right = x * 0xD2511F53, z * 0xCD9E8D57
        x, y = (right >> 32) ^ y ^ first, right & 0xFFFFFFFF
        z, w = (left >> 32) ^ w ^ second, left & 0xFFFFFFFF
        first, second = (first + 0x9E3779B9) & 0xFFFFFFFF, (second + 0xBB67AE85) & 0xFFFFFFFF
    return x, y, z, w


def test_our_philox_gives_the_published_numbers() -> None:
    # the known answers that the authors' library Random123 is tested with
    assert philox((0, 0, 0, 0), (0, 0)) == (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)
    ones = 0xFFFFFFFF
    assert philox((ones,) * 4, (ones, ones)) == (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)


VIEWS = 3


def some_pixels(device: Device, seed: int = 0) -> Any:
    """Three views of different sizes, and what of them the tests look at."""
    random = np.random.default_rng(seed)
    sizes = np.array([[8, 6], [5, 9], [10, 4]])
    first = np.concatenate([[0], np.cumsum(sizes.prod(axis=1))])
    rotations = np.linalg.qr(random.normal(size=(VIEWS, 3, 3)))[0].astype(np.float32)
    centres = random.normal(size=(VIEWS, 3)).astype(np.float32)
    intrinsics = np.concatenate([random.uniform(5, 9, (VIEWS, 2)), sizes / 2], axis=1).astype(np.float32)
    rgba = random.random((first[-1], 4)).astype(np.float16)
    rgba[::3, 3] = 1.0
    rgba[1::5, 3] = -1.0
    farthest = np.where(random.random(first[-1]) < 0.5, 1.5, NOTHING).astype(np.float32)
    device.arrays |= {
        "chosen": np.flatnonzero(random.random(first[-1]) < 0.6).astype(np.uint32),
        "first_pixel": first.astype(np.uint32),
        "widths": sizes[:, 0].astype(np.uint32),
        "cameras": np.concatenate([rotations.reshape(VIEWS, 9), centres, intrinsics], axis=1),
        "pixels": rgba,
        "farthest": farthest,
        "pattern": None,
        "alias_threshold": None,
        "alias_other": None,
    }
    view = np.repeat(np.arange(VIEWS), sizes.prod(axis=1))
    inside = np.arange(first[-1]) - first[view]
    place = np.stack([inside % sizes[view, 0], inside // sizes[view, 0]], axis=1) + 0.5
    return SimpleNamespace(
        rgba=rgba.astype(np.float32),
        view=view,
        place=place,
        rotations=rotations,
        centres=centres,
        intrinsics=intrinsics,
        farthest=farthest,
    )


def generate(device: Device) -> None:
    device.run("begin_step")
    device.run("generate_rays", chosen_count=len(device.chosen), views=VIEWS, cut=0.25)


@pytest.mark.parametrize("together", [1, 4])
def test_rays_are_those_of_the_sampler(host: Any, together: int) -> None:
    device = Device(host, SMALL)
    pixels = some_pixels(device)
    device.choices[Choice.TOGETHER] = together
    shifts = np.random.default_rng(1).uniform(-0.5, 0.5, (together, 2)).astype(np.float32)
    device.arrays["pattern"] = shifts
    generate(device)
    chosen = device.chosen[device.picked].astype(np.int64)
    moved = np.tile(shifts, (RAYS // together, 1)) if together > 1 else np.zeros((RAYS, 2))
    for ray, pixel in enumerate(chosen):
        view, matrix = pixels.view[pixel], np.eye(4)
        matrix[:3, :3] = pixels.rotations[view]
        direction = ray_directions(matrix, pixels.intrinsics[view], (pixels.place[pixel] + moved[ray])[None])
        np.testing.assert_allclose(device.rays[ray, 4:7], direction[0], atol=1e-6)
    assert (device.rays[:, :3] == pixels.centres[pixels.view[chosen]]).all()
    assert (device.targets == pixels.rgba[chosen]).all()
    known = (pixels.farthest[chosen] < NOTHING) & (device.targets[:, 3] > 0.99)
    np.testing.assert_allclose(device.rays[:, 3], np.where(known, np.float32(1.75), NOTHING))
    assert known.any() and not known.all()
    harmonics = spherical_harmonics(torch.from_numpy(device.rays[:, 4:7]).double())
    np.testing.assert_allclose(device.harmonics, harmonics, atol=1e-3)
    assert (device.behind == 0).all()
    # the choice and the jitter, one by one
    seed, count = int(device.choices[Choice.SEED]), len(device.chosen)
    for ray in (0, 1, 100, RAYS - 1):
        common = philox((ray // together, 1, 2, 0), (seed, 0))
        own = philox((ray, 1, 1, 0), (seed, 0))
        assert device.picked[ray] == common[0] * count >> 32
        assert device.rays[ray, 7] == np.float32((own[0] >> 8) / 2**24)
    assert len(set(device.rays[:, 7])) > 0.95 * RAYS
    before = device.picked.copy()
    generate(device)
    assert device.count(Counter.DRAWS) == 2
    assert (device.picked != before).mean() > 0.9


def test_a_random_background_stands_behind_known_opacities(host: Any) -> None:
    device = Device(host, SMALL)
    pixels = some_pixels(device)
    device.settings[Setting.RANDOM_BACKGROUND] = 2.0
    device.arrays["farthest"] = None  # pictures without depth
    generate(device)
    assert (device.rays[:, 3] == NOTHING).all()
    truth = pixels.rgba[device.chosen[device.picked]]
    known = truth[:, 3] >= 0
    assert known.any() and not known.all()
    assert (device.behind[~known] == 0).all() and (device.targets[~known] == truth[~known]).all()
    assert 0.9 < device.behind[known, :3].mean() < 1.1 and device.behind[known, :3].max() < 2.0
    over = truth[known, :3] + (1.0 - truth[known, 3:]) * device.behind[known, :3]
    np.testing.assert_allclose(device.targets[known, :3], over, rtol=1e-6)


def test_an_alias_table_sets_how_often_a_pixel_is_chosen(host: Any) -> None:
    device = Device(host, SMALL)
    some_pixels(device)
    count = len(device.chosen)
    # pixel 5 half of the time: every other one stands beside it in its own place
    device.arrays["alias_threshold"] = np.where(np.arange(count) == 5, 1.0, 0.5).astype(np.float32)
    device.arrays["alias_other"] = np.full(count, 5, np.uint32)
    often = []
    for _ in range(8):
        generate(device)
        often.append((device.picked == 5).mean())
        assert len(np.unique(device.picked)) > 30
    assert np.mean(often) == pytest.approx(0.5, abs=0.05)


# --- Adam


def test_adam_is_that_of_pytorch(shape: Any) -> None:
    """Three steps, every row moved and decayed, and the working copies that come of it."""
    device = Device(shape.host, shape.config)
    random = np.random.default_rng(2)
    device.counters[Counter.PIXELS] = RAYS
    device.settings[Setting.TABLE_DECAY] = 1e-3
    table = torch.from_numpy(device.table_master.astype(np.float64)).requires_grad_()
    matrices = torch.from_numpy(device.matrix_master.astype(np.float64)).requires_grad_()
    settings: dict[str, Any] = {"lr": 1e-2, "betas": (0.9, 0.99), "eps": 1e-15}
    optimisers = [torch.optim.Adam([table], weight_decay=1e-3, **settings), torch.optim.Adam([matrices], **settings)]
    scale = LOSS_SCALE * RAYS
    for _ in range(3):
        device.run("begin_step")
        device.counters[Counter.PIXELS] = RAYS
        for ours, truth in ((device.table_gradient, table), (device.matrix_gradient, matrices)):
            gradient = random.normal(size=ours.shape)
            ours[:] = gradient * scale
            truth.grad = torch.from_numpy(gradient)
        device.run("adam_table", rows=len(device.table), sparse=0)
        device.run("adam_matrices")
        device.run("end_step")
        for optimiser in optimisers:
            optimiser.step()
    assert device.count(Counter.UPDATES) == 3
    assert (device.table_gradient == 0).all() and (device.matrix_gradient == 0).all()
    assert relative(device.table_master, table) < 1e-6
    assert relative(device.matrix_master, matrices) < 1e-6
    assert (device.table == device.table_master.astype(np.float16)).all()
    kept = device.weights.copy()
    device.weights[:] = 0xFFFFFFFF
    device.run("pack_matrices")
    assert (device.weights == kept).all()


def test_rows_without_a_gradient_stay_as_they_are(host: Any) -> None:
    device = Device(host, SMALL)
    device.run("begin_step")
    device.counters[Counter.PIXELS] = 10
    device.settings[Setting.TABLE_DECAY] = 1e-3
    device.table_first[:] = 1.0
    device.table_gradient[7:400:3, 2] = 0.5
    touched = np.zeros(len(device.table), bool)
    touched[7:400:3] = True
    before = device.table_master.copy()
    device.run("adam_table", rows=len(device.table), sparse=1)
    assert (device.table_master[~touched] == before[~touched]).all() and (device.table_first[~touched] == 1.0).all()
    assert (device.table_master[touched] != before[touched]).all()


@pytest.mark.parametrize("where", ["target", "matrix", "table gradient", "matrix gradient"])
def test_what_is_not_finite_never_reaches_a_parameter(host: Any, where: str) -> None:
    device = Device(host, SMALL)
    some_rays(device)
    device.run("begin_step")
    if where == "target":
        device.targets[3, 1] = np.inf
    if where == "matrix":
        device.matrix_master[5] = np.nan
        device.run("pack_matrices")
    before = {name: device.arrays[name].copy() for name in ("table_master", "matrix_master", "table", "weights")}
    forward(device)
    backward(device)
    if where == "table gradient":
        device.table_gradient[11, 1] = np.inf
    if where == "matrix gradient":
        device.matrix_gradient[11] = np.nan
    device.run("adam_table", rows=len(device.table), sparse=1)
    device.run("adam_matrices")
    device.run("end_step")
    assert device.count(Counter.SKIPPED) == 1 and device.count(Counter.UPDATES) == 0
    assert (device.table_gradient == 0).all() and (device.matrix_gradient == 0).all()
    if where in ("target", "matrix"):
        for name, held in before.items():
            np.testing.assert_array_equal(device.arrays[name], held)
    else:
        # something wrote there that was none of the kernels: that place alone stays
        assert np.isfinite(device.table_master).all() and np.isfinite(device.matrix_master).all()
    for name in ("table_first", "table_second", "matrix_first", "matrix_second"):
        assert np.isfinite(device.arrays[name]).all()


def test_rays_follow_the_samples_that_are_wanted(host: Any) -> None:
    device = Device(host, SMALL)
    device.choices[:5] = [7, 4, 2000, 32, RAYS]
    totals = 0
    for rays, samples, following in ((100, 1000, 200), (100, 100, RAYS), (200, 100000, 32), (101, 2000, 100)):
        device.counters[Counter.RAYS] = rays
        device.run("begin_step")
        device.counters[Counter.SAMPLES], device.counters[Counter.PIXELS] = samples, 25
        device.state[State.LOSS_SUM] = 5.0
        device.run("end_step")
        totals += samples
        assert device.count(Counter.RAYS) == following
        assert device.state[State.LOSS] == pytest.approx(0.2)
    assert device.counters[Counter.TOTAL_SAMPLES :].view(np.uint64).tolist() == [totals, 100 + 100 + 200 + 100]


def test_averages_follow_their_values(host: Any) -> None:
    values, averages = np.full(1000, 3.0, np.float32), np.full(1000, 1.0, np.float32)
    host.run("average", count=1000, decay=0.75, values=values, averages=averages)
    assert (averages == 1.5).all()


# --- density, occupancy, pictures


def test_density_is_that_of_the_field(shape: Any) -> None:
    device = Device(shape.host, shape.config)
    positions = (np.random.default_rng(4).random((500, 3)) * 1.2 - 0.1).astype(np.float32)
    positions[:2] = [[0, 0, 0], [1, 1, 1]]
    density = np.zeros(500, np.float32)
    device.run("evaluate_density", count=500, positions=positions, density=density)
    truth, _ = device.field.density_features(torch.from_numpy(positions).double())
    assert relative(density, truth) < 2e-3


def test_the_occupancy_grid_follows_the_density(host: Any) -> None:
    device = Device(host, SMALL)
    random = np.random.default_rng(5)
    candidates = random.random((CELLS,) * 3) < 0.5
    cells = np.flatnonzero(candidates)
    old = random.uniform(0, 200, len(cells)).astype(np.float32)
    old[::5] = np.inf  # never asked
    device.arrays |= {"cells": cells.astype(np.uint32), "cell_density": old.copy(), **grid_arrays(candidates)}
    asked, salt, draws = 700, 3, 9
    device.counters[Counter.DRAWS] = draws
    given = {"cell_count": len(cells), "resolution": CELLS}
    device.run("update_occupancy", asked=asked, salt=salt, keep=0.5, **given)
    device.run("measure_occupancy", cell_count=len(cells), step=STEP)
    device.run("pack_occupancy", step=STEP, thin=0.9, **given)

    which, positions = [], []
    for item in range(asked):
        numbers = philox((item, draws, 3, salt), (int(device.choices[Choice.SEED]), 0))
        begin, end = item * len(cells) // asked, (item + 1) * len(cells) // asked
        which.append(begin + (numbers[3] * (end - begin) >> 32))
        corner = np.array(np.unravel_index(cells[which[-1]], candidates.shape))
        positions.append((corner + np.array([number >> 8 for number in numbers[:3]]) / 2**24) / CELLS)
    assert len(set(which)) == asked
    truth, _ = device.field.density_features(torch.from_numpy(np.array(positions)))
    known = np.where(np.isfinite(old[which]), old[which], 0.0) * 0.5
    expected = old.copy()
    expected[which] = np.maximum(known, truth.detach().numpy())
    np.testing.assert_allclose(device.cell_density, expected, rtol=1e-2)

    finite = np.isfinite(device.cell_density)
    thickness = device.cell_density * np.float32(STEP)
    assert device.state[State.ASKED] == finite.sum()
    assert device.state[State.THICKNESS_SUM] == pytest.approx(thickness[finite].sum(dtype=np.float64), rel=1e-5)
    least = min(0.9, 0.5 * float(thickness[finite].mean()))
    occupied = np.zeros(candidates.size, bool)
    occupied[cells] = thickness > least
    assert 0.1 < occupied.sum() / len(cells) < 0.95
    packed = grid_arrays(occupied.reshape(candidates.shape))
    assert (device.bits == packed["bits"]).all() and (device.coarse == packed["coarse"]).all()

    everything = device.cell_density.copy()
    device.run("update_occupancy", asked=10**9, salt=4, keep=0.0, **given)
    assert (np.isfinite(device.cell_density)).all() and (device.cell_density != everything).mean() > 0.9


@pytest.mark.parametrize("backwards", [False, True])
def test_a_picture_is_that_of_the_reference(shape: Any, backwards: bool) -> None:
    device = Device(shape.host, shape.config)
    some_rays(device)
    width, height = 19, 13
    matrix = look_at([1.4, -0.9, 1.1], [0.5, 0.5, 0.5])
    intrinsics = np.array([15.0, 16.0, 9.0, 7.0])
    camera = np.concatenate([matrix[:3, :3].ravel(), matrix[:3, 3], intrinsics]).astype(np.float32)
    count = width * height
    device.arrays |= {
        "counters": np.full(16, 77, np.uint32),
        "camera": camera,
        "rays": np.zeros((count, 8), np.float32),
        "picture": np.full((count, 5), 0.125, np.float32),
        "behind": None,
        "background_encoded": None,
    }
    device.run("camera_rays", width=width, height=height, right=0.25, down=-0.125, jitter=0.375)
    directions = ray_directions(matrix, intrinsics, pixel_grid(width, height).reshape(-1, 2) + np.array([0.25, -0.125]))
    np.testing.assert_allclose(device.rays[:, 4:7], directions, atol=1e-6)
    assert (device.rays[:, :3] == matrix[:3, 3].astype(np.float32)).all()
    assert (device.rays[:, 7] == 0.375).all() and (device.rays[:, 3] == NOTHING).all()
    if shape.config.background:
        device.arrays["behind"] = np.zeros((count, 4), np.float32)
        device.run("forward_background")
    given: dict[str, Any] = {"step": STEP, "resolution": CELLS}
    shape.host.backwards = backwards
    device.run("render", stop=0.0, shade_above=-1.0, share=0.5, add=1, **given)
    shape.host.backwards = False
    rays = torch.from_numpy(device.rays).double()
    occupied = torch.from_numpy(device.occupied)
    truth = render_rays(device.field, occupied, STEP, rays[:, :3], rays[:, 4:7], 0.375)
    expected = torch.cat([truth[0], truth[1][:, None], truth[2][:, None]], dim=1)
    assert (truth[1] > 0.1).sum() > 50
    assert relative((device.picture - 0.125) / 0.5, expected) < 5e-3

    # rays that end early, and samples that are not shaded, change little
    device.counters[Counter.QUEUE] = 0
    device.run("render", stop=1e-3, shade_above=1e-3, share=1.0, add=0, **given)
    assert relative(device.picture, expected) < 1e-2


def look_at(eye: list[float], target: list[float]) -> np.ndarray:
    """Camera to world, OpenGL axes, z up."""
    back = np.subtract(eye, target)
    back /= np.linalg.norm(back)
    right = np.cross([0, 0, 1], back)
    right /= np.linalg.norm(right)
    matrix = np.eye(4)
    matrix[:3, :] = np.stack([right, np.cross(back, right), back, eye], axis=1)
    return matrix


# --- the host build itself


def test_halves_are_rounded_as_numpy_rounds_them(host: Any) -> None:
    halves = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    between = (halves[:-1].astype(np.float64) + halves[1:]).astype(np.float32) / 2
    values = np.concatenate([halves, between, np.nextafter(between, 0, dtype=np.float32), np.nextafter(between, 1e9)])
    values = np.resize(np.concatenate([values, -values]), (-(-2 * len(values) // 4), 4)).astype(np.float32)
    table = np.zeros(values.shape, np.float16)
    host.run("pack_table", rows=len(values), table_master=values, table=table)
    assert (table.view(np.uint16) == values.astype(np.float16).view(np.uint16)).all()
    # beyond what half precision holds our own limit comes first
    beyond = np.array([[65504.0, 65536.0, -1e30, np.inf]], np.float32)
    host.run("pack_table", rows=1, table_master=beyond, table=table)
    assert table[0].tolist() == [65504.0, 65504.0, -65504.0, 65504.0]


FAULTY = """
constexpr u32 THREADS = 64;
KERNEL lonely_lane(u32* out) { if (threadIdx.x % 32 < 5) out[0] = __ballot_sync(ALL, true); }
KERNEL two_minds(u32* out) { out[0] = threadIdx.x % 2 ? __ballot_sync(ALL, true) : __shfl_sync(ALL, 1u, 0); }
KERNEL lost_thread(u32* out) { if (threadIdx.x != 3) __syncthreads(); }
KERNEL too_far(u32* out) { shared_memory[threadIdx.x] = make_uint4(1, 2, 3, 4); }
KERNEL no_barrier(u32* out) {
    u32* words = (u32*)shared_memory;
    words[threadIdx.x] = threadIdx.x;
    out[threadIdx.x] = words[(threadIdx.x + 1) % THREADS];
}
"""


def test_the_host_build_notices_what_a_gpu_would_not_forgive(folder: Path) -> None:
    names = ["lonely_lane", "two_minds", "lost_thread", "too_far", "no_barrier"]
    parameter = KERNELS["begin_step"][0]
    kernels = {name: Kernel(name, 64, 512, (replace(parameter, name="out"),)) for name in names}
    program = Program(FAULTY, kernels, 0, 0, 0, 0, 0, 0)
    faulty, out = HOST.HostKernels(program, folder), np.zeros(64, np.uint32)
    with pytest.raises(HOST.LaunchError, match="after some of its lanes have ended|wait for one another"):
        faulty.run("lonely_lane", out=out)
    with pytest.raises(HOST.LaunchError, match="different things"):
        faulty.run("two_minds", out=out)
    with pytest.raises(HOST.LaunchError, match="after some of its threads have ended|wait for one another"):
        faulty.run("lost_thread", out=out)
    with pytest.raises(HOST.LaunchError, match="beyond its shared memory"):
        faulty.run("too_far", out=out)
    with pytest.raises(HOST.LaunchError, match="no_barrier wrote outside of out"):
        faulty.run("no_barrier", out=out[:63].copy())
    faulty.run("no_barrier", out=out)
    forwards = out.copy()
    faulty.backwards = True
    faulty.run("no_barrier", out=out)
    assert (forwards != out).any()
