# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare This Frame: what the scene's camera sees now, by Cycles and by the twin, as two slots of the render result.

Both are rendered with the same camera, resolution, film and view transform. The twin is rendered where its original
stands, wherever its object was moved to. The scene's settings are put back when both are there.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from bpy.app.handlers import persistent

from ...core.comparison.words import ssim_in_words
from ...core.errors import UserError
from ...core.twin_file import read_twin
from .. import engine
from ..compat import use_float_exr
from ..jobs import pump, worker
from ..paths import paths_of_open_file
from ..studio.cameras import is_flat
from ..view_transform import bake_view_transform
from ..viewport.twin import is_twin, path_of, twins_of
from . import can_run, refuse, why_no_job
from .compare import SIDES

REQUEST = "measure_frame"
MARK = "radiance_twin_frame_side"  # tells our two images from the user's
SECONDS_BETWEEN_LOOKS = 0.1

Steps = Iterator[None]


class RADIANCE_TWIN_OT_compare_frame(bpy.types.Operator):
    """Render what the camera sees by Cycles and by the twin, into two slots of the render result, and measure both"""

    bl_idname = "radiance_twin.compare_frame"
    bl_label = "Compare This Frame"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return can_run(cls, why_not(context))

    def execute(self, context: bpy.types.Context) -> set[str]:
        global _running
        _say("")
        _running = steps(context.scene, twin_of(context))
        if not bpy.app.background:
            # when another file is opened meanwhile, the next tick finds the scene gone and ends
            bpy.app.timers.register(_tick, first_interval=0.0, persistent=True)
            return {"FINISHED"}
        for _ in _running:
            pass
        _running = None
        job = worker.last(REQUEST)
        if problem() or job is None or job.error is not None:
            return refuse(self, problem() or ("Nothing was measured" if job is None else job.outcome))
        self.report({"INFO"}, job.outcome)
        return {"FINISHED"}


_running: Steps | None = None
# what went wrong, and with which file
_problem = ("", "")
_stopped = False


def problem() -> str:
    """Why the last attempt gave nothing; empty when it did, when its job says it, or when another file is open."""
    text, blend = _problem
    return text if blend == bpy.data.filepath else ""


def _say(text: str) -> None:
    global _problem
    _problem = (text, bpy.data.filepath)


def why_not(context: bpy.types.Context) -> str:
    """Why no frame can be compared now; empty when it can."""
    if _running is not None or bpy.app.is_job_running("RENDER"):
        return "A render is running"
    if not is_flat(context.scene.camera):
        return "The scene has no perspective or orthographic camera"
    if not twin_of(context):
        return "Select the twin to compare"
    return why_no_job()


def twin_of(context: bpy.types.Context) -> str:
    """Path of the twin that is meant: the active one, the only one in sight, or the file's own; empty when unclear."""
    if is_twin(context.object):
        return path_of(context.object)
    paths = {path_of(thing) for thing in twins_of(context.view_layer.objects) if not thing.hide_render}
    if len(paths) == 1:
        return paths.pop()
    own = paths_of_open_file()
    return str(own.twin) if not paths and own is not None and own.twin.is_file() else ""


def steps(scene: bpy.types.Scene, twin: str) -> Steps:
    """Render both ways and have the pair measured; yields while it waits. Says in `problem` what went wrong."""
    folder = worker.session_folder()
    pair = [folder / f"{side}.exr" for side in SIDES]
    try:
        film = read_twin(twin, []).metadata.get("film")
        with _as_we_render(scene, transparent=film != "world"):
            for number, (side, path) in enumerate(zip(SIDES, pair, strict=True)):
                scene.render.engine = "CYCLES" if side == "classic" else engine.ENGINE
                engine.instead = None if side == "classic" else [engine.Standing(twin, np.eye(4))]
                yield from _render(scene, number)
                bpy.data.images["Render Result"].save_render(str(path), scene=scene)
        view_transform = bake_view_transform(scene)
        stages = folder / "view_transform.npz"
        np.savez(stages, **view_transform.arrays())
        words = {"view_transform": view_transform.to_metadata(), "stages": str(stages)}
        words |= {side: str(path) for side, path in zip(SIDES, pair, strict=True)}
        load_pair(pair)
        pump.follow(worker.start(REQUEST, words, _measured, folder))
    except ReferenceError:
        _say("")  # the scene has gone: another file was opened
    except (UserError, OSError, RuntimeError) as error:
        _say(worker.sentence(str(error).strip()))
    finally:
        engine.instead = None


