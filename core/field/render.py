# SPDX-License-Identifier: GPL-3.0-or-later
"""One picture from a trained field."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from ..cameras import Camera, pixel_grid, rays_in_field, uniform_scale
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
# one ray through the middle of a pixel, its samples in the middle of their steps
MIDDLE = ((0.0, 0.0, 0.5),)


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
    camera: Camera,
    pattern: Sequence[tuple[float, float, float]] = PATTERN,
    cancelled: Callable[[], bool] = lambda: False,
    followed: Callable[[float], object] = lambda share: None,
) -> tuple[F4, F4]:
    """Picture [H, W, 4] (scene-linear, premultiplied) and depth [H, W] (scene units, 0 = nothing) of a camera.

    Args:
        pattern: the rays of a pixel (see `look`).
        cancelled: asked between blocks of rays.
        followed: told between them which share of the picture is done, where that takes longer than a moment.

    Raises:
        Cancelled: `cancelled` said so.
    """
    rgba, depth = look(field, camera, pattern, SOLID, cancelled, followed)
    if field.model.config.background:
        rgba[..., 3] = 1.0
    return rgba, depth


def look(
    field: TrainedField,
    camera: Camera,
    pattern: Sequence[tuple[float, float, float]],
    solid: float,
    cancelled: Callable[[], bool] = lambda: False,
    followed: Callable[[float], object] = lambda share: None,
) -> tuple[F4, F4]:
    """Picture [H, W, 4] (scene-linear, premultiplied; alpha is the field's own, whatever lies behind it) and depth
    [H, W] (as the camera means it, scene units, 0 = nothing). What the lens does not draw is transparent.

    Args:
        pattern: shift to the right and down in pixels and shift of the samples in steps, of each ray to a pixel.
        solid: pixels with more alpha have a depth.

    Raises:
        Cancelled: `cancelled` said so.
    """
    # premultiplied colour, alpha, depth times alpha (field units)
    if field.kernels is not None and not camera.orthographic and camera.model.is_pinhole:
        seen = field.kernels.picture(_camera_in_field(field, camera), camera.size, pattern, cancelled).reshape(-1, 5)
    else:
        seen = _seen_by_rays(field, camera, pattern, cancelled, followed)
    mean_depth = seen[:, 4] * np.float32(uniform_scale(field.world_from_field)) / np.maximum(seen[:, 3], 1e-6)
    depth = np.where(seen[:, 3] > solid, mean_depth, 0.0).astype(np.float32)
    width, height = camera.size
    return seen[:, :4].reshape(height, width, 4), depth.reshape(height, width)


def _camera_in_field(field: TrainedField, camera: Camera) -> F4:
    """[16] f4 as the kernels take it: rotation to field axes (9, C order), centre (3), intrinsics."""
    pose = np.linalg.inv(field.world_from_field) @ camera.camera_to_world
    rotation = pose[:3, :3] / np.linalg.norm(pose[:3, :3], axis=0)
    return np.concatenate([rotation.reshape(-1), pose[:3, 3], camera.intrinsics]).astype(np.float32)


def _seen_by_rays(
    field: TrainedField,
    camera: Camera,
    pattern: Sequence[tuple[float, float, float]],
    cancelled: Callable[[], bool],
    followed: Callable[[float], object],
) -> F4:
    """[H·W, 5] premultiplied colour, alpha and depth times alpha (field units), by blocks of rays."""
    render = ray_renderer(field)
    centres = pixel_grid(*camera.size).reshape(-1, 2)
    seen = np.zeros((len(centres), 5), np.float32)
    for turn, (right, down, jitter) in enumerate(pattern):
        for first in range(0, len(centres), 8 * RAYS_AT_ONCE):
            if cancelled():
                raise Cancelled
            followed((turn + first / len(centres)) / len(pattern))
            block = np.arange(first, min(first + 8 * RAYS_AT_ONCE, len(centres)))
            block = block[camera.draws(centres[block] + (right, down))]
            pixels = centres[block] + (right, down)
            origin, directions = rays_in_field(camera, pixels, field.world_from_field)
            origins = np.broadcast_to(origin.astype(np.float32), directions.shape)
            colour, alpha, distance = render(origins, directions.astype(np.float32), jitter)
            seen[block, :3] += colour
            seen[block, 3] += alpha
            stretch = 1.0 if camera.orthographic else camera.distance_over_depth(pixels)
            seen[block, 4] += distance / stretch
    seen /= len(pattern)
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
