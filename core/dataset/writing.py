# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing a dataset: one .h5 file, complete or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..files import atomic_path
from ..lenses import NO_DISTORTION
from ..passes import FURTHER, PASSES
from ..rendering.covers import SPLITS
from .checksums import FILE_FORMAT, hash_of_passes, seal_attributes, store_array
from .contents import FORMAT, VERSION, DatasetHeader, ViewPixels
from .labels import LABELS, ObjectLabels, shapes_of_labels
from .run_lengths import joined_runs
from .sink import Sink

HALF_MAX = 65504.0
PACKING = {"compression": "gzip", "shuffle": True}


def write_dataset(
    path: str | os.PathLike[str],
    header: DatasetHeader,
    views: Iterable[ViewPixels],
    noise_floor: tuple[int, NDArray[np.float32]] | None = None,
    noise_ladder: Sequence[ViewPixels] = (),
    labels: ObjectLabels | None = None,
) -> None:
    """Write a dataset, one view at a time, complete or not at all.

    Args:
        views: in the header's order; taken one by one, so that memory stays flat. All have the same passes.
        noise_floor: a test view's index and its pixels [H, W, 4] rendered with another seed.
        noise_ladder: the light of that same view rendered with fewer samples, the fewest first.
        labels: of the header's objects; written last, so that who yields the views may fill them on the way.

    Raises:
        UserError: the file cannot be written.
        ValueError: header and views do not fit each other.
    """
    count = len(header.size)
    largest = tuple(int(n) for n in header.size.max(axis=0)[::-1])
    with atomic_path(path) as temporary, Sink(temporary) as sink, h5py.File(sink, "w", libver=FILE_FORMAT) as file:
        _write_header(file, header)
        arrays: dict[str, h5py.Dataset] = {}
        seconds, samples, hashes = np.zeros((2, count)), np.zeros(count, np.int32), []
        done, depth_complete = 0, True
        for index, view in enumerate(views):
            if index >= count:
                raise ValueError(f"more views than the {count} in the header")
            passes = _encode(view)
            if passes["rgba"].shape[:2] != tuple(header.size[index][::-1]):
                raise ValueError(f"view {index} is {passes['rgba'].shape[:2]}, the header says {header.size[index]}")
            if index and passes.keys() != arrays.keys():
                raise ValueError(f"view {index} has other passes than those before it")
            depth_complete &= view.depth_complete
            hashes.append(hash_of_passes(passes))
            for name, pixels in passes.items():
                if name not in arrays:
                    arrays[name] = _new_pass(file, name, count, (*largest, *pixels.shape[2:]), pixels.dtype)
                arrays[name][index, : pixels.shape[0], : pixels.shape[1]] = pixels
            seconds[:, index], samples[index] = (view.seconds, view.truth_seconds), view.samples
            done += 1
            sink.check()
        if done != count:
            raise ValueError(f"{done} views for a header of {count}")
        if "depth" in arrays and not depth_complete:
            arrays["depth"].attrs["complete"] = False
        for name, values in (("seconds", seconds[0]), ("truth_seconds", seconds[1]), ("samples", samples)):
            store_array(file, f"views/{name}", values)
        store_array(file, "views/sha256", np.array(hashes, dtype="S64"))
        if noise_floor is not None:
            pixels = store_array(file, "noise_floor/rgba", _half(noise_floor[1]), **PACKING)
            pixels.attrs["view"] = noise_floor[0]
            if noise_ladder:
                _write_ladder(file, noise_ladder)
        if labels is not None:
            _write_labels(file, labels, count, len(header.objects))
        seal_attributes(file)


