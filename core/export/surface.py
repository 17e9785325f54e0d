# SPDX-License-Identifier: GPL-3.0-or-later
"""The surface of a twin: the field's depth pictures, fused.

Marching cubes on the field's own opacity would be shorter, but on still_life (quick demo, 256³ voxels, held-out views)
the fused surface shows 1.1 dB more than the best threshold: density swells around surfaces and is rough inside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, minimum_filter
from scipy.spatial import KDTree
from skimage.measure import label, marching_cubes

from ..cameras import Camera, uniform_scale
from ..errors import UserError
from ..field.cpu import thread_count
from ..reporting import Reporter, followed
from .kernels import AT_EDGES, fuse, gather
from .shots import Shot

F8 = NDArray[np.float64]
F4 = NDArray[np.float32]

# distances are known this far from the surface, in voxels
TRUNCATION = 3.0
# a point belongs to what a picture shows when it is no farther from it, in voxels
TOLERANCE = 1.5
# where depth differs more than this between neighbouring pixels, in voxels, a picture is hardly trusted
JUMP = 4.0
# pixels with less alpha show nothing
NOTHING = 0.1
# islands of fewer voxels are crumbs
CRUMB = 40


@dataclass(frozen=True)
class Surface:
    """Triangles in the world.

    Attributes:
        vertices: [V, 3]. normals: [V, 3] unit, outwards. faces: [F, 3], counter-clockwise seen from outside.
        voxel: edge of the voxels that it was found with, world units.
    """

    vertices: F8
    normals: F8
    faces: NDArray[np.int64]
    voxel: float


def fused_surface(
    shots: Sequence[Shot], box: F8, world_from_field: F8, resolution: int, pool: ThreadPoolExecutor, reporter: Reporter
) -> Surface:
    """The closed surface between what the shots show as empty and everything else.

    What no shot sees counts as solid, up to the walls of `box`: the underside of a table is closed by a flat cap.

    Args:
        box: [2, 3] lower and upper corner of what was trained, in the world.
        resolution: voxels along the edge of the field's cube.

    Raises:
        UserError: there is nothing dense enough to be a surface.
        Cancelled: the reporter said so.
    """
    voxel = uniform_scale(world_from_field) / resolution
    # two voxels of emptiness around the box close the surface
    lower = box[0] - 1.5 * voxel
    counts = np.ceil((box[1] - box[0]) / voxel).astype(int) + 3
    distance, weight = np.zeros(counts, np.float32), np.zeros(counts, np.float32)
    slabs = np.linspace(0, counts[0], 4 * thread_count() + 1).astype(int)
    for shot in followed(shots, "fuse", reporter):
        trust = trust_of(shot, JUMP * voxel)
        # a little of something is neither something nor nothing
        trust[(shot.depth == 0.0) & (shot.rgba[..., 3] > NOTHING)] = 0.0
        picture = (lower, np.eye(3) * voxel, projection(shot.camera), shot.depth, trust, TRUNCATION * voxel)

        def part(index: int, picture: Any = picture) -> None:
            fuse(distance, weight, slabs[index], slabs[index + 1], *picture)

        list(pool.map(part, range(len(slabs) - 1)))
    away = np.where(weight > 0.0, distance / np.maximum(weight, 1e-12), -1.0)
    for axis in range(3):
        for side in (0, 1, -1):
            away[(slice(None),) * axis + (side,)] = 1.0
    away = without_crumbs(away)
    if not (away < 0.0).any():
        raise UserError("the twin has nothing dense enough to be a surface; train longer, or export it as --format vdb")
    vertices, faces, inwards, _ = marching_cubes(away, 0.0, gradient_direction="descent")
    return Surface(
        lower + vertices.astype(np.float64) * voxel, -inwards.astype(np.float64), faces.astype(np.int64), voxel
    )


def without_crumbs(away: F4) -> F4:
    """Fill cavities that nothing outside leads to, and drop islands too small to be anything."""
    outside = label(away >= 0.0, connectivity=1)
    away = np.where((away >= 0.0) & (outside != outside[0, 0, 0]), -1.0, away)
    islands = label(away < 0.0, connectivity=1)
    sizes = np.bincount(islands.reshape(-1))
    sizes[0] = 0
    return np.where((islands > 0) & (sizes < CRUMB)[islands], 1.0, away)


def trust_of(shot: Shot, jump: float) -> F4:
    """[H, W] how far a picture can be trusted: hardly where depth jumps by more than `jump`, as at silhouettes."""
    depth, hit = shot.depth, shot.depth > 0.0
    nearest = minimum_filter(np.where(hit, depth, np.inf), 3)
    farthest = maximum_filter(depth, 3)
    alone = minimum_filter(hit, 3) != maximum_filter(hit, 3)
    # within flat surfaces the depth of neighbouring pixels grows evenly; only what is more than that is a jump
    jumps = (farthest - nearest > jump) & hit
    return np.where(alone | jumps, np.float32(AT_EDGES), np.float32(1.0)).astype(np.float32)


def projection(camera: Camera) -> F8:
    """[3, 4]: takes the world to (u·z, v·z, z), z being the planar depth."""
    fx, fy, cx, cy = camera.intrinsics
    camera_from_world = np.linalg.inv(camera.camera_to_world)[:3]
    # OpenGL's axes: y up and z backwards become v down and depth forwards
    pixels = np.array([[fx, 0.0, -cx], [0.0, -fy, -cy], [0.0, 0.0, -1.0]])
    result: F8 = pixels @ camera_from_world
    return result


def colours_at(
    points: F8, normals: F8, shots: Sequence[Shot], voxel: float, pool: ThreadPoolExecutor, reporter: Reporter
) -> F4:
    """Scene-linear colour [N, 3] of surface points: the mean of the shots that see them.

    What no shot sees has the colour of the nearest point that one does.

    Raises:
        UserError: no shot sees any of them. Cancelled: the reporter said so.
    """
    total = np.zeros((len(points), 4))
    parts = np.linspace(0, len(points), 8 * thread_count() + 1).astype(int)
    for shot in followed(shots, "colour", reporter):
        camera = shot.camera
        trust = trust_of(shot, JUMP * voxel)
        picture = (camera.camera_to_world[:3, 3], projection(camera), shot.rgba, shot.depth, trust, TOLERANCE * voxel)

        def part(index: int, picture: Any = picture) -> None:
            rows = slice(parts[index], parts[index + 1])
            gather(points[rows], normals[rows], total[rows], *picture)

        list(pool.map(part, range(len(parts) - 1)))
    known = total[:, 3] > 1e-9 * max(float(total[:, 3].max()), 1e-30)
    if not known.any():
        raise UserError("no view sees the surface that was found; give the twin's own --dataset, or train longer")
    colours = np.zeros((len(points), 3), np.float32)
    colours[known] = total[known, :3] / total[known, 3:]
    if not known.all():
        _, nearest = KDTree(points[known]).query(points[~known], workers=-1)
        colours[~known] = colours[known][nearest]
    return colours
