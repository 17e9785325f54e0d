# SPDX-License-Identifier: GPL-3.0-or-later
"""What is entered of one view's objects, from its pixels and from what Blender's part knows."""

from __future__ import annotations

import numpy as np
import pytest

from radiance_twin.core.cameras import Camera
from radiance_twin.core.dataset.contents import ViewPixels
from radiance_twin.core.dataset.labels import HIDDEN, OUTSIDE, SEEN, ObjectLabels, fill_view, no_labels
from radiance_twin.core.dataset.run_lengths import joined_runs, mask_of, runs_of

WIDTH, HEIGHT = 16, 10
CUBE = [[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]]
TABLE = [{"index": index, "name": str(index), "local_bounds": CUBE} for index in (2, 5, 9)]
# at the origin, looking along -z: one unit at a distance of 4 is 4 pixels
CAMERA = Camera(np.eye(4), np.array([16.0, 16.0, WIDTH / 2, HEIGHT / 2]), (WIDTH, HEIGHT))


def filled(
    index: np.ndarray, depth: np.ndarray, whole: dict[int, np.ndarray], points: np.ndarray, owners: list[int]
) -> ObjectLabels:
    """Labels of one view whose objects would cover the masks `whole` alone."""
    labels = no_labels(1, len(TABLE), [{"name": str(n), "object": owner} for n, owner in enumerate(owners)])
    runs, counts = joined_runs({place: runs_of(mask) for place, mask in whole.items()}, len(TABLE))
    staged = {
        "object_to_world": np.tile(np.diag([0.5, 0.5, 0.5, 1.0]), (len(TABLE), 1, 1)),
        "keypoints": points,
        "silhouette_runs": runs,
        "silhouette_run_counts": counts,
    }
    pixels = ViewPixels(np.zeros((HEIGHT, WIDTH, 4), np.float32), depth=depth, object_index=index)
    fill_view(labels, 0, staged, pixels, CAMERA, TABLE)
    return labels


def test_what_is_seen_and_what_would_be_are_counted_boxed_and_kept() -> None:
    index = np.zeros((HEIGHT, WIDTH), np.uint16)
    index[3:6, 4:9] = 2
    index[4, 8:12] = 5  # before the first, of which it hides one pixel
    alone = index == 2
    alone[4, 8] = True
    labels = filled(index, np.ones((HEIGHT, WIDTH), np.float32), {0: alone, 1: index == 5}, np.zeros((0, 3)), [])
    assert labels.visible_pixels[0].tolist() == [14, 4, 0] and labels.amodal_pixels[0].tolist() == [15, 4, 0]
    assert labels.visible_box[0, 0].tolist() == [4, 3, 9, 6] and labels.amodal_box[0, 1].tolist() == [8, 4, 12, 5]
    assert np.isnan(labels.visible_box[0, 2]).all() and np.isnan(labels.amodal_box[0, 2]).all()
    assert labels.visible_fraction[0, :2].tolist() == [14 / 15, 1.0] and np.isnan(labels.visible_fraction[0, 2])
    assert labels.amodal_masks is not None and list(labels.amodal_masks[0]) == [0], "the other's is its visible one"
    assert np.array_equal(mask_of(labels.amodal_masks[0][0], CAMERA.size), alone)


def test_pixels_that_show_an_object_beside_its_mesh_are_its_own_too() -> None:
    index = np.zeros((HEIGHT, WIDTH), np.uint16)
    index[2, 2:6] = 9
    beside = np.zeros_like(index, np.bool_)
    beside[2, 4:8] = True
    labels = filled(index, np.ones((HEIGHT, WIDTH), np.float32), {2: beside}, np.zeros((0, 3)), [])
    assert (labels.visible_pixels[0, 2], labels.amodal_pixels[0, 2]) == (4, 6)
    # without a mesh to say so, nothing is known of what would be seen
    labels = filled(index, np.ones((HEIGHT, WIDTH), np.float32), {}, np.zeros((0, 3)), [])
    assert labels.amodal_pixels[0, 2] == 0 and np.isnan(labels.visible_fraction[0, 2])


@pytest.mark.parametrize(
    ("u", "v", "depth", "state"),
    [
        (4.2, 5.0, 4.0, SEEN),
        (4.2, 5.0, 4.015, SEEN),  # behind what is seen by less than the skin: 0.01 of a diagonal of sqrt(3)
        (4.2, 5.0, 4.02, HIDDEN),
        (12.2, 5.0, 8.0, SEEN),
        (12.2, 5.0, 8.1, HIDDEN),
        (7.8, 5.0, 8.0, SEEN),  # before the near half, but the pixel's neighbour shows the far one
        (7.2, 5.0, 8.0, HIDDEN),
        (12.2, 1.3, 50.0, SEEN),  # before the sky
        (12.2, 1.7, 50.0, SEEN),
        (12.2, 2.8, 50.0, HIDDEN),
        (-0.1, 5.0, 4.0, OUTSIDE),
        (0.1, 5.0, 4.0, SEEN),
        (15.9, 9.9, 8.0, SEEN),
        (16.1, 9.9, 8.0, OUTSIDE),
        (4.2, 5.0, -4.0, OUTSIDE),  # behind the camera
        (np.nan, 5.0, 4.0, OUTSIDE),
    ],
)
def test_keypoints_are_seen_where_nothing_nearer_is(u: float, v: float, depth: float, state: int) -> None:
    surfaces = np.full((HEIGHT, WIDTH), 4.0, np.float32)
    surfaces[:, 8:] = 8.0
    surfaces[:2, 8:] = 0.0
    point = np.array([[(u - WIDTH / 2) / 16.0 * depth, -(v - HEIGHT / 2) / 16.0 * depth, -depth]])
    labels = filled(np.zeros((HEIGHT, WIDTH), np.uint16), surfaces, {}, point, [1])
    assert labels.keypoint_state[0].tolist() == [state]
