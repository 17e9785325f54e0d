# SPDX-License-Identifier: GPL-3.0-or-later
"""Views of a loaded dataset that flip to depth, to what the twin's field shows from there, or to its error.

The fields and errors are made one by one.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..core.camera_file import camera_from
from ..core.colour import ViewTransform, composite
from ..core.colour_maps import magma
from ..core.errors import Cancelled, UserError
from .jobs import viewer, worker
from .jobs.frames import View
from .paths import paths_of_open_file
from .properties import settings_of
from .studio import dataset_views
from .viewport.redraw import redraw

RENDER, DEPTH, FIELD, ERROR = "RENDER", "DEPTH", "FIELD", "ERROR"
# what lies in the folder from the beginning, and how its list calls it
WRITTEN = {RENDER: "picture", DEPTH: "depth"}
SECONDS_BETWEEN_LOOKS = 0.1


def twin_beside(dataset: Path) -> Path:
    """The twin that was trained from a dataset, by its name, else the open file's.

    Raises:
        UserError: there is none.
    """
    own = paths_of_open_file()
    for path in (dataset.with_suffix(".twin"), own.twin if own else None):
        if path is not None and path.is_file():
            return path
    raise UserError(f"there is no {dataset.with_suffix('.twin').name} beside the dataset; train it first")


class Flipping:
    """Views that are to show something else, one after the other; a thread waits for each of them.

    Attributes:
        waiting: indices of the views that are still to come. problem: why the last ones did not come.
    """

    def __init__(self) -> None:
        self.waiting: list[int] = []
        self.problem = ""
        self._side = ""
        self._listed: dict[str, Any] = {}
        self._folder = Path()
        self._twin = Path()
        self._pool = ThreadPoolExecutor(1)
        self._future: Future[NDArray[np.uint8]] | None = None

    def begin(self, side: str, chosen: list[int]) -> None:
        """Show what is there at once, and have the rest made.

        Raises:
            UserError: there are no pictures, no twin, or no depth.
        """
        collection = dataset_views.shown()
        self._folder = Path(str(collection[dataset_views.FOLDER]))
        self._listed = dataset_views.read_views(self._folder)
        self._side, self.problem, self._future = side, "", None
        if side == DEPTH and not collection.get(dataset_views.DEPTH):
            raise UserError("this dataset has no depth; render it from a scene")
        if side not in WRITTEN:
            self._twin = twin_beside(Path(self._listed["dataset"]))
        indices = chosen or [int(words["index"]) for words in self._listed["views"]]
        for index in indices:
            if self._path(side, index).is_file():
                dataset_views.flip(index, self._path(side, index))
            else:
                self.waiting.append(index)

    def in_words(self) -> str:
        """How many fields are still to be rendered."""
        count = len(self.waiting)
        return f"{count} {'field' if count == 1 else 'fields'} to render"

    def stop(self) -> None:
        """Wait for no more views."""
        self.waiting.clear()

    def follow(self) -> None:
        """Have the rest made: beside the interface, or right here in background mode, which has no timers."""
        if not bpy.app.background:
            if not bpy.app.timers.is_registered(_tick):
                bpy.app.timers.register(_tick, first_interval=SECONDS_BETWEEN_LOOKS, persistent=True)
            return
        while self.waiting:
            self.step(wait=True)

    def step(self, wait: bool = False) -> None:
        """Take what has come, and ask for the next one."""
        index = self.waiting[0]
        # an error is between two pictures, the second of which may have to be made first
        side = ERROR if self._side == ERROR and self._path(FIELD, index).is_file() else FIELD
        if self._future is None:
            pair = [_read_picture(self._path(one, index)) for one in (RENDER, FIELD)] if side == ERROR else []
            device = settings_of(bpy.context.scene).device
            self._future = self._pool.submit(self._make, self._words(index), pair, device)
        if not wait and not self._future.done():
            return
        try:
            made = self._future.result()
        except (Cancelled, UserError, OSError, ValueError) as problem:
            self.problem = worker.sentence(str(problem))
            self.waiting.clear()
            return
        finally:
            self._future = None
        if dataset_views.shown() is None:
            self.waiting.clear()  # another file was opened
            return
        _write_picture(self._path(side, index), made)
        if side == self._side:
            dataset_views.flip(index, self._path(side, index))
            del self.waiting[0]

    def _make(self, words: dict[str, Any], pair: list[NDArray[np.uint8]], device: str) -> NDArray[np.uint8]:
        """One picture [H, W, 3], in a thread, which never touches Blender's data.

        Raises:
            UserError, OSError, ValueError: what went wrong. Cancelled: it is not wanted any more.
        """
        if pair:
            error = np.clip(viewer.wait_flip(pair[0], pair[1], device, self._is_stopped), 0.0, 1.0)
            shown = magma()[np.rint(255.0 * error).astype(int)]
        else:
            camera = camera_from(words, "a view of the dataset")
            pose = camera.camera_to_world
            asked = View(str(self._twin), pose, camera.intrinsics, camera.size, np.eye(4), device=device)
            answer = viewer.wait(asked, self._is_stopped)
            with np.load(self._folder / "view_transform.npz", allow_pickle=False) as arrays:
                look = ViewTransform.from_metadata(self._listed["view_transform"], dict(arrays))
            shown = look.apply(composite(answer.rgba, self._listed["background"]))
        picture: NDArray[np.uint8] = np.rint(255.0 * shown).astype(np.uint8)
        return picture

    def _is_stopped(self) -> bool:
        return not self.waiting

    def _words(self, index: int) -> dict[str, Any]:
        return next(words for words in self._listed["views"] if words["index"] == index)

    def _path(self, side: str, index: int) -> Path:
        if side in WRITTEN:
            return self._folder / str(self._words(index)[WRITTEN[side]])
        # a twin that is trained on shows something else
        return self._folder / f"{side.lower()}_{index:06d}_{self._twin.stat().st_mtime_ns}.png"


flipping = Flipping()


def _read_picture(path: Path) -> NDArray[np.uint8]:
    image = bpy.data.images.load(str(path), check_existing=True)
    size: Any = image.size
    width, height = size
    pixels = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(pixels)
    return np.rint(255.0 * pixels.reshape(height, width, 4)[::-1, :, :3]).astype(np.uint8)


def _write_picture(path: Path, shown: NDArray[np.uint8]) -> None:
    height, width = shown.shape[:2]
    image = bpy.data.images.new(path.stem, width, height)
    pixels = np.ones((height, width, 4), np.float32)
    pixels[..., :3] = shown[::-1] / np.float32(255.0)
    image.pixels.foreach_set(pixels.ravel())  # type: ignore[arg-type]
    image.filepath_raw, image.file_format = str(path), "PNG"
    image.save()
    bpy.data.images.remove(image)


def _tick() -> float | None:
    if flipping.waiting:
        flipping.step()
    redraw()
    return SECONDS_BETWEEN_LOOKS if flipping.waiting else None


def register() -> None:
    """Nothing is there until a view flips."""


def unregister() -> None:
    flipping.stop()
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)
