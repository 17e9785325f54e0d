# SPDX-License-Identifier: GPL-3.0-or-later
"""The rig's cameras drawn as pyramids: where their lines are seen, and hidden by what stands before them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from mathutils import Matrix

from radiance_twin.addon.viewport import frusta
from radiance_twin.core.cameras import Camera, look_at

SIZE = (128, 96)
COLOUR = (0.25, 0.5, 1.0, 1.0)
# an orthographic view from above: 2 units are as wide as the picture
VIEW = Matrix.Translation((0.0, 0.0, -1.0))
PROJECTION = Matrix.Diagonal((1.0, SIZE[0] / SIZE[1], -0.5, 1.0))


@pytest.fixture
def lines() -> Iterator[np.ndarray]:
    """Of one camera that looks along x, 0.8 long, as they are seen from above in pixels [10, 2, 2]."""
    camera = Camera(look_at((-0.4, 0, 0), (1, 0, 0)), np.array([100.0, 100.0, 50.0, 40.0]), (100, 80))
    ends = frusta.lines_of([camera], 0.8)
    frusta.show([(ends, COLOUR)])
    yield (ends[:, :2] * (0.5 * SIZE[0]) + (0.5 * SIZE[0], 0.5 * SIZE[1])).reshape(-1, 2, 2)
    frusta.show([])


def drawn(gpu: Any, pixels_of: Any, depth: float) -> np.ndarray:
    """[height, width, 3], row 0 at the bottom, in front of something at `depth` of the depth buffer."""
    colour = gpu.types.GPUTexture(SIZE, format="RGBA32F")
    behind = gpu.types.GPUTexture(SIZE, format="DEPTH_COMPONENT32F")
    framebuffer = gpu.types.GPUFrameBuffer(depth_slot=behind, color_slots=colour)
    with framebuffer.bind():
        framebuffer.clear(color=(0.0, 0.0, 0.0, 1.0), depth=depth)
        gpu.matrix.load_matrix(VIEW)
        gpu.matrix.load_projection_matrix(PROJECTION)
        frusta.draw()
        gpu.matrix.load_matrix(Matrix.Identity(4))
        gpu.matrix.load_projection_matrix(Matrix.Identity(4))
    return pixels_of(framebuffer, SIZE)[::-1, :, :3]


def test_lines_are_drawn_where_the_camera_is(gpu: Any, pixels_of: Any, lines: np.ndarray) -> None:
    picture = drawn(gpu, pixels_of, depth=1.0)
    for first, last in lines:
        for share in (0.1, 0.5, 0.9):
            x, y = np.round(first + share * (last - first) - 0.5).astype(int)
            near = picture[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].max(axis=(0, 1))
            assert near == pytest.approx(COLOUR[:3], abs=0.35) and near[2] > 0.6
    assert (picture.max(axis=-1) > 0.05).mean() < 0.15, "and nowhere else"
    assert not picture[:, : SIZE[0] // 4].any()


def test_what_stands_before_the_lines_hides_them(gpu: Any, pixels_of: Any, lines: np.ndarray) -> None:
    assert not drawn(gpu, pixels_of, depth=0.0).any()


def test_nothing_is_drawn_any_more_when_the_lines_are_taken_away(gpu: Any, pixels_of: Any, lines: np.ndarray) -> None:
    frusta.show([])
    assert not drawn(gpu, pixels_of, depth=1.0).any()
