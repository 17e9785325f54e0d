# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage: a dataset becomes a contact sheet and a page of statistics."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..dataset.store import Dataset, open_dataset
from ..dataset.writers.labels import categories_of
from ..errors import UsageError
from ..files import atomic_folder
from ..rendering.covers import SPLITS
from ..reporting import Reporter, followed, format_bytes, format_seconds
from .further import further_pictures, labels_picture
from .page import page
from .pictures import (
    contact_sheet,
    depth_picture,
    depth_range,
    light_picture,
    normal_picture,
    objects_picture,
)
from .statistics import statistics

PICTURE, PAGE, NUMBERS = "sheet.png", "index.html", "statistics.json"
MOST_VIEWS = 200


@dataclass(frozen=True)
class SheetSettings:
    """What to look at.

    Attributes:
        dataset: the .h5.
        output: the folder, new or empty.
        views: how many of them the sheet shows, spread evenly over each split.
    """

    dataset: str
    output: str
    views: int = 12


def make_sheet(settings: SheetSettings, reporter: Reporter) -> dict[str, Any]:
    """Write sheet.png, index.html and statistics.json.

    Returns:
        output, page, and the statistics (see `statistics.statistics`).

    Raises:
        UsageError: a setting makes no sense.
        UserError: the dataset is missing or damaged, or the folder cannot be written.
        Cancelled: nothing was written.
    """
    if not 1 <= settings.views <= MOST_VIEWS:
        raise UsageError(f"--views is {settings.views}; it must be between 1 and {MOST_VIEWS}")
    with open_dataset(settings.dataset) as dataset, atomic_folder(settings.output) as folder:
        used = sorted(int(index) for split in SPLITS for index in dataset.splits[split])
        views: Iterator[int] = followed(used, "sheet", reporter, "view", "stopped; nothing was written")
        numbers = statistics(dataset, views)
        contact_sheet(dataset, some_views(dataset, settings.views), passes_of(dataset)).save(
            folder / PICTURE, optimize=True
        )
        text = page(_title(dataset), _facts(dataset), numbers, folder / PICTURE)
        (folder / PAGE).write_text(text, encoding="utf-8")
        (folder / NUMBERS).write_text(json.dumps(numbers, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return {"output": settings.output, "page": str(Path(settings.output).resolve() / PAGE), **numbers}


def passes_of(dataset: Dataset) -> dict[str, Callable[[int], Image.Image]]:
    """What a column of the sheet is called, to what draws a view of it; only of passes that there are."""
    there = set(dataset.passes)
    pictures: dict[str, Callable[[int], Image.Image]] = {"Light": lambda index: light_picture(dataset, index)}
    if "depth" in there:
        least, most = depth_range(dataset)
        pictures[f"Depth {least:.3g} to {most:.3g}"] = lambda index: depth_picture(dataset.depth(index), least, most)
    if "normal" in there:
        pictures["Normal"] = lambda index: normal_picture(dataset.normal(index))
    if "object_index" in there and dataset.objects:
        categories = categories_of(dataset)
        pictures["Objects"] = lambda index: objects_picture(dataset, index, categories)
    if "valid" in there:
        pictures["Valid"] = lambda index: Image.fromarray(dataset.valid(index).astype(np.uint8) * 255).convert("RGB")
    pictures |= further_pictures(dataset)
    labels = dataset.labels
    if labels is not None:
        pictures["Labels of the largest"] = lambda index: labels_picture(
            dataset, labels, index, light_picture(dataset, index)
        )
    return pictures


def some_views(dataset: Dataset, count: int) -> list[tuple[str, int]]:
    """About `count` views (split, index): of each split its share, at least one, evenly spread."""
    total = sum(len(dataset.splits[split]) for split in SPLITS)
    chosen = []
    for split in SPLITS:
        indices = dataset.splits[split]
        share = min(len(indices), max(1, round(count * len(indices) / total)))
        places = np.linspace(0, len(indices) - 1, share).round().astype(int)
        chosen += [(split, int(indices[place])) for place in places]
    return chosen


def _title(dataset: Dataset) -> str:
    return dataset.scene_name or dataset.path.stem


def _facts(dataset: Dataset) -> list[tuple[str, str]]:
    sizes = sorted({f"{width} × {height}" for width, height in dataset.size.tolist()})
    rig = dataset.configuration.get("rig")
    samples = sorted(set(dataset.samples.tolist()))
    facts = [
        ("File", f"{dataset.path.name}, {format_bytes(dataset.path.stat().st_size)}"),
        ("Size", sizes[0] if len(sizes) == 1 else f"{len(sizes)} sizes, {sizes[0]} to {sizes[-1]}"),
        ("Passes", ", ".join(dataset.passes)),
        ("Film", dataset.film),
        ("View transform", f"{dataset.view_transform.display} / {dataset.view_transform.view}"),
    ]
    if rig:
        facts.append(("Rig", str(rig)))
    if dataset.seconds.any():
        words = " and ".join(str(one) for one in samples)
        facts.append(("Rendered", f"in {format_seconds(float(dataset.seconds.sum()))} at {words} samples"))
    if dataset.blender_version:
        facts.append(("Blender", dataset.blender_version))
    return facts
