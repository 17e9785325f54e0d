# SPDX-License-Identifier: GPL-3.0-or-later
"""Training on the CPU: all blocks forward and backward, then every table level on its own thread."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from ..field import cpu_kernels as kernels
from ..field.cpu import RAYS_PER_BLOCK, BlockGradient, CpuField, Grid, Workspace, flat
from ..field.hash_grid import GridLayout
from ..field.model import RadianceField
from .recipe import ADAM_EPSILON, Recipe
from .sampler import F4, Rays


def block_size(count: int, together: int) -> int:
    """Rays in a block: at most `RAYS_PER_BLOCK`, the same in all, a multiple of eight blocks.

    Two, four or eight threads then end at the same time, and the blocks do not depend on how many there are.
    """
    blocks = 8 * -(-count // (8 * RAYS_PER_BLOCK))
    return max(-(-count // (blocks * together)) * together, together)


class CpuExecution:
    """Trains a field in place. The result depends on the rays alone, not on the number of threads."""

    def __init__(
        self, field: RadianceField, occupied: NDArray[np.bool_], step: float, recipe: Recipe, pool: ThreadPoolExecutor
    ) -> None:
        self._field = CpuField(field)
        self._recipe = recipe
        self._step = step
        self._grid = Grid.of(occupied)
        self._pool = pool
        self._spaces: list[Workspace] = []
        self._steps = 0
        tables = [(self._field.table, field.layout, "encoded")]
        if self._field.background_table is not None:
            tables.append((self._field.background_table, field.config.background_layout, "background_encoded"))
        levels = [
            _Level(table[layout.offsets[level] : layout.offsets[level + 1]], layout, level, kind)
            for table, layout, kind in tables
            for level in range(layout.levels)
        ]
        # the finest levels take longest: start with them
        levels.sort(key=lambda level: -len(level.rows))
        matrices = [*field.density, *field.colour, *field.background]
        self._parts: list[_Level | _Matrix] = [
            *levels,
            *(_Matrix(flat(matrix), index) for index, matrix in enumerate(matrices)),
        ]

    def set_occupied(self, occupied: NDArray[np.bool_]) -> None:
        self._grid = Grid.of(occupied)

    def density_at(self, positions: F4) -> F4:
        def block(first: int) -> F4:
            return self._field.density_at(positions[first : first + 8192])

        return np.concatenate(list(self._pool.map(block, range(0, len(positions), 8192))))

    def step(self, rays: Rays, jitter: F4, rate: float, stride: float = 1.0) -> tuple[float, int]:
        spacing = stride * self._step
        count = len(rays.origins)
        size = block_size(count, rays.together)
        starts = list(range(0, count, size))
        while len(self._spaces) < len(starts):
            self._spaces.append(Workspace())
        upstream = np.empty((count, 4), np.float32)

        def block(number: int) -> tuple[BlockGradient, float]:
            part = slice(starts[number], starts[number] + size)
            space = self._spaces[number]
            seen = self._field.forward(
                rays.origins[part],
                rays.directions[part],
                rays.last[part],
                jitter[part],
                self._grid,
                spacing,
                self._recipe.shade_above,
                space,
            )
            seen.behind += rays.behind
            loss = kernels.relative_loss(
                seen.pixels,
                seen.behind,
                rays.targets[part],
                rays.together,
                np.float32(self._recipe.epsilon),
                np.float32(self._recipe.alpha_weight),
                np.float32(rays.together / count),
                upstream[part],
            )
            return self._field.backward(seen, upstream[part], spacing, space), float(loss)

        results = list(self._pool.map(block, range(len(starts))))
        gradients = [gradient for gradient, _ in results]
        self._steps += 1
        settings = kernels.adam_settings(rate, self._recipe.betas, self._steps, ADAM_EPSILON)

        def descend(which: _Level | _Matrix) -> None:
            which.add(gradients)
            which.moments.step(settings, sparse=isinstance(which, _Level))

        list(self._pool.map(descend, self._parts))
        self._field.refresh()
        return sum(loss for _, loss in results), sum(len(gradient.positions) for gradient in gradients)

    def snapshot(self) -> tuple[int, list[tuple[F4, F4, F4]]] | None:
        held = [(part.parameter.copy(), part.first.copy(), part.second.copy()) for part in self._moments()]
        return (self._steps, held) if all(np.isfinite(values).all() for part in held for values in part) else None

    def restore(self, snapshot: tuple[int, list[tuple[F4, F4, F4]]]) -> None:
        self._steps, held = snapshot
        for part, values in zip(self._moments(), held, strict=True):
            part.parameter[:], part.first[:], part.second[:] = values
            part.gradient[:] = 0.0
        self._field.refresh()

    def _moments(self) -> list[_Moments]:
        return [part.moments for part in self._parts]


class _Moments:
    """A flat parameter with its gradient and Adam's two running means."""

    def __init__(self, parameter: F4) -> None:
        self.parameter = parameter
        # written, not only promised by the system: Adam's masked stores are very slow on pages that do not exist yet
        self.gradient, self.first, self.second = (np.full_like(parameter, 0.0) for _ in range(3))

    def step(self, settings: F4, sparse: bool) -> None:
        kernels.adam(self.parameter, self.gradient, self.first, self.second, settings, sparse)


class _Matrix:
    """One matrix of a network."""

    def __init__(self, values: F4, index: int) -> None:
        self.moments = _Moments(values)
        self._index = index

    def add(self, gradients: list[BlockGradient]) -> None:
        for gradient in gradients:
            self.moments.gradient += flat(gradient.matrices[self._index].contiguous())


class _Level:
    """One level of a table."""

    def __init__(self, rows: F4, layout: GridLayout, level: int, kind: str) -> None:
        self.rows = rows
        self.moments = _Moments(rows.reshape(-1))
        self._layout, self._level, self._kind = layout, level, kind

    def add(self, gradients: list[BlockGradient]) -> None:
        into = self.moments.gradient.reshape(self.rows.shape)
        for gradient in gradients:
            if self._kind == "encoded":
                positions, upstream = gradient.positions, gradient.encoded
            else:
                assert gradient.background_positions is not None
                assert gradient.background_encoded is not None
                positions, upstream = gradient.background_positions, gradient.background_encoded
            kernels.encode_backward(
                positions,
                upstream,
                self._level,
                int(self._layout.resolutions[self._level]),
                bool(self._layout.dense[self._level]),
                self._layout.table_size,
                into,
            )
