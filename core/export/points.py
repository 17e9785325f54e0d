# SPDX-License-Identifier: GPL-3.0-or-later
"""The twin as points of its surface, with normals and colours: binary PLY."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import trimesh
from numpy.typing import NDArray

from ..cameras import Camera
from ..colour import srgb_bytes, srgb_to_linear
from ..reporting import Reporter
from .raster import coloured_picture, discs
from .shots import Shot
from .surface import Surface, colours_at

F8 = NDArray[np.float64]
F4 = NDArray[np.float32]

COUNT = 250_000
SEED = 0
# discs this much larger than their share of the surface leave hardly any gap between random points
OVERLAP = 1.6


@dataclass(frozen=True)
class SpreadPoints:
    """Points of a surface in the world, evenly spread.

    Attributes:
        positions, normals: [N, 3], normals are unit and point outwards. colours: [N, 3] scene-linear.
        radius: of discs that cover the surface, world units.
    """

    positions: F8
    normals: F8
    colours: F4
    radius: float

    def picture(self, camera: Camera) -> F4:
        """[H, W, 4] scene-linear, premultiplied: discs across the normals, colours as eight bits hold them."""
        colours = srgb_to_linear(srgb_bytes(self.colours) / 255.0)
        vertices, faces = discs(self.positions, self.normals, self.radius)
        return coloured_picture(vertices, faces, colours.repeat(4, axis=0), camera)


def spread_points(
    surface: Surface, shots: Sequence[Shot], pool: ThreadPoolExecutor, reporter: Reporter, count: int = COUNT
) -> SpreadPoints:
    """Spread points over a surface, and give them what the shots show of them.

    Raises:
        UserError: no shot sees the surface. Cancelled: the reporter said so.
    """
    mesh = trimesh.Trimesh(surface.vertices, surface.faces, process=False)
    positions, faces = trimesh.sample.sample_surface(mesh, count, seed=SEED)
    shares = trimesh.triangles.points_to_barycentric(mesh.triangles[faces], positions)
    normals = np.einsum("nk,nkc->nc", shares, surface.normals[surface.faces[faces]])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    positions = np.ascontiguousarray(positions, np.float64)
    colours = colours_at(positions, np.ascontiguousarray(normals), shots, surface.voxel, pool, reporter)
    return SpreadPoints(positions, normals, colours, OVERLAP * float(np.sqrt(mesh.area / (np.pi * count))))
