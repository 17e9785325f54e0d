# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's cameras to poses, lenses and intrinsics, and back."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix
from numpy.typing import ArrayLike, NDArray

from ...core.cameras import Camera, intrinsics_from_angles, intrinsics_from_lens, lens_from_intrinsics
from ...core.errors import UserError
from ...core.lenses import NO_DISTORTION, CameraModel, Kind, complaint
from ...core.stand_in import stand_in
from .. import compat

Array = NDArray[np.float64]

# of an axis of a camera
NOTHING = 1e-9
# millimetres, of Blender's cameras
SHORTEST_LENS = 1.0
# clipping of cameras that are placed, relative to the distance of the target and of the furthest thing that renders
PLACED_CLIP = (0.001, 10.0)
# what a lens says that is no property of Blender's cameras
NOT_OF_BLENDER = ("kind", "distortion", "fisheye_fov", "longitude", "latitude", "pixel_aspect", "size")


@dataclass(frozen=True)
class Lens:
    """What a camera of Blender needs beside its pose; lengths in millimetres, distances in scene units.

    Attributes:
        lens: focal length; of a fisheye, per radian from the axis.
        kind, distortion: see core/lenses.py. What is distorted is not rendered as such (`rendered_through`).
        fisheye_fov: angle across the image circle, radians.
        longitude, latitude: from and to, of an equirectangular picture, radians.
        pixel_aspect, size: of the scene's render settings, when they have to be others than the scene's.
    """

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
    kind: Kind = "opencv"
    distortion: tuple[float, ...] = NO_DISTORTION
    fisheye_fov: float = 2.0 * math.pi
    longitude: tuple[float, float] = (-math.pi, math.pi)
    latitude: tuple[float, float] = (-0.5 * math.pi, 0.5 * math.pi)
    pixel_aspect: tuple[float, float] | None = None
    size: tuple[int, int] | None = None

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def is_perspective(camera: bpy.types.Object | None) -> bool:
    """Whether there is a camera, and it is neither orthographic nor panoramic."""
    return camera is not None and camera.type == "CAMERA" and camera.data.type == "PERSP"


def is_flat(camera: bpy.types.Object | None) -> bool:
    """Whether there is a camera whose picture is a plane: perspective or orthographic."""
    return camera is not None and camera.type == "CAMERA" and camera.data.type in {"PERSP", "ORTHO"}


def has_lens(camera: bpy.types.Object | None) -> bool:
    """Whether there is a camera whose lens is known here: perspective, equidistant fisheye or equirectangular."""
    if is_perspective(camera):
        return True
    if camera is None or camera.type != "CAMERA" or camera.data.type != "PANO":
        return False
    panorama = compat.panorama_of(camera.data)
    # a polynomial of the radius that is a straight line through its middle
    straight = panorama.fisheye_polynomial_k1 < 0.0 and not any(
        getattr(panorama, f"fisheye_polynomial_k{number}") for number in (0, 2, 3, 4)
    )
    kind = panorama.panorama_type
    return kind in {"FISHEYE_EQUIDISTANT", "EQUIRECTANGULAR"} or (kind == "FISHEYE_LENS_POLYNOMIAL" and straight)


def lens_in(scene: bpy.types.Scene, camera: bpy.types.Object, resolution: tuple[int, int]) -> Lens:
    """The lens of a camera that `has_lens` (evaluated); a panorama fills a picture of any shape, and is stretched."""
    lens = lens_of(camera)
    return lens if is_perspective(camera) else _panoramic(lens, scene, camera, resolution)


