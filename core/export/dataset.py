# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage: a dataset becomes a folder that other programs read, and is read back before that counts as done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..arguments import DATASET_EXPORTS, DATASET_PICTURES, LOOKS
from ..colour import standard_view_transform
from ..dataset.store import Dataset, open_dataset
from ..dataset.surface_points import seen_points
from ..dataset.writers import (
    bop,
    coco,
    colmap,
    hdf5,
    kitti,
    kubric,
    nerf,
    nerfstudio,
    ngp,
    plain,
    usd,
    webdataset,
    yolo,
)
from ..dataset.writers.posed import Task, Written
from ..errors import UsageError, UserError
from ..files import atomic_folder, atomic_path, require_ending, require_writable_file
from ..ply import points_ply
from ..reporting import Reporter, followed
from .read_back import READERS, require_same_cameras
from .read_labels import LABELS, require_same_labels
from .read_objects import OBJECTS, require_same_objects

WRITERS: dict[str, Callable[[Task], Written]] = {
    "nerf": nerf.write,
    "ngp": ngp.write,
    "nerfstudio": nerfstudio.write,
    "colmap": colmap.write_binary,
    "colmap-text": colmap.write_text,
    "coco": coco.write,
    "coco-polygons": coco.write_polygons,
    "yolo": yolo.write,
    "yolo-seg": yolo.write_outlines,
    "yolo-pose": yolo.write_keypoints,
    "bop": bop.write,
    "kitti": kitti.write,
    "kubric": kubric.write,
    "webdataset": webdataset.write,
    "hdf5": hdf5.write,
    "usd": usd.write,
    "folder": plain.write,
}
STOPPED = "stopped; nothing was written"


@dataclass(frozen=True)
class DatasetExportSettings:
    """What to make of which dataset.

    Attributes:
        dataset: the .h5.
        output: the folder, new or empty; of --format points the .ply.
        format: one of DATASET_EXPORTS, or points.
        images: png | exr.
        look: what PNGs go through: standard (sRGB, which trainers can undo) or the scene's own view transform.
        points: how many are put on the surfaces, in formats that have some.
        skip_damaged: write the sound views of a damaged dataset.
    """

    dataset: str
    output: str
    format: str
    images: str = "png"
    look: str = "standard"
    points: int = 100_000
    skip_damaged: bool = False


def export_dataset(settings: DatasetExportSettings, reporter: Reporter) -> dict[str, Any]:
    """Write a dataset in another format, and read it back.

    Returns:
        output, format, views, points, bytes, seconds, remarks, and worst_error: by how many pixels a point of the scene
        is off at most when the written cameras are read in the format's own conventions; None for formats without.

    Raises:
        UsageError: a setting makes no sense.
        UserError: the dataset is missing or damaged, the format cannot say what is in it, or the output cannot be
            written, or does not read as what it was written from.
        Cancelled: nothing was written.
    """
    _check(settings)
    began = time.monotonic()
    with open_dataset(settings.dataset, reporter.log if settings.skip_damaged else None) as dataset:
        if not any(len(views) for views in dataset.splits.values()):
            raise UserError(
                f"{settings.dataset} has no views that could be exported; render it again or fetch it again"
            )
        if settings.format == "points":
            return _export_points(settings, dataset, began)

        def each(views: Iterable[int]) -> Iterator[int]:
            yield from followed(list(views), "export", reporter, "view", STOPPED)

        look = standard_view_transform() if settings.look == "standard" else dataset.view_transform
        with atomic_folder(settings.output) as folder:
            task = Task(dataset, folder, f".{settings.images}", look, settings.points, each)
            written = WRITERS[settings.format](task)
            worst = None
            if settings.format in READERS:
                worst = require_same_cameras(dataset, folder, settings.format, written.names, task.points.positions)
            elif settings.format in OBJECTS:
                worst = require_same_objects(dataset, folder, settings.format)
            elif settings.format in LABELS:
                require_same_labels(dataset, folder, settings.format)
        for remark in written.remarks:
            reporter.log(f"Note: {remark}")
        return {
            "output": settings.output,
            "format": settings.format,
            "views": len(written.names),
            "points": written.points,
            "bytes": sum(path.stat().st_size for path in Path(settings.output).rglob("*") if path.is_file()),
            "seconds": round(time.monotonic() - began, 3),
            "worst_error": worst,
            "remarks": written.remarks,
        }


def _export_points(settings: DatasetExportSettings, dataset: Dataset, began: float) -> dict[str, Any]:
    points = seen_points(dataset, settings.points)
    if not len(points.positions):
        raise UserError(f"{settings.dataset} has no depth to find points by; render it from a scene")
    with atomic_path(require_writable_file(settings.output)) as temporary:
        temporary.write_bytes(points_ply(points.positions, points.normals, points.colours))
    return {
        "output": settings.output,
        "format": "points",
        "points": len(points.positions),
        "bytes": Path(settings.output).stat().st_size,
        "seconds": round(time.monotonic() - began, 3),
        "worst_error": None,
        "remarks": [],
    }


def _check(settings: DatasetExportSettings) -> None:
    known = (*DATASET_EXPORTS, "points")
    if settings.format not in known:
        raise UsageError(f"a dataset cannot become --format {settings.format}; choose one of {', '.join(known)}")
    if settings.images not in DATASET_PICTURES:
        raise UsageError(f"--images {settings.images} is unknown; choose one of {', '.join(DATASET_PICTURES)}")
    if settings.look not in LOOKS:
        raise UsageError(f"--look {settings.look} is unknown; choose one of {', '.join(LOOKS)}")
    if settings.points < 0:
        raise UsageError(f"--points is {settings.points}; give 0 or more")
    if settings.format == "points":
        require_ending(settings.output, ".ply")
