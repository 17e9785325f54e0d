# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of each pixel behind a lens that Cycles does not have: against a plane, a cube and a ball by hand."""

from __future__ import annotations

from collections.abc import Iterator

import bpy
import numpy as np
import pytest
from numpy.typing import NDArray

from radiance_twin.addon.studio.render import render_views
from radiance_twin.core.cameras import Camera, pixel_grid
from radiance_twin.core.dataset import staging
from radiance_twin.core.dataset.labels import SEEN, box_around
from radiance_twin.core.dataset.packing import pack
from radiance_twin.core.dataset.store import Dataset, open_dataset
from radiance_twin.core.reporting import QuietReporter

from ..addon.scenes import add_ball, add_box, add_camera, add_object, animate, new_scene, request, save

Array = NDArray[np.float64]

SIZE = (120, 90)
CENTRE, RADIUS = np.array([0.9, 0.6, 0.8]), 0.7
SLOPE = np.array([-0.2, 0.0, 1.0]) / np.linalg.norm([-0.2, 0.0, 1.0])
# of the cube, which is one unit large; its name's hash is no ordinary number as a float
NAMES = ("Ball", "Box", "Slope")
CORNER = np.array([0.5, -0.5, 0.5])
SAMPLES = 64


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dataset]:
    """Two frames in which the cube and the camera move, through a barrel that is askew as well."""
    scene = new_scene()
    add_ball("Ball", RADIUS, CENTRE, segments=128)
    add_object("Slope", [(x, y, 0.2 * x) for x, y in ((-4, -4), (4, -4), (4, 4), (-4, 4))], [(0, 1, 2, 3)])
    box = add_box("Box", (1.0, 1.0, 1.0), (-0.9, -0.3, 0.9))
    box.rotation_euler = (0.3, 0.2, 0.5)
    animate(box, "location", (-0.9, -0.3, 0.9), (-0.2, 0.2, 1.1))
    mark = bpy.data.objects.new("Corner", None)
    mark.parent, mark.location = box, CORNER
    scene.collection.objects.link(mark)
    animate(add_camera((0, 0, 0), (0.98, 0.05, 0.72), lens=30.0), "location", (3.2, -3.6, 3.0), (2.6, -4.2, 2.8))
    place = tmp_path_factory.mktemp("lens")
    settings = {
        "rig": "animated",
        "moving": True,
        "frames": "4-5",
        "distortion": [-0.3, 0.08, 0.004, -0.003, 0.01, 0.02],
        "film": "transparent",
        "resolution": list(SIZE),
        "samples": SAMPLES,
        "passes": ["flow", "coverage", "material_index", "class_index", "position"],
        "labels": True,
        "keypoints": ["Corner"],
    }
    render_views(request(save(place / "scene.blend"), place / "views", **settings), QuietReporter())
    pack(place / "views", staging.read_plan(place / "views"), place / "scene.h5", QuietReporter())
    with open_dataset(place / "scene.h5") as opened:
        yield opened


class Truth:
    """Of a view: distances [H, W], normals, which of NAMES from 1 on (0: none), whether each would be seen alone."""

    def __init__(self, dataset: Dataset, view: int, camera: Camera | None = None) -> None:
        camera = camera or dataset.camera(view)
        self.box = dataset.labels.object_to_world[view][[one["name"] for one in dataset.objects].index("Box")]
        eye, ways = camera.camera_to_world[:3, 3], camera.ray_directions(pixel_grid(*camera.size))
        b = ways @ (eye - CENTRE)
        inside = b**2 - (((eye - CENTRE) ** 2).sum() - RADIUS**2)
        ball = np.where(inside > 0, -b - np.sqrt(np.maximum(inside, 0.0)), np.inf)
        from_world = np.linalg.inv(self.box)
        origin, local = from_world[:3, :3] @ eye + from_world[:3, 3], ways @ from_world[:3, :3].T
        sides = np.sort((np.array([-0.5, 0.5])[:, None, None, None] - origin) / local, axis=0)
        face = sides[0].argmax(axis=-1)
        cube = np.where(sides[0].max(axis=-1) < sides[1].min(axis=-1), sides[0].max(axis=-1), np.inf)
        outwards = -np.sign(np.take_along_axis(local, face[..., None], axis=-1))
        slope = -(eye @ SLOPE) / (ways @ SLOPE)
        at = eye + slope[..., None] * ways
        slope = np.where((slope > 0) & (np.abs(at[..., :2]) < 4).all(axis=-1), slope, np.inf)
        each = np.stack([ball, cube, slope], axis=-1)
        self.distance, self.alone = each.min(axis=-1), np.isfinite(each)
        self.number = np.where(np.isfinite(self.distance), each.argmin(axis=-1) + 1, 0)
        self.places = eye + np.where(self.number > 0, self.distance, 0.0)[..., None] * ways
        on_ball = (self.places - CENTRE) / RADIUS
        on_cube = outwards * self.box[:3, :3].T[face]
        number = self.number[..., None]
        self.normal = np.where(number == 1, on_ball, np.where(number == 2, on_cube, SLOPE))
        self.edge = np.zeros(self.number.shape, np.bool_)
        for axis in (0, 1):
            for step in (-1, 1):
                other = np.roll(self.number, step, axis), np.roll(self.normal, step, axis)
                self.edge |= (other[0] != self.number) | (np.abs(other[1] - self.normal).max(axis=-1) > 0.3)


