# SPDX-License-Identifier: GPL-3.0-or-later
"""The small network that makes what depends on the direction of view, asked once for each ray: in PyTorch, to fit it.

`march.deferred_light` defines what it computes; `bricks.network_sizes` says how large its arrays are.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..field.directions import spherical_harmonics
from .bricks import MANY, network_sizes
from .march import BRIGHTEST, THIN

F4 = NDArray[np.float32]


def initial_network(seed: int, features: int) -> dict[str, Tensor]:
    """Matrices of He's variance, the last one small: told FEW features, it adds next to nothing at first."""
    generator = torch.Generator().manual_seed(seed)
    network = {}
    for name, shape in network_sizes(features).items():
        spread = 0.0 if len(shape) == 1 else (2.0 / shape[0]) ** 0.5 * (0.1 if name == "w3" else 1.0)
        network[name] = (spread * torch.randn(shape, generator=generator)).requires_grad_()
    return network


def deferred_light(network: dict[str, Tensor], sums: Tensor, directions: Tensor) -> Tensor:
    """Light [R, 3] from `sums` [R, 4 + F] (coverage, colour, features along the ray), as `march.deferred_light`."""
    alpha, colour = sums[:, :1], sums[:, 1:4]
    coverage = alpha.clamp(min=THIN)
    told, mean = sums[:, 4:] / coverage, colour / coverage
    harmonics = spherical_harmonics(directions)
    if told.shape[1] == MANY:
        return alpha * torch.exp(_ask(network, torch.cat([told, harmonics[:, 1:]], dim=1)).clamp(max=BRIGHTEST))
    added = _ask(network, torch.cat([told, mean / (1.0 + mean), directions, harmonics[:, 4:9]], dim=1))
    return torch.relu(colour + alpha * added)


def _ask(network: dict[str, Tensor], values: Tensor) -> Tensor:
    for layer in "12":
        values = torch.relu(values @ network[f"w{layer}"] + network[f"b{layer}"])
    return values @ network["w3"] + network["b3"]


def network_arrays(network: dict[str, Tensor]) -> dict[str, F4]:
    """The network as `Bricks` holds it."""
    return {name: part.detach().numpy().astype(np.float32) for name, part in network.items()}