def _panoramic(lens: Lens, scene: bpy.types.Scene, camera: bpy.types.Object, size: tuple[int, int]) -> Lens:
    """What a panoramic camera adds to a lens, as a camera of ours can have it too."""
    panorama = compat.panorama_of(camera.data)
    fov = float(panorama.fisheye_fov)
    if panorama.panorama_type == "FISHEYE_LENS_POLYNOMIAL":
        straight = replace(lens, lens=-1.0 / panorama.fisheye_polynomial_k1, kind="fisheye")
        intrinsics = intrinsics_of(straight, scene, size)
    else:
        across = down = (-0.5 * fov, 0.5 * fov)
        if panorama.panorama_type == "EQUIRECTANGULAR":
            across = (panorama.longitude_min, panorama.longitude_max)
            down = (panorama.latitude_min, panorama.latitude_max)
        intrinsics = intrinsics_from_angles(across, down, lens.shift_x, lens.shift_y, *size)
    model = CameraModel("equirectangular" if panorama.panorama_type == "EQUIRECTANGULAR" else "fisheye")
    return replace(fitted(Camera(np.eye(4), intrinsics, size, model=model), lens), fisheye_fov=fov)


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
    """fx, fy, cx, cy [4] in pixels of this lens at this resolution, with the scene's pixel aspect unless it has one."""
    if lens.kind == "equirectangular":
        return intrinsics_from_angles(lens.longitude, lens.latitude, 0.0, 0.0, *resolution)
    return intrinsics_from_lens(
        lens.lens,
        lens.sensor_width,
        lens.sensor_height,
        lens.sensor_fit,  # type: ignore[arg-type]
        lens.shift_x,
        lens.shift_y,
        *resolution,
        *(lens.pixel_aspect or (scene.render.pixel_aspect_x, scene.render.pixel_aspect_y)),
        fisheye=lens.kind == "fisheye",
    )


def camera_of(camera_to_world: Array, lens: Lens, scene: bpy.types.Scene, resolution: tuple[int, int]) -> Camera:
    """The camera with this pose and lens, and its distortion."""
    model = CameraModel(lens.kind, lens.distortion)
    return Camera(camera_to_world, intrinsics_of(lens, scene, resolution), resolution, model=model)


def chosen_lens(lens: Lens, settings: dict[str, Any], resolution: tuple[int, int]) -> Lens:
    """A lens changed as the settings camera_model, fisheye_fov, intrinsics and distortion ask.

    Raises:
        UserError: that kind of lens has no such distortion.
    """
    width, height = resolution
    chosen = settings["camera_model"]
    kind: Kind = lens.kind if chosen == "scene" else "opencv" if chosen == "perspective" else chosen
    given, fov = np.array(settings["intrinsics"], np.float64), math.radians(settings["fisheye_fov"])
    if given.any():
        lens = fitted(Camera(np.eye(4), given, resolution, model=CameraModel(kind)), lens)
    elif chosen == "fisheye":
        # the whole image circle is in the picture
        focal = min(resolution) / fov
        around = np.array([focal, focal, 0.5 * width, 0.5 * height])
        lens = fitted(Camera(np.eye(4), around, resolution, model=CameraModel(kind)), lens)
    elif kind != lens.kind:
        lens = replace(Lens(), kind=kind, clip_start=lens.clip_start, clip_end=lens.clip_end)
    if chosen == "fisheye":
        lens = replace(lens, fisheye_fov=fov)
    bent = tuple(float(value) for value in settings["distortion"])
    wrong = complaint(kind, bent)
    if wrong:
        raise UserError(f"the distortion {wrong}")
    return replace(lens, distortion=bent) if any(bent) else lens


def rendered_through(
    lens: Lens, scene: bpy.types.Scene, resolution: tuple[int, int]
) -> tuple[list[float], Lens, dict[str, Any] | None]:
    """The intrinsics of a lens, the lens that Blender renders by, and the stand-in's intrinsics and size if it is one.

    Raises:
        UserError: see `stand_in`.
    """
    camera = camera_of(np.eye(4), lens, scene, resolution)
    if not camera.model.is_distorted:
        return camera.intrinsics.tolist(), lens, None
    plain = stand_in(camera)
    words = {"intrinsics": plain.intrinsics.tolist(), "size": list(plain.size)}
    return camera.intrinsics.tolist(), replace(fitted(plain, lens), size=plain.size), words


