# SPDX-License-Identifier: GPL-3.0-or-later
"""What every writer is told, and the parts that several formats share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...cameras import pixel_grid
from ...colour import ViewTransform, composite
from ...errors import UserError
from ...rendering.covers import SPLITS
from ..store import Dataset
from ..surface_points import SeenPoints, seen_points
from .pictures import depth_unit, write_depth, write_labels, write_picture, write_pixels


@dataclass(frozen=True)
class Task:
    """What to write where.

    Attributes:
        dataset: open for reading.
        folder: empty; everything goes into it.
        ending: of pictures, ".png" or ".exr".
        view_transform: what PNGs go through.
        points_wanted: how many on the surfaces, in formats that have some.
        each: goes through view indices with progress and cancel.
    """

    dataset: Dataset
    folder: Path
    ending: str
    view_transform: ViewTransform
    points_wanted: int
    each: Callable[[Iterable[int]], Iterator[int]]

    def picture(self, index: int, path: str, alpha: bool | None = None) -> None:
        """Write a view's light to `path` in the folder; with that channel as `alpha` says, else as `has_alpha` does."""
        alpha = self.has_alpha if alpha is None else alpha
        write_picture(self.new_file(path), self.dataset.rgba(index), self.view_transform, alpha)

    def opaque_picture(self, index: int, path: str) -> None:
        """Write a view's light over the dataset's background, without alpha: for programs that know none."""
        opaque = composite(self.dataset.rgba(index), self.dataset.background)
        write_picture(self.new_file(path), np.insert(opaque, 3, 1.0, axis=-1), self.view_transform, alpha=False)

    def pixels(self, name: str, index: int, stem: str) -> str:
        """Write any pass but rgba as it is; see `write_pixels`. Returns the file's name, `stem` with its ending."""
        return f"{stem}{write_pixels(self.new_file(stem), name, self.dataset.pixels(name, index))}"

    def depth(self, index: int, path: str) -> None:
        """Write a view's planar depth as a 16-bit PNG of `depth_unit`."""
        write_depth(self.new_file(path), self.planar_depth(index), self.depth_unit)

    def planar_depth(self, index: int) -> NDArray[np.float32]:
        """[H, W] along the viewing axis, whatever the dataset has; 0 where nothing was hit, or beside the camera."""
        camera, depth = self.dataset.camera(index), self.dataset.depth(index)
        if camera.model.has_planar_depth:
            return depth
        forward = camera.ray_directions(pixel_grid(*camera.size)) @ -camera.camera_to_world[:3, 2]
        planar: NDArray[np.float32] = np.maximum(np.nan_to_num(depth * forward), 0.0).astype(np.float32)
        return planar

    def valid(self, index: int, path: str) -> None:
        """Write which pixels are to be trained on: white, the others black."""
        write_labels(self.new_file(path), np.where(self.dataset.valid(index), 255, 0))

    def json(self, path: str, words: dict[str, Any], indent: int | None = 1) -> None:
        """Write a JSON file."""
        text = json.dumps(words, indent=indent, allow_nan=False)
        self.new_file(path).write_text(text + "\n", encoding="utf-8")

    def new_file(self, path: str) -> Path:
        """A path in the folder, whose own folder is there."""
        whole = self.folder / path
        whole.parent.mkdir(parents=True, exist_ok=True)
        return whole

    @property
    def has_alpha(self) -> bool:
        """Whether pictures have an alpha channel: all of them or none, since programs put them into one array."""
        return self.dataset.film == "transparent" or not self.dataset.all_pinholes

    @property
    def passes(self) -> list[str]:
        """Names of all passes but rgba."""
        return [name for name in self.dataset.passes if name != "rgba"]

    @property
    def views(self) -> list[tuple[str, int]]:
        """Split and index of every view that is in a split, split by split."""
        return [(split, int(index)) for split in SPLITS for index in self.dataset.splits[split]]

    def each_view(self) -> Iterator[tuple[str, int]]:
        """`views` with progress and cancel."""
        split_of = {index: split for split, index in self.views}
        for index in self.each(split_of):
            yield split_of[index], index

    @cached_property
    def points(self) -> SeenPoints:
        """On the surfaces, for formats that want some to begin with; none when the dataset has no depth."""
        return seen_points(self.dataset, self.points_wanted)

    @cached_property
    def depth_unit(self) -> float:
        """What one step of a 16-bit depth picture is in scene units."""
        farthest = max((float(self.dataset.depth(index).max()) for _, index in self.views), default=0.0)
        return depth_unit(farthest)


@dataclass
class Written:
    """What a writer wrote.

    Attributes:
        names: what the format calls each view, by its index; the check after writing finds it by this name.
        remarks: what a user of the format should know, a sentence each.
        points: how many points on the surfaces it holds.
    """

    names: dict[int, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    points: int = 0


def require_png(task: Task, format: str) -> None:
    """Refuse EXR where a format's readers know none.

    Raises:
        UserError: which.
    """
    if task.ending != ".png":
        raise UserError(f"--format {format} has PNG pictures only; leave --images exr out, or choose ngp or folder")
