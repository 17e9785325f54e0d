# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures from a field by our kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import Cancelled
from ..model import RadianceField
from .failure import failures_told
from .launch import Kernels, Value
from .parameters import Parameters, occupancy_words
from .signatures import Counter

F4 = NDArray[np.float32]

RAYS_AT_ONCE = 1 << 20
# a ray ends when less light than this comes through; samples with a smaller share of their pixel are not shaded
STOP = 1e-4
SHADE_ABOVE = 1e-3
NOTHING = 1e30


class CudaRenderer:
    """A field as it is now: later changes of its parameters are not seen."""

    def __init__(self, field: RadianceField, occupied: NDArray[np.bool_], step: float, kernels: Kernels) -> None:
        self._kernels, self._device = kernels, kernels.device
        bits, coarse = occupancy_words(torch.from_numpy(occupied).to(self._device))
        self._counters = torch.zeros(16, dtype=torch.int32, device=self._device)
        self._background = field.config.background
        self._arrays: dict[str, Value] = {
            **Parameters(field, kernels).arrays,
            "background_encoded": None,
            "bits": bits,
            "coarse": coarse,
            "resolution": len(occupied),
            "step": step,
            "counters": self._counters,
            "stop": STOP,
            "shade_above": SHADE_ABOVE,
        }

    @failures_told
    def render(self, origins: F4, directions: F4, jitter: float = 0.5) -> tuple[F4, F4, F4]:
        """Colour [R, 3] with what lies behind, alpha [R], expected distance times alpha [R] (field units)."""
        parts = []
        for first in range(0, len(origins), RAYS_AT_ONCE):
            block = slice(first, first + RAYS_AT_ONCE)
            count = len(origins[block])
            limits = np.full((count, 1), NOTHING, np.float32), np.full((count, 1), jitter, np.float32)
            rays = np.concatenate([origins[block], limits[0], directions[block], limits[1]], axis=1)
            picture = torch.empty((count, 5), device=self._device)
            self._counters.zero_()
            self._counters[Counter.RAYS] = count
            self._render(torch.from_numpy(rays.astype(np.float32)).to(self._device), picture, 1.0, False)
            parts.append(picture.cpu().numpy())
        seen = np.concatenate(parts)
        return seen[:, :3], seen[:, 3], seen[:, 4]

    @failures_told
    def picture(
        self,
        camera: F4,
        size: Sequence[int],
        pattern: Sequence[tuple[float, float, float]],
        cancelled: Callable[[], bool] = lambda: False,
    ) -> F4:
        """[H, W, 5]: premultiplied colour with what lies behind, alpha, planar depth times alpha (field units).

        Args:
            camera: [16] rotation from camera to field axes (9, C order), centre (3), fx fy cx cy in pixels.
            size: width and height.
            pattern: shift to the right and down in pixels and shift of the samples in steps, of each ray to a pixel.

        Raises:
            Cancelled: `cancelled` said so.
        """
        width, height = int(size[0]), int(size[1])
        device_camera = torch.from_numpy(camera.astype(np.float32)).to(self._device)
        rays = torch.empty((width * height, 8), device=self._device)
        picture = torch.empty((width * height, 5), device=self._device)
        for number, (right, down, jitter) in enumerate(pattern):
            if cancelled():
                raise Cancelled
            values: dict[str, Value] = {"camera": device_camera, "width": width, "height": height, "rays": rays}
            shift: dict[str, Value] = {"right": right, "down": down, "jitter": jitter}
            self._kernels.bind("camera_rays", {**self._arrays, **values, **shift})()
            self._render(rays, picture, 1.0 / len(pattern), number > 0)
        seen = picture.view(height, width, 5)
        seen[..., 4] *= self._cosines(camera, width, height)
        result: F4 = seen.cpu().numpy()
        return result

    def _render(self, rays: Tensor, picture: Tensor, share: float, add: bool) -> None:
        """The rays that the counters speak of."""
        values = {**self._arrays, "rays": rays, "behind": None, "picture": picture, "share": share, "add": int(add)}
        if self._background:
            values["behind"] = torch.empty((len(rays), 4), device=self._device)
            self._kernels.bind("forward_background", values)()
        self._kernels.bind("render", values)()

    def _cosines(self, camera: F4, width: int, height: int) -> Tensor:
        """[H, W] between each pixel's ray and the camera's axis."""
        fx, fy, cx, cy = (float(value) for value in camera[12:])
        x = (torch.arange(width, device=self._device) + 0.5 - cx) / fx
        y = (torch.arange(height, device=self._device) + 0.5 - cy) / fy
        return torch.rsqrt(1.0 + x[None, :] ** 2 + y[:, None] ** 2)
