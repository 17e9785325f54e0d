# SPDX-License-Identifier: GPL-3.0-or-later
"""Cameras as JSON: one, to look at a twin from, or a list of them, to be rendered into a dataset. Numpy alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .cameras import Camera
from .errors import UserError, reason_of
from .files import write_json
from .lenses import COEFFICIENTS, KINDS, PINHOLE, CameraModel
from .rendering.covers import SPLITS

LARGEST_FILE = 512 << 20
EXAMPLE = '{"camera_to_world": [4 rows of 4], "intrinsics": [fx, fy, cx, cy], "size": [width, height]}'


@dataclass(frozen=True)
class PosedCamera:
    """A camera that is to be rendered.

    Attributes:
        frame: of the scene; None: in the one in which the scene is.
        reason: why it was proposed; empty: by a person.
        split: "train", "val" or "test" when its file says so.
        name: what messages call it.
    """

    camera: Camera
    frame: int | None = None
    reason: str = ""
    split: str | None = None
    name: str = ""


def read_camera(path: str, size: tuple[int, int] | None = None) -> Camera:
    """The camera in a JSON file; `size` is what its intrinsics are meant for when the file does not say.

    With "orthographic": true its fx and fy are pixels per scene unit. "model" (opencv, fisheye or equirectangular) and
    "distortion" (k1 k2 p1 p2 k3 k4) say what lens it has; without them it is a pinhole.

    Raises:
        UserError: missing, no JSON, or without a number that is needed.
    """
    words = _read(path, EXAMPLE)
    return replace(camera_from(words, path, size), orthographic=words.get("orthographic") is True)


def read_cameras(path: str) -> list[PosedCamera]:
    """The cameras in a JSON file: {"cameras": [{camera_to_world, intrinsics, size, frame, reason, split}, ...]}.

    `frame`, `reason` and `split` may be left out.

    Raises:
        UserError: missing, no JSON, without any camera, or with one that makes no sense.
    """
    example = f'{{"cameras": [{EXAMPLE}, ...]}}'
    words = _read(path, example)
    entries = words.get("cameras") if isinstance(words, dict) else None
    if not isinstance(entries, list) or not entries:
        raise UserError(f"{path} holds no cameras; it needs {example}")
    cameras = []
    for number, entry in enumerate(entries):
        name = f"{path}, camera {number},"
        camera = camera_from(entry, name)
        frame, split = entry.get("frame"), entry.get("split")
        if frame is not None and (not isinstance(frame, int) or abs(frame) > 1 << 20):
            raise UserError(f"{name} has a frame that is no number of a frame; write it like 1")
        if split is not None and split not in SPLITS:
            raise UserError(f"{name} has the split {split!r}; it may be {', '.join(SPLITS)}")
        cameras.append(PosedCamera(camera, frame, str(entry.get("reason", "")), split, name))
    return cameras


def write_cameras(path: Path, cameras: Sequence[PosedCamera]) -> None:
    """The file that `read_cameras` reads."""
    said = (
        {**camera_words(one.camera), "frame": one.frame, "reason": one.reason, "split": one.split} for one in cameras
    )
    entries = [{name: value for name, value in words.items() if value is not None} for words in said]
    write_json(path, {"cameras": entries})


def camera_words(camera: Camera) -> dict[str, Any]:
    """A camera as JSON can carry it; the lens of a pinhole goes without saying."""
    lens = {"model": camera.model.kind, "distortion": list(camera.model.distortion)}
    return {
        "camera_to_world": np.asarray(camera.camera_to_world).tolist(),
        "intrinsics": np.asarray(camera.intrinsics).tolist(),
        "size": [int(side) for side in camera.size],
        **({} if camera.model.is_pinhole else lens),
    }


def camera_from(words: Any, path: str, size: tuple[int, int] | None = None) -> Camera:
    """The camera that `camera_words` gave; `path` is what messages call it.

    Raises:
        UserError: a number is missing or makes no sense.
    """
    try:
        matrix = np.array(words["camera_to_world"], np.float64)
        intrinsics = np.array(words["intrinsics"], np.float64)
        own = words.get("size", size)
        width, height = (None, None) if own is None else (int(side) for side in own)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise UserError(f"{path} is no camera ({type(error).__name__}: {error}); it needs {EXAMPLE}") from error
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:3, :3])) < 1e-12:
        raise UserError(f"{path} has a camera_to_world that is no pose; it needs {EXAMPLE}")
    if intrinsics.shape != (4,) or not np.isfinite(intrinsics).all() or intrinsics[:2].min() <= 0.0:
        raise UserError(f"{path} has intrinsics that make no sense; it needs {EXAMPLE}")
    if width is None or height is None:
        raise UserError(f'{path} has no "size"; add it, or give --size WxH')
    if min(width, height) < 1:
        raise UserError(f"{path} has a size of {width} x {height} pixels; it needs {EXAMPLE}")
    return Camera(matrix, intrinsics, (width, height), model=_model(words, path))


def _model(words: dict[str, Any], path: str) -> CameraModel:
    kind, distortion = words.get("model", PINHOLE.kind), words.get("distortion", PINHOLE.distortion)
    if kind not in KINDS:
        raise UserError(f"{path} has the model {kind!r}; it may be {', '.join(KINDS)}")
    try:
        coefficients = np.array(distortion, np.float64)
    except (ValueError, TypeError):
        coefficients = np.array([np.nan])
    if coefficients.shape != (len(COEFFICIENTS),) or not np.isfinite(coefficients).all():
        raise UserError(f"{path} has a distortion that is not the six numbers {' '.join(COEFFICIENTS)}")
    return CameraModel(kind, tuple(coefficients.tolist()))


def _read(path: str, example: str) -> Any:
    try:
        if Path(path).stat().st_size > LARGEST_FILE:
            raise UserError(f"{path} is larger than {LARGEST_FILE >> 20} MB; that is no list of cameras")
        return json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {reason_of(error)}; check the path") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no camera: it is no JSON; it needs {example}") from error
