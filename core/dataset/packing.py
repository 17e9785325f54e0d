# SPDX-License-Identifier: GPL-3.0-or-later
"""Staged views become one .h5: reads the multilayer EXRs of any Blender from 4.5 on."""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cameras import world_from_field_of_bounds
from ..errors import Cancelled, UserError
from ..reporting import Reporter
from .contents import DatasetHeader, ViewPixels
from .cycles import view_pixels
from .labels import STAGED, ObjectLabels, fill_view, no_labels
from .resampling import through_the_lens
from .staging import Plan, PlannedView, read_record, read_view_transform
from .writing import write_dataset

Array = NDArray[np.float32]


def pack(folder: Path, plan: Plan, output: str | os.PathLike[str], reporter: Reporter) -> None:
    """Write the dataset of a staging folder in which every view is done.

    Raises:
        UserError: a view is missing or damaged, or the dataset cannot be written.
        Cancelled: the user stopped it; nothing was written.
    """
    noise_floor = None
    if plan.noise_floor is not None and plan.noise_floor_of is not None:
        noise_floor = (plan.noise_floor_of, read_view(folder, plan, plan.noise_floor).rgba)
    ladder = [read_view(folder, plan, rung) for rung in plan.noise_ladder]
    header = dataset_header(folder, plan)
    labels = no_labels(len(plan.views), len(plan.objects), plan.keypoints) if plan.views[0].labels else None
    views = _read_views(folder, plan, labels, reporter)
    write_dataset(output, header, views, noise_floor, ladder, labels)


def dataset_header(folder: Path, plan: Plan) -> DatasetHeader:
    """All of the dataset but its pixels."""
    return DatasetHeader(
        camera_to_world=np.array([view.camera_to_world for view in plan.views]),
        intrinsics=np.array([view.intrinsics for view in plan.views]),
        size=np.tile(np.array(plan.resolution, np.int32), (len(plan.views), 1)),
        frame=np.array([view.frame for view in plan.views], np.int32),
        splits=plan.splits,
        world_from_field=world_from_field_of_bounds(plan.bounds),
        bounds=np.array(plan.bounds),
        film=plan.film,
        view_transform=read_view_transform(folder, plan),
        configuration=plan.configuration,
        objects=plan.objects,
        classes=plan.classes,
        materials=plan.materials,
        scene_name=plan.scene_name,
        scene_hash=plan.scene_hash,
        scene_bytes=plan.scene_bytes,
        blender_version=plan.blender_version,
        seed=int(plan.configuration["seed"]),
        unit_scale=plan.unit_scale,
        camera_kind=plan.views[0].kind,
        distortion=np.array([view.distortion for view in plan.views]),
    )


def read_layers(path: Path) -> dict[str, Array]:
    """The passes of a multilayer EXR: pass name to [H, W, channels], RGBA or XYZ in that order.

    Blender 4.5 writes one part with channels such as `ViewLayer.Combined.R`, 5.x one part a pass; both read the same.

    Raises:
        UserError: the file is missing, truncated or no EXR.
    """
    import OpenEXR

    channels: dict[str, dict[str, Array]] = {}
    try:
        for part in OpenEXR.File(str(path), separate_channels=True).parts:
            for full_name, channel in part.channels.items():
                layer_and_pass, _, letter = full_name.rpartition(".")
                channels.setdefault(layer_and_pass.rpartition(".")[2], {})[letter] = channel.pixels
    except Exception as error:  # the binding raises RuntimeError, ValueError and worse for what it cannot read
        raise UserError(f"{path} cannot be read ({str(error).splitlines()[0]}); render again") from error
    order = "RGBArgbaXYZW"
    return {
        name: np.stack([letters[c] for c in sorted(letters, key=order.find)], axis=-1).astype(np.float32)
        for name, letters in channels.items()
    }


def read_hashes(path: Path) -> dict[str, int]:
    """The number by which Cryptomatte in an EXR knows each object, by the object's name.

    The manifest is a part of the specification (Friedman and Jones, "Fully automatic ID mattes", 2015).
    """
    import OpenEXR

    header = OpenEXR.File(str(path), header_only=True).parts[0].header
    for key, value in header.items():
        if key.startswith("cryptomatte/") and key.endswith("/name") and str(value).endswith("CryptoObject"):
            manifest = json.loads(header[key.removesuffix("name") + "manifest"])
            return {str(name): _as_a_float(int(number, 16)) for name, number in manifest.items()}
    return {}


def _as_a_float(number: int) -> int:
    """A hash as the pixels hold it: those that are no ordinary number as a float have another bit in their exponent."""
    return number ^ (1 << 23) if (number >> 23) & 0xFF in (0, 0xFF) else number


def _read_views(folder: Path, plan: Plan, labels: ObjectLabels | None, reporter: Reporter) -> Iterator[ViewPixels]:
    """The views one after another; what is known of the objects in each of them is entered into `labels`."""
    for done, view in enumerate(plan.views):
        if reporter.cancelled():
            raise Cancelled("stopped while packing; the views are kept, the same command goes on")
        reporter.progress("pack", done, len(plan.views))
        pixels = read_view(folder, plan, view)
        if labels is not None:
            fill_view(
                labels, done, read_staged_labels(folder, view), pixels, view.camera(plan.resolution), plan.objects
            )
        yield pixels
    reporter.progress("pack", len(plan.views), len(plan.views))


def read_view(folder: Path, plan: Plan, view: PlannedView) -> ViewPixels:
    """The passes of a staged view.

    Raises:
        UserError: it is missing or damaged.
    """
    record = read_record(folder, view)
    if record is None:
        raise UserError(f"{view.name} in {folder} is missing or damaged; the same command renders it again")
    try:
        beauty, *truth = (read_layers(folder / name) for name in view.pictures)
        hashes = read_hashes(folder / view.pictures[0]) if "coverage" in plan.passes else {}
        light = ViewPixels(rgba=beauty[plan.passes["rgba"]])
        pixels = view_pixels(plan, beauty, truth[0], hashes) if truth else light
    except UserError:
        (folder / f"{view.name}.json").unlink(missing_ok=True)  # or it would count as done for ever
        raise
    except KeyError as error:
        raise UserError(f"{view.name} in {folder} lacks the pass {error}; remove that folder, render again") from error
    pixels = through_the_lens(pixels, view, plan.resolution)
    if pixels.valid is None and not plan.is_seen_by_pinholes:
        pixels = replace(pixels, valid=np.ones(pixels.rgba.shape[:2], np.bool_))
    # views that were staged by an earlier version do not know how long their truth took
    seconds, truth_seconds = float(record["seconds"]), float(record.get("truth_seconds", 0.0))
    return replace(pixels, seconds=seconds, truth_seconds=truth_seconds, samples=view.samples)


def read_staged_labels(folder: Path, view: PlannedView) -> dict[str, NDArray[Any]]:
    """What Blender's part knows of the objects in a view: see `labels.STAGED`.

    Raises:
        UserError: the file is damaged.
    """
    try:
        with np.load(folder / view.labels_file, allow_pickle=False) as file:
            return {name: file[name] for name in STAGED}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{view.labels_file} in {folder} is damaged; remove that folder, render again") from error


def read_light(folder: Path, plan: Plan, view: PlannedView) -> Array:
    """The light alone [H, W, 4] of a staged view that is there: scene-linear, premultiplied."""
    light = ViewPixels(rgba=read_layers(folder / view.pictures[0])[plan.passes["rgba"]])
    return through_the_lens(light, view, plan.resolution).rgba
