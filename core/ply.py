# SPDX-License-Identifier: GPL-3.0-or-later
"""Points in the world as a PLY file, for other programs to show or to begin splats with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
    vectors = zip(VECTORS, np.concatenate([positions, normals], axis=1).T, strict=True)
    return vertex_ply({**dict(vectors), **dict(zip(COLOURS, srgb_bytes(colours).T, strict=True))})


def vertex_ply(columns: Mapping[str, NDArray[Any]]) -> bytes:
    """Binary little-endian PLY of one element, "vertex": a property for each of `columns` [N], by its name.

    Columns of uint8 are written as uchar, all others as float.
    """
    whole = {name: column.dtype == np.uint8 for name, column in columns.items()}
    count = len(next(iter(columns.values())))
    table = np.empty(count, [(name, "u1" if whole[name] else "<f4") for name in columns])
    for name, column in columns.items():
        table[name] = column
    header = ["ply", "format binary_little_endian 1.0", "comment Radiance Twin, world units, z up"]
    header += [f"element vertex {count}"]
    header += [f"property {'uchar' if whole[name] else 'float'} {name}" for name in columns]
    return "\n".join([*header, "end_header", ""]).encode("ascii") + table.tobytes()
