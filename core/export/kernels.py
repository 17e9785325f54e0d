# SPDX-License-Identifier: GPL-3.0-or-later
"""The loops of the exports, compiled by numba: fusing depth, finding colours, drawing triangles, marching grids."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..field.cpu_kernels import compiled

# rays end where they let less than this through
OPAQUE = 1e-4
# how much less a picture counts where depth jumps: what it shows there is a mixture of near and far
AT_EDGES = 0.02
# below this cosine a surface is seen too flatly for its colour to count
FLATTEST = 0.1


@compiled
def fuse(
    distance: Any,
    weight: Any,
    first: int,
    end: int,
    start: Any,
    across: Any,
    projection: Any,
    depth: Any,
    trust: Any,
    truncation: float,
) -> None:
    """Add one depth picture to the truncated signed distances of the voxels whose x index is in first .. end - 1.

    Curless and Levoy, "A volumetric method for building complex models from range images" (1996), with planar depth.

    Args:
        distance, weight: [nx, ny, nz] sums of weighted distances (in truncations, positive outside) and of weights.
        start, across: world position of voxel (0, 0, 0) [3], and its steps along x, y, z [3, 3] (columns).
        projection: [3, 4], world to (u·z, v·z, z).
        depth, trust: [H, W]; depth 0 means that nothing was hit.
        truncation: in world units.
    """
    height, width = depth.shape
    ny, nz = distance.shape[1], distance.shape[2]
    for x in range(first, end):
        for y in range(ny):
            for z in range(nz):
                px = start[0] + across[0, 0] * x + across[0, 1] * y + across[0, 2] * z
                py = start[1] + across[1, 0] * x + across[1, 1] * y + across[1, 2] * z
                pz = start[2] + across[2, 0] * x + across[2, 1] * y + across[2, 2] * z
                ahead = projection[2, 0] * px + projection[2, 1] * py + projection[2, 2] * pz + projection[2, 3]
                if ahead <= 0.0:
                    continue
                u = (projection[0, 0] * px + projection[0, 1] * py + projection[0, 2] * pz + projection[0, 3]) / ahead
                v = (projection[1, 0] * px + projection[1, 1] * py + projection[1, 2] * pz + projection[1, 3]) / ahead
                if u < 0.0 or v < 0.0 or u >= width or v >= height:
                    continue
                i, j = int(v), int(u)
                seen, w = depth[i, j], trust[i, j]
                if seen > 0.0:
                    away = (seen - ahead) / truncation
                    if away < -1.0:
                        continue
                    away = min(away, 1.0)
                else:
                    away = 1.0
                distance[x, y, z] += w * away
                weight[x, y, z] += w


@compiled
def gather(
    points: Any,
    normals: Any,
    total: Any,
    eye: Any,
    projection: Any,
    rgba: Any,
    depth: Any,
    trust: Any,
    tolerance: float,
) -> None:
    """Add what one picture shows of each of the `points` [N, 3] that it sees to `total` [N, 4] (colour · w, w).

    A point is seen when it faces the camera and lies no farther than `tolerance` (world units) from the picture's
    depth. Views count by how squarely and how closely they look.

    Args:
        eye: [3] world position. projection: [3, 4], world to (u·z, v·z, z).
        rgba: [H, W, 4] premultiplied. depth, trust: [H, W].
    """
    height, width = depth.shape
    for n in range(points.shape[0]):
        px, py, pz = points[n, 0], points[n, 1], points[n, 2]
        ahead = projection[2, 0] * px + projection[2, 1] * py + projection[2, 2] * pz + projection[2, 3]
        if ahead <= 0.0:
            continue
        dx, dy, dz = eye[0] - px, eye[1] - py, eye[2] - pz
        far = np.sqrt(dx * dx + dy * dy + dz * dz)
        cosine = (normals[n, 0] * dx + normals[n, 1] * dy + normals[n, 2] * dz) / far
        if cosine < FLATTEST:
            continue
        u = (projection[0, 0] * px + projection[0, 1] * py + projection[0, 2] * pz + projection[0, 3]) / ahead
        v = (projection[1, 0] * px + projection[1, 1] * py + projection[1, 2] * pz + projection[1, 3]) / ahead
        if u < 0.0 or v < 0.0 or u >= width or v >= height:
            continue
        seen = depth[int(v), int(u)]
        if seen <= 0.0 or abs(seen - ahead) > tolerance / cosine:
            continue
        x, y = min(max(u - 0.5, 0.0), width - 1.001), min(max(v - 0.5, 0.0), height - 1.001)
        j, i = int(x), int(y)
        fx, fy = x - j, y - i
        red, green, blue, alpha = 0.0, 0.0, 0.0, 0.0
        for corner in range(4):
            a, b = i + (corner >> 1), j + (corner & 1)
            share = (fy if corner & 2 else 1.0 - fy) * (fx if corner & 1 else 1.0 - fx) * trust[a, b]
            red += share * rgba[a, b, 0]
            green += share * rgba[a, b, 1]
            blue += share * rgba[a, b, 2]
            alpha += share * rgba[a, b, 3]
        # alpha as the weight: what is half transparent says half as much, and its colour comes out unpremultiplied
        w = cosine * cosine / (far * far)
        total[n, 0] += w * red
        total[n, 1] += w * green
        total[n, 2] += w * blue
        total[n, 3] += w * alpha


@compiled
def draw_triangles(corners: Any, nearest: Any, face: Any, shares: Any) -> None:
    """The nearest triangle of every pixel, by 2D homogeneous coordinates: nothing has to be clipped.

    Olano and Greer, "Triangle scan conversion using 2D homogeneous coordinates" (1997).

    Args:
        corners: [F, 3, 3] of each triangle: (u·z, v·z, z) of its corners, in pixels.
        nearest: [H, W] reciprocal of the depth, 0 at first.
        face: [H, W] index of the triangle, -1 at first.
        shares: [H, W, 3] its corners' shares of the pixel's centre, right in perspective.
    """
    height, width = face.shape
    for f in range(corners.shape[0]):
        ax, ay, az = corners[f, 0, 0], corners[f, 0, 1], corners[f, 0, 2]
        bx, by, bz = corners[f, 1, 0], corners[f, 1, 1], corners[f, 1, 2]
        cx, cy, cz = corners[f, 2, 0], corners[f, 2, 1], corners[f, 2, 2]
        if az <= 0.0 and bz <= 0.0 and cz <= 0.0:
            continue
        determinant = ax * (by * cz - bz * cy) - bx * (ay * cz - az * cy) + cx * (ay * bz - az * by)
        if determinant == 0.0:
            continue
        left, right, top, bottom = 0, width - 1, 0, height - 1
        if az > 0.0 and bz > 0.0 and cz > 0.0:
            u0, u1, u2, v0, v1, v2 = ax / az, bx / bz, cx / cz, ay / az, by / bz, cy / cz
            left = max(left, int(np.ceil(min(u0, u1, u2) - 0.5)))
            right = min(right, int(np.floor(max(u0, u1, u2) - 0.5)))
            top = max(top, int(np.ceil(min(v0, v1, v2) - 0.5)))
            bottom = min(bottom, int(np.floor(max(v0, v1, v2) - 0.5)))
        # rows of the inverse of the matrix whose columns are the corners
        inverse = 1.0 / determinant
        p0, p1, p2 = (by * cz - bz * cy) * inverse, (bz * cx - bx * cz) * inverse, (bx * cy - by * cx) * inverse
        q0, q1, q2 = (cy * az - cz * ay) * inverse, (cz * ax - cx * az) * inverse, (cx * ay - cy * ax) * inverse
        r0, r1, r2 = (ay * bz - az * by) * inverse, (az * bx - ax * bz) * inverse, (ax * by - ay * bx) * inverse
        for i in range(top, bottom + 1):
            v = i + 0.5
            for j in range(left, right + 1):
                u = j + 0.5
                a = p0 * u + p1 * v + p2
                b = q0 * u + q1 * v + q2
                c = r0 * u + r1 * v + r2
                near = a + b + c
                if a < 0.0 or b < 0.0 or c < 0.0 or near <= nearest[i, j]:
                    continue
                nearest[i, j] = near
                face[i, j] = f
                shares[i, j, 0], shares[i, j, 1], shares[i, j, 2] = a / near, b / near, c / near


@compiled
def march_grid(
    density: Any, colour: Any, lower: Any, resolution: float, origin: Any, directions: Any, step: float, out: Any
) -> None:
    """What rays see of a grid that is read trilinearly: `out` [R, 4] premultiplied, by emission and absorption.

    The grid is a cut-out of a cube of `resolution`³ voxels with nothing around it; the reference is
    `bake.dense_march.render_bake`.

    Args:
        density, colour: [nx, ny, nz] per unit of field length, and [nx, ny, nz, 3].
        lower: [3] index in the cube of the cut-out's first voxel.
        origin, directions: [3] and [R, 3], unit, in field coordinates.
        step: in field units.
    """
    nx, ny, nz = density.shape
    for r in range(directions.shape[0]):
        entry, leave = 0.0, 1e30
        for axis in range(3):
            way = directions[r, axis]
            low = (lower[axis] - 0.5) / resolution
            high = (lower[axis] + density.shape[axis] + 0.5) / resolution
            if abs(way) < 1e-12:
                if origin[axis] < low or origin[axis] > high:
                    leave = -1.0
                continue
            a, b = (low - origin[axis]) / way, (high - origin[axis]) / way
            entry, leave = max(entry, min(a, b)), min(leave, max(a, b))
        red, green, blue, transmittance = 0.0, 0.0, 0.0, 1.0
        # samples stand on one lattice from the camera on, so that a cut-out changes nothing
        number = np.floor(entry / step)
        while transmittance > OPAQUE:
            t = (number + 0.5) * step
            number += 1.0
            if t >= leave:
                break
            x = (origin[0] + t * directions[r, 0]) * resolution - 0.5 - lower[0]
            y = (origin[1] + t * directions[r, 1]) * resolution - 0.5 - lower[1]
            z = (origin[2] + t * directions[r, 2]) * resolution - 0.5 - lower[2]
            i, j, k = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
            fx, fy, fz = x - i, y - j, z - k
            sigma, cr, cg, cb = 0.0, 0.0, 0.0, 0.0
            for corner in range(8):
                a, b, c = i + (corner & 1), j + (corner >> 1 & 1), k + (corner >> 2 & 1)
                if a < 0 or b < 0 or c < 0 or a >= nx or b >= ny or c >= nz:
                    continue
                share = fx if corner & 1 else 1.0 - fx
                share *= fy if corner & 2 else 1.0 - fy
                share *= fz if corner & 4 else 1.0 - fz
                sigma += share * density[a, b, c]
                cr += share * colour[a, b, c, 0]
                cg += share * colour[a, b, c, 1]
                cb += share * colour[a, b, c, 2]
            if sigma <= 0.0:
                continue
            through = transmittance * np.exp(-sigma * step)
            w = transmittance - through
            red += w * cr
            green += w * cg
            blue += w * cb
            transmittance = through
        out[r, 0], out[r, 1], out[r, 2], out[r, 3] = red, green, blue, 1.0 - transmittance


@compiled
def blend_splats(centres: Any, variances: Any, colours: Any, opacity: float, seen: Any) -> None:
    """Lay Gaussians over each other, the nearest first.

    Args:
        centres: [N, 2] in pixels. variances: [N, 2, 2], pixels². colours: [N, 3], light.
        opacity: in the middle of each.
        seen: [H, W, 4], zero at first: premultiplied light and alpha.
    """
    height, width = seen.shape[:2]
    for n in range(centres.shape[0]):
        xx, xy, yy = variances[n, 0, 0], variances[n, 0, 1], variances[n, 1, 1]
        determinant = xx * yy - xy * xy
        if determinant <= 0.0:
            continue
        u, v = centres[n, 0], centres[n, 1]
        # three standard deviations hold all of a Gaussian that eight bits can show
        across, down = 3.0 * np.sqrt(xx), 3.0 * np.sqrt(yy)
        left, right = max(0, int(np.ceil(u - across - 0.5))), min(width - 1, int(np.floor(u + across - 0.5)))
        top, bottom = max(0, int(np.ceil(v - down - 0.5))), min(height - 1, int(np.floor(v + down - 0.5)))
        for row in range(top, bottom + 1):
            for column in range(left, right + 1):
                x, y = column + 0.5 - u, row + 0.5 - v
                power = 0.5 * (yy * x * x - 2.0 * xy * x * y + xx * y * y) / determinant
                through = 1.0 - seen[row, column, 3]
                if power > 4.5 or through < 1e-4:
                    continue
                weight = through * opacity * np.exp(-power)
                for channel in range(3):
                    seen[row, column, channel] += weight * colours[n, channel]
                seen[row, column, 3] += weight
