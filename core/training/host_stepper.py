# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps whose rays are drawn, and whose occupancy grid is kept, on the CPU; the field may be anywhere."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..field.cpu_kernels import compiled
from ..field.model import RadianceField
from ..field.render import PATTERN
from .execution import Execution
from .recipe import Recipe, Scale
from .sampler import F4, Rays, ViewPixels

CELLS_AT_ONCE = 1 << 18
# optical thickness of a sample below which a cell counts as empty
THIN = 0.01
# share of a cell's density that an update of the occupancy grid keeps
KEEP = 0.8

Bool = NDArray[np.bool_]


class HostStepper:
    """A `Stepper` around an `Execution`: the numba one or the PyTorch one."""

    def __init__(
        self,
        field: RadianceField,
        pixels: ViewPixels,
        chosen: NDArray[np.int64],
        candidates: Bool,
        execute: Callable[[RadianceField, Bool], Execution],
        recipe: Recipe,
        scale: Scale,
        seed: int,
    ) -> None:
        self.loss = float("nan")
        self.rays = 0
        self.samples = 0
        self.caution = 1.0
        self._steps = 0
        self._field = field
        self._pixels = pixels
        self._chosen = chosen
        self._execute = execute
        self._recipe = recipe
        self._step_length, self._cut = scale.step, scale.cut
        self._random = np.random.default_rng(seed)
        self._execution = execute(field, candidates)
        self._rays_at_once = min(recipe.samples // 16, recipe.most_rays)
        self._candidates = candidates
        self._cells = np.flatnonzero(candidates.reshape(-1))
        self._cell_density = np.full(len(self._cells), np.inf, np.float32)

    def compile(self) -> None:
        scratch = self._execute(copy.deepcopy(self._field), self._candidates)
        few = self._chosen[:64]
        scratch.step(self._pixels.rays(few), np.zeros(len(few), np.float32), 0.0)
        which, positions = np.zeros(1, np.int64), np.zeros((1, 3), np.float32)
        points_in_cells(self._cells, len(self._candidates), np.zeros((1, 4), np.float32), which, positions)
        raise_density(scratch.density_at(positions), which, np.float32(KEEP), self._cell_density.copy())

    def synchronise(self) -> None:
        pass

    def step(self, progress: float) -> None:
        recipe = self._recipe
        rays, jitter = self._draw(progress)
        count = len(jitter)
        rate = self.caution * recipe.rate(self._steps, progress)
        stride = recipe.stride(progress, self._pixels.has_depth)
        self.loss, samples = self._execution.step(rays, jitter, rate, stride)
        self._steps += 1
        self.rays += count
        self.samples += samples
        self._rays_at_once = max(min(round(count * recipe.samples / max(samples, 1)), recipe.most_rays), 256)
        if self._steps % (recipe.occupancy_every if self._pixels.has_depth else recipe.occupancy_every_blind) == 0:
            self._update_occupancy(CELLS_AT_ONCE)

    def _draw(self, progress: float) -> tuple[Rays, F4]:
        """A batch of rays, and the shift of each one's samples in steps."""
        count = self._rays_at_once
        if progress >= self._recipe.whole_pixels_from:
            # a pixel's colour is that of its whole area: the rays that `render_view` will see it by
            pattern = np.array(PATTERN, np.float32)[:, :2]
            count -= count % len(pattern)
            picked = self._chosen[self._random.integers(0, len(self._chosen), count // len(pattern))]
            picked = picked.repeat(len(pattern))
            rays = self._pixels.rays(picked, np.tile(pattern, (count // len(pattern), 1)), self._cut)
            rays.together = len(pattern)
        else:
            picked = self._chosen[self._random.integers(0, len(self._chosen), count)]
            rays = self._pixels.rays(picked, cut=self._cut)
        return rays, self._random.random(count, dtype=np.float32)

    def _update_occupancy(self, cells: int) -> None:
        """Ask the field for its density in (at most so many) candidate cells, and drop those that hold next to nothing.

        A dropped cell comes back when the field grows dense there again.
        """
        count = min(cells, len(self._cells))
        which, positions = np.empty(count, np.int64), np.empty((count, 3), np.float32)
        draws = self._random.random((count, 4), dtype=np.float32)
        points_in_cells(self._cells, len(self._candidates), draws, which, positions)
        raise_density(self._execution.density_at(positions), which, np.float32(KEEP), self._cell_density)
        self._execution.set_occupied(self.occupied())

    def look_everywhere(self) -> None:
        for _ in range(4):
            self._update_occupancy(len(self._cells))

    def occupied(self) -> Bool:
        thickness = self._cell_density * self._step_length
        asked = np.isfinite(thickness)
        least = min(THIN, 0.5 * float(thickness.mean(where=asked))) if asked.any() else THIN
        occupied = np.zeros(self._candidates.size, np.bool_)
        occupied[self._cells] = thickness > least
        return occupied.reshape(self._candidates.shape)

    def snapshot(self) -> Any:
        state = self._execution.snapshot()
        return None if state is None else (state, self._steps, self._cell_density.copy())

    def restore(self, snapshot: Any) -> None:
        state, self._steps, density = snapshot
        self._execution.restore(state)
        self._cell_density = density.copy()
        self._execution.set_occupied(self.occupied())


@compiled
def points_in_cells(cells: Any, resolution: int, draws: Any, which: Any, positions: Any) -> None:
    """One cell from each of as many equal parts of `cells` [C] as there are `draws` [N, 4], in [0, 1), and a point in
    it.

    Fills `which` [N], positions in `cells`, ascending, so that points that follow one another are near each other, and
    `positions` [N, 3] in the field.
    """
    count = which.shape[0]
    for i in range(count):
        begin, end = i * cells.shape[0] // count, (i + 1) * cells.shape[0] // count
        which[i] = min(begin + np.int64(draws[i, 3] * (end - begin)), end - 1)
        cell = cells[which[i]]
        size = np.float32(resolution)
        positions[i, 0] = (np.float32(cell // (resolution * resolution)) + draws[i, 0]) / size
        positions[i, 1] = (np.float32(cell // resolution % resolution) + draws[i, 1]) / size
        positions[i, 2] = (np.float32(cell % resolution) + draws[i, 2]) / size


@compiled
def raise_density(density: Any, which: Any, keep: Any, cell_density: Any) -> None:
    """The larger of what was found and `keep` times what was known (infinity: nothing was) becomes a cell's density."""
    for i in range(which.shape[0]):
        known = cell_density[which[i]]
        # a comparison, because fast arithmetic may not ask whether a number is finite
        cell_density[which[i]] = max(keep * known, density[i]) if known < np.float32(1e30) else density[i]