def _new_pass(file: h5py.File, name: str, count: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> h5py.Dataset:
    """A pass of `count` views that are still to be written, each of them a chunk of its own."""
    return file.create_dataset(
        f"views/{name}",
        shape=(count, *shape),
        dtype=dtype,
        chunks=(1, *shape),
        compression="gzip",
        compression_opts=1,
        shuffle=True,
        fletcher32=True,
    )


def _write_ladder(file: h5py.File, rungs: Sequence[ViewPixels]) -> None:
    pixels = np.stack([_half(rung.rgba) for rung in rungs])
    store_array(file, "noise_ladder/rgba", pixels, **PACKING)
    store_array(file, "noise_ladder/samples", np.array([rung.samples for rung in rungs], np.int32))
    store_array(file, "noise_ladder/seconds", np.array([rung.seconds for rung in rungs]))


def _write_labels(file: h5py.File, labels: ObjectLabels, views: int, objects: int) -> None:
    group = file.create_group("labels")
    group.attrs["keypoints"] = json.dumps(labels.keypoint_table, sort_keys=True)
    for name, shape in shapes_of_labels(views, objects, len(labels.keypoint_table)).items():
        values = np.asarray(getattr(labels, name), LABELS[name])
        if values.shape != shape:
            raise ValueError(f"labels/{name} is {values.shape}, the header says {shape}")
        store_array(group, name, values, **PACKING)
    if labels.amodal_masks is not None:
        runs, counts = zip(*(joined_runs(masks, objects) for masks in labels.amodal_masks), strict=True)
        store_array(group, "amodal_runs", np.concatenate(runs), **PACKING)
        store_array(group, "amodal_run_counts", np.stack(counts), **PACKING)


def _write_header(file: h5py.File, header: DatasetHeader) -> None:
    file.attrs.update(
        format=FORMAT,
        version=VERSION,
        # a name in bytes that are no text, as a file may have one
        scene_name=header.scene_name.encode("utf-8", "replace").decode("utf-8"),
        scene_hash=header.scene_hash,
        scene_bytes=header.scene_bytes,
        blender_version=header.blender_version,
        seed=header.seed,
        configuration=json.dumps(header.configuration, sort_keys=True),
        unit_scale=header.unit_scale,
        world_from_field=np.asarray(header.world_from_field, np.float64),
        bounds=np.asarray(header.bounds, np.float64),
        background=np.asarray(header.background, np.float32),
        film=header.film,
    )
    cameras = file.create_group("cameras")
    store_array(cameras, "camera_to_world", np.asarray(header.camera_to_world, np.float64))
    store_array(cameras, "intrinsics", np.asarray(header.intrinsics, np.float64))
    store_array(cameras, "size", np.asarray(header.size, np.int32))
    store_array(cameras, "frame", np.asarray(header.frame, np.int32))
    none = np.tile(NO_DISTORTION, (len(header.size), 1))
    bent = none if header.distortion is None else np.asarray(header.distortion, np.float64)
    store_array(cameras, "distortion", bent)
    cameras.attrs["model"] = header.camera_kind
    for name in SPLITS:
        store_array(file, f"splits/{name}", np.asarray(header.splits.get(name, []), np.int64))
    group = file.create_group("view_transform")
    for name, values in header.view_transform.arrays().items():
        store_array(group, name, values, **PACKING)
    group.attrs.update(header.view_transform.to_metadata())
    tables = {"table": header.objects, "classes": header.classes, "materials": header.materials}
    file.create_group("objects").attrs.update(
        {name: json.dumps(table, sort_keys=True) for name, table in tables.items()}
    )


def _encode(view: ViewPixels) -> dict[str, NDArray[Any]]:
    pixels: dict[str, NDArray[Any] | None] = {
        name: getattr(view, name) for name in PASSES if name not in FURTHER
    } | view.further
    passes: dict[str, NDArray[Any]] = {}
    for name, values in pixels.items():
        if values is not None:
            dtype = PASSES[name].dtype
            half = dtype == "f2" and name != "normal"
            passes[name] = _half(values) if half else np.asarray(values, dtype)
    return passes


def _half(light: NDArray[Any]) -> NDArray[np.float16]:
    # a half cannot hold more than 65504, and infinity would poison every sum that follows
    return np.clip(np.nan_to_num(light, nan=0.0), -HALF_MAX, HALF_MAX).astype(np.float16)


def view_hash(view: ViewPixels) -> str:
    """The hexadecimal SHA-256 that a dataset keeps of a view's passes as it stores them."""
    return hash_of_passes(_encode(view))
