# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage: a scene is looked over before its views are rendered, and three of them say what all will cost."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..dataset.packing import dataset_header, read_view
from ..dataset.staging import read_plan
from ..dataset.writing import write_dataset
from ..reporting import Reporter
from .render import RenderSettings, ask_blender

# of the frame, under which nothing much is seen; of light, under which everything is black
EMPTY, DARK = 0.01, 1e-4


def check(settings: RenderSettings, reporter: Reporter) -> dict[str, Any]:
    """Look a scene over as `render` would render it. Nothing is written; the output's name does not matter.

    Returns:
        scene, findings ({what, remedy} each, the remedy may be empty), coverage (see `coverage.shares`), views, seconds
        (of rendering all), bytes (of the dataset), staging_bytes (that are needed beside it meanwhile).

    Raises:
        UsageError: a setting makes no sense.
        UserError: the scene cannot be rendered at all.
        Cancelled: nothing is left behind.
    """
    with tempfile.TemporaryDirectory(prefix="radiance_twin_") as place:
        folder = Path(place)
        answer = ask_blender(settings, "check_scene", folder, reporter)
        plan = read_plan(folder)
        probed = [view for view in plan.views if view.name in answer["probed"]]
        pixels = [read_view(folder, plan, view) for view in probed]
        staged = sum(path.stat().st_size for view in probed for path in (folder / name for name in view.files))
        header = dataset_header(folder, replace(plan, views=probed, splits={"train": [], "val": [], "test": []}))
        write_dataset(folder / "probe.h5", header, pixels)
        share = len(plan.views) / len(probed)
        with h5py.File(folder / "probe.h5") as file:
            of_views = sum(array.id.get_storage_size() for array in file["views"].values())
        of_all = (folder / "probe.h5").stat().st_size + of_views * (share - 1.0)
        findings = [*answer["findings"]]
        if np.mean([view.rgba[..., :3].max() for view in pixels]) < DARK:
            findings.append({"what": "The views are black", "remedy": "add a light, or let the world shine"})
        if plan.film == "transparent" and np.mean([(view.rgba[..., 3] > 0.5).mean() for view in pixels]) < EMPTY:
            findings.append(
                {"what": "The views are all but empty", "remedy": "choose a smaller target, or come nearer"}
            )
        return {
            "scene": str(Path(settings.scene).absolute()),
            "findings": findings,
            "coverage": answer["coverage"],
            "views": answer["views"],
            "seconds": answer["seconds"],
            "bytes": int(of_all),
            "staging_bytes": int(staged * share),
        }
