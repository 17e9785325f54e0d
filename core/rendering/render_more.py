# SPDX-License-Identifier: GPL-3.0-or-later
"""Given cameras are rendered as the views of a dataset were, and join them as training views."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ..camera_file import PosedCamera, write_cameras
from ..dataset import staging
from ..dataset.joining import join_views
from ..dataset.store import Dataset, open_dataset
from ..errors import UsageError, UserError
from ..foreign_cameras import cameras_to_render
from ..locks import locked
from ..reporting import Reporter
from .configuration import DEFAULTS, without_meaning
from .render import RenderSettings, render_dataset
from .rigs import PLACED_RIGS

# what a dataset knows of how it was rendered, and what stays the user's choice
ITS_OWN = ("resolution", "samples", "reference_samples", "denoise", "film")
# more of it, and what it was in datasets of before there was a choice
SINCE: dict[str, Any] = {
    "motion_blur": False,
    "randomise": (),
    "passes": (),
    "labels": False,
    "classes": (),
    "keypoints": (),
}


def add_views(settings: RenderSettings, reporter: Reporter) -> dict[str, Any]:
    """Render the cameras of `settings.add` and add them to the dataset `settings.output`.

    Resolution, samples, denoising, film, passes and labels are the dataset's. The new views are staged beside it,
    so that the same call goes on where an interrupted one was.

    Returns:
        As `render_dataset`; views are those of the whole dataset.

    Raises:
        UsageError: no cameras are named.
        UserError: the dataset cannot be added to, the cameras do not suit it, or as `render_dataset`.
        Cancelled: the dataset is as it was.
    """
    if settings.add is None:
        raise UsageError("--add is missing; name a file of cameras")
    output = Path(settings.output)
    if not output.exists():
        raise UserError(f"{output} does not exist; --add adds to a dataset, so render one first")
    with locked(output):
        with open_dataset(output) as dataset:
            width, height = (int(side) for side in dataset.size[0])
            frame = _frame_of_all(dataset)
            given = cameras_to_render(settings.add, (width, height))
            cameras = [replace(one, frame=frame, split="train") for one in given]
            asked = _as_the_dataset(settings, dataset, cameras)
            count = dataset.count
        part, poses = Path(asked.output), Path(asked.poses or "")
        try:
            write_cameras(poses, cameras)
            result = render_dataset(asked, reporter)
            join_views(output, part, [one.reason for one in cameras], reporter)
        finally:
            part.unlink(missing_ok=True)
            poses.unlink(missing_ok=True)
    return {**result, "output": str(output), "views": count + result["views"], "bytes": output.stat().st_size}


def _frame_of_all(dataset: Dataset) -> int | None:
    """In which the scene stood while its cameras did; None: in its own, while one camera moved."""
    return int(dataset.frame[0]) if dataset.configuration.get("rig") in (*PLACED_RIGS, "poses") else None


def _as_the_dataset(settings: RenderSettings, dataset: Dataset, cameras: list[PosedCamera]) -> RenderSettings:
    known = dataset.configuration
    missing = [name for name in ("rig", *ITS_OWN) if name not in known]
    if missing or not dataset.blender_version:
        raise UserError(f"{dataset.path} was not rendered by Radiance Twin; only a dataset of a .blend can grow")
    width, height = (int(side) for side in known["resolution"])
    if known.get("moving"):
        raise UserError(f"the scene of {dataset.path} moves; only a dataset of one that stands still can grow")
    own = {name: known[name] for name in ITS_OWN} | {name: known.get(name, before) for name, before in SINCE.items()}
    asked = replace(
        settings,
        **{**own, "resolution": (width, height)},
        output=dataset.path.with_name(f"{dataset.path.stem}.more.h5"),
        add=None,
        rig="poses",
        poses=str(dataset.path.with_name(f"{dataset.path.stem}.more.json")),
        views=len(cameras),
        val_views=0,
        test_views=0,
        # unrelated to the seeds of the views that are there
        seed=staging.view_seed(dataset.seed, f"after {dataset.count} views"),
    )
    # given cameras say themselves, or do without, what other rigs are asked for
    return replace(asked, **{name: DEFAULTS[name] for name in without_meaning(vars(asked))})
