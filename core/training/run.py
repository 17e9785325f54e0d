# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of one training: the field, its pixels, its occupancy grid, and one step after another."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..colour import composite
from ..dataset.store import Dataset
from ..errors import UserError
from ..field.cpu import RAYS_PER_BLOCK
from ..field.model import FieldConfig, RadianceField
from ..field.render import PATTERN, TrainedField, ray_renderer
from .cpu_execution import CpuExecution
from .execution import Execution
from .recipe import Recipe, Scale, scale_of
from .sampler import F4, NOTHING, ViewPixels, load_pixels
from .seed import candidate_cells, pixels_worth_training
from .torch_execution import TorchExecution

QUICK_PIXELS = 8192
BAKE_RAYS = 250_000
CELLS_AT_ONCE = 1 << 18
# optical thickness of a sample below which a cell counts as empty
THIN = 0.01
DIVERGED = "the training diverged (its values are not finite); try another --seed"


class Run:
    """One training, advanced by `step`."""

    def __init__(
        self,
        field: RadianceField,
        pixels: ViewPixels,
        candidates: NDArray[np.bool_],
        chosen: NDArray[np.int64],
        dataset: Dataset,
        seed: int,
        pool: ThreadPoolExecutor,
        recipe: Recipe,
        scale: Scale,
        reference: bool,
    ) -> None:
        self.pixels = pixels
        self.steps = 0
        self.seconds = 0.0
        self.rays = 0
        self.samples = 0
        self._field = field
        self._recipe = recipe
        self._scale = scale
        self._reference = reference
        self._pool = pool
        self._random = np.random.default_rng(seed)
        self._chosen = chosen
        self._candidates = candidates
        self._world_from_field = dataset.world_from_field
        self._execution = self._executor(field)
        self._validation = _quick_validation(dataset)
        self._background = dataset.background
        self._view_transform = dataset.view_transform
        self._rays_at_once = min(recipe.samples // 16, recipe.most_rays)
        self._cells = np.flatnonzero(candidates.reshape(-1))
        self._cell_density = np.full(len(self._cells), np.inf, np.float32)

    def _executor(self, field: RadianceField) -> Execution:
        if field.table.device.type == "cpu" and not self._reference:
            return CpuExecution(field, self._candidates, self._scale.step, self._recipe, self._pool)
        return TorchExecution(field, self._candidates, self._scale.step, self._recipe)

    @property
    def has_validation(self) -> bool:
        return self._validation is not None

    def describe(self) -> str:
        """One line about what is going to be trained."""
        return (
            f"training on {len(self.pixels.widths)} views, {len(self._chosen):,} of {self.pixels.count:,} pixels, "
            f"{int(self._candidates.sum()):,} cells; {self._field.table.numel():,} table entries"
        )

    def compile(self) -> None:
        """Compile every kernel by a step on a copy, so that the clock does not count it."""
        scratch = self._executor(copy.deepcopy(self._field))
        few = self._chosen[:64]
        scratch.step(self.pixels.rays(few), np.zeros(len(few), np.float32), 0.0)

    def step(self, progress: float) -> None:
        """One step; `progress` 0..1 sets the learning rate.

        Raises:
            UserError: the training diverged.
        """
        began = time.perf_counter()
        recipe = self._recipe
        count = self._rays_at_once
        if progress >= recipe.whole_pixels_from:
            # a pixel's colour is that of its whole area: the rays that `render_view` will see it by
            pattern = np.array(PATTERN, np.float32)[:, :2]
            count -= count % len(pattern)
            picked = self._chosen[self._random.integers(0, len(self._chosen), count // len(pattern))]
            picked = picked.repeat(len(pattern))
            rays = self.pixels.rays(picked, np.tile(pattern, (count // len(pattern), 1)))
            rays.together = len(pattern)
        else:
            picked = self._chosen[self._random.integers(0, len(self._chosen), count)]
            rays = self.pixels.rays(picked)
        jitter = self._random.random(count, dtype=np.float32)
        farthest = self.pixels.farthest[picked]
        known = (farthest < NOTHING) & (rays.targets[:, 3] > 0.99)
        rays.last = np.where(known, farthest + np.float32(self._scale.cut), NOTHING).astype(np.float32)
        rate = recipe.learning_rate * min(1.0, (self.steps + 1) / recipe.warm_up)
        rate *= recipe.final_rate + (1.0 - recipe.final_rate) * 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))
        self.loss, samples = self._execution.step(rays, jitter, rate)
        if not math.isfinite(self.loss):
            raise UserError(DIVERGED)
        self.steps += 1
        self.rays += count
        self.samples += samples
        self._rays_at_once = max(min(round(count * recipe.samples / max(samples, 1)), recipe.most_rays), 256)
        if self.steps % (recipe.occupancy_every if self.pixels.has_depth else recipe.occupancy_every_blind) == 0:
            self._update_occupancy(CELLS_AT_ONCE)
        self.seconds += time.perf_counter() - began

    def _update_occupancy(self, cells: int) -> None:
        """Ask the field for its density in (at most so many) candidate cells, and drop those that hold next to nothing.

        A dropped cell comes back when the field grows dense there again.
        """
        n = self._candidates.shape[0]
        which = np.arange(len(self._cells))
        if len(which) > cells:
            which = self._random.integers(0, len(which), cells)
        corner = np.stack(np.unravel_index(self._cells[which], self._candidates.shape), axis=1)
        positions = (corner + self._random.random(corner.shape, dtype=np.float32)) / np.float32(n)
        density = self._execution.density_at(positions.astype(np.float32))
        known = self._cell_density[which]
        self._cell_density[which] = np.maximum(np.where(np.isfinite(known), known, 0.0) * np.float32(0.8), density)
        self._execution.set_occupied(self._occupied())

    def _occupied(self) -> NDArray[np.bool_]:
        thickness = self._cell_density * self._scale.step
        asked = thickness[np.isfinite(thickness)]
        least = min(THIN, 0.5 * float(asked.mean())) if len(asked) else THIN
        occupied = np.zeros(self._candidates.size, np.bool_)
        occupied[self._cells] = thickness > least
        return occupied.reshape(self._candidates.shape)

    def trained_field(self) -> TrainedField:
        """The field as it stands.

        Raises:
            UserError: it holds something that is not finite.
        """
        if not all(torch.isfinite(parameter).all() for parameter in self._field.parameters()):
            raise UserError(DIVERGED)
        for _ in range(4):
            self._update_occupancy(len(self._cells))
        return TrainedField(self._field, self._occupied(), self._world_from_field, self._scale.step)

    def rays_for_bake(self) -> Iterator[tuple[F4, F4]]:
        """Blocks of rays through the pixels that are trained on, evenly chosen."""
        visible = self._chosen[:: max(1, len(self._chosen) // BAKE_RAYS)]
        for first in range(0, len(visible), RAYS_PER_BLOCK):
            rays = self.pixels.rays(visible[first : first + RAYS_PER_BLOCK])
            yield rays.origins, rays.directions

    def quick_psnr(self) -> float:
        """PSNR over a fixed choice of pixels of the val views, through the view transform."""
        assert self._validation is not None
        rays, truth = self._validation
        field = TrainedField(self._field, self._occupied(), self._world_from_field, self._scale.step)
        colour, alpha, _ = ray_renderer(field)(rays.origins, rays.directions, 0.5)
        if self._field.config.background:
            alpha = np.ones_like(alpha)
        seen = np.concatenate([colour, alpha[:, None]], axis=1)
        shown = [self._view_transform.apply(composite(image, self._background)) for image in (seen, truth)]
        return float(-10.0 * np.log10(np.mean((shown[0] - shown[1]) ** 2) + 1e-12))


def _quick_validation(dataset: Dataset) -> Any:
    views = dataset.splits["val"]
    if not len(views):
        return None
    pixels = load_pixels(dataset, views)
    chosen = np.linspace(0, pixels.count - 1, min(QUICK_PIXELS, pixels.count)).astype(np.int64)
    truth = pixels.rgba[chosen]
    if dataset.film == "world":
        truth[:, 3] = 1.0
    return pixels.rays(chosen), truth


def prepare(
    dataset: Dataset,
    device: torch.device,
    seed: int,
    pool: ThreadPoolExecutor,
    recipe: Recipe,
    reference: bool = False,
) -> Run:
    """Load the training views and find out what is empty; `reference` trains in plain PyTorch on the CPU as well.

    Raises:
        UserError: there are no training views, or they show nothing.
    """
    if device.type == "cuda":
        recipe = replace(recipe, samples=recipe.samples_on_cuda, most_rays=recipe.samples_on_cuda // 4)
    pixels = load_pixels(dataset, dataset.splits["train"])
    scale = scale_of(pixels.footprint())
    transparent = dataset.film == "transparent"
    candidates = candidate_cells(pixels, scale.occupancy_resolution, recipe.margin, transparent, pool)
    if not candidates.any():
        raise UserError(f"the training views of {dataset.path} show nothing; check the scene and the cameras")
    chosen = pixels_worth_training(pixels, candidates, scale.step, pool)
    config = FieldConfig(
        # near a known surface the field starts half opaque; in an unknown cube light must reach the far side
        density_shift=4.0 if pixels.has_depth else 1.0,
        finest_resolution=scale.finest_resolution,
        log2_table_size=scale.log2_table_size,
        background=dataset.film == "world",
    )
    field = RadianceField(config, seed).to(device)
    return Run(field, pixels, candidates, chosen, dataset, seed, pool, recipe, scale, reference)
