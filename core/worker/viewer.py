# SPDX-License-Identifier: GPL-3.0-or-later
"""The view server: frames of trained fields for Blender, on request, for as long as somebody looks.

    {"id": 1, "request": "serve_frames", "arguments": {"device": "auto", "idle_seconds": 300}}
    {"id": 2, "request": "frame", "arguments": {
        "frame": PATH,              a file made by frames.make_frame_file for this size
        "twin": PATH,
        "camera_to_world": [4][4],  OpenGL axes
        "intrinsics": [fx, fy, cx, cy],
        "orthographic": false,      then fx and fy are pixels per unit
        "size": [width, height],
        "world_from_object": [4][4],  where the twin stands: moved, rotated, evenly scaled
        "behind": true,             whether what lies behind a scene with film "world" is part of the frame
        "coarse": false}}           whether a frame of fewer pixels is wanted first

Each picture is announced by {"event": "frame", "sequence": N, "size": [w, h], "complete": ...}; the result, which
follows, tells what it cost. Fields stay loaded, MOST_FIELDS of them, until their files change.

    {"id": 3, "request": "flip", "arguments": {"pair": PATH, "map": PATH}}

measures FLIP between two pictures that a screen shows: .npy [2][height][width][3] bytes, the reference first. The map
[height][width] is written as a .npy, and the result tells its mean.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..cameras import Camera
from ..errors import UsageError, UserError
from ..field.render import PATTERN, TrainedField, load_field, render_view
from ..twin_file import read_twin
from .frames import FrameFile
from .protocol import ChildReporter, Requests

MOST_FIELDS = 4
# sides of the first picture are this much shorter: it costs a sixteenth
COARSE = 4
# below this many pixels a picture is there soon enough
SOON = 128 * 128
# relative difference between the axes' scales that still counts as none
EVEN = 1e-4


def serve_frames(arguments: dict[str, Any], requests: Requests) -> None:
    """Answer requests for frames until the parent has had enough, or nobody has asked for `idle_seconds`."""
    fields = Fields(str(arguments.get("device", "auto")))
    requests.answer({"frame": fields.frame, "flip": flip}, float(arguments.get("idle_seconds", 300.0)))


def flip(arguments: dict[str, Any], _reporter: ChildReporter) -> dict[str, Any]:
    """Measure FLIP between two pictures, and write its map.

    Returns:
        mean: of the map.

    Raises:
        UserError: a file cannot be read or written.
    """
    # what it needs takes seconds to load, and frames do not need it
    from ..comparison.metrics import flip_error

    try:
        reference, test = np.load(str(arguments["pair"]), allow_pickle=False)
        mean, error = flip_error(reference, test)
        np.save(str(arguments["map"]), error, allow_pickle=False)
    except (KeyError, OSError, ValueError) as problem:
        raise UserError(f"FLIP cannot be measured ({problem}); is the temporary folder full?") from problem
    return {"mean": mean}


@dataclass
class _Loaded:
    stamp: tuple[int, int]
    field: TrainedField


class Fields:
    """The fields that are loaded, on `device`."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._loaded: dict[str, _Loaded] = {}

    def frame(self, arguments: dict[str, Any], reporter: ChildReporter) -> dict[str, Any]:
        """Render one frame into its file.

        Returns:
            sequence: its number in the file. seconds: of the rendering. size: width and height.

        Raises:
            UserError: a file is missing or damaged, the request makes no sense, or the twin is scaled unevenly.
            Cancelled: a newer request came.
        """
        wanted = camera_of(arguments)
        field = self._field(str(arguments.get("twin")))
        cameras = [wanted]
        width, height = wanted.size
        if arguments.get("coarse") and width * height > SOON:
            cameras.insert(0, wanted.resized((-(-width // COARSE), -(-height // COARSE))))
        return give_frames(field, cameras, arguments, reporter)

    def _field(self, path: str) -> TrainedField:
        try:
            status = os.stat(path)
        except OSError as error:
            raise UserError(f"{path} is not there ({error.strerror}); train first, or check the path") from error
        stamp = (status.st_mtime_ns, status.st_size)
        loaded = self._loaded.pop(path, None)
        if loaded is None or loaded.stamp != stamp:
            # the old one goes first: the GPU may not have room for both
            loaded = None
            loaded = _Loaded(stamp, load_field(read_twin(Path(path)), self._device))
        # most recently used last
        self._loaded[path] = loaded
        while len(self._loaded) > MOST_FIELDS:
            del self._loaded[next(iter(self._loaded))]
        return loaded.field


def camera_of(arguments: dict[str, Any]) -> Camera:
    """The camera of a request, in the twin's own space: it moves, not the field, so what is prepared for it is kept.

    Raises:
        UserError: the request makes no sense, or the twin is scaled unevenly.
    """
    camera_to_world = _numbers(arguments, "camera_to_world", (4, 4))
    intrinsics = _numbers(arguments, "intrinsics", (4,))
    width, height = (int(side) for side in _numbers(arguments, "size", (2,)))
    if min(width, height) < 1 or min(intrinsics[:2]) <= 0:
        raise UsageError(f"a frame of {width} x {height} pixels with intrinsics {intrinsics.tolist()} has no picture")
    world_from_object = _numbers(arguments, "world_from_object", (4, 4))
    _even_scale(world_from_object)
    pose = np.linalg.inv(world_from_object) @ camera_to_world
    return Camera(pose, intrinsics, (width, height), bool(arguments.get("orthographic")))


def give_frames(
    field: TrainedField,
    cameras: Sequence[Camera],
    arguments: dict[str, Any],
    reporter: ChildReporter,
    pattern: Sequence[tuple[float, float, float]] = PATTERN,
) -> dict[str, Any]:
    """Render a field from cameras that show the same with more and more pixels, each into the request's file.

    Returns:
        sequence: of the last one in the file. seconds: of its rendering. size: width and height that were asked for.

    Raises:
        UserError: the file is not there. Cancelled: a newer request came.
    """
    asked = tuple(int(side) for side in arguments["size"])
    enlarged = _even_scale(_numbers(arguments, "world_from_object", (4, 4)))
    file = FrameFile(str(arguments.get("frame")))
    try:
        sequence = file.last
        for camera in cameras:
            began = time.perf_counter()
            rgba, depth = render_view(field, camera, pattern, reporter.cancelled)
            seconds = time.perf_counter() - began
            if field.model.config.background and not arguments.get("behind", True):
                rgba[depth == 0.0] = 0.0
            sequence += 1
            file.write(sequence, rgba, depth * np.float32(enlarged))
            reporter.send("frame", sequence=sequence, size=list(camera.size), complete=camera.size == asked)
    finally:
        file.close()
    return {"sequence": sequence, "seconds": seconds, "size": list(asked)}


def _even_scale(world_from_object: Any) -> float:
    """How much larger an object's matrix makes things.

    Raises:
        UserError: not the same in all directions, or to nothing.
    """
    squares = world_from_object[:3, :3].T @ world_from_object[:3, :3]
    square = np.trace(squares) / 3.0
    if square <= 0.0 or np.abs(squares / square - np.eye(3)).max() > EVEN:
        raise UserError("the twin is scaled unevenly, which a field cannot show exactly; scale all axes alike")
    return float(np.sqrt(square))


def _numbers(arguments: dict[str, Any], name: str, shape: tuple[int, ...]) -> Any:
    try:
        values = np.array(arguments[name], np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"the request for a frame has no usable {name} ({error})") from error
    if values.shape != shape or not np.isfinite(values).all():
        raise UsageError(f"the request for a frame has a {name} of {values.shape} numbers, not {shape}")
    return values
