# SPDX-License-Identifier: GPL-3.0-or-later
"""One picture from a trained field."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from ..cameras import pixel_grid, ray_directions
from ..errors import Cancelled, UserError
from ..layers import SOLID
from ..twin_file import Twin
from . import cpu
from .cuda.failure import KernelsUnavailable
from .cuda.load import load_kernels
from .cuda.renderer import CudaRenderer
from .device import choose_device
from .march import composite, march
from .model import RadianceField, field_from_arrays
from .occupancy import occupied_from_bits

F4 = NDArray[np.float32]

RAYS_AT_ONCE = 4096

# Four rays to a pixel, each with its own offset (pixels) and its own shift of the samples (steps): measured on
# still_life, held-out views gain 0.4 dB over one ray, most of it by less grain.
PATTERN = ((-0.25, -0.125, 0.125), (0.125, -0.25, 0.625), (-0.125, 0.25, 0.375), (0.25, 0.125, 0.875))


@dataclass(frozen=True)
class TrainedField:
    """A field with all that is needed to look at it.

    Attributes:
        model: the networks, on their device.
        occupied: [n, n, n] bool numpy, cells that hold something.
        world_from_field: [4, 4] uniform scale, rotation and translation.
        step: distance between samples, field units.
    """

    model: RadianceField
    occupied: NDArray[np.bool_]
    world_from_field: NDArray[np.float64]
    step: float

    @cached_property
    def kernels(self) -> CudaRenderer | None:
        """Renders the field as it is when first asked for; None without CUDA, or where our kernels cannot run."""
        if self.model.table.device.type != "cuda":
            return None
        try:
            kernels = load_kernels(self.model.config, self.model.table.device)
        except KernelsUnavailable:
            return None
        return CudaRenderer(self.model, self.occupied, self.step, kernels)


def load_field(twin: Twin, device: str = "auto") -> TrainedField:
    """The field of a twin, ready to render.

    Args:
        device: auto | cpu | cuda.

    Raises:
        UserError: the twin lacks a part, holds one that makes no sense, or the device is not there.
    """
    model = field_from_arrays(twin.metadata.get("model"), twin.arrays, choose_device(device))
    march_settings = twin.metadata.get("march")
    if not isinstance(march_settings, dict):
        raise UserError("the twin does not say how its rays are marched; train again")
    step, resolution = march_settings.get("step"), march_settings.get("occupancy_resolution")
    if not isinstance(step, float) or not 1e-5 <= step <= 0.5:
        raise UserError(f"the twin has a marching step of {step!r}, which makes no sense; train again")
    return TrainedField(model, occupied_from_bits(twin.arrays, resolution), twin.world_from_field, step)


def render_view(
    field: TrainedField,
    camera_to_world: ArrayLike,
    intrinsics: ArrayLike,
    size: Sequence[int],
    *,
    cancelled: Callable[[], bool] = lambda: False,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Picture [H, W, 4] (scene-linear, premultiplied) and planar depth [H, W] (scene units, 0 = nothing) of a camera.

    Args:
        camera_to_world: [4, 4], OpenGL axes.
        intrinsics: fx fy cx cy in pixels.
        size: width and height.
        cancelled: asked between blocks of rays.

    Raises:
        Cancelled: `cancelled` said so.
    """
    width, height = int(size[0]), int(size[1])
    matrix = np.asarray(camera_to_world, np.float64)
    field_from_world = np.linalg.inv(field.world_from_field)
    scale = np.cbrt(abs(np.linalg.det(field_from_world[:3, :3])))
    origin = (field_from_world[:3, :3] @ matrix[:3, 3] + field_from_world[:3, 3]).astype(np.float32)
    # premultiplied colour, alpha, planar depth times alpha
    if field.kernels is not None:
        axes = matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)
        rotation = field_from_world[:3, :3] @ axes / scale
        camera = np.concatenate([rotation.reshape(-1), origin, np.asarray(intrinsics, np.float64)])
        seen = field.kernels.picture(camera.astype(np.float32), (width, height), PATTERN, cancelled).reshape(-1, 5)
        seen[:, 4] /= scale
    else:
        seen = _seen_by_rays(field, matrix, intrinsics, (width, height), origin, cancelled)
    depth = np.where(seen[:, 3] > SOLID, seen[:, 4] / np.maximum(seen[:, 3], 1e-6), 0.0).astype(np.float32)
    if field.model.config.background:
        seen[:, 3] = 1.0
    return seen[:, :4].reshape(height, width, 4), depth.reshape(height, width)


