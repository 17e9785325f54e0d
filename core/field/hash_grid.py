# SPDX-License-Identifier: GPL-3.0-or-later
"""Multi-resolution hash encoding, the plain PyTorch reference.

Müller et al. 2022, "Instant Neural Graphics Primitives with a Multiresolution Hash Encoding".

Every level is a lattice over [0, 1]³. Lattices that fit into the table are stored whole, finer ones share its entries
by a spatial hash. A feature is the trilinear blend of the eight corners.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# the spatial hash's factors for y and z (x has 1), as in the paper
PRIME_Y = 2654435761
PRIME_Z = 805459861


@dataclass(frozen=True)
class GridLayout:
    """Where each level's entries stand in one shared table.

    Attributes:
        resolutions: [levels] i4, lattice cells along one edge.
        offsets: [levels + 1] i8, first table row of each level; the last is the table's length.
        dense: [levels] bool, whether the level is stored whole (index x + y·s + z·s², s = resolution + 1).
        table_size: rows of a hashed level, a power of two.
    """

    resolutions: NDArray[np.int32]
    offsets: NDArray[np.int64]
    dense: NDArray[np.bool_]
    table_size: int

    @property
    def levels(self) -> int:
        return len(self.resolutions)

    @property
    def rows(self) -> int:
        return int(self.offsets[-1])


def grid_layout(levels: int, base_resolution: int, finest_resolution: int, log2_table_size: int) -> GridLayout:
    """Levels in geometric progression from `base_resolution` to `finest_resolution`, both included."""
    growth = (finest_resolution / base_resolution) ** (1.0 / max(levels - 1, 1))
    resolutions = np.array([round(base_resolution * growth**level) for level in range(levels)], np.int32)
    table_size = 1 << log2_table_size
    corners = (resolutions.astype(np.int64) + 1) ** 3
    dense = corners <= table_size
    offsets = np.concatenate([[0], np.cumsum(np.where(dense, corners, table_size))]).astype(np.int64)
    return GridLayout(resolutions, offsets, dense, table_size)


def encode(positions: Tensor, table: Tensor, layout: GridLayout) -> Tensor:
    """Features [N, levels·F] of `positions` [N, 3] in [0, 1]³ from `table` [rows, F].

    Positions outside of the cube count as the nearest ones on it. Differentiable in `table` and, inside each lattice
    cell, in `positions`.
    """
    features = []
    inside = positions.clamp(0.0, 1.0)
    for level in range(layout.levels):
        resolution = int(layout.resolutions[level])
        scaled = inside * resolution
        low = scaled.detach().floor().clamp(max=resolution - 1)
        weight = scaled - low
        cell = low.to(torch.int64)
        blended = torch.zeros_like(positions[:, :1])
        for corner in range(8):
            step = torch.tensor([corner & 1, corner >> 1 & 1, corner >> 2 & 1], device=positions.device)
            share = torch.where(step.bool(), weight, 1.0 - weight).prod(dim=-1)
            rows = _rows(cell + step, resolution, bool(layout.dense[level]), layout.table_size)
            blended = blended + share[:, None] * table[rows + int(layout.offsets[level])]
        features.append(blended)
    return torch.cat(features, dim=-1)


def _rows(lattice: Tensor, resolution: int, dense: bool, table_size: int) -> Tensor:
    x, y, z = lattice.unbind(-1)
    if dense:
        side = resolution + 1
        return x + y * side + z * side * side
    # 64-bit products masked to 32 bits equal the usual unsigned arithmetic
    mask = 0xFFFFFFFF
    return (x ^ (y * PRIME_Y & mask) ^ (z * PRIME_Z & mask)) & (table_size - 1)