def fitted(camera: Camera, lens: Lens) -> Lens:
    """`lens` with a camera's kind and intrinsics, as sharp and as blurred as it is: its focal length stays."""
    kind = camera.model.kind
    if kind == "equirectangular":
        fx, fy, cx, cy = (float(value) for value in camera.intrinsics)
        width, height = camera.size
        longitude, latitude = (-cx / fx, (width - cx) / fx), ((cy - height) / fy, cy / fy)
        return replace(lens, kind=kind, longitude=longitude, latitude=latitude, shift_x=0.0, shift_y=0.0)
    sensor = lens.lens * camera.size[0] / float(camera.intrinsics[0])
    found = lens_from_intrinsics(camera.intrinsics, *camera.size, sensor, fisheye=kind == "fisheye")
    return replace(
        lens,
        kind=kind,
        sensor_width=found.sensor_width,
        sensor_fit="HORIZONTAL",
        shift_x=found.shift_x,
        shift_y=found.shift_y,
        pixel_aspect=found.pixel_aspect,
    )


def parallel_intrinsics_of(camera: bpy.types.Object, scene: bpy.types.Scene, resolution: tuple[int, int]) -> Array:
    """fx, fy, cx, cy [4] of an orthographic camera (evaluated): fx and fy in pixels per scene unit."""
    data = camera.data
    # its scale is the width of the fitted side, as a sensor is at the distance of its lens
    lens = Lens(1.0, data.ortho_scale, data.ortho_scale, data.sensor_fit, data.shift_x, data.shift_y)
    return intrinsics_of(lens, scene, resolution)


def lens_for(camera: Camera, bounds: ArrayLike) -> Lens:
    """The lens, without depth of field, that has a camera's intrinsics and distortion and sees all of `bounds` [2, 3].

    The scene's pixels have to be of the shape that the lens says.
    """
    lower, upper = np.asarray(bounds, np.float64)
    distance = float(np.linalg.norm(camera.camera_to_world[:3, 3] - 0.5 * (lower + upper)))
    size = float(np.linalg.norm(upper - lower))
    focal = Lens.sensor_width * float(camera.intrinsics[0]) / camera.size[0]
    return replace(
        fitted(camera, Lens(lens=max(focal, SHORTEST_LENS))),
        distortion=camera.model.distortion,
        clip_start=PLACED_CLIP[0] * max(distance, 0.5 * size),
        clip_end=PLACED_CLIP[1] * (distance + size),
    )


def put_camera(thing: bpy.types.Object, camera_to_world: ArrayLike, lens: Lens) -> None:
    """Give a camera object a pose and a lens, without its distortion."""
    put_lens(thing.data, lens)
    thing.matrix_world = Matrix(np.asarray(camera_to_world).tolist())


def put_lens(data: Any, lens: Lens) -> None:
    """Give a camera a lens, without its distortion."""
    data.type = "PERSP" if lens.kind == "opencv" else "PANO"
    for name, value in lens.as_dict().items():
        if name not in NOT_OF_BLENDER:
            setattr(data.dof if hasattr(data.dof, name) else data, name, value)
    panorama = compat.panorama_of(data)
    if lens.kind == "fisheye":
        panorama.panorama_type = "FISHEYE_LENS_POLYNOMIAL"
        panorama.fisheye_fov = lens.fisheye_fov
        for number in range(5):
            setattr(panorama, f"fisheye_polynomial_k{number}", -1.0 / lens.lens if number == 1 else 0.0)
    elif lens.kind == "equirectangular":
        panorama.panorama_type = "EQUIRECTANGULAR"
        for name, (least, most) in (("longitude", lens.longitude), ("latitude", lens.latitude)):
            setattr(panorama, f"{name}_min", least)
            setattr(panorama, f"{name}_max", most)


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


