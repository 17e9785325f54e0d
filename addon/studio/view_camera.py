# SPDX-License-Identifier: GPL-3.0-or-later
"""The scene as a view of the dataset saw it: a camera of our own, and the way back to the scene's."""

from __future__ import annotations

from typing import Any

import bpy

from ...core.cameras import Camera, lens_from_intrinsics
from .cameras import lens_for, put_camera

NAME = "Radiance Twin View"
# of the scene, as long as a view is looked from: what was before, and our camera. Cameras are kept themselves, not by
# name, which may change; and here, not in our camera, which may be deleted or not be looked through in another frame
BEFORE = "radiance_twin_before"
# of our camera: whether the view's lens is distorted
DISTORTED = "radiance_twin_distorted"
RENDER = ("resolution_x", "resolution_y", "resolution_percentage", "pixel_aspect_x", "pixel_aspect_y")


def is_looked_from(scene: bpy.types.Scene) -> bool:
    """Whether the scene is as a view saw it, and there is a way back."""
    return scene.get(BEFORE) is not None


def view_camera(scene: bpy.types.Scene) -> bpy.types.Object | None:
    """Our camera, as long as a view is looked from and nobody has removed it."""
    return _kept(scene, "view") if is_looked_from(scene) else None


def _kept(scene: bpy.types.Scene, which: str) -> bpy.types.Object | None:
    """A camera that the way back knows, unless it was deleted, after which it is in no scene but still in the file."""
    camera: bpy.types.Object | None = scene[BEFORE].get(which)
    return camera if camera is not None and scene in camera.users_scene else None


def stand_at(scene: bpy.types.Scene, camera: Camera, bounds: Any, frame: int | None) -> bpy.types.Object:
    """Make a camera with exactly this pose and these intrinsics the scene's own, with its resolution and frame.

    Blender has no lenses that are distorted (`lens_in_words` says so).

    Args:
        bounds: [2, 3] of what renders. frame: None leaves the scene where it is.
    """
    render = scene.render
    if not is_looked_from(scene):
        own = {"camera": scene.camera} if scene.camera else {}
        render_before = {name: getattr(render, name) for name in RENDER}
        scene[BEFORE] = {**own, "render": render_before, "frame": scene.frame_current}
    thing = view_camera(scene)
    if thing is None:
        thing = bpy.data.objects.new(NAME, bpy.data.cameras.new(NAME))
        scene.collection.objects.link(thing)
        scene[BEFORE]["view"] = thing
    render.pixel_aspect_x, render.pixel_aspect_y = lens_from_intrinsics(camera.intrinsics, *camera.size).pixel_aspect
    render.resolution_x, render.resolution_y, render.resolution_percentage = *camera.size, 100
    put_camera(thing, camera.camera_to_world, lens_for(camera, bounds))
    thing[DISTORTED] = camera.model.is_distorted
    if frame is not None and frame != scene.frame_current:
        scene.frame_set(frame)
    scene.camera = thing
    return thing


def lens_in_words(thing: bpy.types.Object) -> str:
    """What is not shown of the lens of our camera, or not everywhere; empty: nothing."""
    data: Any = thing.data
    lines = []
    if data.type == "PANO":
        lines.append("Cycles alone shows this lens, in rendered views; all else shows a perspective.")
    if thing.get(DISTORTED):
        lines.append("The view's lens is distorted, and Blender's is not: things stand elsewhere in this picture.")
    return " ".join(lines)


def leave(scene: bpy.types.Scene) -> None:
    """Go back to what the scene looked through before, and remove our camera."""
    if not is_looked_from(scene):
        return
    thing, own, before = view_camera(scene), _kept(scene, "camera"), scene[BEFORE].to_dict()
    del scene[BEFORE]
    for name, value in before["render"].items():
        setattr(scene.render, name, value)
    scene.camera = own
    if before["frame"] != scene.frame_current:
        scene.frame_set(before["frame"])
    if thing is not None:
        lens: Any = thing.data
        bpy.data.objects.remove(thing)
        bpy.data.cameras.remove(lens)
