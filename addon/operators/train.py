# SPDX-License-Identifier: GPL-3.0-or-later
"""Step 3: a dataset becomes a twin, which then stands beside the original."""

from pathlib import Path
from typing import Any

import bpy

from ...core.errors import UserError
from ...core.reporting import format_seconds
from ...core.twin_file import unfinished_path
from ...core.words import decibels
from ..jobs import worker
from ..paths import UNSAVED, paths_of_open_file
from ..properties import RadianceTwinSettings, settings_of
from ..viewport.bakes import expect, forget, look_again
from ..viewport.draw import prepare_view_transform
from ..viewport.redraw import redraw
from ..viewport.twin import path_of, twins_of
from . import Resumable, can_run, run, why_no_job
from .twin import new_twin, put_beside, show


class RADIANCE_TWIN_OT_train(Resumable, bpy.types.Operator):
    """Train the neural twin from the rendered views, in a process of its own. Cancel keeps what is learned"""

    bl_idname = "radiance_twin.train"
    bl_label = "Train"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return can_run(cls, why_not_train())

    def execute(self, context: bpy.types.Context) -> set[str]:
        paths = paths_of_open_file()
        assert paths is not None, "poll has asked for a saved file"
        settings = settings_of(context.scene)
        arguments = training_arguments(settings)
        if self.resume:
            arguments["resume"] = str(paths.unfinished_twin)
        elif settings.go_on and paths.twin.is_file():
            arguments["resume"] = str(paths.twin)
        return run(self, lambda: start_train(arguments, paths.dataset, paths.twin, settings.load_after))


def training_arguments(settings: RadianceTwinSettings) -> dict[str, Any]:
    """What the stage `train` is asked for, less the files."""
    arguments: dict[str, Any] = {"device": settings.device, "seed": settings.seed, "bake": settings.bake}
    if settings.preset == "custom":
        arguments["seconds"] = settings.seconds
    else:
        arguments["preset"] = settings.preset
    if settings.stop_at_psnr:
        arguments["until_psnr"] = settings.until_psnr
    return arguments


def why_not_train() -> str:
    """Why a twin cannot be trained now; empty when it can."""
    paths = paths_of_open_file()
    if paths is None:
        return UNSAVED
    if not paths.dataset.is_file():
        return "Render the views first"
    return why_no_job()


def start_train(arguments: dict[str, Any], dataset: Path, output: Path, load_after: bool) -> worker.Job:
    """Train a twin from `dataset` into `output`; `load_after` stands it in the scene when it is done.

    Raises:
        UserError: a job is running, or there is no worker.
    """

    unfinished = unfinished_path(output)
    before = modified(unfinished)
    stand_ins: list[int] = []

    def begun(job: worker.Job) -> None:
        show_instead(unfinished, output)
        if load_after and bpy.data.filepath == job.blend and not is_loaded(output):
            stand_ins.extend(stand_in(job, output))

    def trained(job: worker.Job, result: dict[str, Any] | None) -> str:
        # another file may have been opened meanwhile: nothing of ours goes into that one
        load = load_after and bpy.data.filepath == job.blend
        if result is not None:
            note = load_twin(output) if load else ""
            return f"{decibels(result['psnr'])} after {format_seconds(result['seconds'])}{note}"
        left = modified(unfinished)
        if modified(output) is None:
            if left is None:
                remove_stand_ins(output, stand_ins)
            else:
                show_instead(output, unfinished)
        if left in (None, before):
            return ""  # nothing was learned
        note = load_twin(unfinished) if load and modified(output) is None else ""
        return f"Stopped; {unfinished.name} holds what was learned; Continue (--resume) goes on with it{note}"

    asked = {**arguments, "dataset": str(dataset), "output": str(output)}
    return worker.start("train", asked, trained, begun=begun)


def show_instead(path: Path, other: Path) -> None:
    """Let the objects that show the twin at `path` show that at `other`."""
    for thing in twins_of(bpy.data.objects):
        if Path(path_of(thing)) == path:
            show(thing, str(other))


def modified(path: Path) -> int | None:
    """When a file was written, None when there is none."""
    return path.stat().st_mtime_ns if path.is_file() else None


def load_twin(path: Path) -> str:
    """Stand the twin beside the original, as seen in the first 3D viewport, or show it where it stands already.

    Returns why it could not be loaded, to be added to a message; empty when all is well.
    """
    if is_loaded(path):
        look_again(str(path))
        redraw()
        return ""
    with bpy.context.temp_override(**viewport_context()):
        try:
            bpy.ops.radiance_twin.load_twin(filepath=str(path), placement="BESIDE")  # type: ignore[attr-defined]
        except RuntimeError as error:
            return f". It is not loaded: {worker.sentence(str(error))}"
        if not bpy.app.background:
            bpy.ops.ed.undo_push(message="Load Twin")
    return ""


def stand_in(job: worker.Job, path: Path) -> list[int]:
    """Make room for a twin beside the original while it is trained; gives the `session_uid` of what stands there.

    Nothing is done where a scene cannot be changed now, in Edit Mode for example: the twin is then loaded at the end.
    """
    twin = job.expected
    assert twin is not None, "the job has begun"
    with bpy.context.temp_override(**viewport_context()):
        context = bpy.context
        if context.mode != "OBJECT":
            return []
        expect(str(path), twin)
        thing = new_twin(context, str(path), twin)
        put_beside(context, thing, twin)
        if not bpy.app.background:
            bpy.ops.ed.undo_push(message="Train Twin")
    try:
        prepare_view_transform(bpy.context.scene)
    except UserError as error:
        print(f"Radiance Twin: {error}")  # the viewport says it too
    redraw()
    return [thing.session_uid]


def remove_stand_ins(path: Path, stand_ins: list[int]) -> None:
    """Take away what made room for a twin that has not come."""
    forget(str(path))
    for thing in [one for one in bpy.data.objects if one.session_uid in stand_ins]:
        bpy.data.objects.remove(thing)
    if stand_ins:
        redraw()


def is_loaded(path: Path) -> bool:
    """Whether the twin at `path` stands in the scene already."""
    return any(Path(path_of(twin)) == path for twin in twins_of(bpy.context.scene.objects))


def viewport_context() -> dict[str, Any]:
    """Context of the first 3D viewport: a timer has none of its own."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                region = next(region for region in area.regions if region.type == "WINDOW")
                return {"window": window, "area": area, "region": region}
    return {}


register, unregister = bpy.utils.register_classes_factory((RADIANCE_TWIN_OT_train,))
