# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks for what would spoil a render of many views, and renders three of them to say what all will cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...core.dataset import staging
from ...core.dataset.staging import Plan, PlannedView
from ...core.reporting import Reporter
from .plan import Studio, plan_views
from .randomise.changes import Changes
from .render import render_missing
from .sight import complaints, named, spread

PROBE = 3
# share of the surface that no training view sees, from which on it is told
UNSEEN = 0.1
# transforms that a trainer can undo
INVERTIBLE = ("Standard", "Raw")


def check_scene(arguments: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    """The request of this process.

    Args:
        arguments: scene, staging (an empty folder), settings, as for `render_views`.

    Returns:
        findings: {what, remedy} each; coverage: see `shares` in core/rendering/coverage.py; seconds: of rendering all
        views, by the probe; probed: names of the views that were rendered, which are in the folder; views: how many.

    Raises:
        UserError: the scene cannot be rendered at all. Cancelled: the user stopped it.
    """
    folder = Path(arguments["staging"])
    with Changes() as changes:
        plan, studio = plan_views(Path(arguments["scene"]), arguments["settings"], folder, changes)
        return _look_over(plan, studio, folder, reporter)


def _look_over(plan: Plan, studio: Studio, folder: Path, reporter: Reporter) -> dict[str, Any]:
    findings = [
        _finding(f"{name} is missing, and what needs it renders pink or not at all", "find it by File, External Data")
        for name in studio.missing
    ]
    findings += [_finding(remark, "") for remark in studio.remarks]
    studio.remarks.clear()  # or the probe would say them once more
    findings += _of_sight(plan, studio)
    covered = plan.configuration["coverage"]
    if covered["never"] > UNSEEN:
        findings.append(
            _finding(
                f"{covered['never']:.0%} of the surface that could be seen is seen by no training view",
                "choose more views, or a rig that sees it",
            )
        )
    view = plan.view_transform["view"]
    if view not in INVERTIBLE:
        findings.append(
            _finding(
                f"The view transform is {view}, which trainers that take PNG pictures cannot undo",
                "export with the look Standard, as is usual (--look), or as EXR (--images)",
            )
        )
    probed = spread(plan.views, PROBE)
    reporter.log(f"Rendering {len(probed)} of {len(plan.views)} views as a probe")
    render_missing(probed, studio, folder, reporter, stage="check")
    return {
        "findings": findings,
        "coverage": covered,
        "seconds": _seconds_of_all(plan, probed, folder),
        "probed": [view.name for view in probed],
        "views": len(plan.views),
    }


def _of_sight(plan: Plan, studio: Studio) -> list[dict[str, str]]:
    wrong = complaints(plan, studio.sight)
    for view in spread(plan.views):
        cut = studio.sight.cut_by_clipping(np.array(view.camera_to_world), float(view.lens["clip_start"]))
        if cut:
            wrong.setdefault(f"has {cut} cut open by its near clipping", []).append(view.name)
    return [
        _finding(
            in_words,
            "lower the camera's Clip Start" if "clipping" in in_words else "move the target, or choose another rig",
        )
        for in_words in named(wrong)
    ]


def _seconds_of_all(plan: Plan, probed: list[PlannedView], folder: Path) -> float:
    """By the seconds of each probed view but the first, in which Cycles builds what it keeps for all."""
    records = [staging.read_record(folder, view) for view in probed]
    each = [0.0 if record is None else float(record["seconds"]) + float(record["truth_seconds"]) for record in records]
    once = 0.0
    if len(each) > 1:
        later = sum(each[1:]) / sum(view.samples for view in probed[1:])
        once = max(0.0, each[0] - later * probed[0].samples)
    else:
        later = each[0] / probed[0].samples
    return once + later * sum(view.samples for view in plan.work)


def _finding(what: str, remedy: str) -> dict[str, str]:
    return {"what": what, "remedy": remedy}
