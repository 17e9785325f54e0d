# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage: a twin becomes a file that other programs open, and what that loses is measured."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..arguments import EXPORT_ENDINGS, EXPORT_RESOLUTIONS
from ..dataset.digest import dataset_digest
from ..dataset.store import Dataset, open_dataset
from ..errors import Cancelled, UsageError, UserError
from ..field.cpu import thread_pool
from ..field.render import TrainedField, load_field
from ..files import atomic_path, require_ending, require_writable_file
from ..ply import points_ply
from ..processes import find_blender
from ..reporting import Reporter
from ..twin_file import Twin, read_twin
from .any_lens import through_any_lens
from .loss import Draw, measure_loss
from .shots import export_cameras, take_shots
from .surface import Surface, fused_surface
from .volume import volume_grid, write_vdb


@dataclass(frozen=True)
class ExportSettings:
    """What to make of which twin.

    Attributes:
        twin: the .twin.
        output: the file to write; its ending must fit the format.
        format: vdb | mesh | points | splats.
        dataset: the .h5 that the twin was trained from: its training views say from where colours are seen, and its
            test views what is lost. Without one, cameras all around are made up, and nothing is measured.
        resolution: voxels along the field's cube.
        device: auto | cpu | cuda, on which the field is rendered.
        blender: the Blender that writes a .vdb; see processes.find_blender.
    """

    twin: str
    output: str
    format: str
    dataset: str | None = None
    resolution: int = 256
    device: str = "auto"
    blender: str | None = None


@dataclass(frozen=True)
class _Made:
    """What came of the twin: how to draw it, how to write it, and what is worth telling."""

    draw: Draw
    write: Callable[[Path], None]
    figures: dict[str, Any]


def export_twin(settings: ExportSettings, reporter: Reporter) -> dict[str, Any]:
    """Export a twin, and measure what that loses when a dataset is given.

    Returns:
        output, format, resolution, bytes, seconds (without the measuring), loss (see `loss.measure_loss`, None when it
        was not measured), and what there is of voxels, vertices, faces, texture, points, splats.

    Raises:
        UsageError: a setting makes no sense.
        UserError: a file is missing, damaged or foreign, there is no Blender for a .vdb, there is nothing to export, or
            the output cannot be written.
        Cancelled: nothing was written, unless only the measuring was left.
    """
    _check(settings)
    output = require_writable_file(settings.output)
    blender = find_blender(settings.blender) if settings.format == "vdb" else ""
    twin = read_twin(settings.twin, ["field", "occupancy"])
    field = load_field(twin, settings.device)
    with (
        open_dataset(settings.dataset) if settings.dataset else nullcontext() as dataset,
        thread_pool() as pool,
    ):
        _advise(twin, dataset, reporter)
        began = time.monotonic()
        made = _make(settings, blender, twin, field, dataset, pool, reporter)
        with atomic_path(output) as temporary:
            made.write(temporary)
            if reporter.cancelled():
                raise Cancelled
        seconds = time.monotonic() - began
        # a volume is drawn by rays, all else by projecting it
        draw = made.draw if settings.format == "vdb" else through_any_lens(made.draw)
        loss = measure_loss(dataset, field, draw, reporter) if dataset else None
    return {
        "output": os.fspath(output),
        "format": settings.format,
        "resolution": settings.resolution,
        **made.figures,
        "bytes": output.stat().st_size,
        "seconds": round(seconds, 3),
        "loss": loss,
    }


def _make(
    settings: ExportSettings,
    blender: str,
    twin: Twin,
    field: TrainedField,
    dataset: Dataset | None,
    pool: ThreadPoolExecutor,
    reporter: Reporter,
) -> _Made:
    figures: dict[str, Any]
    cameras = export_cameras(twin, dataset)
    if settings.format == "vdb":
        grid = volume_grid(field, cameras, settings.resolution, pool, reporter)
        figures = {"voxels": int((grid.density > 0.0).sum())}
        return _Made(grid.picture, lambda path: write_vdb(grid, path, blender, reporter), figures)
    meshes, points, splats = _surface_modules()
    shots = take_shots(field, cameras, reporter)
    surface: Surface = fused_surface(shots, twin.bounds, twin.world_from_field, settings.resolution, pool, reporter)
    if settings.format == "mesh":
        if settings.output.lower().endswith(".ply"):
            coloured = meshes.coloured_mesh(surface, shots, pool, reporter)
            figures = {"vertices": len(coloured.vertices), "faces": len(coloured.faces)}
            return _Made(coloured.picture, _writes(meshes.ply_of(coloured)), figures)
        mesh = meshes.textured_mesh(surface, shots, pool, reporter)
        size = list(mesh.texture.shape[1::-1])
        figures = {"vertices": len(mesh.vertices), "faces": len(mesh.faces), "texture": size}
        return _Made(mesh.picture, _writes(meshes.glb_of(mesh)), figures)
    dots = points.spread_points(surface, shots, pool, reporter)
    if settings.format == "splats":
        gaussians = splats.splats_of(dots)
        return _Made(gaussians.picture, _writes(splats.ply_of(gaussians)), {"splats": len(dots.positions)})
    data = points_ply(dots.positions, dots.normals, dots.colours)
    return _Made(dots.picture, _writes(data), {"points": len(dots.positions)})


def _surface_modules() -> tuple[Any, Any, Any]:
    """What needs libraries that rendering and training do without."""
    try:
        from . import mesh, points, splats
    except ModuleNotFoundError as error:
        raise UserError(
            f"this Python lacks the package {error.name}; install it there, or export as --format vdb"
        ) from error
    return mesh, points, splats


def _writes(data: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(data)

    return write


def _check(settings: ExportSettings) -> None:
    endings = EXPORT_ENDINGS.get(settings.format)
    if endings is None:
        raise UsageError(f"a twin cannot become --format {settings.format}; choose one of {', '.join(EXPORT_ENDINGS)}")
    require_ending(settings.output, *endings)
    if settings.resolution not in EXPORT_RESOLUTIONS:
        raise UsageError(
            f"--resolution is {settings.resolution}; choose one of {', '.join(map(str, EXPORT_RESOLUTIONS))}"
        )


def _advise(twin: Twin, dataset: Dataset | None, reporter: Reporter) -> None:
    """Say what the figures or the pictures will lack."""
    if dataset is None:
        reporter.log(
            "Note: without --dataset X.h5 the loss is not measured, and colours are those seen from all around."
        )
        return
    training = twin.metadata.get("training")
    digest = training.get("dataset_digest") if isinstance(training, dict) else None
    if digest and digest != dataset_digest(dataset.path):
        reporter.log("Note: the twin was trained from another dataset; it may have seen these test views.")
    if dataset.film == "world":
        reporter.log("Note: the world behind the scene is not exported, and counts as lost.")
    if not len(dataset.splits["test"]):
        reporter.log(f"Note: {dataset.path} has no test views, so the loss is not measured.")
