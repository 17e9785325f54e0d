# SPDX-License-Identifier: GPL-3.0-or-later
"""What a dataset holds: a header, and the passes of each view. Numpy alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..colour import ViewTransform
from ..lenses import Kind

FORMAT = "radiance-twin-dataset"
# 1: the view transform was one table, view_transform/lut. 2: all cameras were pinholes, and there were no labels
VERSION = 3
# of a view, which is read into memory as a whole
MOST_PIXELS = 1 << 28


@dataclass(frozen=True)
class DatasetHeader:
    """All of a dataset but its pixels.

    Attributes:
        camera_to_world: [N, 4, 4] float64, OpenGL axes.
        intrinsics: [N, 4] float64 (fx fy cx cy, pixels).
        size: [N, 2] int32 (width height).
        camera_kind: of all cameras. distortion: [N, 6] float64 (k1 k2 p1 p2 k3 k4), None: none; see `lenses.py`.
        frame: [N] int32, the scene's frame of each view.
        splits: "train", "val", "test" to disjoint view indices.
        world_from_field: [4, 4] float64.
        bounds: [2, 3] float64, of everything that renders, world units.
        background: [3] scene-linear, what transparent views are composited over.
        film: "transparent" or "world".
        configuration: the settings that made it.
        view_transform: baked by Blender.
        objects: dictionaries with index, name, bounds (in the world), class, local_bounds (in the object's own space).
        classes, materials: dictionaries with index and name, of the passes class_index and material_index.
        scene_name, scene_hash, scene_bytes: of the .blend.
    """

    camera_to_world: NDArray[np.float64]
    intrinsics: NDArray[np.float64]
    size: NDArray[np.int32]
    frame: NDArray[np.int32]
    splits: dict[str, list[int]]
    world_from_field: NDArray[np.float64]
    bounds: NDArray[np.float64]
    film: str
    view_transform: ViewTransform
    background: tuple[float, float, float] = (0.0, 0.0, 0.0)
    configuration: dict[str, Any] = field(default_factory=dict)
    objects: list[dict[str, Any]] = field(default_factory=list)
    classes: list[dict[str, Any]] = field(default_factory=list)
    materials: list[dict[str, Any]] = field(default_factory=list)
    scene_name: str = ""
    scene_hash: str = ""
    scene_bytes: int = 0
    blender_version: str = ""
    seed: int = 0
    unit_scale: float = 1.0
    camera_kind: Kind = "opencv"
    distortion: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class ViewPixels:
    """The passes of one view, row 0 at the top.

    Attributes:
        rgba: [H, W, 4] float32 scene-linear, premultiplied.
        depth: [H, W] float32, 0 where nothing was hit; planar, or along the ray (see `cameras.py`).
        normal: [H, W, 3] float32 world-space, unit, 0 on a miss.
        object_index: [H, W] uint16, 0 = background.
        valid: [H, W] bool, which pixels are to be trained on and compared; None: all of them.
        further: any other pass of core/passes.py by its name, [H, W] or [H, W, channels].
        depth_complete: whether a depth of 0 always means that nothing was hit; otherwise it may be unknown.
        seconds: that rendering the light took. samples: per pixel.
        truth_seconds: that rendering depth, normals and object indices took.
    """

    rgba: NDArray[np.float32]
    depth: NDArray[np.float32] | None = None
    normal: NDArray[np.float32] | None = None
    object_index: NDArray[np.uint16] | None = None
    valid: NDArray[np.bool_] | None = None
    further: dict[str, NDArray[Any]] = field(default_factory=dict)
    depth_complete: bool = True
    seconds: float = 0.0
    samples: int = 0
    truth_seconds: float = 0.0
