# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place for camera conventions.

Camera-to-world matrices with OpenGL axes (x right, y up, the camera looks along −z), world z up, float64. Pixels:
u to the right, v down, the first pixel's centre at (0.5, 0.5). Intrinsics are (fx, fy, cx, cy) in pixels, or in pixels
per radian of a lens that draws angles (see `lenses.py`). Depth is planar, along the viewing axis; of fisheye and
equirectangular cameras, which see what lies beside and behind them, it is the distance along the ray.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .lenses import PINHOLE, CameraModel

Array = NDArray[np.float64]
SensorFit = Literal["AUTO", "HORIZONTAL", "VERTICAL"]


@dataclass(frozen=True)
class Camera:
    """Camera-to-world [4, 4] with OpenGL axes, intrinsics [4] (fx fy cx cy, pixels), width and height, and its lens.

    An orthographic one has fx and fy in pixels per unit of its own space; its rays start in its plane z = 0.
    """

    camera_to_world: Array
    intrinsics: Array
    size: tuple[int, int]
    orthographic: bool = False
    model: CameraModel = PINHOLE

    def resized(self, size: tuple[int, int]) -> Camera:
        """The same picture with another number of pixels."""
        scale = np.array(size, np.float64) / self.size
        return replace(self, intrinsics=self.intrinsics * np.tile(scale, 2), size=size)

    def ray_directions(self, pixels: ArrayLike) -> Array:
        """Unit world-space directions [..., 3] of the rays through `pixels` [..., 2]; NaN where nothing is drawn."""
        if self.model.is_pinhole:
            return ray_directions(self.camera_to_world, self.intrinsics, pixels)
        ways = self.local_directions(pixels) @ self.camera_to_world[:3, :3].T
        return ways / np.linalg.norm(ways, axis=-1, keepdims=True)

    def draws(self, pixels: ArrayLike) -> NDArray[np.bool_]:
        """Whether the lens draws anything at `pixels` [..., 2]."""
        if self.model.is_pinhole:
            return np.ones(np.shape(pixels)[:-1], np.bool_)
        return np.isfinite(self.local_directions(pixels)[..., 0])

    def distance_over_depth(self, pixels: ArrayLike) -> Array:
        """How many times as long as its depth the ray through each of `pixels` [..., 2] is."""
        if self.model.is_pinhole:
            return distance_over_depth(self.intrinsics, pixels)
        local = self.local_directions(pixels)
        return -1.0 / local[..., 2] if self.model.has_planar_depth else np.ones(local.shape[:-1])

    def project(self, points: ArrayLike) -> tuple[Array, Array]:
        """Pixels [N, 2] and depths [N] (planar ones are negative behind) of world `points` [N, 3].

        Pixels are NaN where the lens does not draw them.
        """
        if self.model.is_pinhole:
            return project(points, self.camera_to_world, self.intrinsics)
        matrix = self.camera_to_world
        local = np.asarray(np.subtract(points, matrix[:3, 3]), np.float64) @ np.linalg.inv(matrix[:3, :3]).T
        pixels = self.intrinsics[2:] + self.intrinsics[:2] * self.model.places(local)
        return pixels, -local[..., 2] if self.model.has_planar_depth else np.linalg.norm(local, axis=-1)

    def unproject(self, depth: ArrayLike) -> Array:
        """World positions [H, W, 3] of what is seen at `depth` [H, W]."""
        if self.model.is_pinhole:
            return unproject(depth, self.camera_to_world, self.intrinsics)
        pixels = pixel_grid(*self.size)
        local = (
            self.local_directions(pixels)
            * (np.asarray(depth, np.float64) * self.distance_over_depth(pixels))[..., None]
        )
        return local @ self.camera_to_world[:3, :3].T + self.camera_to_world[:3, 3]

    def local_directions(self, pixels: ArrayLike) -> Array:
        """Unit directions [..., 3] of the rays through `pixels` [..., 2] in the camera's own axes; NaN as above."""
        places = (np.asarray(pixels, np.float64) - self.intrinsics[2:]) / self.intrinsics[:2]
        return self.model.directions(places)


def intrinsics_from_lens(
    lens: float,
    sensor_width: float,
    sensor_height: float,
    sensor_fit: SensorFit,
    shift_x: float,
    shift_y: float,
    width: int,
    height: int,
    pixel_aspect_x: float = 1.0,
    pixel_aspect_y: float = 1.0,
    fisheye: bool = False,
) -> Array:
    """Intrinsics [4] (fx fy cx cy, pixels) of a Blender perspective camera, or of a fisheye by a lens polynomial.

    Args:
        lens: focal length in millimetres (per radian, of a fisheye).
        sensor_width, sensor_height: in millimetres; the fit decides which of them counts.
        sensor_fit: AUTO fits the sensor's width to the image's longer side (longer in shape, not in pixels).
        shift_x, shift_y: lens shift in units of the fitted side (of a fisheye: of the image's width and height).
        width, height: of the image in pixels.
        pixel_aspect_x, pixel_aspect_y: shape of one pixel.

    The rule is that of Blender's `Object.calc_matrix_camera`, which the tests compare it with.
    """
    shape_x, shape_y = width * pixel_aspect_x, height * pixel_aspect_y
    horizontal = sensor_fit == "HORIZONTAL" or (sensor_fit == "AUTO" and shape_x >= shape_y)
    sensor = sensor_height if sensor_fit == "VERTICAL" else sensor_width
    # the side that the sensor is fitted to, in units of square pixels
    fitted = shape_x if horizontal else shape_y
    focal = lens / sensor * fitted
    right, down = (
        (shift_x * width, shift_y * height)
        if fisheye
        else (shift_x * fitted / pixel_aspect_x, shift_y * fitted / pixel_aspect_y)
    )
    return np.array(
        [
            focal / pixel_aspect_x,
            focal / pixel_aspect_y,
            0.5 * width - right,
            0.5 * height + down,
        ]
    )


