# SPDX-License-Identifier: GPL-3.0-or-later
"""How many pixels a 3D view marches, and when.

While the view moves a picture of fewer pixels is marched, as many as the GPU manages in a moment. When it rests the
full picture follows, a band of rows with each redraw, so that the interface answers even where the GPU is a processor.
A picture that is complete is kept until something changes.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .depth import depth_texture
from .march import Picture, PlacedTwin, Rectangle, march, new_picture

# what a picture may cost while the view moves, and one band when it rests, seconds
MOMENT = 0.06
# the view rests when it has not moved for this long, seconds
REST = 0.15
COARSEST = 8


@dataclass
class Pictures:
    """What one 3D view has marched.

    Attributes:
        subject: all that the pictures depend on but the depth buffer.
        depth: the depth buffer they were marched with.
        coarse: complete, of fewer pixels.
        fine: all pixels, complete from the bottom up to the fraction `done`.
        moved: when the subject changed last, seconds.
        seconds_per_pixel: measured.
    """

    subject: Hashable = None
    depth: NDArray[np.float32] | None = None
    coarse: Picture | None = None
    fine: Picture | None = None
    done: float = 0.0
    moved: float = 0.0
    seconds_per_pixel: float = 1e-6

    @property
    def best(self) -> Picture:
        """The one to show."""
        picture = self.fine if self.done >= 1.0 else self.coarse
        assert picture is not None, "nothing was marched yet"
        return picture


def march_what_is_due(
    pictures: Pictures,
    placed: Sequence[PlacedTwin],
    view_matrix: NDArray[np.float64],
    projection_matrix: NDArray[np.float64],
    size: tuple[int, int],
    rectangle: Rectangle,
    depth: NDArray[np.float32],
    grid_line_width: int = 0,
) -> float | None:
    """Bring the pictures of a 3D view one step on; seconds until the next step, None when they are complete.

    Args:
        pictures: of that view; changed.
        placed, view_matrix, projection_matrix, size, rectangle, grid_line_width: as for `march`.
        depth: [height, width] of `rectangle`, depth-buffer values at which rays end.
    """
    subject = (
        view_matrix.tobytes(),
        projection_matrix.tobytes(),
        size,
        grid_line_width,
        tuple(
            (
                id(one.textures),
                one.world_from_field.tobytes(),
                None if one.world_from_crop is None else one.world_from_crop.tobytes(),
                one.layer.number if one.layer else 0,
            )
            for one in placed
        ),
    )
    now = time.monotonic()
    changed = subject != pictures.subject or pictures.depth is None or not np.array_equal(depth, pictures.depth)
    if not changed and pictures.done >= 1.0:
        return None
    rest = REST - (now - pictures.moved)
    if not changed and rest > 0.0:
        return rest
    pixels = rectangle.width * rectangle.height
    marches = any(one.layer is None for one in placed)
    # a frame that is there already costs next to nothing
    cost = pixels * pictures.seconds_per_pixel if marches else 0.0
    texture = depth_texture(depth)
    if changed:
        pictures.subject, pictures.depth, pictures.moved, pictures.done = subject, depth, now, 0.0
        reduction = min(max(int(np.ceil(np.sqrt(cost / MOMENT))), 1), COARSEST)
        wanted = max(rectangle.width // reduction, 1), max(rectangle.height // reduction, 1)
        if reduction == 1:
            pictures.fine = target = _picture(pictures.fine, wanted)
        else:
            pictures.coarse = target = _picture(pictures.coarse, wanted)
        rows = (0.0, 1.0)
    else:
        pictures.fine = target = _picture(pictures.fine, (rectangle.width, rectangle.height))
        band = max(MOMENT / max(cost, 1e-9), 1.0 / rectangle.height)
        rows = (pictures.done, min(pictures.done + band, 1.0))
        reduction = 1
    start = time.perf_counter()
    march(placed, view_matrix, projection_matrix, size, rectangle, target, texture, rows, grid_line_width)
    _wait_for(target)
    elapsed = time.perf_counter() - start
    marched = target.size[0] * target.size[1] * (rows[1] - rows[0])
    # a few pixels say little: their time is mostly that of the call
    if marches and marched > 1000:
        found = elapsed / marched
        # slow once, for example because the shader was compiled, is not slow for ever
        pictures.seconds_per_pixel = min(found, 0.5 * (pictures.seconds_per_pixel + found))
    if reduction == 1:
        pictures.done = rows[1]
    if pictures.done >= 1.0:
        return None
    return REST if changed else 0.0


def _picture(existing: Picture | None, size: tuple[int, int]) -> Picture:
    return existing if existing is not None and existing.size == size else new_picture(size)


def _wait_for(target: Picture) -> None:
    """Until the GPU has finished, so that what it was asked for can be timed."""
    with target.framebuffer.bind():
        target.framebuffer.read_color(0, 0, 1, 1, 4, 0, "FLOAT")
