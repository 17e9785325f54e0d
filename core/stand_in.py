# SPDX-License-Identifier: GPL-3.0-or-later
"""What Cycles renders in the place of a lens that it does not have: a wider, finer picture. Numpy alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .cameras import Camera
from .errors import UserError
from .lenses import CameraModel

# rendered pixels along one of the picture's: its own are then means of several, and edges stay where they are
FINER = 2
# pixels around what the lens draws, for what is interpolated at the border
MARGIN = 3
# a rendered picture has at most so many times the pixels along a side that FINER asks for
WIDEST = 4.0
# places along each side of the picture that are asked what they show
ASKED = 129


def samples_of_stand_in(samples: int) -> int:
    """Per rendered pixel, when each pixel of the picture shall have `samples`."""
    return max(round(samples / FINER**2), 1)


def stand_in(camera: Camera) -> Camera:
    """The camera without distortion, at the same place, whose picture holds all that `camera` draws.

    Raises:
        UserError: the distortion asks for a picture that is too wide.
    """
    width, height = camera.size
    u, v = np.meshgrid(np.linspace(0.0, width, ASKED), np.linspace(0.0, height, ASKED))
    directions = camera.local_directions(np.stack([u, v], axis=-1))
    plain = CameraModel(camera.model.kind)
    places = plain.places(directions[np.isfinite(directions[..., 0])])
    focal = FINER * camera.intrinsics[:2]
    low = np.floor(places.min(axis=0) * focal) - MARGIN
    size = np.ceil(places.max(axis=0) * focal) + MARGIN - low
    if (size > WIDEST * FINER * np.array(camera.size)).any():
        raise UserError(
            f"this distortion asks for a rendered picture of {size[0]:.0f} x {size[1]:.0f} pixels; "
            "choose the camera model fisheye, or smaller coefficients"
        )
    whole = (int(size[0]), int(size[1]))
    return replace(camera, intrinsics=np.concatenate([focal, -low]), size=whole, model=plain)
