# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames of a field while it is trained, for whoever looks at it, at a bounded cost.

The requests are those of the view server (viewer.py) less the path of a twin; they wait for their turn, and the newest
one counts. A frame has as many rays as the time that may be spent on it allows: coarse at first, finer later.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

from ..cameras import Camera
from ..dataset.store import Dataset
from ..field.render import MIDDLE, PATTERN
from ..training.run import Run
from .protocol import ChildReporter, Requests
from .viewer import camera_of, give_frames

# of the training's time that previews may take in all
SHARE = 0.1
# seconds between two frames of the same view, at first and more for each second of training
APART = 2.0
FARTHER = 0.05
# a view that has changed is shown sooner
APART_WHEN_MOVED = 0.4
FEWEST_RAYS = 64 * 64
# before anything was measured; too few makes one frame coarser than it had to be
RAYS_PER_SECOND = 50_000.0


class Previews:
    """Answers requests for frames between two steps of a training.

    Attributes:
        frames, seconds: how many so far, and what they took.
    """

    def __init__(self, reporter: ChildReporter, requests: Requests) -> None:
        self.frames = 0
        self.seconds = 0.0
        self._reporter = reporter
        self._requests = requests
        self._rays_per_second = RAYS_PER_SECOND
        self._last: dict[str, Any] = {}
        self._last_at = -math.inf

    def begin(self, dataset: Dataset) -> None:
        """Tell the parent where the field will stand, so that it can make room for it."""
        place = {"world_from_field": dataset.world_from_field.tolist(), "bounds": dataset.bounds.tolist()}
        self._reporter.send("field", metadata=place)

    def has_enough(self) -> bool:
        return self._requests.finish_asked

    def look(self, run: Run) -> None:
        """Answer the newest request, if one waits and its turn has come."""
        request = self._requests.newest()
        if request is None:
            return
        apart = APART + FARTHER * run.seconds
        same_view = request.arguments == self._last
        most = self._rays_per_second * (SHARE * run.seconds - self.seconds)
        if time.monotonic() - self._last_at < (apart if same_view else APART_WHEN_MOVED) or most < FEWEST_RAYS:
            return
        rays = min(most, max(self._rays_per_second * SHARE * apart, FEWEST_RAYS))
        began = time.perf_counter()

        def frame(arguments: dict[str, Any], reporter: ChildReporter) -> dict[str, Any]:
            camera, pattern = affordable(rays, camera_of(arguments))
            result = give_frames(run.field_so_far(), [camera], arguments, reporter, pattern)
            cast = camera.size[0] * camera.size[1] * len(pattern)
            self._rays_per_second = cast / (time.perf_counter() - began)
            self._last = arguments
            self.frames += 1
            return result

        self._requests.answer_newest({"frame": frame})
        self._last_at = time.monotonic()
        self.seconds += time.perf_counter() - began


def affordable(rays: float, camera: Camera) -> tuple[Camera, Sequence[tuple[float, float, float]]]:
    """The same picture by so many rays at most: with fewer pixels where they do not suffice for all, and the pattern of
    rays to each."""
    width, height = camera.size
    if rays >= width * height * len(PATTERN):
        return camera, PATTERN
    shrink = min(math.sqrt(rays / (width * height)), 1.0)
    return camera.resized((max(int(width * shrink), 1), max(int(height * shrink), 1))), MIDDLE
