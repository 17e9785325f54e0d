# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps that happen on the GPU from the choice of pixels to Adam; the host only says the learning rate, and looks at
the device's counters some steps later."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..field.cuda.failure import DeviceFull, failures_told
from ..field.cuda.launch import Kernels, Value, Work
from ..field.cuda.parameters import Parameters, occupancy_words, occupied_cells
from ..field.cuda.signatures import Choice, Counter, Setting, State
from ..field.model import RadianceField
from ..field.render import PATTERN
from .cuda_arrays import F2, F4, U4, adam_shapes, allocate, batch_shapes, pixel_shapes
from .host_stepper import CELLS_AT_ONCE, KEEP, THIN
from .recipe import ADAM_EPSILON, Recipe, Scale
from .sampler import Rays, ViewPixels

# steps between two looks at the counters, and looks under way at most: the host is never further ahead than that
LOOK_EVERY = 16
LOOKS_UNDER_WAY = 2
# rows in the ring of settings; a row is written again when the step that took it is long done
RING = LOOK_EVERY * (LOOKS_UNDER_WAY + 2)
# room for samples, in multiples of what a step wants
ROOM = 2
# a batch this small is no use on a GPU
LEAST_SAMPLES = 1 << 12
LEAST_RAYS = 256
# gradients are multiplied by this, so that small ones survive in half precision; large ones are limited to its range
LOSS_SCALE = 128.0
# the longest pattern of rays to a pixel that the kernels know
MOST_TOGETHER = 32


@dataclass(frozen=True)
class _State:
    """What `restore` needs."""

    steps: int
    updates: int
    arrays: dict[str, Tensor]


@dataclass(frozen=True)
class Gradients:
    """What a step would descend by.

    Attributes:
        rays, jitter: the batch that was drawn; jitter [R] in steps.
        stride: samples are so many of the field's steps apart. samples: that the rays want.
        dropped: rays for whose samples there was no room.
        loss: the mean over the other rays' pixels.
        by_name: of each of the field's parameters.
    """

    rays: Rays
    jitter: NDArray[np.float32]
    stride: float
    samples: int
    dropped: int
    loss: float
    by_name: dict[str, Tensor]


