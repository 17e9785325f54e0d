# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of textured meshes and coloured points, drawn as light itself: what the loss of an export is measured on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cameras import Camera
from .kernels import draw_triangles
from .surface import projection

F8 = NDArray[np.float64]
F4 = NDArray[np.float32]
I8 = NDArray[np.int64]

# samples along each side of a pixel
SAMPLES = 4


@dataclass(frozen=True)
class Drawn:
    """Which triangle each pixel shows.

    Attributes:
        face: [H, W] its index, -1 where there is none.
        shares: [H, W, 3] of its corners, which sum up to 1.
        depth: [H, W] planar, 0 where there is none.
    """

    face: NDArray[np.int32]
    shares: F8
    depth: F8

    def interpolate(self, corners: NDArray[np.floating[Any]]) -> tuple[NDArray[np.bool_], F8]:
        """Where anything is [H, W], and there the values [P, C] of `corners` [F, 3, C]."""
        there = self.face >= 0
        return there, np.einsum("pk,pkc->pc", self.shares[there], corners[self.face[there]])


def draw(corners: F8, width: int, height: int) -> Drawn:
    """Draw triangles [F, 3, 3] whose corners are (u·z, v·z, z), u and v in pixels."""
    nearest, face = np.zeros((height, width)), np.full((height, width), -1, np.int32)
    shares = np.zeros((height, width, 3))
    draw_triangles(np.ascontiguousarray(corners, np.float64), nearest, face, shares)
    return Drawn(face, shares, np.where(face >= 0, 1.0 / np.maximum(nearest, 1e-30), 0.0))


def draw_mesh(vertices: F8, faces: I8, camera: Camera, samples: int = SAMPLES) -> Drawn:
    """A mesh in the world as `camera` sees it, with samples² pixels for each of the camera's."""
    matrix = projection(camera)
    projected = vertices @ matrix[:, :3].T + matrix[:, 3]
    projected[:, :2] *= samples
    return draw(projected[faces], camera.size[0] * samples, camera.size[1] * samples)


def textured_picture(vertices: F8, faces: I8, uv: F8, texture: F4, camera: Camera) -> F4:
    """[H, W, 4] scene-linear, premultiplied: the mesh shining with its texture's light.

    Args:
        uv: [V, 2] from the lower left corner. texture: [T, T, 3] scene-linear, first row on top.
    """
    drawn = draw_mesh(vertices, faces, camera)
    there, where = drawn.interpolate(uv[faces])
    return _averaged(there, sample_texture(texture, where), camera)


def coloured_picture(vertices: F8, faces: I8, colours: F4, camera: Camera) -> F4:
    """[H, W, 4] scene-linear, premultiplied: the mesh shining with its vertices' colours [V, 3]."""
    there, seen = draw_mesh(vertices, faces, camera).interpolate(colours[faces])
    return _averaged(there, seen, camera)


def discs(points: F8, normals: F8, radius: float) -> tuple[F8, I8]:
    """A square across every normal, as large as a disc of `radius`: vertices [4 N, 3] and faces [2 N, 3]."""
    helper = np.where(np.abs(normals[:, 2:]) < 0.9, [0.0, 0.0, 1.0], [1.0, 0.0, 0.0])
    right = np.cross(helper, normals)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    up = np.cross(normals, right)
    half = 0.5 * radius * np.sqrt(np.pi)
    corners = [points + half * (a * right + b * up) for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    first = 4 * np.arange(len(points))[:, None]
    faces = np.concatenate([first + np.array(side) for side in ((0, 1, 2), (0, 2, 3))], axis=1).reshape(-1, 3)
    return np.stack(corners, axis=1).reshape(-1, 3), faces


def sample_texture(texture: F4, uv: F8) -> F4:
    """Bilinear values [P, C] of `texture` [H, W, C] at `uv` [P, 2], clamped to its edge."""
    height, width = texture.shape[:2]
    x = np.clip(uv[:, 0] * width - 0.5, 0.0, width - 1.0)
    y = np.clip((1.0 - uv[:, 1]) * height - 0.5, 0.0, height - 1.0)
    j, i = np.minimum(x.astype(int), max(width - 2, 0)), np.minimum(y.astype(int), max(height - 2, 0))
    fx, fy = (x - j)[:, None].astype(np.float32), (y - i)[:, None].astype(np.float32)
    right, below = np.minimum(j + 1, width - 1), np.minimum(i + 1, height - 1)
    top = texture[i, j] * (1 - fx) + texture[i, right] * fx
    bottom = texture[below, j] * (1 - fx) + texture[below, right] * fx
    result: F4 = top * (1 - fy) + bottom * fy
    return result


def _averaged(there: NDArray[np.bool_], seen: NDArray[np.floating[Any]], camera: Camera) -> F4:
    fine = np.zeros((*there.shape, 4), np.float32)
    fine[there, :3] = seen
    fine[there, 3] = 1.0
    width, height = camera.size
    result: F4 = fine.reshape(height, SAMPLES, width, SAMPLES, 4).mean(axis=(1, 3))
    return result