def pose_and_lens_at(
    scene: bpy.types.Scene, frame: int, resolution: tuple[int, int], camera: bpy.types.Object | None = None
) -> tuple[Array, Lens]:
    """Pose and lens of a camera in a frame, or of the scene's own (markers may change which one it is) when none is
    given; the scene stays there.

    Raises:
        UserError: it has none then, or one whose lens is not known here.
    """
    scene.frame_set(frame)
    camera = camera or scene.camera
    if not has_lens(camera):
        raise UserError(
            f"in frame {frame} the scene has no camera that is perspective, equidistant fisheye or equirectangular; "
            "add one or choose another rig"
        )
    # the scene may be a copy of the one in the context, with layers of the same names
    evaluated = camera.evaluated_get(scene.view_layers[bpy.context.view_layer.name].depsgraph)
    return pose_of(evaluated), lens_in(scene, evaluated, resolution)


# of a lens, what an animation may change from frame to frame
MOVING_LENS = ("lens", "shift_x", "shift_y")


def rounded(camera_to_world: ArrayLike) -> Array:
    """Camera-to-world [4, 4] as a `StudioCamera` stands there; the same to single floats if done again."""
    pose = _without_scale(np.asarray(camera_to_world, np.float64))
    # what is 0 but for rounding has as many other bits as one likes
    pose[:3, :3][np.abs(pose[:3, :3]) < NOTHING] = 0.0
    pose[:3, 3] = pose[:3, 3].astype(np.float32)
    return pose


class StudioCamera:
    """A camera of our own that stands still, without constraints or animation.

    Its pose is the offset to an empty that it is a child of, which Blender takes as it is. A place and a quaternion,
    which Blender makes of an object's own matrix, are not that matrix to the last bit, and made anew they are others.
    """

    def __init__(self, scene: bpy.types.Scene) -> None:
        self._scene, render = scene, scene.render
        self._size, self._aspect = (
            (render.resolution_x, render.resolution_y),
            (render.pixel_aspect_x, render.pixel_aspect_y),
        )
        data = bpy.data.cameras.new("Radiance Twin")
        self._object = bpy.data.objects.new("Radiance Twin", data)
        self._object.rotation_mode = "QUATERNION"
        self._object.parent = bpy.data.objects.new("Radiance Twin", None)
        for thing in (self._object, self._object.parent):
            scene.collection.objects.link(thing)
        for marker in scene.timeline_markers:
            marker.camera = None  # a marker would put its own camera in the place of ours

    def put(self, camera_to_world: ArrayLike, lens: Lens) -> None:
        """Make it the scene's camera, here and with this lens, and render what that asks for."""
        self._object.animation_data_clear()
        self._object.data.animation_data_clear()
        put_lens(self._object.data, lens)
        self._object.matrix_basis = Matrix()
        self._object.matrix_parent_inverse = Matrix(np.asarray(camera_to_world).tolist())
        render = self._scene.render
        render.resolution_x, render.resolution_y = lens.size or self._size
        render.pixel_aspect_x, render.pixel_aspect_y = lens.pixel_aspect or self._aspect
        self._scene.camera = self._object
        bpy.context.view_layer.update()

    def move(self, before: tuple[ArrayLike, Lens], after: tuple[ArrayLike, Lens]) -> None:
        """Let it be elsewhere in the frames before and after this one, until it is put somewhere again."""
        thing, data, frame = self._object, self._object.data, self._scene.frame_current
        from_here = np.linalg.inv(np.array(thing.matrix_parent_inverse, np.float64))
        here = np.eye(4), {name: getattr(data, name) for name in MOVING_LENS}
        places = [
            (from_here @ np.asarray(where, np.float64), {name: getattr(lens, name) for name in MOVING_LENS})
            for where, lens in (before, after)
        ]
        for step, (motion, lens) in zip((-1, 1, 0), (*places, here), strict=True):
            thing.matrix_basis = Matrix(motion.tolist())
            for path in ("location", "rotation_quaternion"):
                thing.keyframe_insert(path, frame=frame + step)
            for name, value in lens.items():
                setattr(data, name, value)
                data.keyframe_insert(name, frame=frame + step)
        bpy.context.view_layer.update()

    def use_depth_of_field(self, use: bool) -> None:
        """Switch it off for ground truth."""
        self._object.data.dof.use_dof = use

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
