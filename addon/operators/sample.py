# SPDX-License-Identifier: GPL-3.0-or-later
"""The sample scene, opened as a new file."""

from pathlib import Path

import bpy
import numpy as np
from bpy.app.handlers import persistent
from mathutils import Vector

from . import can_run
from .twin import beside

SAMPLE = Path(__file__).resolve().parent.parent.parent / "sample_scenes" / "still_life.blend"
SCENE = "Still Life"
VIEW_DISTANCE = 3.5  # in sizes of the sample


class RADIANCE_TWIN_OT_open_sample(bpy.types.Operator):
    """Open a small scene to try the four steps on, as a new file: save it where you like"""

    bl_idname = "radiance_twin.open_sample"
    bl_label = "Open the Sample"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return can_run(cls, "" if SAMPLE.is_file() else "The sample is not part of this installation")

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if face_scene not in bpy.app.handlers.load_post:
            bpy.app.handlers.load_post.append(face_scene)
        # Blender's own dialogue asks about unsaved changes
        bpy.ops.wm.read_homefile("INVOKE_DEFAULT", filepath=str(SAMPLE), load_ui=False)
        return {"FINISHED"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        # read as a start-up file it has no path yet, so the packaged file can never be overwritten
        bpy.ops.wm.read_homefile(filepath=str(SAMPLE), load_ui=False)
        return {"FINISHED"}


@persistent
def face_scene(*_: object) -> None:
    """Once, after the sample was opened: let viewports see it as its camera does, and the twin's place beside it."""
    bpy.app.handlers.load_post.remove(face_scene)
    camera = bpy.context.scene.camera
    if bpy.data.filepath or bpy.context.scene.name != SCENE or camera is None:
        return  # the user chose otherwise in the dialogue, and has opened another file since
    bpy.context.view_layer.update()  # a file that was just read has no matrices yet
    meshes = [thing for thing in bpy.context.scene.objects if thing.type == "MESH"]
    corners = np.array([thing.matrix_world @ Vector(corner) for thing in meshes for corner in thing.bound_box])
    right = camera.matrix_world.to_quaternion() @ Vector((1.0, 0.0, 0.0))
    between = Vector((corners.min(axis=0) + corners.max(axis=0)) / 2) + 0.5 * beside(corners, right)
    for screen in bpy.data.screens:
        for area in screen.areas:
            space = area.spaces.active
            if isinstance(space, bpy.types.SpaceView3D) and space.region_3d is not None:
                view = space.region_3d
                view.view_perspective = "PERSP"
                view.view_rotation = camera.matrix_world.to_quaternion()
                view.view_location = between
                view.view_distance = VIEW_DISTANCE * float(np.ptp(corners, axis=0).max())


def register() -> None:
    bpy.utils.register_class(RADIANCE_TWIN_OT_open_sample)


def unregister() -> None:
    bpy.utils.unregister_class(RADIANCE_TWIN_OT_open_sample)
    if face_scene in bpy.app.handlers.load_post:
        bpy.app.handlers.load_post.remove(face_scene)
