# SPDX-License-Identifier: GPL-3.0-or-later
"""What a dataset or a twin holds, in a few lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .dataset.digest import dataset_digest
from .dataset.store import EXTRAS, Dataset, open_dataset
from .errors import UsageError, UserError
from .rendering.configuration import SETTINGS
from .twin_file import read_twin


def info(file: str, digest: bool = False, check: bool = False) -> dict[str, Any]:
    """Describe a dataset (.h5) or a twin (.twin); with `digest`, only a dataset's hash; with `check`, read all of it.

    Raises:
        UsageError: the digest of a twin is asked for.
        UserError: the file is missing or damaged.
    """
    path = Path(file)
    is_twin = path.suffix.lower() == ".twin"
    if digest and is_twin:
        raise UsageError(f"{path} is a twin, and --digest is of a dataset; name an .h5 file")
    if check and not is_twin:  # a twin is always read as a whole
        _require_sound(path)
    # what is damaged does not come this far
    checked: dict[str, Any] = {"damaged": []} if check else {}
    if digest:
        return {"digest": dataset_digest(path)}
    if is_twin:
        twin = read_twin(path)
        return {
            "file": str(path),
            "bytes": path.stat().st_size,
            **{
                name: twin.metadata[name]
                for name in ("scene_name", "film", "training", "bake")
                if name in twin.metadata
            },
            "arrays": {name: f"{array.dtype} {list(array.shape)}" for name, array in sorted(twin.arrays.items())},
            **checked,
        }
    with open_dataset(path) as dataset:
        return {
            "file": str(path),
            "bytes": path.stat().st_size,
            "scene": dataset.scene_name,
            "blender": dataset.blender_version,
            "views": {name: len(indices) for name, indices in dataset.splits.items()},
            "resolution": sorted({f"{width}x{height}" for width, height in dataset.size.tolist()}),
            "passes": dataset.passes,
            "film": dataset.film,
            "background": [round(float(value), 4) for value in dataset.background],
            "view_transform": f"{dataset.view_transform.display} / {dataset.view_transform.view}",
            "objects": [entry.get("name") for entry in dataset.objects],
            "classes": [entry.get("name") for entry in dataset.classes],
            "labels": _labels_in_short(dataset),
            "seconds": round(float(dataset.seconds.sum()), 1),
            "coverage": dataset.configuration.get("coverage"),
            "configuration": _in_short(dataset.configuration),
            **checked,
        }


def _require_sound(path: Path) -> None:
    with open_dataset(path) as dataset:
        views = dict(dataset.damaged_views())
        damaged = [EXTRAS[name] for name in dataset.damaged_extras()]
    if views:
        indices = ", ".join(str(index) for index in views)
        damaged.insert(0, f"{len(views)} of {dataset.count} views ({indices})")
    if damaged:
        raise UserError(
            f"{path} is damaged in {' and '.join(damaged)}; fetch it again, render it again, or use the rest by "
            "--skip-damaged"
        )


def configuration_of(dataset: str | None) -> dict[str, Any]:
    """The settings that a dataset was rendered with; nothing when none is named.

    Raises:
        UserError: it is missing or damaged, or was not rendered.
    """
    if dataset is None:
        return {}
    with open_dataset(dataset) as opened:
        if "rig" not in opened.configuration:
            raise UserError(f"{dataset} was imported, not rendered; it has no such settings")
        return {name: value for name, value in opened.configuration.items() if name in SETTINGS}


def _labels_in_short(dataset: Dataset) -> dict[str, Any] | None:
    """What the labels know, None without any."""
    labels = dataset.labels
    if labels is None:
        return None
    return {
        "boxes": int((labels.visible_pixels > 0).sum()),
        "poses": int(np.isfinite(labels.object_to_world).all(axis=(2, 3)).sum()),
        "keypoints": [keypoint["name"] for keypoint in labels.keypoint_table],
    }


def _in_short(configuration: dict[str, Any]) -> dict[str, Any]:
    """The configuration without coverage, and with the number of imported images instead of all their names."""
    configuration = {name: value for name, value in configuration.items() if name != "coverage"}
    imported = configuration.get("import")
    if not isinstance(imported, dict) or not isinstance(imported.get("images"), list):
        return configuration
    return {**configuration, "import": {**imported, "images": len(imported["images"])}}
