#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for Blender's part: plans three views and writes grey ones at once, or dies where it is told to.

RADIANCE_TWIN_TEST_CRASH names the views at which it dies, "start" for the very start; "once" among them: only the first
time. RADIANCE_TWIN_TEST_ROOT is the repository, RADIANCE_TWIN_TEST_SIZE the side of a view.
"""

import os
import runpy
import signal
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(os.environ["RADIANCE_TWIN_TEST_ROOT"])
CRASH = os.environ.get("RADIANCE_TWIN_TEST_CRASH", "").split()

runpy.run_path(str(ROOT / "core" / "bootstrap.py"))["register"](ROOT)

from radiance_twin.core import colour, reporting  # noqa: E402
from radiance_twin.core.dataset import staging  # noqa: E402
from radiance_twin.core.worker import protocol  # noqa: E402

SIZE = int(os.environ.get("RADIANCE_TWIN_TEST_SIZE", "4"))


def render_views(arguments: dict[str, Any], reporter: reporting.Reporter) -> dict[str, Any]:
    folder = Path(arguments["staging"])
    crash_at("start", folder)
    plan = plan_of(arguments["settings"])
    staging.write_plan(folder, plan, colour.standard_view_transform())
    missing = [view for view in staging.missing_views(folder, plan) if view.name not in arguments["skip"]]
    missing = [view for view in missing if arguments["only"] is None or view.name in arguments["only"]]
    for view in missing:
        crash_at(view.name, folder)
        for name in view.files:
            write_grey(folder / name)
        staging.write_record(folder, view, 0.01)
    return {"rendered": len(missing), "kept": len(plan.work) - len(missing), "seconds": 0.1, "device": "fake"}


def crash_at(place: str, folder: Path) -> None:
    marker = folder.parent / f"crashed at {place}"
    if place in CRASH and not ("once" in CRASH and marker.exists()):
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def plan_of(settings: dict[str, Any]) -> staging.Plan:
    view = staging.PlannedView("", 1, np.eye(4).tolist(), [4.0, 4.0, 2.0, 2.0], {}, 1, False, 0)
    views = [
        staging.with_key(staging.PlannedView(**{**view.__dict__, "name": f"view_{i:06d}"}), {})
        for i in range(settings["views"])
    ]
    return staging.Plan(
        views=views,
        splits={"train": list(range(len(views))), "val": [], "test": []},
        noise_floor=None,
        noise_floor_of=None,
        resolution=(SIZE, SIZE),
        film="transparent",
        bounds=[[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]],
        objects=[],
        passes={"rgba": "Combined", "depth": "Depth", "normal": "Normal", "object_index": "IndexOB"},
        scene_name="fake",
        scene_hash="",
        scene_bytes=0,
        blender_version="0.0.0",
        unit_scale=1.0,
        device="fake",
        view_transform=colour.standard_view_transform().to_metadata(),
        configuration={"seed": 0, "rig": "hemisphere", "views": settings["views"], "val_views": 0, "test_views": 0},
    )


def write_grey(path: Path) -> None:
    import OpenEXR

    names = ("Combined.R", "Combined.G", "Combined.B", "Combined.A", "Depth.Z", "IndexOB.X")
    names += ("Normal.X", "Normal.Y", "Normal.Z")
    grey = {f"view.{name}": np.full((SIZE, SIZE), 0.5, np.float32) for name in names}
    OpenEXR.File({"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}, grey).write(str(path))


protocol.serve({"render_views": render_views}, "0")
