# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of each object in each view. Numpy alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

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

    @property
    def visible_fraction(self) -> NDArray[np.float64]:
        """[N, K] share of the object's own pixels that are seen; NaN where those are unknown or outside the picture."""
        alone = self.amodal_pixels.astype(np.float64)
        share = np.divide(self.visible_pixels, alone, out=np.full(alone.shape, np.nan), where=alone > 0)
        return np.minimum(share, 1.0)


# the arrays of `ObjectLabels`, which is also how they are named in the file
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
    return ObjectLabels(**arrays, keypoint_table=keypoint_table)


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