class CudaStepper:
    """A `Stepper` around our kernels. The field's matrices become views of the kernels' arrays."""

    def __init__(
        self,
        field: RadianceField,
        pixels: ViewPixels,
        chosen: NDArray[np.integer[Any]],
        candidates: NDArray[np.bool_],
        kernels: Kernels,
        recipe: Recipe,
        scale: Scale,
        seed: int,
        log: Callable[[str], None],
    ) -> None:
        """Raises: DeviceFull: the GPU has too little memory."""
        self.loss = math.nan
        self.rays = 0
        self.samples = 0
        self.caution = 1.0
        self._kernels, self._device = kernels, kernels.device
        self._recipe, self._scale = recipe, scale
        self._resolution = len(candidates)
        self._has_depth = pixels.has_depth
        self._background = pixels.background
        self._occupancy_every = recipe.occupancy_every if pixels.has_depth else recipe.occupancy_every_blind
        self._steps = 0
        self._together = 1
        self._seen_updates = self._seen_skipped = 0
        try:
            self._parameters = Parameters(field, kernels)
            self._parameters.adopt()
            self._arrays = {
                **self._parameters.arrays,
                **allocate(adam_shapes(kernels.program), self._device),
                **self._take_pixels(pixels, chosen),
                **self._take_cells(candidates),
            }
        except torch.OutOfMemoryError as error:
            raise DeviceFull(
                f"the GPU has too little memory for {pixels.count:,} pixels and {field.table.numel():,} table entries; "
                "close other programs, render smaller views, or use --device cpu"
            ) from error
        self._counts = torch.zeros(24, dtype=U4, device=self._device)
        self._controls = torch.zeros(24, dtype=U4, device=self._device)
        self._arrays |= {
            "counters": self._counts[:16],
            "state": self._counts[16:].view(F4),
            "settings": self._controls[:16].view(F4),
            "choices": self._controls[16:],
            "pattern": torch.zeros((MOST_TOGETHER, 2), device=self._device),
        }
        self._pattern = torch.tensor(PATTERN, device=self._device)[:, :2].contiguous()
        self._wanted = self._take_batch(recipe.samples, log)
        self._most_rays = len(self._arrays["rays"])
        self._ring = self._pinned(RING)
        self._ring[:, 16 + Choice.SEED] = seed & 0x7FFFFFFF
        self._looks: deque[tuple[Tensor, torch.cuda.Event | None]] = deque()
        self._look_ring = self._pinned(LOOKS_UNDER_WAY + 1)
        self._looks_begun = 0
        self._set_counter(Counter.RAYS, max(min(self._wanted // 16, self._most_rays), LEAST_RAYS))
        self._bind()
        self._bind_gradients(recipe.stride(0.0, self._has_depth))
        self._replay: Work | None = None

    # --- memory

    def _take_pixels(self, pixels: ViewPixels, chosen: NDArray[np.integer[Any]]) -> dict[str, Tensor]:
        arrays = allocate(pixel_shapes(pixels.count, len(chosen), len(pixels.widths)), self._device)
        largest = torch.finfo(F2).max
        arrays["pixels"].copy_(torch.from_numpy(pixels.rgba)).clamp_(-largest, largest)
        if pixels.has_depth:
            arrays["farthest"] = torch.from_numpy(pixels.farthest).to(self._device)
        for name, values in (("chosen", chosen), ("first_pixel", pixels.first_pixel), ("widths", pixels.widths)):
            arrays[name].copy_(torch.from_numpy(values.astype(np.uint32).view(np.int32)))
        cameras = np.concatenate([pixels.rotations.reshape(-1, 9), pixels.centres, pixels.intrinsics], axis=1)
        arrays["cameras"].copy_(torch.from_numpy(cameras))
        if len(pixels.ways):
            arrays["ways"] = torch.from_numpy(pixels.ways).to(self._device)
        return arrays

    def _take_cells(self, candidates: NDArray[np.bool_]) -> dict[str, Tensor]:
        occupied = torch.from_numpy(candidates).to(self._device)
        bits, coarse = occupancy_words(occupied)
        cells = occupied.reshape(-1).nonzero()[:, 0].to(U4)
        density = torch.full((len(cells),), torch.inf, device=self._device)
        return {"bits": bits, "coarse": coarse, "cells": cells, "cell_density": density}

    def _take_batch(self, wanted: int, log: Callable[[str], None]) -> int:
        """Allocate the arrays of a step; returns how many samples it shall have."""
        share = self._recipe.most_rays / self._recipe.samples
        while True:
            # the kernels fill whole blocks
            rays = max(int(share * wanted) // 256 * 256, LEAST_RAYS)
            try:
                self._arrays |= allocate(batch_shapes(self._kernels.program, ROOM * wanted, rays), self._device)
                return wanted
            except torch.OutOfMemoryError as error:
                if wanted // 2 < LEAST_SAMPLES:
                    raise DeviceFull(
                        "the GPU has too little memory left to train with; close other programs, or use --device cpu"
                    ) from error
                wanted //= 2
                log(f"the GPU's memory is short: training on {wanted:,} samples at a time")

    def _pinned(self, rows: int) -> Tensor:
        """Host memory that the device reads and writes while the host goes on."""
        return torch.zeros((rows, 24), dtype=U4, pin_memory=self._device.type == "cuda")

    # --- what one step and one update of the occupancy grid consist of

    def _bind(self) -> None:
        arrays: dict[str, Value] = {
            "farthest": None,
            "ways": None,
            "alias_threshold": None,
            "alias_other": None,
            "error": None,
            "error_rate": 0.0,
            "background_table": None,
            "background_encoded": None,
            "background_table_gradient": None,
            **self._arrays,
            "chosen_count": len(self._arrays["chosen"]),
            "views": len(self._arrays["widths"]),
            "capacity": len(self._arrays["samples"]),
            "cell_count": len(self._arrays["cells"]),
            "step": self._scale.step,
            "cut": self._scale.cut,
            "resolution": self._resolution,
            "keep": KEEP,
            "thin": THIN,
        }
        bind, background = self._kernels.bind, self._kernels.program.background_rows > 0
        tables = ["table", "background_table"] if background else ["table"]
        adam = [
            bind(
                "adam_table",
                {
                    **arrays,
                    "rows": len(self._arrays[name]),
                    "sparse": 1,
                    "table": self._arrays[name],
                    **{f"table_{kind}": self._arrays[f"{name}_{kind}"] for kind in _KINDS},
                },
            )
            for name in tables
        ]
        self._values = arrays
        self._descent = [*adam, bind("adam_matrices", arrays), bind("end_step", arrays)]
        count = len(self._arrays["cells"])
        thresholds = [bind("measure_occupancy", arrays), bind("pack_occupancy", arrays)]
        ask = {**arrays, "asked": min(count, CELLS_AT_ONCE), "salt": 0}
        self._occupancy = [bind("update_occupancy", ask), *thresholds]
        self._everywhere = [
            call
            for salt in range(4)
            for call in [bind("update_occupancy", {**arrays, "asked": count, "salt": salt}), *thresholds]
        ]
        self._thresholds = thresholds

    def _bind_gradients(self, stride: float) -> None:
        """All of a step before Adam, with samples so many of the field's steps apart."""
        self._stride = stride
        values = {**self._values, "step": stride * self._scale.step}
        background = self._kernels.program.background_rows > 0
        names = [name for name in _FORWARD_AND_BACKWARD if background or not name.endswith("background")]
        self._gradients = [self._kernels.bind(name, values) for name in names]

    def _start_step(self) -> None:
        for call in (*self._gradients, *self._descent):
            call()

    def _start_occupancy(self) -> None:
        for call in self._occupancy:
            call()

    # --- the protocol

    @failures_told
    def compile(self) -> None:
        # a kernel must have run once before it can be recorded: the driver loads some of them at their first launch
        before = self._state()
        counts = self._counts.clone()
        self._write_controls(0.0)
        self._start_step()
        self._start_occupancy()
        self._restore(before)
        self._counts.copy_(counts)
        self._replay = self._kernels.record(self._start_step)
        self._replay_occupancy = self._kernels.record(self._start_occupancy)

    @failures_told
    def step(self, progress: float) -> None:
        if self._replay is None:
            self.compile()
            assert self._replay is not None
        stride = self._recipe.stride(progress, self._has_depth)
        if stride != self._stride:
            self._bind_gradients(stride)
            self._replay = self._kernels.record(self._start_step)
        self._write_controls(progress)
        self._replay()
        self._steps += 1
        if self._steps % self._occupancy_every == 0:
            self._replay_occupancy()
        if math.isnan(self.loss):
            # at the start and after a retreat nothing is known yet
            self.synchronise()
        elif self._steps % LOOK_EVERY == 0:
            self._look()

    @failures_told
    def gradients(self, progress: float, rays: int | None = None) -> Gradients:
        """Those of another batch, of so many rays when it is said, without taking a step."""
        before = self._counter(Counter.RAYS)
        self._write_controls(progress)
        if rays is not None:
            self._set_counter(Counter.RAYS, rays)
        for call in self._gradients:
            call()
        count, pixels = self._counter(Counter.RAYS), self._counter(Counter.PIXELS)
        drawn, targets = (self._arrays[name][:count].cpu().numpy() for name in ("rays", "targets"))
        scale = 1.0 / (LOSS_SCALE * max(pixels, 1))
        found = {name: self._arrays[f"{name}_gradient"] * scale for name in self._parts()}
        found |= self._parameters.matrices_of(found.pop("matrix"))
        batch = Rays(drawn[:, :3], drawn[:, 4:7], targets, drawn[:, 3], self._together, self._background)
        loss = float(self._arrays["state"][State.LOSS_SUM]) / max(pixels, 1)
        samples, dropped = self._counter(Counter.SAMPLES), self._counter(Counter.DROPPED_RAYS)
        for name in self._parts():
            self._arrays[f"{name}_gradient"].zero_()
        self._set_counter(Counter.RAYS, before)
        return Gradients(batch, drawn[:, 7], self._stride, samples, dropped, loss, found)

    @failures_told
    def synchronise(self) -> None:
        self._look()
        while self._looks:
            self._finish_look()

    def _write_controls(self, progress: float) -> None:
        """The settings of the next step, in a row that no step under way reads."""
        recipe = self._recipe
        row = self._ring[self._steps % RING]
        if progress >= recipe.whole_pixels_from and self._together == 1:
            # a pixel's colour is that of its whole area: the rays that `render_view` will see it by
            self._together = len(PATTERN)
            self._arrays["pattern"][: self._together] = self._pattern
        settings, choices = row.numpy()[:16].view(np.float32), row.numpy()[16:]
        settings[Setting.RATE] = self.caution * recipe.rate(self._steps, progress)
        settings[Setting.BETA1], settings[Setting.BETA2] = recipe.betas
        settings[Setting.ADAM_EPSILON] = ADAM_EPSILON
        settings[Setting.LOSS_SCALE] = LOSS_SCALE
        settings[Setting.LOSS_EPSILON] = recipe.epsilon
        settings[Setting.ALPHA_WEIGHT] = recipe.alpha_weight
        settings[Setting.SHADE_ABOVE] = recipe.shade_above
        settings[Setting.BACKGROUND : Setting.BACKGROUND + 3] = self._background
        choices[Choice.TOGETHER] = self._together
        choices[Choice.WANTED_SAMPLES] = self._wanted
        choices[Choice.LEAST_RAYS] = LEAST_RAYS
        choices[Choice.MOST_RAYS] = self._most_rays
        self._controls.copy_(row, non_blocking=True)

    def _look(self) -> None:
        """Have the counters copied; take in an older copy when too many are under way."""
        if len(self._looks) == LOOKS_UNDER_WAY:
            self._finish_look()
        row = self._look_ring[self._looks_begun % len(self._look_ring)]
        self._looks_begun += 1
        row.copy_(self._counts, non_blocking=True)
        event = None
        if self._device.type == "cuda":
            event = torch.cuda.Event()
            event.record()
        self._looks.append((row, event))

    def _finish_look(self) -> None:
        row, event = self._looks.popleft()
        if event is not None:
            event.synchronize()
        counters, state = row.numpy()[:16].view(np.uint32), row.numpy()[16:].view(np.float32)
        totals = counters[Counter.TOTAL_SAMPLES : Counter.TOTAL_RAYS + 2].view(np.uint64)
        self.samples, self.rays = int(totals[0]), int(totals[1])
        updates, skipped = int(counters[Counter.UPDATES]), int(counters[Counter.SKIPPED])
        moved, lost = updates - self._seen_updates, skipped - self._seen_skipped
        self._seen_updates, self._seen_skipped = updates, skipped
        if moved or lost:
            # a step with a gradient that is not finite changes nothing; when that goes on, something is broken
            self.loss = float(state[State.LOSS]) if moved else math.nan

    @failures_told
    def occupied(self) -> NDArray[np.bool_]:
        occupied: NDArray[np.bool_] = occupied_cells(self._arrays["bits"], self._resolution).cpu().numpy()
        return occupied

    @failures_told
    def look_everywhere(self) -> None:
        for call in self._everywhere:
            call()

    @failures_told
    def snapshot(self) -> Any:
        if not all(bool(torch.isfinite(self._arrays[name]).all()) for name in self._trained()):
            return None
        return self._state()

    @failures_told
    def restore(self, snapshot: Any) -> None:
        self._restore(snapshot)
        self.loss = math.nan  # of another field: the next step will tell
        self._seen_skipped = self._counter(Counter.SKIPPED)

    def _trained(self) -> list[str]:
        return [f"{part}_{kind}" for part in self._parts() for kind in ("master", "first", "second")]

    def _parts(self) -> list[str]:
        return [name for name in ("table", "background_table", "matrix") if f"{name}_gradient" in self._arrays]

    def _state(self) -> _State:
        names = [*self._trained(), "cell_density"]
        copies = {name: self._arrays[name].clone() for name in names}
        return _State(self._steps, self._counter(Counter.UPDATES), copies)

    def _restore(self, state: _State) -> None:
        self._looks.clear()
        for name, values in state.arrays.items():
            self._arrays[name].copy_(values)
        for name in self._parts():
            self._arrays[f"{name}_gradient"].zero_()
        self._steps = state.steps
        self._set_counter(Counter.UPDATES, state.updates)
        self._seen_updates = state.updates
        self._parameters.pack()
        # what `update_occupancy` clears for the two that follow it
        for name in ("bits", "coarse"):
            self._arrays[name].zero_()
        self._arrays["state"][State.THICKNESS_SUM : State.ASKED + 1] = 0.0
        for call in self._thresholds:
            call()

    def _counter(self, which: Counter) -> int:
        return int(self._counts[which].item()) & 0xFFFFFFFF

    def _set_counter(self, which: Counter, value: int) -> None:
        self._counts[which] = value


_KINDS = ("gradient", "master", "first", "second")
# the order of `signatures.py`
_FORWARD_AND_BACKWARD = (
    "begin_step",
    "generate_rays",
    "march_rays",
    "forward_density",
    "weigh",
    "forward_colour",
    "forward_background",
    "composite_loss",
    "backward_colour",
    "backward_density",
    "backward_background",
)
