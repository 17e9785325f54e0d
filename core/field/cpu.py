# SPDX-License-Identifier: GPL-3.0-or-later
"""The fast CPU execution: numba for the loops, PyTorch's matrix product for the networks, one thread per core.

A batch of rays is cut into blocks. A block goes through marching, encoding, both networks, compositing and all the way
back on one thread while its arrays lie in that core's cache; the tables' gradients then run in parallel over levels.
Blocks are the same whatever the number of threads, and sums run in the blocks' order: the same input gives the same
bits.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import cpu_kernels as kernels
from .cpu_rays import march_on
from .directions import COUNT as DIRECTION_FEATURES
from .hash_grid import GridLayout
from .model import DENSITY_BOUND, RADIANCE_BOUND, RadianceField
from .occupancy import coarse_blocks

F4 = NDArray[np.float32]
Array = NDArray[Any]

RAYS_PER_BLOCK = 256
# so many samples of a block are computed at once before it is asked which rays go on: what fits into a core's cache
ROWS_PER_WAVE = 4096
LEAST_PER_WAVE = 8
# the last layer of the colour network is padded to this width: narrow products are slow
PADDED = 16
RENDER_THRESHOLD = 1e-3


def thread_count() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def thread_pool() -> ThreadPoolExecutor:
    """One thread per core; PyTorch's own threads are switched off inside them."""
    return ThreadPoolExecutor(thread_count(), "field", initializer=lambda: torch.set_num_threads(1))


