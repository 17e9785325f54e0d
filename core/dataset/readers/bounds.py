# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the scene is, when all that is known are the cameras."""

from __future__ import annotations

import numpy as np

from .posed import Array, PosedImage

# least mean square sine between the optical axes and any one direction: below it, they have no common point
LEAST_SPREAD = 1e-3


def bounds_from_cameras(images: list[PosedImage]) -> tuple[Array, bool]:
    """A cube [2, 3] around what the cameras look at, and whether they look at one place at all.

    The place is the point closest to all optical axes in the least-squares sense; the cube is as large as what the
    cameras see there. Without such a place it is a guess: a cube in front of and around the cameras.
    """
    centres = np.array([image.camera_to_world[:3, 3] for image in images])
    axes = np.array([-image.camera_to_world[:3, 2] for image in images])
    half_views = np.array([max(i.lens.width / i.lens.fx, i.lens.height / i.lens.fy) / 2 for i in images])
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
    total = across.sum(axis=0)
    if np.linalg.eigvalsh(total)[0] > LEAST_SPREAD * len(images):
        place = np.linalg.solve(total, np.einsum("nij,nj->i", across, centres))
        ahead = np.einsum("ni,ni->n", axes, place - centres)
        if np.median(ahead) > 0.0 and (ahead > 0.0).mean() > 0.8:
            half = float(np.percentile((ahead * half_views)[ahead > 0.0], 90.0))
            return np.stack([place - half, place + half]), True
    middle = centres.mean(axis=0)
    half = 4.0 * float(np.linalg.norm(centres - middle, axis=1).max()) or 1.0
    place = middle + half * axes.mean(axis=0)
    return np.stack([place - half, place + half]), False
