# SPDX-License-Identifier: GPL-3.0-or-later
"""Step 4: the held-out views, both ways: figures, a report in the browser, and the worst pair as two images."""

import json
from pathlib import Path
from typing import Any

import bpy

from ...core.arguments import TURNTABLE_FRAMES
from ...core.words import metrics_in_words
from ..jobs import worker
from ..paths import UNSAVED, paths_of_open_file
from ..properties import settings_of
from . import Resumable, can_run, go_on, run, why_no_job
from .render import start_on_a_copy, this_blender

SIDES = ("classic", "neural")
PICTURES = {"classic": "Classic", "neural": "Neural", "flip": "FLIP"}
MARK = "radiance_twin_side"  # tells our images from the user's


class RADIANCE_TWIN_OT_compare(Resumable, bpy.types.Operator):
    """Render the held-out views from the twin, measure them against Cycles, and open the report in the browser"""

    bl_idname = "radiance_twin.compare"
    bl_label = "Compare"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return can_run(cls, why_not_compare())

    def execute(self, context: bpy.types.Context) -> set[str]:
        paths = paths_of_open_file()
        assert paths is not None, "poll has asked for a saved file"
        if self.resume:
            return run(self, lambda: go_on("compare", "comparison", compared))
        settings = settings_of(context.scene)
        arguments = {"device": settings.device, "turntable": TURNTABLE_FRAMES if settings.turntable else 0}
        return run(self, lambda: start_compare(arguments, paths.dataset, paths.twin, paths.report))


class RADIANCE_TWIN_OT_open_report(bpy.types.Operator):
    """Open the last comparison in the browser"""

    bl_idname = "radiance_twin.open_report"
    bl_label = "Open Report"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        paths = paths_of_open_file()
        return can_run(cls, "" if paths and (paths.report / "index.html").is_file() else "Compare first")

    def execute(self, context: bpy.types.Context) -> set[str]:
        paths = paths_of_open_file()
        assert paths is not None, "poll has asked for a report"
        open_in_browser(paths.report)
        return {"FINISHED"}


def why_not_compare() -> str:
    """Why nothing can be compared now; empty when it can."""
    paths = paths_of_open_file()
    if paths is None:
        return UNSAVED
    if not paths.dataset.is_file():
        return "Render the views first"
    if not paths.twin.is_file():
        return "Train the twin first"
    return why_no_job()


def start_compare(
    arguments: dict[str, Any], dataset: Path, twin: Path, output: Path, scene: str | None = None
) -> worker.Job:
    """Compare `twin` with `dataset` into the folder `output`.

    Args:
        scene: the .blend of a turntable; a copy of the open scene when it is not named.

    Raises:
        UserError: a job is running, or there is no worker.
        RuntimeError: the copy cannot be saved.
    """
    asked = {**arguments, "dataset": str(dataset), "twin": str(twin), "output": str(output)}
    if not arguments.get("turntable"):
        return worker.start("compare", asked, compared)
    if scene is not None:
        return worker.start("compare", {**asked, "scene": scene, "blender": this_blender()}, compared)
    return start_on_a_copy("compare", asked, compared)


def compared(job: worker.Job, result: dict[str, Any] | None) -> str:
    """Show what came of it; the outcome in words."""
    if result is None:
        return ""
    output = Path(job.arguments["output"])
    if bpy.data.filepath == job.blend:
        load_pictures(output, worst_view(result))
    if not bpy.app.background:
        open_in_browser(output)
    return metrics_in_words(result)


def open_in_browser(report: Path) -> None:
    """Show the report, which is one file that needs no network."""
    bpy.ops.wm.url_open(url=(report / "index.html").as_uri())


def worst_view(metrics: dict[str, Any]) -> dict[str, Any]:
    """The held-out view with the largest perceived difference."""
    return max(metrics["views"], key=lambda view: view["flip"])


def load_pictures(report: Path, view: dict[str, Any]) -> list[bpy.types.Image]:
    """Load a held-out view's pictures as images, in the place of those of the view before.

    Raises:
        RuntimeError: a picture cannot be read.
    """
    loaded = []
    for kind in PICTURES:
        if kind not in view["images"]:
            continue
        path = str(report / view["images"][kind])
        image = picture(kind)
        if image is None:
            image = bpy.data.images.load(path)
            image[MARK] = kind
        image.name = f"View {view['index']}, {PICTURES[kind]}"
        image.filepath = path
        image.reload()
        loaded.append(image)
    return loaded


def picture(kind: str) -> bpy.types.Image | None:
    """The image of one of PICTURES that was loaded last, None when none was."""
    return next((image for image in bpy.data.images if image.get(MARK) == kind), None)


def read_metrics(report: Path) -> dict[str, Any] | None:
    """The figures of a report, None when there are none or they cannot be read."""
    try:
        metrics: dict[str, Any] = json.loads((report / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return metrics if isinstance(metrics, dict) else None


_read: dict[tuple[str, int], dict[str, Any]] = {}


def last_figures() -> dict[str, Any]:
    """The figures of the open file's last comparison; read once, not at every redraw. Empty when there are none."""
    paths = paths_of_open_file()
    if paths is None:
        return {}
    try:
        key = (str(paths.metrics), paths.metrics.stat().st_mtime_ns)
    except OSError:
        return {}
    if key not in _read:
        _read.clear()
        _read[key] = read_metrics(paths.report) or {}
    return _read[key]


def forget_figures() -> None:
    """Read them anew the next time."""
    _read.clear()


register, unregister = bpy.utils.register_classes_factory((RADIANCE_TWIN_OT_compare, RADIANCE_TWIN_OT_open_report))
