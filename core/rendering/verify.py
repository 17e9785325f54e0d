# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage: views of a dataset are rendered again from what it says of itself, and have to be the same bits."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..camera_file import PosedCamera, write_cameras
from ..dataset.contents import ViewPixels
from ..dataset.labels import LABELS, fill_view, no_labels
from ..dataset.packing import read_staged_labels, read_view
from ..dataset.run_lengths import joined_runs
from ..dataset.staging import Plan
from ..dataset.store import Dataset, open_dataset
from ..dataset.writing import view_hash
from ..errors import UsageError, UserError
from ..files import sha256_of_file
from ..passes import FURTHER
from ..reporting import Reporter
from .configuration import DEFAULTS, SETTINGS, without_meaning
from .render import RenderSettings, stage_views


@dataclass(frozen=True)
class VerifySettings:
    """What to verify.

    Attributes:
        dataset: the .h5. scene: the .blend that it was rendered from.
        views: how many of its views are rendered again.
        blender: executable; see processes.find_blender.
    """

    dataset: str
    scene: str
    views: int = 3
    blender: str | None = None


def verify(settings: VerifySettings, reporter: Reporter) -> dict[str, Any]:
    """Render some views again and compare.

    Returns:
        dataset, views (how many were the same bits: all that were rendered), indices.

    Raises:
        UsageError: a setting makes no sense.
        UserError: a view is not the same, the scene is another, the dataset was not rendered, or as `render_dataset`.
        Cancelled: nothing is left behind.
    """
    if settings.views < 1:
        raise UsageError(f"--views is {settings.views}; it must be at least 1")
    with open_dataset(settings.dataset) as dataset, tempfile.TemporaryDirectory(prefix="radiance_twin_") as place:
        _require_its_scene(dataset, settings.scene)
        own = {name: value for name, value in dataset.configuration.items() if name in SETTINGS}
        # datasets of before these were refused may hold some
        own |= {name: DEFAULTS[name] for name in without_meaning(own)}
        if own["rig"] == "poses":
            own["poses"] = str(Path(place) / "cameras.json")
            write_cameras(Path(own["poses"]), _its_cameras(dataset))
        asked = RenderSettings(
            **own,
            scene=settings.scene,
            output=Path(place) / "again.h5",
            blender=settings.blender,
            allow_newer=True,
        )
        indices = _some(dataset, settings.views)
        names = [f"view_{index:06d}" for index in indices]
        folder, plan, _ = stage_views(asked, reporter, only=names)
        if plan.blender_version != dataset.blender_version:
            reporter.log(f"Note: rendered by Blender {dataset.blender_version}, and now by {plan.blender_version}.")
        found = {view.name: read_view(folder, plan, view) for view in plan.views if view.name in names}
        if len(found) != len(names):
            raise UserError(f"{settings.dataset} has views that its settings do not lead to; it was changed")
        for index, name in zip(indices, names, strict=True):
            if view_hash(found[name]) != dataset.sha256(index):
                raise UserError(f"view {index} is not what it was: {_difference(dataset, index, found[name])}")
            changed = _changed_label(dataset, index, folder, plan, found[name])
            if changed:
                raise UserError(f"view {index} is not what it was: labels/{changed} differs")
    return {"dataset": settings.dataset, "views": len(indices), "indices": indices}


def _require_its_scene(dataset: Dataset, scene: str) -> None:
    if "rig" not in dataset.configuration:
        raise UserError(f"{dataset.path} was imported, not rendered; there is nothing to verify")
    if dataset.scene_hash and sha256_of_file(scene) != dataset.scene_hash:
        raise UserError(f"{scene} is not the file that {dataset.path} was rendered from, or was saved since; find that")


def _some(dataset: Dataset, count: int) -> list[int]:
    """Views that the settings lead to, evenly spread; those that were added later are not among them."""
    planned = _planned(dataset)
    places = np.linspace(0, planned - 1, min(count, planned)).round().astype(int)
    return sorted({int(place) for place in places})


def _planned(dataset: Dataset) -> int:
    known = dataset.configuration
    planned = sum(int(known[name]) for name in ("views", "val_views", "test_views"))
    return min(planned * (2 if known.get("stereo") else 1), dataset.count)


def _its_cameras(dataset: Dataset) -> list[PosedCamera]:
    """Those of the rig poses, whose file may be gone by now."""
    split_of = {int(index): split for split, indices in dataset.splits.items() for index in indices}
    indices = range(_planned(dataset))
    # a frame that is drawn for each view is none in which the scene stands
    frames = {int(dataset.frame[index]) for index in indices}
    frame = frames.pop() if len(frames) == 1 else None
    return [PosedCamera(dataset.camera(index), frame, split=split_of.get(index)) for index in indices]


def _difference(dataset: Dataset, index: int, now: ViewPixels) -> str:
    """What differs most, in words."""
    found = []
    for name in dataset.passes:
        before = dataset.pixels(name, index)
        other = now.further.get(name) if name in FURTHER else getattr(now, name)
        if other is None or other.shape != before.shape:
            found.append(f"{name} has another size")
        else:
            apart = np.abs(before.astype(np.float64) - np.asarray(other, before.dtype))
            if apart.max() > 0:
                share = float((apart.reshape(*apart.shape[:2], -1) > 0).any(axis=-1).mean())
                found.append(f"{name} differs by up to {apart.max():.3g} in {share:.1%} of the pixels")
    return "; ".join(found) or "it has other passes"


def _changed_label(dataset: Dataset, index: int, folder: Path, plan: Plan, pixels: ViewPixels) -> str:
    """The first array of labels that is not what it was; empty: none."""
    known, view = dataset.labels, plan.views[index]
    if known is None:
        return ""
    again = no_labels(1, len(plan.objects), plan.keypoints)
    fill_view(again, 0, read_staged_labels(folder, view), pixels, view.camera(plan.resolution), plan.objects)
    for name in LABELS:
        before, now = getattr(known, name)[index], getattr(again, name)[0]
        if before.shape != now.shape or not np.array_equal(before, now, equal_nan=before.dtype.kind == "f"):
            return name
    if known.amodal_masks is not None and again.amodal_masks is not None:
        masks = (
            joined_runs(of_view, len(plan.objects)) for of_view in (known.amodal_masks[index], *again.amodal_masks)
        )
        if not all(map(np.array_equal, *masks)):
            return "amodal_runs"
    return ""
