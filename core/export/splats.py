# SPDX-License-Identifier: GPL-3.0-or-later
"""The twin as 3D Gaussians that lie flat on its surface: the PLY that splat viewers read, and Blender from 5.3 on.

Kerbl et al., "3D Gaussian Splatting for Real-Time Radiance Field Rendering" (2023), tells what a Gaussian is; the files
hold logarithms of the deviations, the logit of the opacity, and the colour as it is displayed, less 0.5, over SH_0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ..cameras import Camera
from ..colour import linear_to_srgb, srgb_to_linear
from ..ply import vertex_ply
from .kernels import blend_splats
from .points import SpreadPoints
from .surface import projection

F8 = NDArray[np.float64]
F4 = NDArray[np.float32]

# the constant of the spherical harmonics' first band
SH_0 = 0.5 / np.sqrt(np.pi)
# standard deviations along the surface and across it, in radii of discs that would cover it
ALONG, ACROSS = 0.45, 0.05
OPACITY = 0.98
# what viewers add to the variance of a splat in the picture, pixels²: none becomes thinner than a pixel
LEAST_VARIANCE = 0.3


@dataclass(frozen=True)
class Splats:
    """Gaussians in the world.

    Attributes:
        positions: [N, 3]. axes: [N, 3, 3], rotations whose third columns are the surface's normals.
        deviations: [N, 3], along the axes, world units. colours: [N, 3] scene-linear, 0 … 1. opacity: of all.
    """

    positions: F8
    axes: F8
    deviations: F8
    colours: F4
    opacity: float

    def picture(self, camera: Camera) -> F4:
        """[H, W, 4] scene-linear, premultiplied: what a splat viewer draws that blends light, as Blender does.

        Zwicker et al., "EWA Splatting" (2002): the Gaussians' footprints by the derivative of the projection.
        """
        matrix = projection(camera)
        u, v, z = (self.positions @ matrix[:, :3].T + matrix[:, 3]).T
        ahead = np.flatnonzero(z > 1e-6)
        order = ahead[np.argsort(z[ahead])]
        u, v, z = u[order] / z[order], v[order] / z[order], z[order]
        # d(u, v) / d(position) = (row of the matrix - (u, v) row of z) / z
        slopes = np.stack([matrix[0, :3] - u[:, None] * matrix[2, :3], matrix[1, :3] - v[:, None] * matrix[2, :3]], 1)
        shapes = (slopes / z[:, None, None]) @ (self.axes[order] * self.deviations[order, None])
        variances = shapes @ shapes.transpose(0, 2, 1) + LEAST_VARIANCE * np.eye(2)
        width, height = camera.size
        seen = np.zeros((height, width, 4))
        blend_splats(np.stack([u, v], 1), variances, self.colours[order].astype(np.float64), self.opacity, seen)
        return seen.astype(np.float32)


def splats_of(points: SpreadPoints) -> Splats:
    """A flat Gaussian for each point of a surface."""
    normals = points.normals
    helper = np.where(np.abs(normals[:, 2:]) < 0.9, [0.0, 0.0, 1.0], [1.0, 0.0, 0.0])
    right = np.cross(helper, normals)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    axes = np.stack([right, np.cross(normals, right), normals], axis=2)
    deviations = np.broadcast_to(points.radius * np.array([ALONG, ALONG, ACROSS]), points.positions.shape)
    # a file holds colours as they are displayed, which end at 1
    shown = np.clip(linear_to_srgb(points.colours), 0.0, 1.0)
    return Splats(points.positions, axes, deviations, srgb_to_linear(shown).astype(np.float32), OPACITY)


def ply_of(splats: Splats) -> bytes:
    """Binary little-endian PLY with x y z, nx ny nz, f_dc_0…2, opacity, scale_0…2, rot_0…3 (w x y z), all float."""
    columns = {
        **dict(zip("xyz", splats.positions.T, strict=True)),
        **dict(zip(("nx", "ny", "nz"), splats.axes[:, :, 2].T, strict=True)),
    }
    shown = (linear_to_srgb(splats.colours) - 0.5) / SH_0
    columns |= {f"f_dc_{i}": shown[:, i] for i in range(3)}
    columns["opacity"] = np.full(len(shown), np.log(splats.opacity / (1.0 - splats.opacity)))
    columns |= {f"scale_{i}": np.log(splats.deviations[:, i]) for i in range(3)}
    quaternions = Rotation.from_matrix(splats.axes).as_quat()[:, [3, 0, 1, 2]]  # scipy's own order has w last
    columns |= {f"rot_{i}": column for i, column in enumerate(quaternions.T)}
    return vertex_ply(columns)
