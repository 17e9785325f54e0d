# SPDX-License-Identifier: GPL-3.0-or-later
"""What the labels say of a view, object by object: for formats that tell where objects stand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import polar

from ...cameras import corners_of_bounds
from ...errors import UserError
from ..labels import ObjectLabels
from ..store import Dataset
from .cameras import require_pinholes
from .labels import class_of
from .posed import Task, require_png

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PosedObject:
    """One object in one view.

    Attributes:
        place: in the dataset's table. index: its value in the object index. name, category: its own and its class's.
        object_to_world: [4, 4] with scale. bounds: [2, 3] its box in its own space.
        visible_pixels, amodal_pixels: how many show it, and would if nothing stood before it (at least as many).
        visible_box, amodal_box: left, top, right, bottom in pixels around those, right and bottom exclusive; NaN where
            there are none. Where a dataset does not know what would be seen, what is visible stands for it.
    """

    place: int
    index: int
    name: str
    category: str
    object_to_world: Array
    bounds: Array
    visible_pixels: int
    amodal_pixels: int
    visible_box: NDArray[np.float32]
    amodal_box: NDArray[np.float32]

    @property
    def local_corners(self) -> Array:
        """[8, 3] of its box in its own space, in the order of `corners_of_bounds`."""
        return corners_of_bounds(self.bounds)

    @property
    def corners(self) -> Array:
        """[8, 3] of its box in the world, in the same order."""
        return self.local_corners @ self.object_to_world[:3, :3].T + self.object_to_world[:3, 3]

    @property
    def visible_fraction(self) -> float:
        """Which share of its own pixels is seen; all of them when those are not known."""
        return min(self.visible_pixels / max(self.amodal_pixels, 1), 1.0)

    @property
    def rotation(self) -> Array:
        """[3, 3] how it is turned, without scale: the rotation nearest to its matrix."""
        return _rotation_and_stretch(self.object_to_world)[0]

    @property
    def stretch(self) -> Array:
        """[3, 3] what its own space goes through before `rotation`: scale, and shear where its parents have some."""
        return _rotation_and_stretch(self.object_to_world)[1]


def _rotation_and_stretch(matrix: Array) -> tuple[Array, Array]:
    rotation, stretch = polar(matrix[:3, :3])
    # what is mirrored is a mirrored thing, not a mirrored rotation
    sign = np.sign(np.linalg.det(rotation)) or 1.0
    return sign * rotation, sign * stretch


def require_posed(task: Task, format: str) -> ObjectLabels:
    """The labels of a dataset whose views a format of PNG, pinholes and poses of objects can say.

    Raises:
        UserError: it cannot.
    """
    require_png(task, format)
    require_pinholes(task.dataset, format)
    return require_labels(task.dataset, format)


def require_labels(dataset: Dataset, format: str) -> ObjectLabels:
    """The dataset's labels.

    Raises:
        UserError: it has none.
    """
    if dataset.labels is None or not dataset.objects:
        raise UserError(
            f"{dataset.path} does not say where its objects stand, which --format {format} is about; "
            "render it from its scene with this version"
        )
    return dataset.labels


def posed_objects(dataset: Dataset, view: int, labels: ObjectLabels) -> list[PosedObject]:
    """The objects of which at least one pixel would be seen if nothing stood before it, in the table's order.

    Objects without a pose of their own (several instances of one) are left out.
    """
    found = []
    for place, entry in enumerate(dataset.objects):
        pose, visible = labels.object_to_world[view, place], int(labels.visible_pixels[view, place])
        whole, whole_box = int(labels.amodal_pixels[view, place]), labels.amodal_box[view, place]
        if max(visible, whole) and np.isfinite(pose).all() and "local_bounds" in entry:
            visible_box = labels.visible_box[view, place]
            found.append(
                PosedObject(
                    place,
                    int(entry["index"]),
                    str(entry["name"]),
                    class_of(entry),
                    pose,
                    np.asarray(entry["local_bounds"], np.float64),
                    visible,
                    max(whole, visible),
                    visible_box,
                    whole_box if np.isfinite(whole_box).all() else visible_box,
                )
            )
    return found
