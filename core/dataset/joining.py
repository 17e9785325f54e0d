# SPDX-License-Identifier: GPL-3.0-or-later
"""A dataset grows: views that were rendered later join those it has, as training views."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import Cancelled, UserError
from ..files import atomic_path
from ..passes import FURTHER
from ..rendering.covers import SPLITS
from ..reporting import Reporter
from .contents import DatasetHeader, ViewPixels
from .digest import dataset_digest
from .labels import LABELS, ObjectLabels
from .store import Dataset, open_dataset
from .writing import write_dataset

# in the configuration of a dataset that grew: one entry for each time
ADDED = "added"


def join_views(base: Path, more: Path, reasons: list[str], reporter: Reporter) -> None:
    """Put the views of `more` at the end of `base` as training views; val and test views stay what they are.

    `base` is replaced as a whole or stays as it is. How often it grew, by how many views and why, stands in its
    configuration, with the digest that it had before: a twin trained from that has not seen the test views either.

    Args:
        reasons: why each view was added, as the cameras' file says; empty texts where a person chose.

    Raises:
        UserError: the two were not rendered alike (scene, size, film, view transform), or `base` cannot be written.
        Cancelled: nothing was changed.
    """
    digest = dataset_digest(base)
    # some systems do not let a file be replaced while it is read
    with atomic_path(base) as joined, open_dataset(base) as first, open_dataset(more) as second:
        _require_alike(first, second)
        header = _joined_header(first, second, {"views": second.count, "reasons": reasons, "digest": digest})
        views = _views_of([first, second], reporter)
        write_dataset(joined, header, views, first.noise_floor, first.noise_ladder, _joined_labels(first, second))


def added_to(dataset: Dataset) -> list[dict[str, Any]]:
    """How the dataset grew: dictionaries with views, reasons and digest (before), oldest first; empty: it did not."""
    entries = dataset.configuration.get(ADDED)
    return [dict(entry) for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _require_alike(first: Dataset, second: Dataset) -> None:
    def names_of(dataset: Dataset) -> list[tuple[int, str]]:
        return [(thing["index"], thing["name"]) for thing in dataset.objects]

    names = {"objects": names_of(first) == names_of(second)}
    names["classes"] = (first.classes, first.materials) == (second.classes, second.materials)
    names["labels"] = (first.labels is None) == (second.labels is None)
    if first.labels is not None and second.labels is not None:
        names["keypoints"] = first.labels.keypoint_table == second.labels.keypoint_table
    names["bounds"] = np.allclose(first.bounds, second.bounds, rtol=1e-5, atol=1e-6)
    transforms = [one.view_transform.arrays() for one in (first, second)]
    names["view transform"] = transforms[0].keys() == transforms[1].keys() and all(
        np.array_equal(values, transforms[1][name]) for name, values in transforms[0].items()
    )
    names["film"] = first.film == second.film
    names["passes"] = first.passes == second.passes
    names["kind of camera"] = first.camera_kind == second.camera_kind
    names["size of the views"] = bool((first.size == second.size[0]).all())
    for name, same in names.items():
        if not same:
            raise UserError(
                f"the scene has changed since {first.path} was rendered ({name}); render the whole dataset again"
            )


def _joined_header(first: Dataset, second: Dataset, entry: dict[str, Any]) -> DatasetHeader:
    values: dict[str, Any] = {field.name: getattr(first, field.name) for field in fields(DatasetHeader)}
    for name in ("camera_to_world", "intrinsics", "size", "frame", "distortion"):
        values[name] = np.concatenate([values[name], getattr(second, name)])
    splits = {name: [int(index) for index in first.splits[name]] for name in SPLITS}
    splits["train"] += list(range(first.count, first.count + second.count))
    background = tuple(float(value) for value in first.background)
    configuration = {**first.configuration, ADDED: [*added_to(first), entry]}
    return DatasetHeader(**{**values, "splits": splits, "background": background, "configuration": configuration})


def _joined_labels(first: Dataset, second: Dataset) -> ObjectLabels | None:
    """The labels of both, one after the other."""
    before, after = first.labels, second.labels
    if before is None or after is None:
        return None
    arrays = {name: np.concatenate([getattr(before, name), getattr(after, name)]) for name in LABELS}
    masks = None
    if before.amodal_masks is not None and after.amodal_masks is not None:
        masks = before.amodal_masks + after.amodal_masks
    return ObjectLabels(**arrays, keypoint_table=before.keypoint_table, amodal_masks=masks)


def _views_of(datasets: list[Dataset], reporter: Reporter) -> Iterator[ViewPixels]:
    total = sum(dataset.count for dataset in datasets)
    done = 0
    for dataset in datasets:
        passes = dataset.passes
        for index in range(dataset.count):
            if reporter.cancelled():
                raise Cancelled("stopped; the dataset is as it was")
            reporter.progress("pack", done, total)
            yield ViewPixels(
                rgba=dataset.rgba(index),
                depth=dataset.depth(index) if "depth" in passes else None,
                normal=dataset.normal(index) if "normal" in passes else None,
                object_index=dataset.object_index(index) if "object_index" in passes else None,
                valid=dataset.valid(index) if "valid" in passes else None,
                further={name: dataset.pixels(name, index) for name in passes if name in FURTHER},
                depth_complete=dataset.depth_complete,
                seconds=float(dataset.seconds[index]),
                samples=int(dataset.samples[index]),
                truth_seconds=float(dataset.truth_seconds[index]),
            )
            done += 1
    reporter.progress("pack", total, total)
