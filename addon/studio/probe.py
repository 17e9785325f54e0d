# SPDX-License-Identifier: GPL-3.0-or-later
"""A render engine of our own, which tells what renders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import bpy

Answer = TypeVar("Answer")


@contextmanager
def any_camera(scene: bpy.types.Scene) -> Iterator[None]:
    """A camera for `in_a_render`, whatever the scene has: Blender renders nothing at all without one."""
    lens = bpy.data.cameras.new("Radiance Twin probe")
    before, scene.camera = scene.camera, bpy.data.objects.new("Radiance Twin probe", lens)
    try:
        yield
    finally:
        scene.camera = before
        bpy.data.cameras.remove(lens)


class Probe(bpy.types.RenderEngine):
    """Takes Cycles' place for one render of a few pixels, since only a render engine is ever given the depsgraph of a
    render: the one of the viewport has other modifiers and hides other things."""

    bl_idname = "RADIANCE_TWIN_PROBE"
    bl_label = "Radiance Twin probe"

    ask: Callable[[bpy.types.Depsgraph], Any]
    answer: Any

    def render(self, depsgraph: bpy.types.Depsgraph) -> None:
        try:
            Probe.answer = Probe.ask(depsgraph)
        except Exception as error:  # Blender would only print it
            Probe.answer = error


def in_a_render(
    scene: bpy.types.Scene, ask: Callable[[bpy.types.Depsgraph], Answer], again_soon: bool = False
) -> Answer:
    """What `ask` answers of the depsgraph that a render of the scene is made from; the scene has a camera.

    Args:
        again_soon: keep the probe among Blender's engines. When one leaves them, all engines forget what they keep
            from render to render.
    """
    render: Any = scene.render
    before = render.engine, render.resolution_x, render.resolution_y
    if bpy.types.RenderEngine.bl_rna_get_subclass_py(Probe.bl_idname) is None:
        bpy.utils.register_class(Probe)
    try:
        Probe.ask = staticmethod(ask)
        render.engine, render.resolution_x, render.resolution_y = Probe.bl_idname, 4, 4
        bpy.ops.render.render(scene=scene.name)
    finally:
        render.engine, render.resolution_x, render.resolution_y = before
        if not again_soon:
            bpy.utils.unregister_class(Probe)
    answer, Probe.answer = Probe.answer, None
    if isinstance(answer, Exception):
        raise answer
    return answer