@persistent
def _render_was_stopped(*_: Any) -> None:
    global _stopped
    _stopped = True


def _render(scene: bpy.types.Scene, slot: int) -> Steps:
    """Render into a slot of the render result.

    Raises:
        UserError: the user has stopped it. RuntimeError: Blender could not.
    """
    global _stopped
    _stopped = False
    result = bpy.data.images.get("Render Result")
    if result is not None:
        result.render_slots.active_index = slot
    if bpy.app.background:
        bpy.ops.render.render(scene=scene.name)
    else:
        window = bpy.context.window_manager.windows[0]
        with bpy.context.temp_override(window=window):
            bpy.ops.render.render("INVOKE_DEFAULT", scene=scene.name)
        began = time.monotonic()
        # it begins with the next events
        while bpy.app.is_job_running("RENDER") or time.monotonic() - began < 5 * SECONDS_BETWEEN_LOOKS:
            yield
    if _stopped or "Render Result" not in bpy.data.images:
        raise UserError("the render was stopped; nothing was compared")


@contextmanager
def _as_we_render(scene: bpy.types.Scene, transparent: bool) -> Iterator[None]:
    """The scene's settings are the same for both sides inside, and what they were outside."""
    render, output = scene.render, scene.render.image_settings
    ours = {"film_transparent": transparent, "use_compositing": False, "use_sequencer": False}
    # metadata would be burnt in, and of two eyes Blender saves no picture
    ours |= {"use_stamp": False, "use_multiview": False}
    before = {name: getattr(render, name) for name in ("engine", *ours)}
    names = [name for name in ("media_type", "file_format", "color_mode", "color_depth") if hasattr(output, name)]
    before_output = {name: getattr(output, name) for name in names}
    try:
        for name, value in ours.items():
            setattr(render, name, value)
        use_float_exr(output)
        yield
    finally:
        for name, value in before.items():
            setattr(render, name, value)
        for name, value in before_output.items():
            setattr(output, name, value)


def load_pair(pair: list[Path]) -> None:
    """Both sides as images that the file keeps; a repeated comparison replaces them."""
    for side, path in zip(SIDES, pair, strict=True):
        old = frame_image(side)
        if old is not None:
            bpy.data.images.remove(old)
        image = bpy.data.images.load(str(path))
        image.name = f"This Frame, {side.capitalize()}"
        image[MARK] = side
        image.pack()


def frame_image(side: str) -> bpy.types.Image | None:
    """The image of one side ("classic" or "neural") of the last compared frame, None when there is none."""
    return next((image for image in bpy.data.images if image.get(MARK) == side), None)


def _measured(job: worker.Job, result: dict[str, Any] | None) -> str:
    if result is None:
        return ""
    psnr = "identical" if result["psnr"] is None else f"{result['psnr']:.2f} dB"
    return f"This frame: {psnr}, SSIM {ssim_in_words(result['ssim'])}, FLIP {result['flip']:.3f}"


def _tick() -> float | None:
    global _running
    try:
        if _running is not None:
            next(_running)
            return SECONDS_BETWEEN_LOOKS
    except StopIteration:
        pass
    _running = None
    return None


def register() -> None:
    bpy.utils.register_class(RADIANCE_TWIN_OT_compare_frame)
    bpy.app.handlers.render_cancel.append(_render_was_stopped)


def unregister() -> None:
    global _running
    _running = None
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)
    bpy.app.handlers.render_cancel.remove(_render_was_stopped)
    bpy.utils.unregister_class(RADIANCE_TWIN_OT_compare_frame)
