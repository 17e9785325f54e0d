# SPDX-License-Identifier: GPL-3.0-or-later
"""Exact frames in a 3D view: what is wished for each twin, and what has come of it.

Drawing says what it shows and takes what is there; somebody above (addon/exact_frames.py) asks the worker and brings
the pixels. The two never wait for each other. A wish is for one view: when anything moves there is a new one.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field

import bpy
import gpu
import numpy as np
from numpy.typing import NDArray

from .march import CUBE, Layer, PlacedTwin, Rectangle, screen_rectangle
from .textures import float_buffer
from .twin import bake_of, path_of, settings_of

Matrix = NDArray[np.float64]

MOST_REGIONS = 8
# before a view counts as resting, seconds
REST = 0.2

_numbers = itertools.count(1)


@dataclass
class Wish:
    """One twin as one view sees it.

    Attributes:
        key: all that the frame depends on.
        twin: absolute path of the .twin.
        camera_to_world: [4, 4], OpenGL axes.
        intrinsics: fx fy cx cy in pixels, of the rectangle; fx and fy in pixels per unit in an orthographic view.
        orthographic: whether it is one. Then the camera stands `back` units behind the view's own.
        rectangle: the part of the view in which the twin is.
        world_from_object: [4, 4].
        behind: whether what lies behind a scene with film "world" is part of the frame; for a twin among the user's own
            objects it is not.
        since: when it was first wished, seconds.
        problem: why it cannot be fulfilled; empty as long as it can.
        complete: whether the frame is the one that was wished, not a coarse one.
        seconds: that the worker took for it.
        training: how far the training is whose field this is, in words; empty when it is not being trained.
        taken: when the last frame came, seconds.
    """

    key: Hashable
    twin: str
    camera_to_world: Matrix
    intrinsics: Matrix
    rectangle: Rectangle
    world_from_object: Matrix
    behind: bool = False
    orthographic: bool = False
    back: float = 0.0
    since: float = field(default_factory=time.monotonic)
    problem: str = ""
    complete: bool = False
    seconds: float = 0.0
    training: str = ""
    taken: float = 0.0
    _pixels: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
    _layer: Layer | None = None

    @property
    def is_due(self) -> bool:
        """Whether the view has rested long enough to ask."""
        return not self.problem and not self.complete and time.monotonic() - self.since > REST

    @property
    def is_shown(self) -> bool:
        """Whether there is anything to show of it."""
        return self._pixels is not None or self._layer is not None

    def shows(self, path: str) -> bool:
        """Whether it is of the twin at `path`."""
        return os.path.normpath(path) == self.twin

    def fulfil(self, rgba: NDArray[np.float32], depth: NDArray[np.float32], complete: bool) -> None:
        """Bring pixels [h, w, 4] and planar depth [h, w], row 0 at the top; a coarse frame has fewer of them."""
        self._pixels = rgba, depth
        self.complete = complete
        self.taken = time.monotonic()

    def layer(self) -> Layer | None:
        """The frame on the GPU, None when there is none yet. Needs a GPU context."""
        if self._pixels is not None:
            rgba, depth = self._pixels
            # OpenGL's rows run from the bottom to the top
            size = depth.shape[::-1]
            light = gpu.types.GPUTexture(size, format="RGBA16F", data=float_buffer(rgba[::-1]))
            planar = gpu.types.GPUTexture(size, format="R32F", data=float_buffer(depth[::-1]))
            self._layer, self._pixels = Layer(light, planar, self.rectangle, next(_numbers), self.back), None
        return self._layer


# of each region, by the twin's object
_wishes: dict[int, dict[int, Wish]] = {}


def wish_of(
    thing: bpy.types.Object,
    twin: PlacedTwin,
    region: int,
    view_matrix: Matrix,
    projection_matrix: Matrix,
    size: tuple[int, int],
    at_home: bool = False,
) -> Wish | None:
    """What is wished for a twin in a region, and what has come of it; None when nothing is.

    Args:
        thing: its object.
        twin: where it stands.
        region: any number that tells this region from others.
        view_matrix, projection_matrix, size: as for `march`.
        at_home: whether it stands where its original stood, with what lay behind that.
    """
    of_region = _wishes.pop(region, {})
    _wishes[region] = of_region
    while len(_wishes) > MOST_REGIONS:
        del _wishes[next(iter(_wishes))]
    bake = bake_of(thing)
    behind = at_home and bake is not None and bake.behind
    rectangle = screen_rectangle([twin], view_matrix, projection_matrix, size)
    if behind:
        rectangle = Rectangle(0, 0, *size)
    if not settings_of(thing).exact_frame or rectangle is None:
        of_region.pop(thing.as_pointer(), None)
        return None
    path, cropped = path_of(thing), twin.world_from_crop is not None
    key = (
        path,
        id(twin.textures),
        cropped,
        twin.world_from_field.tobytes(),
        view_matrix.tobytes(),
        projection_matrix.tobytes(),
        rectangle,
        behind,
    )
    wish = of_region.get(thing.as_pointer())
    if wish is None or wish.key != key:
        pose, intrinsics = np.linalg.inv(view_matrix), intrinsics_of(projection_matrix, size, rectangle)
        world_from_object = np.eye(4) if at_home else np.array(thing.matrix_world, np.float64)
        orthographic = is_orthographic(projection_matrix)
        back = _back(twin, view_matrix, projection_matrix) if orthographic else 0.0
        pose[:3, 3] += back * pose[:3, 2]
        wish = Wish(key, path, pose, intrinsics, rectangle, world_from_object, behind, orthographic, back)
        if cropped:
            wish.problem = "no field of a cropped twin"
        of_region[thing.as_pointer()] = wish
    return wish


def is_orthographic(projection_matrix: Matrix) -> bool:
    """Whether OpenGL's projection matrix is one of parallel rays."""
    return bool(abs(projection_matrix[3, 3]) > 0.5)