class Workspace:
    """Arrays that grow when a block needs more rows and are used again by the next one."""

    def __init__(self) -> None:
        self._arrays: dict[str, Array] = {}

    def array(self, name: str, rows: int, *shape: int, dtype: Any = np.float32) -> Array:
        """[rows, *shape], contents undefined."""
        held = self._arrays.get(name)
        if held is None or len(held) < rows or held.shape[1:] != shape:
            held = np.empty((rows + rows // 4, *shape), dtype)
            self._arrays[name] = held
        return held[:rows]

    def extended(self, name: str, kept: int, rows: int, *shape: int, dtype: Any = np.float32) -> Array:
        """[rows, *shape], of which the first `kept` hold what they held before."""
        before = self._arrays.get(name)
        array = self.array(name, rows, *shape, dtype=dtype)
        if before is not None and kept and self._arrays[name] is not before:
            array[:kept] = before[:kept]
        return array


@dataclass
class Grid:
    """An occupancy grid as the marching kernel wants it: small enough for a core's own cache."""

    bits: Array
    coarse: Array

    @classmethod
    def of(cls, occupied: NDArray[np.bool_]) -> Grid:
        coarse = np.ascontiguousarray(coarse_blocks(occupied)).view(np.uint8)
        return cls(np.packbits(occupied, axis=2, bitorder="little"), coarse)


class Network:
    """A perceptron's matrices, with the widths padded for speed, and its forward and backward pass over rows."""

    def __init__(self, layers: Iterable[Tensor], padded_output: int) -> None:
        self.layers = [layer.detach() for layer in layers]
        self.outputs = self.layers[-1].shape[1]
        self._last = torch.zeros(self.layers[-1].shape[0], max(padded_output, self.outputs))
        self.refresh()

    def refresh(self) -> None:
        """Take over changed parameters."""
        self._last[:, : self.outputs] = self.layers[-1]

    def _matrices(self) -> list[Tensor]:
        return [*self.layers[:-1], self._last]

    def forward(self, inputs: Array, space: Workspace, name: str, first: int = 0) -> list[Array]:
        """[inputs, every hidden layer's output, the output [rows, padded]]; computes the rows from `first` on."""
        values = [inputs]
        matrices = self._matrices()
        for index, matrix in enumerate(matrices):
            out = space.extended(f"{name}{index}", first, len(inputs), matrix.shape[1])
            target = torch.from_numpy(out[first:])
            torch.mm(torch.from_numpy(values[-1][first:]), matrix, out=target)
            if index + 1 < len(matrices):
                target.relu_()
            values.append(out)
        return values

    def backward(self, values: list[Array], gradient: Array, space: Workspace, name: str) -> tuple[Array, list[Tensor]]:
        """Gradient for the inputs and for each matrix, from the one for the output (padding zero)."""
        matrices = self._matrices()
        sums: list[Tensor] = []
        for index in range(len(matrices) - 1, -1, -1):
            upstream = torch.from_numpy(gradient)
            sums.append(torch.from_numpy(values[index]).t() @ upstream)
            below = space.array(f"{name}d{index}", len(gradient), matrices[index].shape[0])
            torch.mm(upstream, matrices[index].t(), out=torch.from_numpy(below))
            if index > 0:
                kernels.relu_backward(values[index], below)
            gradient = below
        sums.reverse()
        sums[-1] = sums[-1][:, : self.outputs]
        return gradient, sums


def encode(positions: F4, table: F4, layout: GridLayout, out: F4) -> None:
    """`hash_grid.encode` into `out` [N, levels·4]."""
    kernels.encode(positions, table, layout.resolutions, layout.offsets, layout.dense, layout.table_size, out)


@dataclass
class Seen:
    """A block's forward pass, with what the backward pass needs."""

    positions: F4
    ray: Array
    thickness: F4
    weights: F4
    transmittance: F4  # [R] at each ray's end
    shaded: Array
    density_values: list[Array]
    colour_values: list[Array]
    pixels: F4  # [R, 5] premultiplied colour, alpha, expected distance times alpha
    behind: F4  # [R, 3]
    background_positions: F4
    background_values: list[Array]


class CpuField:
    """A field's parameters (shared with the `RadianceField`, changed in place by training) and its passes."""

    def __init__(self, field: RadianceField) -> None:
        self.field = field
        self.config = field.config
        self.table: F4 = field.table.detach().numpy()
        self.density = Network(field.density, field.config.geometry_features)
        self.colour = Network(field.colour, PADDED)
        self.background_table: F4 | None = None
        if field.background_table is not None:
            self.background_table = field.background_table.detach().numpy()
            self.background = Network(field.background, PADDED)
            self.background_layout = field.config.background_layout

    def refresh(self) -> None:
        """Take over changed parameters."""
        self.density.refresh()
        self.colour.refresh()
        if self.background_table is not None:
            self.background.refresh()

    def density_at(self, positions: F4) -> F4:
        """Density [N] at `positions` [N, 3]."""
        space = Workspace()
        encoded = space.array("encoded", len(positions), self.config.levels * 4)
        encode(positions, self.table, self.field.layout, encoded)
        logarithm = self.density.forward(encoded, space, "density")[-1][:, 0]
        return np.exp(np.minimum(logarithm + np.float32(self.config.density_shift), np.float32(DENSITY_BOUND)))

    def forward(
        self,
        origins: F4,
        directions: F4,
        last: F4,
        jitter: F4,
        grid: Grid,
        step: float,
        threshold: float,
        space: Workspace,
    ) -> Seen:
        """March, encode, shade and composite one block of rays.

        Rays advance in waves, each some samples of all rays that are not yet opaque (that let more than `threshold`
        through). Samples stand in the order of the waves, those of one wave in the order of the rays.
        """
        rays = len(origins)
        harmonics = space.array("harmonics", rays, DIRECTION_FEATURES)
        kernels.spherical_harmonics(directions, harmonics)
        cursor = space.array("cursor", rays, dtype=np.int32)
        transmittance = space.array("transmittance", rays)
        cursor[:], transmittance[:] = 0, 1.0
        features = self.config.geometry_features
        count, number = 0, 0
        while alive := int(np.count_nonzero(cursor >= 0)):
            first, most = count, max(ROWS_PER_WAVE // alive, LEAST_PER_WAVE)
            room = first + alive * most
            positions, times = space.extended("positions", first, room, 3), space.extended("times", first, room)
            ray = space.extended("ray", first, room, dtype=np.int32)
            count += march_on(
                origins,
                directions,
                last,
                jitter,
                np.float32(step),
                grid.bits,
                grid.coarse,
                most,
                cursor,
                positions[first:],
                times[first:],
                ray[first:],
            )
            encoded = space.extended("encoded", first, count, self.config.levels * 4)
            encode(positions[first:count], self.table, self.field.layout, encoded[first:])
            density_values = self.density.forward(encoded, space, "density", first)
            thickness, weights = space.extended("thickness", first, count), space.extended("weights", first, count)
            shaded = space.extended("shaded", number, number + count - first, dtype=np.int64)
            inputs = space.extended("inputs", number, number + count - first, features + DIRECTION_FEATURES)
            number = kernels.weigh(
                density_values[-1],
                ray,
                first,
                harmonics,
                np.float32(step),
                np.float32(self.config.density_shift),
                np.float32(DENSITY_BOUND),
                np.float32(threshold),
                transmittance,
                cursor,
                thickness,
                weights,
                shaded,
                number,
                inputs,
            )
        positions, times, ray, shaded = positions[:count], times[:count], ray[:count], shaded[:number]
        colour_values = self.colour.forward(inputs[:number], space, "colour")
        pixels = space.array("pixels", rays, 5)
        kernels.composite(colour_values[-1], np.float32(RADIANCE_BOUND), weights, times, ray, shaded, pixels)
        behind = space.array("behind", rays, 3)
        background_positions = space.array("background_positions", rays, 3)
        background_values: list[Array] = []
        if self.background_table is None:
            behind[:] = 0.0
        else:
            np.multiply(directions, np.float32(0.5), out=background_positions)
            background_positions += np.float32(0.5)
            code = space.array("background_encoded", rays, self.background_layout.levels * 4)
            encode(background_positions, self.background_table, self.background_layout, code)
            background_values = self.background.forward(code, space, "background")
            np.exp(np.minimum(background_values[-1][:, :3], RADIANCE_BOUND), out=behind)
        return Seen(
            positions,
            ray,
            thickness,
            weights,
            transmittance,
            shaded,
            density_values,
            colour_values,
            pixels,
            behind,
            background_positions,
            background_values,
        )

    def backward(self, seen: Seen, upstream: F4, step: float, space: Workspace) -> BlockGradient:
        """From the gradient [R, 4] for what the rays see (colour with the background, alpha) to all parameters'."""
        raw = space.array("raw_gradient", len(seen.shaded), PADDED)
        raw[:, 3:] = 0.0
        density = space.array("density_gradient", len(seen.weights))
        kernels.composite_backward(
            seen.colour_values[-1],
            np.float32(RADIANCE_BOUND),
            seen.weights,
            seen.thickness,
            np.float32(step),
            np.float32(DENSITY_BOUND),
            seen.ray,
            seen.shaded,
            upstream,
            seen.behind,
            seen.transmittance,
            space.array("rest", len(upstream)),
            raw,
            density,
        )
        inputs, colour = self.colour.backward(seen.colour_values, raw, space, "colour")
        geometry = space.array("geometry_gradient", len(seen.weights), self.config.geometry_features)
        kernels.merge_geometry_gradient(inputs, density, seen.shaded, len(seen.shaded), geometry)
        encoded, first = self.density.backward(seen.density_values, geometry, space, "density")
        gradient = BlockGradient(seen.positions, encoded, first + colour)
        if self.background_table is not None:
            through = (1.0 - seen.pixels[:, 3:4]) * upstream[:, :3] * seen.behind
            back = space.array("background_gradient", len(through), PADDED)
            back[:, :3] = np.where(seen.background_values[-1][:, :3] < RADIANCE_BOUND, through, 0.0)
            back[:, 3:] = 0.0
            code, matrices = self.background.backward(seen.background_values, back, space, "background")
            gradient.background_positions = seen.background_positions
            gradient.background_encoded = code
            gradient.matrices += matrices
        return gradient


@dataclass
class BlockGradient:
    """One block's gradient: for the encodings at its samples, and for the matrices (density, colour, background)."""

    positions: F4
    encoded: F4
    matrices: list[Tensor]
    background_positions: F4 | None = None
    background_encoded: F4 | None = None


class CpuRenderer:
    """Pictures from a field on all cores."""

    def __init__(self, field: RadianceField, occupied: NDArray[np.bool_], step: float) -> None:
        self._field = CpuField(field)
        self._grid = Grid.of(occupied)
        self._step = step

    def render(self, origins: F4, directions: F4, jitter: float = 0.5) -> tuple[F4, F4, F4]:
        """Colour [R, 3] with what lies behind, alpha [R], expected distance times alpha [R] (field units)."""
        out = np.empty((len(origins), 5), np.float32)

        def block(first: int) -> None:
            part = slice(first, first + RAYS_PER_BLOCK)
            rays = np.ascontiguousarray(directions[part])
            shape = len(rays)
            seen = self._field.forward(
                np.ascontiguousarray(origins[part]),
                rays,
                np.full(shape, 1e30, np.float32),
                np.full(shape, jitter, np.float32),
                self._grid,
                self._step,
                RENDER_THRESHOLD,
                Workspace(),
            )
            out[part] = seen.pixels
            out[part, :3] += (1.0 - seen.pixels[:, 3:4]) * seen.behind

        with thread_pool() as pool:
            list(pool.map(block, range(0, len(origins), RAYS_PER_BLOCK)))
        return out[:, :3], out[:, 3], out[:, 4]


def flat(tensor: Tensor) -> F4:
    """A parameter's values as a flat array that shares its memory."""
    return tensor.detach().view(-1).numpy()
