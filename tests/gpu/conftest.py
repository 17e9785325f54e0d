# SPDX-License-Identifier: GPL-3.0-or-later
"""Drawing without a window: bpy 5.2 gets a GPU context, of software where there is no GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import bpy  # noqa: F401  (gpu is a part of it)
import numpy as np
import pytest
from numpy.typing import NDArray

from radiance_twin.core.bake.bricks import Bricks, bricks_of_grid

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Blob:
    """A Gaussian cloud of one colour in the middle of a field, whose opacity along any line is known exactly.

    Attributes:
        peak: density in its middle, per field unit.
        deviation: its standard deviation, field units.
    """

    peak: float = 30.0
    deviation: float = 0.09
    colour: tuple[float, float, float] = (0.9, 0.5, 0.2)

    def grids(self, n: int = 64) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Density [n, n, n] and colour [n, n, n, 3]."""
        axis = (np.arange(n) + 0.5) / n - 0.5
        x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
        density = self.peak * np.exp(-(x**2 + y**2 + z**2) / (2 * self.deviation**2))
        return density.astype(np.float32), np.broadcast_to(np.float32(self.colour), (n, n, n, 3)).copy()

    def bricks(self, n: int = 64) -> Bricks:
        return bricks_of_grid(*self.grids(n))

    def opacity(self, distance: Any) -> Array:
        """Of a whole line that passes the middle at `distance` (field units)."""
        thickness = self.peak * self.deviation * np.sqrt(2 * np.pi)
        return 1.0 - np.exp(-thickness * np.exp(-(np.asarray(distance) ** 2) / (2 * self.deviation**2)))


@pytest.fixture(scope="session")
def gpu() -> Iterator[ModuleType]:
    """The module gpu, with a context."""
    import gpu

    from radiance_twin.addon.viewport import atlas, march

    gpu.init()
    yield gpu
    # what lives on the GPU has to go before the context does: freed at Python's end it crashes the process
    march.free()
    atlas.free()


@pytest.fixture
def blob() -> Blob:
    return Blob()


@pytest.fixture
def projection_of() -> Callable[..., Array]:
    """Intrinsics and size to OpenGL's projection matrix, as any textbook has it."""

    def projection(intrinsics: Any, size: tuple[int, int], near: float = 0.1, far: float = 100.0) -> Array:
        fx, fy, cx, cy = intrinsics
        width, height = size
        return np.array(
            [
                [2 * fx / width, 0, 1 - 2 * cx / width, 0],
                [0, 2 * fy / height, 2 * cy / height - 1, 0],
                [0, 0, -(far + near) / (far - near), -2 * far * near / (far - near)],
                [0, 0, -1, 0],
            ]
        )

    return projection


@pytest.fixture
def pixels_of(gpu: ModuleType) -> Callable[..., NDArray[np.float32]]:
    """What a framebuffer holds, [height, width, 4], row 0 at the top."""

    def pixels(framebuffer: Any, size: tuple[int, int]) -> NDArray[np.float32]:
        width, height = size
        with framebuffer.bind():
            buffer = framebuffer.read_color(0, 0, width, height, 4, 0, "FLOAT")
        buffer.dimensions = width * height * 4
        return np.frombuffer(buffer, np.float32).reshape(height, width, 4)[::-1].copy()

    return pixels


@pytest.fixture
def marched(gpu: ModuleType, pixels_of: Any) -> Callable[..., NDArray[np.float32]]:
    """March twins into a picture of a whole viewport: [height, width, 4] scene-linear, premultiplied."""
    from radiance_twin.addon.viewport.depth import depth_texture
    from radiance_twin.addon.viewport.march import Rectangle, march, new_picture

    def run(
        placed: Any, view: Any, projection: Any, size: tuple[int, int], depth: Any = None, **options: Any
    ) -> NDArray[np.float32]:
        picture = new_picture(size, "RGBA32F")
        scene_depth = None if depth is None else depth_texture(np.asarray(depth, np.float32)[::-1])
        march(placed, view, projection, size, Rectangle(0, 0, *size), picture, scene_depth, **options)
        return pixels_of(picture.framebuffer, size)

    return run
