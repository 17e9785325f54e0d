# SPDX-License-Identifier: GPL-3.0-or-later
"""All cameras of the rig, shown in the 3D views for the settings and the scene as they are."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import bpy
from bpy.app.handlers import persistent

from ..core.errors import UserError
from .properties import render_arguments, settings_of
from .studio.rig import cameras_in_viewport
from .viewport import frusta

# sRGB, told apart by people who confuse red and green: M. Okabe and K. Ito, "Color Universal Design", 2008
COLOURS = {"train": (0.34, 0.71, 0.91, 0.9), "val": (0.94, 0.89, 0.26, 1.0), "test": (0.90, 0.62, 0.0, 1.0)}
# of the size of what is looked at
LENGTH = 0.12


@dataclass
class _State:
    """What is shown, and for what; nothing of it is saved.

    Attributes:
        shown_for: settings and scene of what is drawn. seen: those of the last look.
        changes: of the scene, counted. echo: whether the next one may be that of our looking at other frames.
        counts: cameras by split. problem: why none are drawn.
    """

    shown_for: str = ""
    seen: str = ""
    changes: int = 0
    echo: bool = False
    counts: dict[str, int] = field(default_factory=dict)
    problem: str = ""


_state = _State()


def is_on() -> bool:
    """Whether the cameras are to be shown."""
    return bool(bpy.context.window_manager.radiance_twin_show_cameras)  # type: ignore[attr-defined]


def in_words() -> str:
    """How many there are of which split, or why there are none."""
    return _state.problem or ", ".join(f"{count} {split}" for split, count in _state.counts.items() if count)


def step() -> bool:
    """Find and show the cameras again when the settings or the scene have changed and rest; whether they will be."""
    _state.echo = False
    if not is_on():
        return False
    now = _key(bpy.context.scene)
    if now == _state.shown_for:
        return False
    # a slider that moves, or an animation that plays, is not followed
    if now == _state.seen and not bpy.app.is_job_running("RENDER"):
        show()
        _state.shown_for = _state.seen = _key(bpy.context.scene)
        return False
    _state.seen = now
    return True


def show() -> None:
    """Find the cameras of the rig, and draw them from now on."""
    scene = bpy.context.scene
    settings = render_arguments(settings_of(scene))
    lines: list[frusta.Lines] = []
    _state.problem, _state.counts = "", {}
    try:
        found, measured = cameras_in_viewport(scene, settings)
        for split, cameras in found.items():
            _state.counts[split] = len(cameras)
            if cameras:
                lines.append((frusta.lines_of(cameras, LENGTH * measured.radius), COLOURS[split]))
    except UserError as error:
        _state.problem = str(error)
    _state.echo = settings["rig"] == "animated"
    frusta.show(lines)


def _key(scene: bpy.types.Scene) -> str:
    return json.dumps([scene.name, _state.changes, scene.frame_current, render_arguments(settings_of(scene))])


def _switched(manager: Any, context: bpy.types.Context) -> None:
    _state.shown_for = _state.seen = ""
    if is_on():
        show()
        _state.shown_for = _key(context.scene)
    else:
        frusta.show([])


@persistent
def _scene_changed(scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph) -> None:
    # after our looking Blender builds the scene's graph anew, in which nothing has moved
    if not _state.echo or any(update.is_updated_transform for update in depsgraph.updates):
        _state.changes += 1


@persistent
def _file_opened(*_: Any) -> None:
    # the switch is not saved, so that a file begins without
    if not is_on():
        frusta.show([])


def register() -> None:
    bpy.types.WindowManager.radiance_twin_show_cameras = bpy.props.BoolProperty(  # type: ignore[attr-defined]
        name="Show Cameras",
        description="Draw all cameras of the rig in the 3D views: blue to train, yellow to validate, orange to test",
        options={"SKIP_SAVE"},
        update=_switched,
    )
    bpy.app.handlers.depsgraph_update_post.append(_scene_changed)
    bpy.app.handlers.load_post.append(_file_opened)


def unregister() -> None:
    frusta.show([])
    bpy.app.handlers.load_post.remove(_file_opened)
    bpy.app.handlers.depsgraph_update_post.remove(_scene_changed)
    del bpy.types.WindowManager.radiance_twin_show_cameras  # type: ignore[attr-defined]
