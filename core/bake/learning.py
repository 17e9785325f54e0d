# SPDX-License-Identifier: GPL-3.0-or-later
"""What a voxel has to tell the network about the field's light, learned from what rays saw before the fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..field.model import RadianceField
from .bricks import FEW, MANY, WIDTHS
from .deferred import deferred_light
from .fit import EPSILON, NETWORK_RATE

F4 = NDArray[np.float32]

LEARNING_SAMPLES = 8192
# a step of learning, in steps of the fit
LEARNING = 0.02
# standard deviations of a feature that its byte covers
COVERED = 7.0

# is told how much is done and how much there is, in steps of fitting
Told = Callable[[float, float], None]


@dataclass(frozen=True)
class Seen:
    """What the field showed along the rays that say where bricks must stand.

    Attributes:
        positions, weights, radiance: [S, 3], [S] and [S, 3] of the samples that show something.
        geometry, directions: [S, G] what the field's colour network was told of them, and [S, 3] from where.
        pixels: [R, 5] premultiplied colour, alpha, distance times alpha.
    """

    positions: F4
    weights: F4
    radiance: F4
    geometry: F4
    directions: F4
    pixels: F4


class Work:
    """How much of a bake is done, counted in steps of fitting."""

    def __init__(self, total: float, told: Told) -> None:
        self._done, self._total, self._told = 0.0, total, told
        told(0.0, total)

    def expect(self, more: float) -> None:
        """There is so much more to do."""
        self._total += more

    def add(self, done: float) -> None:
        """So much more is done."""
        self._done += done
        self._told(min(self._done, self._total), self._total)


def learn_features(network: dict[str, Tensor], seen: Seen, colour: F4, steps: int, work: Work) -> tuple[F4, float]:
    """What features [S, FEW] of 0 … 1 the network needs to make the field's light of a voxel's mean `colour` [S, 3],
    and what it is off by in the end: mean squared relative error.

    The features are a linear map of those of the field itself, learned together with the network, which is changed:
    the fit then begins with highlights in their places.
    """
    generator = torch.Generator().manual_seed(0)
    geometry = torch.from_numpy(seen.geometry)
    scale = geometry.std(dim=0) + 1e-6
    geometry = (geometry - geometry.mean(dim=0)) / scale
    encoder = (0.3 * torch.randn(geometry.shape[1], FEW, generator=generator)).requires_grad_()
    means = torch.from_numpy(colour)
    optimiser = torch.optim.Adam([encoder, *network.values()], lr=NETWORK_RATE)

    def told(some: Tensor) -> Tensor:
        return torch.cat([torch.ones(len(some), 1), means[some], torch.sigmoid(geometry[some] @ encoder)], dim=1)

    error = _learn(network, told, seen, steps, optimiser, generator, lambda: work.add(LEARNING))
    with torch.no_grad():
        features: F4 = torch.sigmoid(geometry @ encoder).numpy()
    return features, error


def lends_its_network(model: RadianceField) -> bool:
    """Whether the field's colour network is one that bricks may have."""
    return model.config.hidden in WIDTHS[MANY] and model.config.colour_layers == 2


def many_features(model: RadianceField, seen: Seen) -> tuple[dict[str, Tensor], F4]:
    """A network that makes the field's light of MANY features, and these, [S, MANY] of 0 … 1.

    It is the field's own colour network. The features are the principal parts of what its first layer makes of the
    field's own.
    """
    geometry = torch.from_numpy(seen.geometry)
    first, second, last = (matrix.detach().clone() for matrix in model.colour)
    from_geometry, from_directions = first[: geometry.shape[1]], first[geometry.shape[1] :]
    mean = geometry.mean(dim=0)
    given = (geometry - mean) @ from_geometry
    parts = torch.linalg.svd(given.T @ given / len(given))[0][:, :MANY]
    scale = COVERED * (given @ parts).std(dim=0) + 1e-6
    features = (0.5 + given @ parts / scale).clamp(0.0, 1.0)
    back = scale[:, None] * parts.T
    # the first harmonic is the same in all directions
    constant = mean @ from_geometry - 0.5 * back.sum(dim=0) + 0.28209479177387814 * from_directions[0]
    network = {
        "w1": torch.cat([back, from_directions[1:]]),
        "b1": constant,
        "w2": second,
        "b2": torch.zeros(second.shape[1]),
        "w3": last,
        "b3": torch.zeros(last.shape[1]),
    }
    return {name: array.requires_grad_() for name, array in network.items()}, features.numpy()


def _learn(
    network: dict[str, Tensor],
    told: Callable[[Tensor], Tensor],
    seen: Seen,
    steps: int,
    optimiser: torch.optim.Optimizer,
    generator: torch.Generator,
    done: Callable[[], None],
) -> float:
    """Steps towards the field's light at samples [S] of which the network is `told` (as `deferred_light`); the mean
    squared relative error of the last tenth of them."""
    light, ways = torch.from_numpy(seen.radiance), torch.from_numpy(seen.directions)
    errors = []
    for _ in range(steps):
        some = torch.randint(len(light), (LEARNING_SAMPLES,), generator=generator)
        shown = deferred_light(network, told(some), ways[some])
        loss = (((shown - light[some]) / (shown.detach() + EPSILON)) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        errors.append(float(loss.detach()))
        done()
    return float(np.mean(errors[-(steps // 10 + 1) :])) if errors else 0.0
