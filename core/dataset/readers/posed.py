# SPDX-License-Identifier: GPL-3.0-or-later
"""What every reader yields: images with cameras in this house's conventions, and what was wrong with the others."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...cameras import Camera
from ...errors import UserError, reason_of
from ...lenses import CameraModel

Array = NDArray[np.float64]

LARGEST_JSON = 512 << 20
# how far a rotation may be from orthogonal: files with three decimals still pass
ROTATION_TOLERANCE = 1e-2
# larger coordinates have no precision left for what the camera sees
FARTHEST = 1e9
# focal lengths over the picture's width
LEAST_FOCAL, MOST_FOCAL = 1e-3, 1e5


class Unsound(Exception):
    """What is wrong with one frame, in words that follow its name."""


@dataclass(frozen=True)
class Lens:
    """Intrinsics and distortion of one image.

    Attributes:
        width, height: pixels. fx, fy, cx, cy: pixels, the first pixel's centre at (0.5, 0.5).
        fisheye: whether the angle, not its tangent, is what the polynomial takes (OpenCV's fisheye model).
        distortion: OpenCV's order: k1 k2 p1 p2 k3 k4 k5 k6, or k1 k2 k3 k4 of a fisheye. Empty: none.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    fisheye: bool = False
    distortion: tuple[float, ...] = ()

    @property
    def is_pinhole(self) -> bool:
        """Whether straight lines stay straight."""
        return not self.fisheye and not any(self.distortion)

    def camera(self, camera_to_world: Array) -> Camera:
        """A camera [4, 4] (OpenGL axes) with this lens; k5 and k6, which cameras here do not have, count as none."""
        coefficients = (*self.distortion, *[0.0] * 8)
        k1, k2, k3, k4 = coefficients[:4]
        model = (
            CameraModel("fisheye", (k1, k2, 0.0, 0.0, k3, k4))
            if self.fisheye
            else CameraModel("opencv", coefficients[:6])
        )
        intrinsics = np.array([self.fx, self.fy, self.cx, self.cy])
        return Camera(camera_to_world, intrinsics, (self.width, self.height), model=model)


@dataclass(frozen=True)
class PosedImage:
    """One image on disk with its camera.

    Attributes:
        name: what the dataset calls it.
        path: of the picture. alpha: of a second picture that holds its opacity.
        camera_to_world: [4, 4], OpenGL axes, rotation and translation only.
        split: "train", "val" or "test" when the dataset says so.
        mask: of a picture that says which pixels count. mask_is_black: whether its black pixels are those that do.
        depth: of a depth file, 0 = unknown. depth_unit: what one of its units is in scene units.
    """

    name: str
    path: Path
    lens: Lens
    camera_to_world: Array
    split: str | None = None
    alpha: Path | None = None
    mask: Path | None = None
    mask_is_black: bool = False
    depth: Path | None = None
    depth_unit: float = 1.0


@dataclass
class PosedImages:
    """A dataset as its reader found it.

    Attributes:
        images: all that are sound so far; nobody has looked at their pixels yet.
        bounds: [2, 3] of the scene, when the format tells.
        background: [3] scene-linear, what transparent pictures were made for, when the format tells.
        notes: what else the format says and nothing here needs; kept for the record.
        remarks: what somebody who knows the format would expect and not get, a sentence each.
    """

    images: list[PosedImage]
    bounds: Array | None = None
    background: tuple[float, float, float] | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


class Problems:
    """What is wrong, each in one line that names the frame."""

    def __init__(self, say: Callable[[str], None], strict: bool = False) -> None:
        self.lines: list[str] = []
        self._say = say
        self._strict = strict

    def add(self, name: str, what: str) -> None:
        """Note one problem.

        Raises:
            UserError: when the first problem is one too many.
        """
        line = " ".join(f"{name}: {what}".split())
        if self._strict:
            raise UserError(f"{line}; mend it, or import without --strict")
        self.lines.append(line)
        self._say(line)

    def leave_out(self, name: str, what: str) -> None:
        """Note why a frame is left out."""
        self.add(name, f"{what}; left out")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        UserError: missing, far too large, no JSON, or something else than an object.
    """
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise UserError(f"{path} is larger than {LARGEST_JSON >> 20} MB; that is no list of cameras")
        data = json.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise UserError(f"cannot read {path} ({reason_of(error)}); check the path") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON ({error}); mend it or export it again") from error
    if not isinstance(data, dict):
        raise UserError(f"{path} holds no JSON object; it cannot be a list of cameras")
    return data


def frames_of(meta: dict[str, Any], path: Path) -> list[Any]:
    """The list `frames` of a transforms file.

    Raises:
        UserError: there is none.
    """
    frames = meta.get("frames")
    if not isinstance(frames, list) or not frames:
        raise UserError(f"{path} has no list of frames; it cannot be a list of cameras")
    return frames


def posed_frames(
    frames: list[Any], image_of: Callable[[str, dict[str, Any]], PosedImage], wrong: Callable[[str, str], None]
) -> list[PosedImage]:
    """The images of a list of frames: `image_of` is told a frame's name and the frame, `wrong` a name and why not."""
    found: list[PosedImage] = []
    for position, frame in enumerate(frames):
        name = name_of(frame, position)
        try:
            if not isinstance(frame, dict):
                raise Unsound("it is no JSON object")
            found.append(image_of(name, frame))
        except Unsound as error:
            wrong(name, str(error))
    return found


def remarks_on_time(frames: list[Any]) -> list[str]:
    """Whether the frames show different moments (the format of D-NeRF)."""
    moments = {repr(frame.get("time")) for frame in frames if isinstance(frame, dict)}
    if len(moments) < 2:
        return []
    return ["The frames show different moments; a twin is of one moment, so what moves will be blurred."]


def name_of(frame: Any, position: int) -> str:
    """What a message calls a frame: its file, else its place in the list."""
    name = frame.get("file_path") if isinstance(frame, dict) else None
    return name if isinstance(name, str) and name else f"frame {position}"


def number(value: Any, name: str) -> float:
    """A finite number.

    Raises:
        Unsound: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unsound(f"{name} is no number")
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    if not math.isfinite(result):
        raise Unsound(f"{name} is not finite")
    return result


def pose(value: Any) -> Array:
    """A camera-to-world matrix [4, 4] from 4 x 4 or 3 x 4 numbers, rid of its scale.

    Raises:
        Unsound: missing, of another shape, not finite, singular, mirrored, or sheared.
    """
    if value is None:
        raise Unsound("the pose is missing")
    try:
        given = np.array(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise Unsound("the pose holds something that is no number") from None
    if given.shape not in ((4, 4), (3, 4)):
        raise Unsound(f"the pose has the shape {list(given.shape)}, not 4 x 4")
    if not np.isfinite(given).all():
        raise Unsound("the pose is not finite")
    if np.abs(given).max() > FARTHEST:
        raise Unsound(f"the pose holds values beyond {FARTHEST:g}, where nothing can be computed any more")
    axes = given[:3, :3]
    lengths = np.linalg.norm(axes, axis=0)
    if lengths.min() < 1e-12 or abs(np.linalg.det(axes / lengths)) < 1e-3:
        raise Unsound("the pose's matrix is singular")
    if np.linalg.det(axes / lengths) < 0:
        raise Unsound("the pose is mirrored")
    u, _, v = np.linalg.svd(axes / lengths)
    rotation = u @ v
    if lengths.max() > lengths.min() * (1 + ROTATION_TOLERANCE) or (
        np.abs(axes / lengths - rotation).max() > ROTATION_TOLERANCE
    ):
        raise Unsound("the pose is stretched or sheared, which no camera can be")
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, given[:3, 3]
    return matrix


def sound_lens(lens: Lens) -> Lens:
    """The lens itself.

    Raises:
        Unsound: no camera has such focal lengths.
    """
    for focal, side in ((lens.fx, lens.width), (lens.fy, lens.height)):
        if not LEAST_FOCAL < focal / side < MOST_FOCAL:
            raise Unsound(f"a focal length of {focal:g} pixels makes no sense")
    return lens


def find_file(folder: Path, name: Any, endings: tuple[str, ...] = ("",)) -> Path:
    """The file `name` (forward or backward slashes) in `folder`, completed by the first ending that exists.

    Raises:
        Unsound: no name, no such file, or one that lies outside of the folder.
    """
    if not isinstance(name, str) or not name or "\0" in name:
        raise Unsound("it names no file")
    inside = folder.resolve()
    for ending in endings:
        path = (inside / (name.replace("\\", "/") + ending)).resolve()
        if not path.is_relative_to(inside):
            raise Unsound(f"its file lies outside of {folder}; name the folder of the images by --images")
        try:
            if path.is_file():
                return path
        except OSError:  # a name that is too long
            break
    raise Unsound(f"there is no such file in {folder}")