def indices(dataset: Dataset) -> Array:
    """The object index of each of NAMES, after that of nothing."""
    known = {one["name"]: one["index"] for one in dataset.objects}
    return np.array([0, *(known[name] for name in NAMES)])


@pytest.mark.parametrize("view", [0, 1])
def test_depth_normal_place_and_index(dataset: Dataset, view: int) -> None:
    truth, camera = Truth(dataset, view), dataset.camera(view)
    assert camera.model.is_distorted and dataset.valid(view).all()
    same = dataset.object_index(view) == indices(dataset)[truth.number]
    assert same[~truth.edge].all() and same.mean() > 0.99, "the nearest of the finer pixels decides at edges"
    assert np.array_equal(dataset.pixels("material_index", view) > 0, np.zeros_like(same)), "there are no materials"
    depth = dataset.depth(view) * camera.distance_over_depth(pixel_grid(*SIZE))
    off = np.abs(depth / np.where(truth.number > 0, truth.distance, 1.0) - 1.0)
    normal = dataset.normal(view).astype(np.float64)
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9)
    turned = np.degrees(np.arccos(np.clip((normal * truth.normal).sum(axis=-1), -1.0, 1.0)))
    away = np.linalg.norm(dataset.pixels("position", view) - truth.places, axis=-1)
    for passed in (dataset.depth(view), normal, dataset.pixels("position", view)):
        assert not passed[same & (truth.number == 0)].any(), "where nothing is, all is 0"
    ball, box, slope = (same & (truth.number == number) for number in (1, 2, 3))
    # planes are exact, the slope up to its last pixel
    for where in (slope, box & ~truth.edge):
        assert off[where].max() < 1e-5 and turned[where].max() < 0.1 and away[where].max() < 1e-4
    # what is curved is as good as so few pixels tell
    inside = ball & ~truth.edge
    assert np.median(off[inside]) < 1e-4 and off[inside].max() < 1e-3, "the pixels of its silhouette alone are worse"
    assert np.median(turned[inside]) < 0.1 and np.quantile(turned[inside], 0.99) < 0.5


@pytest.mark.parametrize("view", [0, 1])
def test_boxes_pixels_and_keypoints(dataset: Dataset, view: int) -> None:
    truth, labels = Truth(dataset, view), dataset.labels
    assert labels is not None
    for number, name in enumerate(NAMES):
        place = [one["name"] for one in dataset.objects].index(name)
        seen, alone = truth.number == number + 1, truth.alone[..., number]
        # a pixel whose centre is nearer to an edge than a quarter of it may be on either side
        assert np.abs(labels.visible_box[view, place] - box_around(seen)).max() <= 1.0
        assert np.abs(labels.amodal_box[view, place] - box_around(alone)).max() <= 1.0
        assert labels.visible_pixels[view, place] == pytest.approx(seen.sum(), rel=0.02)
        assert labels.amodal_pixels[view, place] == pytest.approx(alone.sum(), rel=0.03)
    corner = truth.box[:3, :3] @ CORNER + truth.box[:3, 3]
    assert labels.keypoints[view, 0] == pytest.approx(corner, abs=1e-5)
    assert labels.keypoint_state[view, 0] == SEEN


def test_coverage_is_the_share_of_the_pixels_area(dataset: Dataset) -> None:
    view, fine = 1, dataset.camera(1).resized((SIZE[0] * 4, SIZE[1] * 4))
    number = Truth(dataset, view, fine).number
    index, share = dataset.pixels("coverage_index", view), dataset.pixels("coverage", view)
    assert (np.diff(share, axis=-1) <= 0).all() and share.sum(axis=-1).max() < 1.001
    for place, own in enumerate(indices(dataset)[1:], 1):
        expected = (number == place).reshape(SIZE[1], 4, SIZE[0], 4).mean(axis=(1, 3))
        off = np.where(index == own, share, 0.0).sum(axis=-1) - expected
        partly = (expected > 0.02) & (expected < 0.98)
        assert np.abs(off[~partly]).mean() < 1e-3
        assert abs(off.mean()) < 1e-3 and np.abs(off[partly]).mean() < 0.06


def test_flow_leads_to_where_the_lens_draws_the_same_place(dataset: Dataset) -> None:
    for view, other, name in ((0, 1, "flow_forward"), (1, 0, "flow_backward")):
        truth, then = Truth(dataset, view), Truth(dataset, other)
        moved = truth.places.copy()
        on_box = truth.number == 2
        local = (moved[on_box] - truth.box[:3, 3]) @ np.linalg.inv(truth.box[:3, :3]).T
        moved[on_box] = local @ then.box[:3, :3].T + then.box[:3, 3]
        pixels, _ = dataset.camera(other).project(moved.reshape(-1, 3))
        expected = pixels.reshape(moved.shape[0], -1, 2) - pixel_grid(*SIZE)
        inside = (truth.number > 0) & ~truth.edge
        off = np.linalg.norm(dataset.pixels(name, view) - expected, axis=-1)[inside]
        assert np.median(np.linalg.norm(expected, axis=-1)[inside]) > 1.0, "there is something to see"
        assert np.median(off) < 1e-3 and np.quantile(off, 0.99) < 0.05
