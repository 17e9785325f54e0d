# SPDX-License-Identifier: GPL-3.0-or-later
"""Points in the world as a PLY file, for other programs to show or to begin splats with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .colour import srgb_bytes

VECTORS = ("x", "y", "z", "nx", "ny", "nz")
COLOURS = ("red", "green", "blue")


def points_ply(positions: NDArray[np.float64], normals: NDArray[np.float64], colours: NDArray[np.float32]) -> bytes:
    """Binary little-endian PLY: x y z, nx ny nz (float), red green blue (uchar, sRGB; brighter than 1 is cut off).

    Args:
        positions, normals: [N, 3], scene units. colours: [N, 3] scene-linear.
    """
    table = np.empty(len(positions), [(name, "<f4") for name in VECTORS] + [(name, "u1") for name in COLOURS])
    for name, column in zip(VECTORS, np.concatenate([positions, normals], axis=1).T, strict=True):
        table[name] = column
    for name, column in zip(COLOURS, srgb_bytes(colours).T, strict=True):
        table[name] = column
    header = ["ply", "format binary_little_endian 1.0", "comment Radiance Twin, world units, z up"]
    header += [f"element vertex {len(table)}", *(f"property float {name}" for name in VECTORS)]
    header += [*(f"property uchar {name}" for name in COLOURS), "end_header", ""]
    return "\n".join(header).encode("ascii") + table.tobytes()
