# SPDX-License-Identifier: GPL-3.0-or-later
"""Training in plain PyTorch, on any device: the reference of the CPU execution, and what CUDA runs."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..field.march import composite, march
from ..field.model import RadianceField
from .losses import opacity_l2, relative_l2
from .recipe import ADAM_EPSILON, Recipe
from .sampler import F4, Rays


class TorchExecution:
    """Trains a field in place by automatic differentiation, in the field's own floating type."""

    def __init__(self, field: RadianceField, occupied: NDArray[np.bool_], step: float, recipe: Recipe) -> None:
        self._field = field
        self._recipe = recipe
        self._step = step
        self._device, self._type = field.table.device, field.table.dtype
        self._optimiser = torch.optim.Adam(field.parameters(), betas=recipe.betas, eps=ADAM_EPSILON)
        self.set_occupied(occupied)

    def set_occupied(self, occupied: NDArray[np.bool_]) -> None:
        self._occupied = torch.from_numpy(occupied).to(self._device)

    @torch.no_grad()
    def density_at(self, positions: F4) -> F4:
        blocks = np.array_split(positions, 1 + len(positions) // 65536)
        parts = [self._field.density_features(self._tensor(part))[0] for part in blocks]
        density: F4 = torch.cat(parts).float().cpu().numpy()
        return density

    def step(self, rays: Rays, jitter: F4, rate: float, stride: float = 1.0) -> tuple[float, int]:
        loss, samples = self.loss(rays, jitter, stride)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self._optimiser.step()
        return float(loss.detach()), samples

    def loss(self, rays: Rays, jitter: F4, stride: float = 1.0) -> tuple[Tensor, int]:
        """The loss of a batch, differentiable, and the number of its samples."""
        recipe = self._recipe
        origins, directions, targets = (self._tensor(part) for part in (rays.origins, rays.directions, rays.targets))
        spacing = stride * self._step
        samples = march(origins, directions, self._occupied, spacing, self._tensor(jitter), self._tensor(rays.last))
        density, radiance = self._field(samples.positions, directions[samples.ray])
        seen = composite(density, radiance, samples)
        background = self._field.background_radiance(directions) + self._tensor(rays.behind)
        behind = (1.0 - seen.alpha)[:, None] * background
        colour = (seen.colour + behind).reshape(-1, rays.together, 3).mean(dim=1)
        alpha = seen.alpha.reshape(-1, rays.together).mean(dim=1)
        wanted = targets[:: rays.together]
        loss = relative_l2(colour, wanted[:, :3], recipe.epsilon)
        return loss + recipe.alpha_weight * opacity_l2(alpha, wanted[:, 3]), len(samples.times)

    def _tensor(self, array: F4) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device, self._type)

    def snapshot(self) -> Any:
        values = [parameter.detach() for parameter in self._field.parameters()]
        if not all(bool(torch.isfinite(value).all()) for value in values):
            return None
        return [value.clone() for value in values], copy.deepcopy(self._optimiser.state_dict())

    def restore(self, snapshot: Any) -> None:
        values, state = snapshot
        with torch.no_grad():
            for parameter, value in zip(self._field.parameters(), values, strict=True):
                parameter.copy_(value)
        self._optimiser.load_state_dict(copy.deepcopy(state))
