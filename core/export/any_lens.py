# SPDX-License-Identifier: GPL-3.0-or-later
"""What knows pinholes alone, seen through any lens: by the six faces of a cube around the camera."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from ..cameras import Camera, look_at, pixel_grid
from ..field.render import PATTERN

F4 = NDArray[np.float32]

# the faces are this much finer than the picture, so that interpolating between their pixels costs little; but not
# beyond so many pixels to a side, for the memory that drawing takes
FINER, MOST_SIDE = 3.0, 1024


def cube_around(camera: Camera, finer: float = 1.0) -> list[Camera]:
    """Six pinholes that look to all sides, with as many pixels to a radian in their middles, `finer` times."""
    focal = finer * float(camera.intrinsics[:2].mean())
    side = max(round(2.0 * focal), 1)
    intrinsics = np.full(4, 0.5 * side)
    ways = (*np.eye(3), *-np.eye(3))
    # across each way: any other axis
    poses = [camera.camera_to_world @ look_at(np.zeros(3), way, np.roll(way, 1)) for way in ways]
    return [Camera(pose, intrinsics, (side, side)) for pose in poses]


def through_any_lens(draw: Callable[[Camera], F4]) -> Callable[[Camera], F4]:
    """`draw` [H, W, channels] for all lenses, which it itself knows none of but pinholes; 0 where a lens draws nothing.

    A pixel is the mean over the same rays as a field's.
    """

    def through(camera: Camera) -> F4:
        if camera.model.is_pinhole:
            return draw(camera)
        pixels = pixel_grid(*camera.size)
        finer = float(np.clip(MOST_SIDE / (2.0 * camera.intrinsics[:2].mean()), 1.0, FINER))
        faces = [(face, draw(face)) for face in cube_around(camera, finer)]
        total = np.zeros((*pixels.shape[:2], faces[0][1].shape[-1]), np.float32)
        for right, down, _ in PATTERN:
            ways = camera.ray_directions(pixels + np.array([right, down]))
            seen = np.zeros_like(total)
            for face, picture in faces:
                places, depth = face.project((camera.camera_to_world[:3, 3] + ways).reshape(-1, 3))
                inside = (depth > 0) & (places >= 0).all(axis=1) & (places <= face.size).all(axis=1)
                at = np.where(inside[:, None], places - 0.5, 0.0).astype(np.float32).reshape(*ways.shape[:2], 2)
                taken = cv2.remap(picture, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
                seen = np.where(inside.reshape(*ways.shape[:2], 1), taken, seen)
            total += seen / len(PATTERN)
        return total

    return through
