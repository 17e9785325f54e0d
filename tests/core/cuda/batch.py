# SPDX-License-Identifier: GPL-3.0-or-later
"""Every array of a training on the CPU by the names of `signatures.py`, a field with the very same weights in double
precision, and what the plain PyTorch reference makes of both."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from radiance_twin.core.field.cuda.signatures import DROPPED, KERNELS, Choice, Counter, Setting
from radiance_twin.core.field.directions import spherical_harmonics
from radiance_twin.core.field.hash_grid import encode
from radiance_twin.core.field.march import Samples, composite
from radiance_twin.core.field.model import DENSITY_BOUND, RADIANCE_BOUND, FieldConfig, RadianceField
from radiance_twin.core.field.occupancy import coarse_blocks
from radiance_twin.core.training.losses import opacity_l2, relative_l2

SMALL = FieldConfig(levels=8, base_resolution=4, finest_resolution=48, log2_table_size=10)
STEP = 1 / 60
RAYS = 256
CAPACITY = 4096
CELLS = 16
LOSS_SCALE = 128.0
WRITTEN_FIRST = (
    *("ray_first", "ray_count", "seen", "samples", "sample_ray", "encoded", "geometry", "logarithm", "shares", "slot"),
    *("shaded", "alive", "colour", "colour_gradient", "geometry_gradient", "logarithm_gradient"),
    *("background_encoded", "background_gradient"),
)
EPSILON, ALPHA_WEIGHT = 0.02, 0.7


class Device:
    """Every array of a training, by the names of `signatures.py`, and a field of float64 with the very same weights."""

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
        # what a step has to write before it reads must not look like anything sensible
        for name in WRITTEN_FIRST:
            self.arrays[name].view(np.uint8)[:] = 0xFF
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


def matrix_gradient_errors(device: Device, scale: float) -> list[float]:
    errors, place = [], 0
    for matrix in [*device.field.density, *device.field.colour, *device.field.background]:
        ours = device.matrix_gradient[place : place + matrix.numel()].reshape(matrix.shape) * scale
        errors.append(relative(ours, matrix.grad))
        place += matrix.numel()
    return errors
