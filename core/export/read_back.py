# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a written dataset as its consumers do, and holds the cameras that come out against those that went in.

The readers know each format's conventions and nothing of the writers; points of the scene, and some that each camera
is sure to see, are projected through both cameras, and the distance between the two pixels is the error.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from pxr import Sdf, Usd, UsdGeom, UsdRender

from ..cameras import Camera, corners_of_bounds, pixel_grid
from ..dataset.readers import colmap, nerf, nerfstudio, ngp
from ..dataset.readers.posed import PosedImages, Problems
from ..dataset.readers.transforms import TRANSFORMS
from ..dataset.store import Dataset
from ..errors import UserError
from ..lenses import COEFFICIENTS, CameraModel

Array = NDArray[np.float64]

# pixels; what is printed of a format is far below
MOST_ERROR = 0.05
MOST_POINTS = 2000
# of what a camera is sure to see: so many places along each side of its picture, so far away in units of the distance
# to the middle of the scene
PLACES, AWAY = 8, (0.5, 2.0)


def require_same_cameras(dataset: Dataset, folder: Path, format: str, names: dict[int, str], points: Array) -> float:
    """The largest error over all views in pixels.

    Args:
        folder: as written. names: what the format calls each view.
        points: [N, 3] in the world; with none of them, the corners of the scene's bounds.

    Raises:
        UserError: a view is not there, or an error is above MOST_ERROR.
    """
    cameras = READERS[format](folder)
    missing = [name for name in names.values() if name not in cameras]
    if missing:
        raise UserError(f"{missing[0]} was written and cannot be read back as {format}; please report this")
    marks = points[:: max(1, len(points) // MOST_POINTS)] if len(points) else corners_of_bounds(dataset.bounds)
    worst = 0.0
    for index, name in names.items():
        error = _error(dataset, index, cameras[name], marks)
        if not error <= MOST_ERROR:
            raise UserError(
                f"{name} reads back {error:.3g} pixels off, more than {MOST_ERROR}, so nothing was written; "
                f"{format} cannot say what this camera is, choose another format"
            )
        worst = max(worst, error)
    return worst


def _error(dataset: Dataset, index: int, camera: Camera, points: Array) -> float:
    original = dataset.camera(index)
    if camera.size != original.size:
        return float("inf")
    points = np.concatenate([points, _before(original, dataset.bounds)])
    expected, depth = original.project(points)
    found, found_depth = camera.project(points)
    seen = (depth > 0) & ((expected > 0) & (expected < original.size)).all(axis=1)
    if (found_depth[seen] <= 0).any():
        return float("inf")
    return float(np.linalg.norm(expected[seen] - found[seen], axis=1).max())


def _before(camera: Camera, bounds: Array) -> Array:
    """Points [N, 3] all over a camera's picture: it may see nothing of the scene, and still has to stand right."""
    lower, upper = bounds
    away_from_it, across = camera.camera_to_world[:3, 3] - 0.5 * (lower + upper), upper - lower
    distance = max(float(np.linalg.norm(away_from_it)), 0.1 * float(np.linalg.norm(across)))
    ways = camera.ray_directions(pixel_grid(PLACES, PLACES) * np.array(camera.size) / PLACES).reshape(-1, 3)
    ways = ways[np.isfinite(ways[:, 0])]
    return np.concatenate([camera.camera_to_world[:3, 3] + distance * away * ways for away in AWAY])


def _posed(*found: PosedImages) -> dict[str, Camera]:
    return {image.name: image.lens.camera(image.camera_to_world) for images in found for image in images.images}


def _read_nerf(folder: Path) -> dict[str, Camera]:
    return _posed(nerf.read(folder, None, _no_problems()))


def _read_ngp(folder: Path) -> dict[str, Camera]:
    places = [place for place in (folder, folder / "test") if (place / TRANSFORMS).is_file()]
    return _posed(*(ngp.read(place, None, _no_problems()) for place in places))


def _read_nerfstudio(folder: Path) -> dict[str, Camera]:
    return _posed(nerfstudio.read(folder, None, _no_problems()))


def _read_colmap(folder: Path) -> dict[str, Camera]:
    places = [place for place in (folder, folder / "test") if (place / "sparse").is_dir()]
    return _posed(*(colmap.read(place, None, _no_problems()) for place in places))


def _read_plain(folder: Path) -> dict[str, Camera]:
    records = json.loads((folder / "views.json").read_text(encoding="utf-8"))["views"]
    return {f"{record['index']:06d}": _recorded(record) for record in records}


def _read_webdataset(folder: Path) -> dict[str, Camera]:
    cameras = {}
    for shard in sorted(folder.glob("*.tar")):
        with tarfile.open(shard) as tar:
            for entry in tar:
                file = tar.extractfile(entry) if entry.name.endswith(".json") else None
                if file is not None:
                    cameras[entry.name.removesuffix(".json")] = _recorded(json.load(file))
    return cameras


def _read_hdf5(folder: Path) -> dict[str, Camera]:
    cameras = {}
    for path in sorted(folder.rglob("*.hdf5")):
        with h5py.File(path) as file:
            matrix = file["cam_K"][()]
            height, width = file["colors"].shape[:2]
            # OpenCV's pixels have their centres at whole numbers
            intrinsics = np.array([matrix[0, 0], matrix[1, 1], matrix[0, 2] + 0.5, matrix[1, 2] + 0.5])
            name = path.relative_to(folder).as_posix()
            cameras[name] = Camera(file["cam2world_matrix"][()], intrinsics, (width, height))
    return cameras


def _read_usd(folder: Path) -> dict[str, Camera]:
    # anonymous: from the file, whatever the library still has of it in memory
    stage = Usd.Stage.Open(Sdf.Layer.OpenAsAnonymous(str(folder / "cameras.usda")))
    cameras = {}
    for prim in stage.Traverse():
        if not prim.IsA(UsdRender.Product):
            continue
        product = UsdRender.Product(prim)
        width, height = product.GetResolutionAttr().Get()
        camera = UsdGeom.Camera(stage.GetPrimAtPath(product.GetCameraRel().GetTargets()[0]))
        for code in camera.GetTimeSamples():
            seen = camera.GetCamera(code)
            # of the picture at distance 1, y up
            (left, bottom), (right, top) = seen.frustum.window.min, seen.frustum.window.max
            fx, fy = width / (right - left), height / (top - bottom)
            matrix = np.array(seen.transform).T
            cameras[f"{int(code):06d}"] = Camera(matrix, np.array([fx, fy, -left * fx, top * fy]), (width, height))
    return cameras


def _recorded(record: dict[str, Any]) -> Camera:
    width, height = (int(side) for side in record["size"])
    kind, *coefficients = (record["lens"][name] for name in ("kind", *COEFFICIENTS))
    model = CameraModel(kind, tuple(coefficients))
    return Camera(np.array(record["camera_to_world"]), np.array(record["intrinsics"]), (width, height), model=model)


def _no_problems() -> Problems:
    return Problems(lambda line: None, strict=True)


READERS: dict[str, Callable[[Path], dict[str, Camera]]] = {
    "nerf": _read_nerf,
    "ngp": _read_ngp,
    "nerfstudio": _read_nerfstudio,
    "colmap": _read_colmap,
    "colmap-text": _read_colmap,
    "webdataset": _read_webdataset,
    "hdf5": _read_hdf5,
    "usd": _read_usd,
    "folder": _read_plain,
}
