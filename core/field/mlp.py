# SPDX-License-Identifier: GPL-3.0-or-later
"""Small multi-layer perceptrons without biases: matrices [in, out], ReLU between them, nothing after the last."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor


def initial_layers(widths: Sequence[int], generator: torch.Generator) -> list[Tensor]:
    """Matrices for layers of these `widths` (first the input's), uniform after He et al. 2015."""
    layers = []
    for fan_in, fan_out in pairwise(widths):
        bound = math.sqrt(6.0 / fan_in)
        layers.append((torch.rand(fan_in, fan_out, generator=generator) * 2.0 - 1.0) * bound)
    return layers


def mlp(inputs: Tensor, layers: Sequence[Tensor]) -> Tensor:
    """[N, in] to [N, out]."""
    hidden = inputs
    for layer in layers[:-1]:
        hidden = torch.relu(hidden @ layer)
    return hidden @ layers[-1]