def intrinsics_from_angles(
    horizontal: tuple[float, float],
    vertical: tuple[float, float],
    shift_x: float,
    shift_y: float,
    width: int,
    height: int,
) -> Array:
    """Intrinsics [4] (fx fy cx cy, pixels) of a Blender panorama that says which angles its picture spans.

    Args:
        horizontal: of its left and right border, vertical: of its lower and upper border, radians.
        shift_x, shift_y: lens shift in units of the image's width and height.
        width, height: of the image in pixels.
    """
    fx, fy = width / (horizontal[1] - horizontal[0]), height / (vertical[1] - vertical[0])
    return np.array([fx, fy, -horizontal[0] * fx - shift_x * width, vertical[1] * fy + shift_y * height])


@dataclass(frozen=True)
class FittedLens:
    """What makes Blender's camera have given intrinsics, with the sensor fitted to the image's width.

    Attributes:
        lens, sensor_width: in millimetres.
        shift_x, shift_y: lens shift in units of the image's width.
        pixel_aspect: x and y, shape of a pixel, the smaller one 1; of the scene's render settings.
    """

    lens: float
    sensor_width: float
    shift_x: float
    shift_y: float
    pixel_aspect: tuple[float, float]


def lens_from_intrinsics(
    intrinsics: ArrayLike, width: int, height: int, sensor_width: float = 36.0, fisheye: bool = False
) -> FittedLens:
    """The lens that has these intrinsics: `intrinsics_from_lens` backwards, for a sensor fit HORIZONTAL."""
    fx, fy, cx, cy = (float(value) for value in np.asarray(intrinsics, np.float64))
    aspect_x, aspect_y = max(1.0, fy / fx), max(1.0, fx / fy)
    # square pixels that were rounded stay square
    if abs(fx / fy - 1.0) < 1e-9:
        aspect_x = aspect_y = 1.0
    return FittedLens(
        lens=fx * sensor_width / width,
        sensor_width=sensor_width,
        shift_x=(0.5 * width - cx) / width,
        shift_y=(cy - 0.5 * height) / height if fisheye else (cy - 0.5 * height) * aspect_y / (width * aspect_x),
        pixel_aspect=(aspect_x, aspect_y),
    )


def pixel_grid(width: int, height: int) -> Array:
    """Pixel centres [height, width, 2] as (u, v); row 0 is the image's top."""
    u, v = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return np.stack([u, v], axis=-1)


def ray_directions(camera_to_world: ArrayLike, intrinsics: ArrayLike, pixels: ArrayLike) -> Array:
    """Unit world-space directions [..., 3] of the rays through `pixels` [..., 2] of a pinhole camera.

    All of them start at `camera_to_world[:3, 3]`.
    """
    matrix, pixels = np.asarray(camera_to_world, np.float64), np.asarray(pixels, np.float64)
    fx, fy, cx, cy = np.asarray(intrinsics, np.float64)
    local = np.stack([(pixels[..., 0] - cx) / fx, -(pixels[..., 1] - cy) / fy, -np.ones(pixels.shape[:-1])], axis=-1)
    world = local @ matrix[:3, :3].T
    return world / np.linalg.norm(world, axis=-1, keepdims=True)


def distance_over_depth(intrinsics: ArrayLike, pixels: ArrayLike) -> Array:
    """How many times as long as its planar depth the ray of a pinhole camera through each of `pixels` [..., 2] is."""
    pixels = np.asarray(pixels, np.float64)
    fx, fy, cx, cy = np.asarray(intrinsics, np.float64)
    stretch: Array = np.sqrt(1.0 + ((pixels[..., 0] - cx) / fx) ** 2 + ((pixels[..., 1] - cy) / fy) ** 2)
    return stretch


def uniform_scale(matrix: ArrayLike) -> float:
    """How many times as long lengths become by `matrix` [4, 4] of uniform scale, rotation and translation."""
    return float(np.cbrt(abs(np.linalg.det(np.asarray(matrix, np.float64)[:3, :3]))))


