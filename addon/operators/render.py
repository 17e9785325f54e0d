# SPDX-License-Identifier: GPL-3.0-or-later
"""Step 2: a copy of the open scene becomes a dataset of posed views."""

import shutil
import sys
from pathlib import Path
from typing import Any

import bpy

from ...core.files import atomic_path
from ...core.rendering.rigs import PLACED_RIGS
from ...core.rendering.rules import mistake
from ...core.reporting import format_seconds
from ..jobs import worker
from ..paths import UNSAVED, paths_of_open_file
from ..properties import RadianceTwinSettings, render_arguments, settings_of
from ..random_rules import table_of
from ..studio.view_camera import is_looked_from
from ..viewport.compare.stale import look, state_file, write_state
from . import Resumable, can_run, go_on, run, why_no_job

RENDERS = {"MESH", "CURVE", "CURVES", "SURFACE", "META", "FONT", "POINTCLOUD", "VOLUME", "EMPTY"}


class RADIANCE_TWIN_OT_render_views(Resumable, bpy.types.Operator):
    """Render the scene from every camera of the rig by Cycles. A copy is rendered beside Blender, \
so that you can work on; what is finished is kept when you cancel"""

    bl_idname = "radiance_twin.render_views"
    bl_label = "Render Views"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return can_run(cls, why_not_render(context))

    def execute(self, context: bpy.types.Context) -> set[str]:
        paths = paths_of_open_file()
        assert paths is not None, "poll has asked for a saved file"
        if self.resume:
            return run(self, lambda: go_on("render", "render", rendered))
        return run(self, lambda: start_render(render_arguments(settings_of(context.scene)), paths.dataset))


def why_not_render(context: bpy.types.Context) -> str:
    """Why the views cannot be rendered now; empty when they can."""
    if not bpy.data.filepath:
        return UNSAVED
    settings = settings_of(context.scene)
    return what_rig_lacks(settings, context.scene) or what_rules_lack(settings) or why_no_job()


def what_rules_lack(settings: RadianceTwinSettings) -> str:
    """What is wrong with the first rule of randomise that cannot be; empty when nothing is."""
    found = next(filter(None, (mistake(table_of(rule)) for rule in settings.randomise)), None)
    return "" if found is None else worker.sentence(found[1])


def what_rig_lacks(settings: RadianceTwinSettings, scene: bpy.types.Scene) -> str:
    """What must be chosen before cameras can be placed; empty when nothing."""
    if settings.rig == "animated":
        if is_looked_from(scene):
            return "Leave the held-out view first: the rig follows the scene's own camera"
        return "" if scene.camera or settings.train_camera else "The scene has no camera to follow"
    if settings.rig == "poses" and not settings.poses:
        return "Name the file or folder of the poses"
    placed = settings.rig in PLACED_RIGS
    if placed and settings.target == "OBJECT" and settings.target_object is None:
        return "Choose the target object"
    if placed and settings.target == "COLLECTION" and settings.target_collection is None:
        return "Choose the target collection"
    if placed and settings.target == "COLLECTION" and settings.target_collection.name in bpy.data.objects:
        return f"An object is called {settings.target_collection.name}, too, and would be the target: rename one"
    if not any(thing.type in RENDERS and not thing.hide_render for thing in scene.objects):
        return "The scene has nothing to render"
    return ""


def remember_scene(job: worker.Job) -> None:
    """Put the description of the scene that was rendered beside the dataset: the badge tells when it is another one."""
    described = state_file(Path(job.arguments["scene"]))
    if described.is_file():
        with atomic_path(state_file(Path(job.arguments["output"]))) as temporary:
            shutil.copyfile(described, temporary)
        look()


def rendered(job: worker.Job, result: dict[str, Any] | None) -> str:
    """The outcome in words."""
    if result is None:
        return ""
    remember_scene(job)
    kept = f", {result['kept']} of them from before" if result["kept"] else ""
    return f"{result['views']} views in {format_seconds(result['seconds'])}{kept}"


def start_render(arguments: dict[str, Any], output: Path, finish: worker.Finish = rendered) -> worker.Job:
    """Render a copy of the open scene; the open one is never touched.

    Raises:
        UserError: a job is running, or there is no worker.
        RuntimeError: the copy cannot be saved.
    """
    return start_on_a_copy("render", {**arguments, "output": str(output)}, finish)


def start_on_a_copy(request: str, arguments: dict[str, Any], finish: worker.Finish) -> worker.Job:
    """Start a job that renders with a copy of the open scene, beside which stands what the scene was like.

    Raises:
        UserError: a job is running, or there is no worker.
        RuntimeError: the copy cannot be saved.
    """
    session = worker.session_folder()
    try:
        copy = save_copy(session)
        write_state(state_file(copy), bpy.context.scene)
        asked = {**arguments, "scene": str(copy), "blender": this_blender()}
        return worker.start(request, asked, finish, session)
    except BaseException:
        shutil.rmtree(session, ignore_errors=True)
        raise


def this_blender() -> str:
    """The program that can open what this one saves: the Blender itself, or the Python of the pip package bpy."""
    return bpy.app.binary_path or sys.executable


def save_copy(folder: Path) -> Path:
    """Save the scene as it is open now under its own name into `folder`; external files are still found from there."""
    path = folder / (Path(bpy.data.filepath).name or "untitled.blend")
    bpy.ops.wm.save_as_mainfile(filepath=str(path), copy=True, relative_remap=True, check_existing=False)
    return path


register, unregister = bpy.utils.register_classes_factory((RADIANCE_TWIN_OT_render_views,))