def _seen_by_rays(
    field: TrainedField,
    matrix: NDArray[np.float64],
    intrinsics: ArrayLike,
    size: tuple[int, int],
    origin: F4,
    cancelled: Callable[[], bool],
) -> F4:
    """[H·W, 5] premultiplied colour, alpha and planar depth times alpha, by blocks of rays."""
    field_from_world = np.linalg.inv(field.world_from_field)
    scale = np.cbrt(abs(np.linalg.det(field_from_world[:3, :3])))
    forward = -matrix[:3, 2] / np.linalg.norm(matrix[:3, 2])
    render = ray_renderer(field)
    centres = pixel_grid(*size).reshape(-1, 2)
    seen = np.zeros((len(centres), 5), np.float32)
    for right, down, jitter in PATTERN:
        for first in range(0, len(centres), 8 * RAYS_AT_ONCE):
            if cancelled():
                raise Cancelled
            block = slice(first, first + 8 * RAYS_AT_ONCE)
            world_directions = ray_directions(matrix, intrinsics, centres[block] + (right, down))
            directions = (world_directions @ field_from_world[:3, :3].T / scale).astype(np.float32)
            origins = np.broadcast_to(origin, directions.shape)
            colour, alpha, distance = render(origins, directions, jitter)
            seen[block, :3] += colour
            seen[block, 3] += alpha
            seen[block, 4] += distance / scale * (world_directions @ forward)
    seen /= len(PATTERN)
    return seen


def ray_renderer(field: TrainedField) -> Callable[[F4, F4, float], tuple[F4, F4, F4]]:
    """The fastest way to render rays on the field's device.

    The function takes origins and directions [R, 3] (field coordinates) and the samples' shift in steps, and returns
    colour [R, 3] with what lies behind, alpha [R] and expected distance times alpha [R] (field units).
    """
    if field.model.table.device.type == "cpu":
        return cpu.CpuRenderer(field.model, field.occupied, field.step).render
    if field.kernels is not None:
        return field.kernels.render
    occupied = torch.from_numpy(field.occupied).to(field.model.table.device)

    def render(origins: F4, directions: F4, jitter: float) -> tuple[F4, F4, F4]:
        parts = []
        for first in range(0, len(directions), RAYS_AT_ONCE):
            block = slice(first, first + RAYS_AT_ONCE)
            starts, ways = (torch.tensor(part[block], device=occupied.device) for part in (origins, directions))
            seen = render_rays(field.model, occupied, field.step, starts, ways, jitter)
            parts.append([part.cpu().numpy() for part in seen])
        colour, alpha, distance = (np.concatenate(part) for part in zip(*parts, strict=True))
        return colour, alpha, distance

    return render


@torch.no_grad()
def render_rays(
    model: RadianceField,
    occupied: torch.Tensor,
    step: float,
    origins: torch.Tensor,
    directions: torch.Tensor,
    jitter: float = 0.5,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Reference: colour [R, 3] with what lies behind, alpha [R] and expected distance times alpha [R], field units."""
    shift = torch.full(origins.shape[:1], jitter, dtype=origins.dtype, device=origins.device)
    samples = march(origins, directions, occupied, step, shift)
    density, radiance = model(samples.positions, directions[samples.ray])
    seen = composite(density, radiance, samples)
    behind = (1.0 - seen.alpha)[:, None] * model.background_radiance(directions)
    return seen.colour + behind, seen.alpha, seen.distance
