# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of each object in each view. Numpy alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cameras import Camera
from .contents import ViewPixels
from .run_lengths import Runs, mask_of, runs_of, split_runs

# state of a keypoint
OUTSIDE, HIDDEN, SEEN = 0, 1, 2


@dataclass(frozen=True)
class ObjectLabels:
    """Labels of N views and the K objects of the dataset's table, in its order; P keypoints.

    Boxes are left, top, right, bottom in pixels from the picture's upper left corner, right and bottom exclusive (a box
    of one pixel is [3, 5, 4, 6]); NaN when there is none.

    Attributes:
        object_to_world: [N, K, 4, 4] float64 with scale; carries the table's "local_bounds" to the oriented 3D box. NaN
            where the object is absent, or has several instances.
        visible_pixels: [N, K] int32, pixels whose centre shows the object.
        amodal_pixels: [N, K] int32, pixels whose centre would show it if it were alone; 0 when that is unknown.
        amodal_masks: of each view, the runs of those pixels by the object's place, where they are others than the
            visible ones; None in datasets of before they were kept.
        visible_box, amodal_box: [N, K, 4] float32 around those pixels, within the picture.
        keypoints: [N, P, 3] float64, world space; NaN where absent.
        keypoint_state: [N, P] uint8: OUTSIDE the picture (or absent), HIDDEN, or SEEN.
        keypoint_table: of each keypoint its "name" and the "object" that it belongs to, as a place in the table.
    """

    object_to_world: NDArray[np.float64]
    visible_pixels: NDArray[np.int32]
    amodal_pixels: NDArray[np.int32]
    visible_box: NDArray[np.float32]
    amodal_box: NDArray[np.float32]
    keypoints: NDArray[np.float64]
    keypoint_state: NDArray[np.uint8]
    keypoint_table: list[dict[str, Any]] = field(default_factory=list)
    amodal_masks: list[dict[int, Runs]] | None = None

    @property
    def visible_fraction(self) -> NDArray[np.float64]:
        """[N, K] share of the object's own pixels that are seen; NaN where those are unknown or outside the picture."""
        alone = self.amodal_pixels.astype(np.float64)
        share = np.divide(self.visible_pixels, alone, out=np.full(alone.shape, np.nan), where=alone > 0)
        return np.minimum(share, 1.0)


# the arrays of `ObjectLabels` with an axis of views, which is also how they are named in the file
LABELS: dict[str, str] = {
    "object_to_world": "f8",
    "visible_pixels": "i4",
    "amodal_pixels": "i4",
    "visible_box": "f4",
    "amodal_box": "f4",
    "keypoints": "f8",
    "keypoint_state": "u1",
}


def no_labels(views: int, objects: int, keypoint_table: list[dict[str, Any]]) -> ObjectLabels:
    """Labels that say nothing yet: every object absent, every keypoint outside."""
    shapes = shapes_of_labels(views, objects, len(keypoint_table))
    arrays = {name: np.full(shapes[name], np.nan if dtype[0] == "f" else 0, dtype) for name, dtype in LABELS.items()}
    return ObjectLabels(**arrays, keypoint_table=keypoint_table, amodal_masks=[{} for _ in range(views)])


# what Blender's part knows of one view, in the file `PlannedView.labels_file`: poses [K, 4, 4] and places [P, 3] of the
# keypoints, and the silhouettes' runs one after the other with their number [K], 0 where there is none
STAGED = ("object_to_world", "keypoints", "silhouette_runs", "silhouette_run_counts")
# a keypoint is seen through so much of its object's size: it lies on the surface, and the pixel's centre beside it
SKIN = 0.01


def fill_view(
    labels: ObjectLabels,
    index: int,
    staged: dict[str, NDArray[Any]],
    pixels: ViewPixels,
    camera: Camera,
    objects: Sequence[dict[str, Any]],
) -> None:
    """Enter what is known of view `index`, of which `labels` say nothing yet: what Blender's part said, and what its
    pixels show.

    Args:
        staged: the arrays of STAGED. objects: the table, with "index" and "local_bounds".

    Raises:
        KeyError, ValueError: `staged` lacks something, or is of another scene.
    """
    labels.object_to_world[index], labels.keypoints[index] = staged["object_to_world"], staged["keypoints"]
    assert pixels.object_index is not None and pixels.depth is not None and labels.amodal_masks is not None
    silhouettes = split_runs(staged["silhouette_runs"], staged["silhouette_run_counts"])
    shown = np.bincount(pixels.object_index.ravel(), minlength=1 << 16)
    for place, entry in enumerate(objects):
        if not shown[entry["index"]] and place not in silhouettes:
            continue  # of thousands of objects, most views show few
        mask = pixels.object_index == entry["index"]
        labels.visible_pixels[index, place] = mask.sum()
        labels.visible_box[index, place] = box_around(mask)
        if place in silhouettes:
            # displacement may show an object where its mesh is not
            whole = mask | mask_of(silhouettes[place], camera.size)
            labels.amodal_pixels[index, place] = whole.sum()
            labels.amodal_box[index, place] = box_around(whole)
            if not np.array_equal(whole, mask):
                labels.amodal_masks[index][place] = runs_of(whole)
    if len(labels.keypoint_table):
        matrices = labels.object_to_world[index][:, :3, :3]
        extents = np.array([np.diff(entry["local_bounds"], axis=0)[0] for entry in objects])
        sizes = np.nan_to_num(np.linalg.norm(np.einsum("kij,kj->ki", matrices, extents), axis=1))
        owners = [int(keypoint["object"]) for keypoint in labels.keypoint_table]
        labels.keypoint_state[index] = _states(labels.keypoints[index], pixels.depth, camera, SKIN * sizes[owners])


def box_around(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Left, top, right, bottom [4] of the pixels in a mask [H, W], right and bottom exclusive; NaN without any."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return np.full(4, np.nan, np.float32)
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)


def _states(
    points: NDArray[np.float64], depth: NDArray[np.float32], camera: Camera, through: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """Of points [P, 3]: OUTSIDE, HIDDEN or SEEN.

    One is seen when one of the four pixel centres around it shows nothing that is nearer by more than `through`: at an
    edge the pixel itself may already show what is beside it.
    """
    height, width = depth.shape
    finite = np.isfinite(points).all(axis=1)
    places, distance = camera.project(np.where(finite[:, None], points, 0.0))
    inside = finite & (distance > 0) & np.isfinite(places).all(axis=1)
    inside &= (places >= 0).all(axis=1) & (places < (width, height)).all(axis=1)
    corner = np.floor(np.where(inside[:, None], places, 0.0) - 0.5).astype(np.int64)
    seen = np.zeros(len(points), np.bool_)
    for right in (0, 1):
        for down in (0, 1):
            column = np.clip(corner[:, 0] + right, 0, width - 1)
            row = np.clip(corner[:, 1] + down, 0, height - 1)
            there = depth[row, column]
            seen |= (there == 0) | (distance <= there + through)
    return np.where(inside, np.where(seen, SEEN, HIDDEN), OUTSIDE).astype(np.uint8)


def shapes_of_labels(views: int, objects: int, keypoints: int) -> dict[str, tuple[int, ...]]:
    """The shape of each array of `ObjectLabels`."""
    return {
        "object_to_world": (views, objects, 4, 4),
        "visible_pixels": (views, objects),
        "amodal_pixels": (views, objects),
        "visible_box": (views, objects, 4),
        "amodal_box": (views, objects, 4),
        "keypoints": (views, keypoints, 3),
        "keypoint_state": (views, keypoints),
    }
