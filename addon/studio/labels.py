# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels of a view: where every object stands, which pixels it would cover alone, where its keypoints are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ...core.cameras import Camera
from ...core.dataset.run_lengths import joined_runs, runs_of
from ...core.dataset.staging import PlannedView
from ...core.files import atomic_path
from ...core.rendering.silhouette import covered
from .keypoints import Keypoint
from .probe import in_a_render
from .scene import (
    SURFACES,
    RenderedObject,
    points_of_mesh,
    triangles_of_mesh,
    visible_instances,
)

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
# points [V, 3] and triangles [T, 3] between them
Surface = tuple[Array, NDArray[np.int64]]

# an object of more triangles in a view, all its instances together, has no amodal mask: it would take too long
MOST_TRIANGLES = 4_000_000


class Labeller:
    """Asks the scene for the labels of one view after another."""

    def __init__(
        self,
        scene: bpy.types.Scene,
        size: tuple[int, int],
        objects: list[RenderedObject],
        keypoints: list[Keypoint],
    ) -> None:
        self._scene, self._size, self._keypoints = scene, size, keypoints
        self._places = {rendered.original.name_full: place for place, rendered in enumerate(objects)}
        self._indices = [rendered.original.pass_index for rendered in objects]
        self._double: bpy.types.Scene | None = None

    def write(self, view: PlannedView, path: Path) -> None:
        """Write what is known of the objects of the scene as it is now: the arrays of `labels.STAGED`.

        Raises:
            UserError: the file cannot be written.
        """
        near = float(view.lens["clip_start"])
        drawn, camera = view.draws(self._size), view.camera(self._size)
        found = in_a_render(
            self._second_scene(), lambda depsgraph: self._ask(depsgraph, camera, drawn, near), again_soon=True
        )
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, allow_pickle=False, **found)

    def _second_scene(self) -> bpy.types.Scene:
        """The same objects in another scene: another engine in the first would make Cycles forget what it keeps."""
        own = set(self._scene.collection.objects)
        if self._double is None or set(self._double.collection.objects) != own:
            if self._double is not None:
                bpy.data.scenes.remove(self._double)
            self._double = self._scene.copy()
        self._double.camera = self._scene.camera
        self._double.frame_current, self._double.frame_subframe = self._scene.frame_current, self._scene.frame_subframe
        return self._double

    def _ask(self, depsgraph: bpy.types.Depsgraph, camera: Camera, drawn: Mask, near: float) -> dict[str, NDArray[Any]]:
        count = len(self._places)
        poses: list[list[Array]] = [[] for _ in range(count)]
        alone: list[Array | None] = [None] * count
        masks: dict[int, Mask | None] = {index: np.zeros(drawn.shape, np.bool_) for index in self._indices}
        triangles = dict.fromkeys(masks, 0)
        for place, own, matrix, surface in self._instances(depsgraph):
            poses[place].append(matrix)
            alone[place] = matrix if own else alone[place]
            index = self._indices[place]
            mask = masks[index]
            if surface is not None:
                triangles[index] += len(surface[1])
            if mask is None or surface is None or triangles[index] > MOST_TRIANGLES:
                masks[index] = None
                continue
            mask |= covered(surface[0] @ matrix[:3, :3].T + matrix[:3, 3], surface[1], camera, near)
        to_world = np.full((count, 4, 4), np.nan)
        silhouettes = {}
        for place, index in enumerate(self._indices):
            whole = alone[place] if alone[place] is not None or len(poses[place]) != 1 else poses[place][0]
            if whole is not None:
                to_world[place] = whole
            mask = masks[index]
            if mask is not None and poses[place]:
                silhouettes[place] = runs_of(mask & drawn)
        points = [keypoint.stands_at(depsgraph) for keypoint in self._keypoints]
        runs, counts = joined_runs(silhouettes, count)
        return {
            "object_to_world": to_world,
            "keypoints": np.array(points, np.float64).reshape(-1, 3),
            "silhouette_runs": runs,
            "silhouette_run_counts": counts,
        }

    def _instances(self, depsgraph: bpy.types.Depsgraph) -> Iterator[tuple[int, bool, Array, Surface | None]]:
        """Of all that is seen: its place in the table, whether it is the object itself and no instance of it, where it
        stands, and its surface in its own space (None: it has none)."""
        known: dict[int, Surface] = {}
        for instance, item in visible_instances(depsgraph):
            place = self._places.get(item.original.name_full)
            if place is None:
                continue
            surface = None
            if item.type == "MESH":
                # instances share their mesh
                key = item.data.as_pointer()
                surface = known[key] = (
                    known[key] if key in known else (points_of_mesh(item.data), triangles_of_mesh(item.data))
                )
            elif item.type in SURFACES:
                mesh = item.to_mesh()
                surface = None if mesh is None else (points_of_mesh(mesh), triangles_of_mesh(mesh))
                item.to_mesh_clear()
            yield place, not instance.is_instance, np.array(instance.matrix_world, np.float64), surface
