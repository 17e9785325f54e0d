# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's cameras to poses, lenses and intrinsics, and back."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix
from numpy.typing import ArrayLike, NDArray

from ...core.cameras import Camera, intrinsics_from_lens, lens_from_intrinsics
from ...core.errors import UserError

Array = NDArray[np.float64]

# clipping of cameras that are placed, relative to the distance of the target and of the furthest thing that renders
PLACED_CLIP = (0.001, 10.0)


@dataclass(frozen=True)
class Lens:
    """What a perspective camera of Blender needs beside its pose; lengths in millimetres, distances in scene units."""

    lens: float = 50.0
    sensor_width: float = 36.0
    sensor_height: float = 24.0
    sensor_fit: str = "AUTO"
    shift_x: float = 0.0
    shift_y: float = 0.0
    clip_start: float = 0.1
    clip_end: float = 1000.0
    use_dof: bool = False
    focus_distance: float = 10.0
    aperture_fstop: float = 2.8
    aperture_blades: int = 0
    aperture_rotation: float = 0.0
    aperture_ratio: float = 1.0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def is_perspective(camera: bpy.types.Object | None) -> bool:
    """Whether there is a camera, and it is neither orthographic nor panoramic."""
    return camera is not None and camera.type == "CAMERA" and camera.data.type == "PERSP"


def is_flat(camera: bpy.types.Object | None) -> bool:
    """Whether there is a camera whose picture is a plane: perspective or orthographic."""
    return camera is not None and camera.type == "CAMERA" and camera.data.type in {"PERSP", "ORTHO"}


def lens_of(camera: bpy.types.Object) -> Lens:
    """The lens of a perspective camera (evaluated, so that an animated lens is as it is in this frame)."""
    data, dof = camera.data, camera.data.dof
    focus = dof.focus_distance
    if dof.focus_object is not None:
        # Blender measures along the viewing axis
        pose = pose_of(camera)
        towards = np.array(dof.focus_object.matrix_world.translation) - pose[:3, 3]
        focus = float(abs(towards @ pose[:3, 2]))
    return Lens(
        data.lens,
        data.sensor_width,
        data.sensor_height,
        data.sensor_fit,
        data.shift_x,
        data.shift_y,
        data.clip_start,
        data.clip_end,
        dof.use_dof,
        focus,
        dof.aperture_fstop,
        dof.aperture_blades,
        dof.aperture_rotation,
        dof.aperture_ratio,
    )


def intrinsics_of(lens: Lens, scene: bpy.types.Scene, resolution: tuple[int, int]) -> Array:
    """fx, fy, cx, cy [4] in pixels of this lens at this resolution, with the scene's pixel aspect."""
    return intrinsics_from_lens(
        lens.lens,
        lens.sensor_width,
        lens.sensor_height,
        lens.sensor_fit,  # type: ignore[arg-type]
        lens.shift_x,
        lens.shift_y,
        *resolution,
        scene.render.pixel_aspect_x,
        scene.render.pixel_aspect_y,
    )


def parallel_intrinsics_of(camera: bpy.types.Object, scene: bpy.types.Scene, resolution: tuple[int, int]) -> Array:
    """fx, fy, cx, cy [4] of an orthographic camera (evaluated): fx and fy in pixels per scene unit."""
    data = camera.data
    # its scale is the width of the fitted side, as a sensor is at the distance of its lens
    lens = Lens(1.0, data.ortho_scale, data.ortho_scale, data.sensor_fit, data.shift_x, data.shift_y)
    return intrinsics_of(lens, scene, resolution)


