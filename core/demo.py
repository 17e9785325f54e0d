# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole way on the sample scene: posed views, a field, a comparison."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from .comparison.compare import CompareSettings, compare
from .dataset.store import open_dataset
from .errors import UserError
from .files import require_writable_folder, sha256_of_file
from .processes import ROOT
from .rendering.covers import SPLITS
from .rendering.render import RenderSettings, render_dataset
from .reporting import Reporter, format_seconds
from .training.trainer import TrainSettings, train
from .twin_file import unfinished_path

SCENE = ROOT / "sample_scenes" / "still_life.blend"


def demo(output: str, quick: bool, reporter: Reporter, blender: str | None = None) -> dict[str, Any]:
    """Render, train and compare still_life into the folder `output`; returns the comparison's metrics.

    A second run in the same folder renders nothing that is there already, and goes on with a training that was stopped.

    Raises:
        UserError: a stage failed. Cancelled: the user stopped it; what is done is kept.
    """
    folder = require_writable_folder(output)
    began = time.monotonic()
    # test views are the judge, so that even the quick way renders them well
    size = {"views": 40, "val_views": 2, "test_views": 4, "resolution": (128, 128), "samples": 8} if quick else {}
    dataset, twin = folder / "still_life.h5", folder / "still_life.twin"
    steps = [
        ("Rendering", lambda: _render(_render_settings(dataset, blender, size), reporter)),
        ("Training", lambda: train(_train_settings(dataset, twin, 45.0 if quick else 150.0), reporter)),
        ("Comparing", lambda: compare(CompareSettings(str(dataset), str(twin), str(folder / "report")), reporter)),
    ]
    metrics: dict[str, Any] = {}
    for number, (name, step) in enumerate(steps, 1):
        reporter.log(f"{number}/{len(steps)} {name}")
        metrics = step()
    reporter.log(f"Done in {format_seconds(time.monotonic() - began)}")
    return metrics


def _render(settings: RenderSettings, reporter: Reporter) -> dict[str, Any]:
    if _is_rendered(settings):
        reporter.log(f"{settings.output} is rendered already")
        return {}
    return render_dataset(settings, reporter)


def _is_rendered(settings: RenderSettings) -> bool:
    """Whether an earlier run has left the whole dataset: of this very scene, with as many views of this size."""
    if not Path(settings.output).exists():
        return False
    try:
        with open_dataset(settings.output) as dataset:
            counts = [len(dataset.splits[split]) for split in SPLITS]
            return (
                dataset.scene_hash == sha256_of_file(settings.scene)
                and counts == [settings.views, settings.val_views, settings.test_views]
                and all(tuple(size) == tuple(settings.resolution) for size in dataset.size.tolist())
            )
    except UserError:  # damaged: it is rendered anew
        return False


def _train_settings(dataset: Path, twin: Path, seconds: float) -> TrainSettings:
    unfinished = unfinished_path(twin)
    return TrainSettings(
        str(dataset), str(twin), seconds=seconds, resume=str(unfinished) if unfinished.exists() else None
    )


def _render_settings(dataset: Path, blender: str | None, size: dict[str, Any]) -> RenderSettings:
    return RenderSettings(scene=str(SCENE), output=str(dataset), blender=blender, **size)
