# SPDX-License-Identifier: GPL-3.0-or-later
"""The twin as a volume: density and colour on a grid, fitted to the field's pictures; Blender's part writes it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..bake.dense import bake_grid
from ..cameras import Camera, pixel_grid, rays_in_field, uniform_scale
from ..errors import Cancelled, UserError
from ..field.cpu import thread_count
from ..field.occupancy import dilate
from ..field.render import PATTERN, TrainedField
from ..processes import blender_command
from ..reporting import Reporter, time_left
from ..worker.child import Child, ChildCrashed
from .kernels import march_grid
from .shots import field_rays

F8 = NDArray[np.float64]
F4 = NDArray[np.float32]

# rays whose pictures the grid is fitted to, and steps of that
FIT_RAYS = 400_000
FIT_STEPS = 200


@dataclass(frozen=True)
class VolumeGrid:
    """The part of a grid that holds anything.

    Attributes:
        density: [nx, ny, nz] per unit of field length, at the voxels' centres.
        colour: [nx, ny, nz, 3] scene-linear radiance, not premultiplied.
        lower: [3] index of the first voxel in the field's cube of `resolution`³ voxels.
        world_from_field: [4, 4].
    """

    density: F4
    colour: F4
    lower: NDArray[np.int64]
    resolution: int
    world_from_field: F8

    @property
    def world_from_index(self) -> F8:
        """[4, 4]: takes a voxel's index in the cut-out to its centre in the world."""
        half_voxel = (self.lower + 0.5) / self.resolution
        field_from_index = np.diag([1.0 / self.resolution] * 3 + [1.0])
        field_from_index[:3, 3] = half_voxel
        result: F8 = self.world_from_field @ field_from_index
        return result

    @property
    def world_density(self) -> F4:
        """[nx, ny, nz] per world unit, as Blender's shaders take it."""
        return self.density / np.float32(uniform_scale(self.world_from_field))

    def picture(self, camera: Camera, step: float = 0.5) -> F4:
        """[H, W, 4] scene-linear, premultiplied, by four rays to a pixel; `step` is in voxels."""
        centres = pixel_grid(*camera.size).reshape(-1, 2)
        seen = np.zeros((len(centres), 4))
        parts = np.linspace(0, len(centres), 8 * thread_count() + 1).astype(int)
        cut = (self.density, self.colour, self.lower.astype(np.float64), float(self.resolution))
        with ThreadPoolExecutor(thread_count()) as pool:
            for right, down, _ in PATTERN:
                origin, ways = rays_in_field(camera, centres + np.array([right, down]), self.world_from_field)
                out = np.empty((len(ways), 4))

                def part(index: int, origin: F8 = origin, ways: F8 = ways, out: F8 = out) -> None:
                    rows = slice(parts[index], parts[index + 1])
                    march_grid(*cut, origin, ways[rows], step / self.resolution, out[rows])

                list(pool.map(part, range(len(parts) - 1)))
                seen += out / len(PATTERN)
        return seen.reshape(camera.size[1], camera.size[0], 4).astype(np.float32)


def volume_grid(
    field: TrainedField, cameras: Sequence[Camera], resolution: int, pool: ThreadPoolExecutor, reporter: Reporter
) -> VolumeGrid:
    """Sample the field into a grid and fit that to what the cameras see.

    The colour of a voxel is what the cameras that see it see there, in the mean: a volume does not know from where it
    is looked at.

    Raises:
        UserError: there is nothing dense. Cancelled: the reporter said so.
    """
    reporter.progress("sample", 0.0, 1.0, text=f"{resolution}³ voxels")

    def asked() -> None:
        if reporter.cancelled():
            raise Cancelled

    began = 0.0

    def fitted(step: int) -> None:
        nonlocal began
        asked()
        began = began or time.monotonic()
        # the first step may have to compile, and tells nothing of the others
        left = time_left(time.monotonic() - began, step - 1, FIT_STEPS - 1)
        reporter.progress("fit", step, FIT_STEPS, seconds_left=left)

    rays = field_rays(cameras, field.world_from_field, FIT_RAYS, reporter)
    baked = bake_grid(field, rays, pool, FIT_STEPS, fitted, resolution, asked)
    density, colour = baked["bake/density"].astype(np.float32), baked["bake/colour"]
    filled = density > 0.0
    if not filled.any():
        raise UserError("the twin has nothing dense enough to be a volume; train longer")
    # interpolation reads colours one voxel farther than there is density
    shown = dilate(filled)
    lower, upper = (
        np.array([f(np.flatnonzero(shown.any(axis=axes))) for axes in ((1, 2), (0, 2), (0, 1))])
        for f in (np.min, np.max)
    )
    cut = tuple(slice(low, high + 1) for low, high in zip(lower, upper, strict=True))
    kept = np.where(shown[cut][..., None], colour[cut].astype(np.float32), np.float32(0.0))
    return VolumeGrid(density[cut], kept, lower.astype(np.int64), resolution, field.world_from_field)


def write_vdb(grid: VolumeGrid, output: Path, blender: str, reporter: Reporter) -> None:
    """Have Blender's part write a grid as OpenVDB: float `density` per world unit, vec3s `color`.

    Args:
        output: any name; replaced when it is there.
        blender: see `processes.find_blender`.

    Raises:
        UserError: Blender cannot be started, or crashed. Cancelled: the reporter said so.
    """
    reporter.progress("write", 0.0, 1.0, text="Blender writes the .vdb")
    with tempfile.TemporaryDirectory(prefix="radiance_twin_") as folder:
        arguments = {"output": str(output), "world_from_index": grid.world_from_index.tolist()}
        for name, array in (("density", grid.world_density), ("color", grid.colour)):
            arguments[name] = str(Path(folder) / f"{name}.npy")
            np.save(str(arguments[name]), np.ascontiguousarray(array, np.float32))
        log = Path(folder) / "blender.log"
        try:
            Child(blender_command(blender, "addon.studio"), "write_volume", arguments, log).run(reporter)
        except ChildCrashed as crash:
            raise UserError(
                f"Blender ended (exit code {crash.returncode}) without writing the volume: "
                f"{crash.log.splitlines()[-1] if crash.log else 'no word from it'}; name another one by --blender"
            ) from crash
    reporter.progress("write", 1.0, 1.0)