def rays_in_field(camera: Camera, pixels: ArrayLike, world_from_field: ArrayLike) -> tuple[Array, Array]:
    """Origin and unit directions [..., 3] in field coordinates of the rays through `pixels` [..., 2].

    The origin is one for all [3], or [..., 3] of an orthographic camera. Where the lens draws nothing (`Camera.draws`)
    rays go along the camera's axis.
    """
    field_from_world = np.linalg.inv(np.asarray(world_from_field, np.float64))
    if camera.orthographic:
        matrix, pixels = field_from_world @ camera.camera_to_world, np.asarray(pixels, np.float64)
        fx, fy, cx, cy = camera.intrinsics
        places = np.stack([(pixels[..., 0] - cx) / fx, -(pixels[..., 1] - cy) / fy], axis=-1)
        forward = -matrix[:3, 2] / np.linalg.norm(matrix[:3, 2])
        origins = places @ matrix[:3, :2].T + matrix[:3, 3]
        return origins, np.broadcast_to(forward, origins.shape)
    ways = camera.ray_directions(pixels) @ field_from_world[:3, :3].T
    origin = field_from_world[:3, :3] @ camera.camera_to_world[:3, 3] + field_from_world[:3, 3]
    if not camera.model.is_pinhole:
        ways[np.isnan(ways[..., 0])] = field_from_world[:3, :3] @ -camera.camera_to_world[:3, 2]
    return origin, ways / np.linalg.norm(ways, axis=-1, keepdims=True)


def project(points: ArrayLike, camera_to_world: ArrayLike, intrinsics: ArrayLike) -> tuple[Array, Array]:
    """Pixels [N, 2] and planar depths [N] (along the viewing axis, negative behind) of `points` [N, 3] by a pinhole."""
    matrix = np.asarray(camera_to_world, np.float64)
    fx, fy, cx, cy = np.asarray(intrinsics, np.float64)
    local = (np.asarray(points, np.float64) - matrix[:3, 3]) @ np.linalg.inv(matrix[:3, :3]).T
    depth = np.negative(local[:, 2])
    with np.errstate(divide="ignore", invalid="ignore"):
        pixels = np.stack([cx + fx * local[:, 0] / depth, cy - fy * local[:, 1] / depth], axis=-1)
    return pixels, depth


def unproject(depth: ArrayLike, camera_to_world: ArrayLike, intrinsics: ArrayLike) -> Array:
    """World positions [H, W, 3] of what a pinhole camera sees at planar `depth` [H, W]."""
    planar, matrix = np.asarray(depth, np.float64), np.asarray(camera_to_world, np.float64)
    fx, fy, cx, cy = np.asarray(intrinsics, np.float64)
    pixels = pixel_grid(planar.shape[1], planar.shape[0])
    x, y = (pixels[..., 0] - cx) / fx * planar, (pixels[..., 1] - cy) / fy * planar
    return np.stack([x, -y, -planar], axis=-1) @ matrix[:3, :3].T + matrix[:3, 3]


def opencv_world_to_camera(camera_to_world: ArrayLike) -> Array:
    """World-to-camera matrix [4, 4] with OpenCV axes (x right, y down, z forward), as COLMAP and OpenCV store it."""
    matrix = np.asarray(camera_to_world, np.float64) @ np.diag([1.0, -1.0, -1.0, 1.0])
    return np.linalg.inv(matrix)


def opencv_camera_matrix(intrinsics: ArrayLike) -> Array:
    """The matrix K [3, 3] of `intrinsics` [4] (fx fy cx cy) as OpenCV has it: pixel centres at whole numbers."""
    fx, fy, cx, cy = np.asarray(intrinsics, np.float64)
    return np.array([[fx, 0.0, cx - 0.5], [0.0, fy, cy - 0.5], [0.0, 0.0, 1.0]])


def look_at(eye: ArrayLike, target: ArrayLike, up: ArrayLike = (0.0, 0.0, 1.0)) -> Array:
    """Camera-to-world matrix [4, 4] of a camera at `eye` that looks at `target` with `up` pointing up."""
    eye, target, up = (np.asarray(vector, np.float64) for vector in (eye, target, up))
    backward = eye - target
    backward = backward / np.linalg.norm(backward)
    right = np.cross(up, backward)
    if np.linalg.norm(right) < 1e-6:  # looking straight along `up`: any right will do, but always the same
        right = np.cross((0.0, 1.0, 0.0), backward)
    right = right / np.linalg.norm(right)
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1], matrix[:3, 2], matrix[:3, 3] = right, np.cross(backward, right), backward, eye
    return matrix


def corners_of_bounds(bounds: ArrayLike) -> Array:
    """The corners [8, 3] of a box whose lower and upper corner `bounds` [2, 3] are; x changes slowest, z fastest."""
    corners: Array = np.asarray(bounds, np.float64)[np.indices((2, 2, 2)).reshape(3, 8).T, range(3)]
    return corners


def world_from_field_of_bounds(bounds: ArrayLike) -> Array:
    """The matrix [4, 4] that takes the field's cube [0, 1]³ to the smallest cube around `bounds` [2, 3], 2 % larger."""
    lower, upper = np.asarray(bounds, np.float64)
    side = max(float((upper - lower).max()), 1e-6) * 1.02
    matrix = np.diag([side, side, side, 1.0])
    matrix[:3, 3] = 0.5 * (lower + upper) - 0.5 * side
    return matrix
