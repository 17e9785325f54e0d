# SPDX-License-Identifier: GPL-3.0-or-later
"""One training: the field, its pixels, one step after another, and what may be asked of it in between."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..colour import composite
from ..dataset.store import Dataset
from ..errors import UserError
from ..field.cuda.check import require_agreement
from ..field.cuda.failure import DeviceFull, KernelsUnavailable
from ..field.cuda.load import load_kernels
from ..field.model import FieldConfig, RadianceField
from ..field.render import TrainedField, ray_renderer
from .agreement import require_same_gradients
from .cpu_execution import CpuExecution
from .cuda_stepper import CudaStepper
from .execution import Execution
from .host_stepper import HostStepper
from .recipe import Recipe, Scale, scale_of
from .safeguard import Safeguard
from .sampler import ViewPixels, load_pixels
from .see_through import seen_through
from .seed import candidate_cells, pixels_worth_training
from .stepper import Stepper
from .torch_execution import TorchExecution

QUICK_PIXELS = 8192
# logarithm of the entries of the smallest hash table that is tried where memory is short
SMALLEST_TABLE = 14


class Run:
    """One training, advanced by `step`.

    Attributes:
        pixels: the training views.
        chosen: indices of the pixels that are trained on.
        steps, seconds: taken so far, in this run.
        history: seconds and the PSNR that `quick_psnr` found then.
    """

    def __init__(
        self,
        field: RadianceField,
        stepper: Stepper,
        pixels: ViewPixels,
        chosen: NDArray[np.int64],
        dataset: Dataset,
        step_length: float,
        log: Callable[[str], None],
    ) -> None:
        self.pixels = pixels
        self.steps = 0
        self.seconds = 0.0
        self.history: list[tuple[float, float]] = []
        self._field = field
        self._stepper = stepper
        self.chosen = chosen
        self._world_from_field = dataset.world_from_field
        self._step_length = step_length
        self._validation = _quick_validation(dataset)
        self._background = dataset.background
        self._view_transform = dataset.view_transform
        self._safeguard = Safeguard(stepper, log)

    @property
    def has_validation(self) -> bool:
        return self._validation is not None

    @property
    def rays(self) -> int:
        return self._stepper.rays

    @property
    def samples(self) -> int:
        return self._stepper.samples

    def describe(self) -> str:
        """One line about what is going to be trained."""
        return (
            f"training on {len(self.pixels.widths)} views, {len(self.chosen):,} of {self.pixels.count:,} pixels, "
            f"{int(self._stepper.occupied().sum()):,} cells; {self._field.table.numel():,} table entries"
        )

    def compile(self) -> None:
        """Compile every kernel, so that the clock does not count it."""
        self._stepper.compile()

    def step(self, progress: float) -> None:
        """One step; `progress` 0..1 sets the learning rate.

        Raises:
            UserError: the training diverged again and again.
        """
        began = time.perf_counter()
        self._stepper.step(progress)
        self.steps += 1
        self._safeguard.watch(self.steps)
        self.seconds += time.perf_counter() - began

    def synchronise(self) -> None:
        """Wait for a device that lags behind; the clock counts it."""
        began = time.perf_counter()
        self._stepper.synchronise()
        self.seconds += time.perf_counter() - began

    def sound_field(self) -> TrainedField:
        """The field as it stands, or as it last was when all of it was finite."""
        self._stepper.synchronise()
        self._safeguard.require_finite()
        return self._as_it_stands()

    def trained_field(self) -> TrainedField:
        """The same when training is over, with every cell of the occupancy grid up to date."""
        self.sound_field()
        self._stepper.look_everywhere()
        return self._as_it_stands()

    def field_so_far(self) -> TrainedField:
        """The field as it stands, good enough to look at; training it further changes it."""
        self._stepper.synchronise()
        return self._as_it_stands()

    def _as_it_stands(self) -> TrainedField:
        return TrainedField(self._field, self._stepper.occupied(), self._world_from_field, self._step_length)

    def quick_psnr(self) -> float:
        """PSNR over a fixed choice of pixels of the val views, through the view transform."""
        assert self._validation is not None
        rays, truth = self._validation
        colour, alpha, _ = ray_renderer(self.field_so_far())(rays.origins, rays.directions, 0.5)
        if self._field.config.background:
            alpha = np.ones_like(alpha)
        seen = np.concatenate([colour, alpha[:, None]], axis=1)
        shown = [self._view_transform.apply(composite(image, self._background)) for image in (seen, truth)]
        psnr = float(-10.0 * np.log10(np.mean((shown[0] - shown[1]) ** 2) + 1e-12))
        self.history.append((self.seconds, psnr))
        return psnr


def _quick_validation(dataset: Dataset) -> Any:
    views = dataset.splits["val"]
    if not len(views):
        return None
    pixels = load_pixels(dataset, views)
    chosen = np.linspace(0, pixels.count - 1, min(QUICK_PIXELS, pixels.count)).astype(np.int64)
    chosen = chosen[pixels.valid[chosen]]
    if not len(chosen):
        return None
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
    start: TrainedField | None = None,
    log: Callable[[str], None] = lambda text: None,
) -> Run:
    """Load the training views and find out what is empty.

    Args:
        reference: train in plain PyTorch, whatever else could.
        start: a field to go on from, instead of a new one.
        log: told when the training had to go back, and when it cannot be as fast as it should.

    Raises:
        UserError: there are no training views, they show nothing, or `start` does not fit them.
    """
    if device.type == "cuda":
        recipe = recipe.on_cuda()
    pixels = load_pixels(dataset, dataset.splits["train"])
    scale = scale_of(pixels.footprint(), recipe.largest_table)
    if start is not None:
        scale = replace(scale, step=start.step, occupancy_resolution=start.occupied.shape[0])
    pixels.beyond = seen_through(pixels, scale.occupancy_resolution)
    transparent = dataset.film == "transparent"
    candidates = candidate_cells(pixels, scale.occupancy_resolution, recipe.margin, transparent, pool)
    if not candidates.any():
        raise UserError(f"the training views of {dataset.path} show nothing; check the scene and the cameras")
    chosen = pixels_worth_training(pixels, candidates, scale.step, pool)
    if not len(chosen):
        raise UserError(f"the training views of {dataset.path} hold no valid pixel; check their masks")

    def begin(scale: Scale) -> RadianceField:
        if start is not None:
            return start.model
        config = FieldConfig(
            # near a known surface the field starts half opaque; in an unknown cube light must reach the far side
            density_shift=4.0 if pixels.has_depth else 1.0,
            finest_resolution=scale.finest_resolution,
            log2_table_size=scale.log2_table_size,
            hidden=recipe.hidden,
            background=dataset.film == "world",
        )
        return RadianceField(config, seed).to(device)

    def run_kernels(scale: Scale) -> Run:
        field = begin(scale)
        kernels = load_kernels(field.config, device)
        require_agreement(field, kernels)
        stepper = CudaStepper(field, pixels, chosen, candidates, kernels, recipe, scale, seed, log)
        require_same_gradients(stepper, field, recipe, scale)
        return Run(field, stepper, pixels, chosen, dataset, scale.step, log)

    if device.type == "cuda" and not reference:
        try:
            return _with_room(run_kernels, scale, SMALLEST_TABLE if start is None else scale.log2_table_size, log)
        except KernelsUnavailable as error:
            log(f"{error}; plain PyTorch trains instead, several times slower")

    def execute(trained: RadianceField, occupied: NDArray[np.bool_]) -> Execution:
        if device.type == "cpu" and not reference:
            return CpuExecution(trained, occupied, scale.step, recipe, pool)
        return TorchExecution(trained, occupied, scale.step, recipe)

    field = begin(scale)
    host_stepper = HostStepper(field, pixels, chosen, candidates, execute, recipe, scale, seed)
    return Run(field, host_stepper, pixels, chosen, dataset, scale.step, log)


def _with_room(make: Callable[[Scale], Run], scale: Scale, smallest: int, log: Callable[[str], None]) -> Run:
    """What `make` makes, with the largest hash table that the GPU has room for."""
    while True:
        try:
            return make(scale)
        except DeviceFull:
            if scale.log2_table_size <= smallest:
                raise
        # not before: as long as the error is at hand, what could be allocated is held
        scale = replace(scale, log2_table_size=scale.log2_table_size - 1)
        log(f"the GPU's memory is short: training {2**scale.log2_table_size:,} table entries a level")