def _back(twin: PlacedTwin, view_matrix: Matrix, projection_matrix: Matrix) -> float:
    """How far behind the view's own plane rays have to start so that they meet all of the twin that is in the view: an
    orthographic viewport shows what is behind its eye, too."""
    view_from_field = view_matrix @ twin.world_from_field
    nearest = float((CUBE @ view_from_field[2, :3] + view_from_field[2, 3]).max())
    near_plane = (-1.0 - projection_matrix[2, 3]) / projection_matrix[2, 2]
    return min(nearest, float(near_plane))


def intrinsics_of(projection_matrix: Matrix, size: tuple[int, int], rectangle: Rectangle) -> Matrix:
    """fx fy cx cy in pixels of a part of a viewport of `size`, v running down, from OpenGL's projection matrix; fx and
    fy in pixels per unit of an orthographic one."""
    width, height = size
    projection = np.asarray(projection_matrix, np.float64)
    top = height - rectangle.y - rectangle.height
    if is_orthographic(projection):
        return np.array(
            [
                0.5 * width * projection[0, 0],
                0.5 * height * projection[1, 1],
                0.5 * width * (1.0 + projection[0, 3]) - rectangle.x,
                0.5 * height * (1.0 - projection[1, 3]) - top,
            ]
        )
    return np.array(
        [
            0.5 * width * projection[0, 0],
            0.5 * height * projection[1, 1],
            0.5 * width * (1.0 - projection[0, 2]) - rectangle.x,
            0.5 * height * (1.0 + projection[1, 2]) - top,
        ]
    )


def wishes() -> Iterator[Wish]:
    """All of them, those of the region that was drawn last first."""
    for of_region in reversed(list(_wishes.values())):
        yield from of_region.values()


def wishes_of(region: int) -> list[Wish]:
    """Those of one region."""
    return list(_wishes.get(region, {}).values())


def forget_wishes(region: int | None = None, but: Sequence[bpy.types.Object] = ()) -> None:
    """Those of one region, `but` those of objects that are seen in it; or all."""
    if region is None:
        _wishes.clear()
        return
    of_region = _wishes.get(region, {})
    for gone in of_region.keys() - {thing.as_pointer() for thing in but}:
        del of_region[gone]
