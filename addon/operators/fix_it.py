# SPDX-License-Identifier: GPL-3.0-or-later
"""Fix-it cameras: proposed by the worker, shown as cameras, rendered into the dataset and trained on with one click."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import bpy

from ...core.camera_file import camera_from, camera_words
from ...core.errors import UserError
from ...core.files import write_json
from ...core.lenses import NO_DISTORTION
from ..jobs import pump, worker
from ..paths import Paths, paths_of_open_file
from ..properties import render_arguments, settings_of
from ..studio.cameras import camera_of, has_lens, lens_for, lens_in, pose_of, put_camera
from . import can_run, run
from .compare import last_figures, why_not_compare
from .render import rendered, start_render
from .train import start_train, training_arguments

NAME = "Radiance Twin Fix-It"
# of the cameras: why they are there, and their size and frame as JSON
REASON, WORDS = "reason", "radiance_twin_camera"
# lines of a camera in the viewport, in sizes of the scene
DRAWN = 0.2


class RADIANCE_TWIN_OT_propose_cameras(bpy.types.Operator):
    """Find where the twin errs in the held-out views, and propose cameras that see it from where no view trains. \
They are ordinary cameras: move them, or delete those that you do not want"""

    bl_idname = "radiance_twin.propose_cameras"
    bl_label = "Propose Cameras"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return can_run(cls, why_not_compare())

    def execute(self, context: bpy.types.Context) -> set[str]:
        paths = paths_of_open_file()
        assert paths is not None, "poll has asked for a saved file"
        settings = settings_of(context.scene)
        arguments = {"dataset": str(paths.dataset), "twin": str(paths.twin)}
        arguments |= {"views": settings.fix_it_views, "device": settings.device}
        return run(self, lambda: worker.start("fix_it", arguments, proposed))


class RADIANCE_TWIN_OT_render_and_train(bpy.types.Operator):
    """Render what the proposed cameras see by Cycles, add it to the training views, and train the twin further. \
Held-out views stay as they are"""

    bl_idname = "radiance_twin.render_and_train"
    bl_label = "Render and Train"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return can_run(cls, why_not_compare() or ("" if cameras() else "Propose cameras first"))

    def execute(self, context: bpy.types.Context) -> set[str]:
        paths = paths_of_open_file()
        assert paths is not None, "poll has asked for a saved file"
        ended = run(self, lambda: start_fix(context.scene, paths))
        # without an interface nobody else follows the job that the first one starts
        while bpy.app.background and (job := worker.running()) is not None:
            pump.wait(job)
        return ended


class RADIANCE_TWIN_OT_remove_cameras(bpy.types.Operator):
    """Remove the proposed cameras"""

    bl_idname = "radiance_twin.remove_cameras"
    bl_label = "Remove"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return can_run(cls, "" if cameras() else "There are no proposed cameras")

    def execute(self, context: bpy.types.Context) -> set[str]:
        remove()
        return {"FINISHED"}


def proposed(job: worker.Job, result: dict[str, Any] | None) -> str:
    """Stand the proposed cameras in the scene; the outcome in words."""
    if result is None:
        return ""
    count = len(result["cameras"])
    if not count:
        return "Nothing to fix: no new camera would see what the held-out views show to be wrong"
    if bpy.data.filepath == job.blend:
        show(bpy.context.scene, result["cameras"], last_figures().get("dataset", {}).get("bounds"))
        if not bpy.app.background:
            bpy.ops.ed.undo_push(message="Propose Cameras")
    return f"{count} {'camera' if count == 1 else 'cameras'} proposed"


def show(scene: bpy.types.Scene, proposals: list[dict[str, Any]], bounds: Any) -> list[bpy.types.Object]:
    """Put cameras with their reasons into a collection of their own; those of an earlier proposal go."""
    remove()
    collection = bpy.data.collections.new(NAME)
    scene.collection.children.link(collection)
    made = []
    for number, words in enumerate(proposals, 1):
        camera = camera_from(words, "a proposed camera")
        data = bpy.data.cameras.new(f"Fix-It {number}")
        thing = bpy.data.objects.new(f"Fix-It {number}", data)
        eye = camera.camera_to_world[:3, 3]
        box = [eye - 1.0, eye + 1.0] if bounds is None else bounds
        put_camera(thing, camera.camera_to_world, lens_for(camera, box))
        size = max(upper - lower for lower, upper in zip(*box, strict=True))
        data.display_size = DRAWN * float(size)
        thing[REASON] = str(words["reason"])
        thing[WORDS] = json.dumps(
            {"size": camera.size, "frame": words.get("frame", 1), "distortion": camera.model.distortion}
        )
        thing.hide_render = True
        collection.objects.link(thing)
        made.append(thing)
    return made


def cameras() -> list[bpy.types.Object]:
    """The proposed cameras that are still there."""
    collection = bpy.data.collections.get(NAME)
    return [thing for thing in collection.objects if thing.type == "CAMERA" and thing.get(WORDS)] if collection else []


def remove() -> None:
    """Remove the proposed cameras and their collection."""
    for thing in cameras():
        data: Any = thing.data
        bpy.data.objects.remove(thing)
        bpy.data.cameras.remove(data)
    collection = bpy.data.collections.get(NAME)
    if collection is not None and not collection.objects:
        bpy.data.collections.remove(collection)


def start_fix(scene: bpy.types.Scene, paths: Paths) -> worker.Job:
    """Render the proposed cameras into the dataset as they stand now, then train the twin on.

    Raises:
        UserError: a job is running, there is no worker, or a camera cannot be used.
        OSError, RuntimeError: the cameras or a copy of the scene cannot be saved.
    """
    settings = settings_of(scene)
    poses = paths.dataset.with_suffix(".fix_it.json")
    write_json(poses, {"cameras": [words_of(thing, scene) for thing in cameras()]})
    training = {**training_arguments(settings), "resume": str(paths.twin)}
    load_after = settings.load_after

    def fixed(job: worker.Job, result: dict[str, Any] | None) -> str:
        if result is None:
            return ""
        if bpy.data.filepath == job.blend:
            remove()  # they are training views now
        start_train(training, paths.dataset, paths.twin, load_after)
        return rendered(job, result)

    return start_render({**render_arguments(settings), "add": str(poses)}, paths.dataset, fixed)


def words_of(thing: bpy.types.Object, scene: bpy.types.Scene) -> dict[str, Any]:
    """A proposed camera as it stands now, moved or not, as JSON can carry it.

    Raises:
        UserError: it has no lens that is known here any more, or what it knew was lost.
    """
    try:
        words = json.loads(thing[WORDS])
        width, height = (int(side) for side in words["size"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{thing.name} has lost what it knew; propose cameras again") from error
    if not has_lens(thing):
        raise UserError(f"{thing.name} has no lens that can be rendered here; make it perspective again, or delete it")
    lens = replace(lens_in(scene, thing, (width, height)), distortion=tuple(words.get("distortion", NO_DISTORTION)))
    camera = camera_of(pose_of(thing), lens, scene, (width, height))
    return {**camera_words(camera), "frame": int(words["frame"]), "reason": str(thing.get(REASON, ""))}


register, unregister = bpy.utils.register_classes_factory(
    (RADIANCE_TWIN_OT_propose_cameras, RADIANCE_TWIN_OT_render_and_train, RADIANCE_TWIN_OT_remove_cameras)
)