def lens_for(camera: Camera, bounds: ArrayLike) -> Lens:
    """The lens, without depth of field, that has a camera's intrinsics and sees all of `bounds` [2, 3].

    The scene's pixels have to be of the shape that `lens_from_intrinsics` says.
    """
    lower, upper = np.asarray(bounds, np.float64)
    fitted = lens_from_intrinsics(camera.intrinsics, *camera.size)
    distance = float(np.linalg.norm(camera.camera_to_world[:3, 3] - 0.5 * (lower + upper)))
    size = float(np.linalg.norm(upper - lower))
    return Lens(
        lens=fitted.lens,
        sensor_width=fitted.sensor_width,
        sensor_fit="HORIZONTAL",
        shift_x=fitted.shift_x,
        shift_y=fitted.shift_y,
        clip_start=PLACED_CLIP[0] * max(distance, 0.5 * size),
        clip_end=PLACED_CLIP[1] * (distance + size),
    )


def put_camera(thing: bpy.types.Object, camera_to_world: ArrayLike, lens: Lens) -> None:
    """Give a camera object a pose and a lens."""
    data = thing.data
    for name, value in lens.as_dict().items():
        setattr(data.dof if hasattr(data.dof, name) else data, name, value)
    thing.matrix_world = Matrix(np.asarray(camera_to_world).tolist())


def pose_of(camera: bpy.types.Object) -> Array:
    """Camera-to-world [4, 4] of a camera: rotation and place alone, whatever scale or shear its parents put in."""
    return _without_scale(np.array(camera.matrix_world, np.float64))


def _without_scale(matrix: Array) -> Array:
    backward = matrix[:3, 2] / np.linalg.norm(matrix[:3, 2])
    right = np.cross(matrix[:3, 1], backward)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2], pose[:3, 3] = right, np.cross(backward, right), backward, matrix[:3, 3]
    return pose


def pose_and_lens_at(scene: bpy.types.Scene, frame: int, camera: bpy.types.Object | None = None) -> tuple[Array, Lens]:
    """Pose and lens of a camera in a frame, or of the scene's own (markers may change which one it is) when none is
    given; the scene stays there.

    Raises:
        UserError: it has none then, or one that is not perspective.
    """
    scene.frame_set(frame)
    camera = camera or scene.camera
    if not is_perspective(camera):
        raise UserError(f"in frame {frame} the scene has no perspective camera; add one or choose another rig")
    evaluated = camera.evaluated_get(bpy.context.evaluated_depsgraph_get())
    return pose_of(evaluated), lens_of(evaluated)


class StudioCamera:
    """A camera of our own that stands still, without parents, constraints or animation."""

    def __init__(self, scene: bpy.types.Scene) -> None:
        self._scene = scene
        data = bpy.data.cameras.new("Radiance Twin")
        self._object = bpy.data.objects.new("Radiance Twin", data)
        self._object.rotation_mode = "QUATERNION"
        scene.collection.objects.link(self._object)
        for marker in scene.timeline_markers:
            marker.camera = None  # a marker would put its own camera in the place of ours

    def put(self, camera_to_world: ArrayLike, lens: Lens) -> None:
        """Make it the scene's camera, here and with this lens."""
        put_camera(self._object, camera_to_world, lens)
        self._scene.camera = self._object
        bpy.context.view_layer.update()

    def use_depth_of_field(self, use: bool) -> None:
        """Switch it off for ground truth."""
        self._object.data.dof.use_dof = use

    def rounded(self, camera_to_world: ArrayLike) -> Array:
        """Camera-to-world [4, 4] as Blender holds it once it was put there: what is really rendered.

        The object's own matrix is that at once; its place in the world would be only after an update of the scene.
        """
        self._object.matrix_world = Matrix(np.asarray(camera_to_world).tolist())
        return _without_scale(np.array(self._object.matrix_basis, np.float64))

    def projection(self, resolution: tuple[int, int]) -> Array:
        """Blender's own projection matrix [4, 4] (`calc_matrix_camera`), for tests."""
        depsgraph = bpy.context.evaluated_depsgraph_get()
        render = self._scene.render
        return np.array(
            self._object.calc_matrix_camera(
                depsgraph,
                x=resolution[0],
                y=resolution[1],
                scale_x=render.pixel_aspect_x,
                scale_y=render.pixel_aspect_y,
            )
        )
