# SPDX-License-Identifier: GPL-3.0-or-later
"""A ball and a slab at known places as a dataset with passes and labels, each pixel one exact ray."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from radiance_twin.core.cameras import Camera, look_at, pixel_grid, world_from_field_of_bounds
from radiance_twin.core.colour import standard_view_transform
from radiance_twin.core.dataset.contents import DatasetHeader, ViewPixels
from radiance_twin.core.dataset.labels import HIDDEN, OUTSIDE, SEEN, ObjectLabels, no_labels
from radiance_twin.core.dataset.run_lengths import runs_of
from radiance_twin.core.dataset.writing import write_dataset
from radiance_twin.core.export.dataset import DatasetExportSettings, export_dataset
from radiance_twin.core.lenses import PINHOLE, CameraModel
from radiance_twin.core.reporting import QuietReporter

from .analytic_scene import BOUNDS, CENTRE, RADIUS, SLAB, cameras, trace

WIDTH, HEIGHT = 48, 36
SHIFTED = np.array([60.0, 55.0, 20.5, 17.0])
CENTRED = np.array([60.0, 60.0, WIDTH / 2, HEIGHT / 2])
# what both are before they are moved: two units to a side
CUBE = [[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]]
OBJECTS = [
    {"index": 3, "name": "Ball.001", "local_bounds": CUBE},
    {"index": 7, "name": 'Slab "old": 1', "local_bounds": CUBE},
]
# turned about an axis askew: what does not show of a ball shows of its box
TURNED = np.array([[2.0, -1.0, 2.0], [2.0, 2.0, -1.0], [-1.0, 2.0, 2.0]]) / 3.0
POSES = np.stack([np.eye(4), np.eye(4)])
POSES[0, :3, :3], POSES[0, :3, 3] = TURNED * RADIUS, CENTRE
POSES[1, :3, :3], POSES[1, :3, 3] = np.diag(0.5 * np.ptp(SLAB, axis=0)), SLAB.mean(axis=0)
KEYPOINTS = [{"name": "top", "object": 0}, {"name": "corner.001", "object": 1}]
PLACES = np.array([CENTRE + np.array([0.0, 0.0, RADIUS]), SLAB[1]])


def view(camera: Camera, following: Camera | None = None) -> ViewPixels:
    """One view with one sample to a pixel, its depth, normals and objects known exactly; flow to a following camera."""
    matrix = camera.camera_to_world
    directions = np.nan_to_num(camera.ray_directions(pixel_grid(WIDTH, HEIGHT))).reshape(-1, 3)
    drawn = camera.draws(pixel_grid(WIDTH, HEIGHT)).ravel()
    colour, distance = trace(np.broadcast_to(matrix[:3, 3], directions.shape), directions)
    hit = np.isfinite(distance) & drawn
    points = matrix[:3, 3] + np.where(hit, distance, 0.0)[:, None] * directions
    on_ball = hit & (np.abs(np.linalg.norm(points - CENTRE, axis=1) - RADIUS) < 1e-6)
    normals = np.where(on_ball[:, None], (points - CENTRE) / RADIUS, np.where(hit[:, None], [0.0, 0.0, 1.0], 0.0))
    forward = directions @ -matrix[:3, 2] if camera.model.has_planar_depth else 1.0
    shape = (HEIGHT, WIDTH)
    further = {"class_index": np.where(on_ball, 1, np.where(hit, 2, 0)).reshape(shape).astype(np.uint16)}
    if following is not None:
        pixels, _ = following.project(points)
        flow = np.where(hit[:, None], pixels - pixel_grid(WIDTH, HEIGHT).reshape(-1, 2), 0.0)
        further["flow_forward"] = flow.reshape(*shape, 2).astype(np.float32)
    return ViewPixels(
        np.concatenate([np.where(hit[:, None], colour, 0.0), hit[:, None]], axis=1)
        .reshape(*shape, 4)
        .astype(np.float32),
        (np.where(hit, distance, 0.0) * forward).reshape(shape).astype(np.float32),
        normals.reshape(*shape, 3).astype(np.float32),
        np.where(on_ball, 3, np.where(hit, 7, 0)).reshape(shape).astype(np.uint16),
        further=further,
    )


def level_camera(index: int) -> np.ndarray:
    """One of nine cameras that stand around the scene as high as the middle of it."""
    turn = 2.0 * np.pi * (index + 0.2) / 9
    return look_at([3.0 * np.cos(turn), 3.0 * np.sin(turn), 0.35], [0.0, 0.0, 0.35])


def alone(camera: Camera) -> list[np.ndarray]:
    """Which pixels [H, W] would show the ball, and the slab, if there were nothing else."""
    ways, eye = camera.ray_directions(pixel_grid(WIDTH, HEIGHT)), camera.camera_to_world[:3, 3]
    to_ball = CENTRE - eye
    beside = np.linalg.norm(to_ball - (ways @ to_ball)[..., None] * ways, axis=-1)
    with np.errstate(divide="ignore"):
        faces = (SLAB[:, None, None] - eye) / ways
    return [beside < RADIUS, faces.min(axis=0).max(axis=-1) < faces.max(axis=0).min(axis=-1)]


def labels_of(cameras: list[Camera], views: list[ViewPixels], poses: np.ndarray) -> ObjectLabels:
    """What is true of both objects in every view."""
    labels = no_labels(len(views), 2, KEYPOINTS)
    labels.object_to_world[:] = poses
    labels.keypoints[:] = PLACES
    for number, (camera, pixels) in enumerate(zip(cameras, views, strict=True)):
        for place, (entry, whole) in enumerate(zip(OBJECTS, alone(camera), strict=True)):
            seen = pixels.object_index == entry["index"]
            labels.visible_pixels[number, place], labels.amodal_pixels[number, place] = seen.sum(), whole.sum()
            if not np.array_equal(seen, whole):
                labels.amodal_masks[number][place] = runs_of(whole)
            for box, mask in ((labels.visible_box, seen), (labels.amodal_box, whole)):
                if mask.any():
                    rows, columns = np.nonzero(mask)
                    box[number, place] = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        where, depth = camera.project(PLACES)
        for place, (column, row) in enumerate(np.nan_to_num(where, nan=-1.0).astype(int)):
            inside = depth[place] > 0 and 0 <= column < WIDTH and 0 <= row < HEIGHT
            reached = inside and abs(pixels.depth[row, column] - depth[place]) < 0.1
            labels.keypoint_state[number, place] = SEEN if reached else HIDDEN if inside else OUTSIDE
    return labels


def write(
    path: Path,
    intrinsics: np.ndarray,
    truth: bool = True,
    labelled: bool = True,
    level: bool = False,
    poses: np.ndarray = POSES,
    model: CameraModel = PINHOLE,
) -> Path:
    """Six training views, one to validate and two to test; `level` cameras look neither up nor down.

    Other `poses` ([9, 2, 4, 4]) are what the labels claim; the pixels stay.
    """
    matrices = np.array([level_camera(i) for i in range(9)] if level else cameras(9, 0.3))
    header = DatasetHeader(
        camera_to_world=matrices,
        intrinsics=np.tile(intrinsics, (9, 1)),
        size=np.tile(np.array([WIDTH, HEIGHT], np.int32), (9, 1)),
        frame=np.zeros(9, np.int32),
        splits={"train": [0, 1, 2, 4, 5, 6], "val": [3], "test": [7, 8]},
        world_from_field=world_from_field_of_bounds(BOUNDS),
        bounds=BOUNDS,
        film="transparent",
        view_transform=standard_view_transform(),
        objects=OBJECTS if truth else [],
        camera_kind=model.kind,
        distortion=np.tile(model.distortion, (9, 1)),
    )
    seen = [Camera(matrix, intrinsics, (WIDTH, HEIGHT), model=model) for matrix in matrices]
    views = [view(seen[i], seen[(i + 1) % 9]) for i in range(9)]
    if truth:
        write_dataset(path, header, views, labels=labels_of(seen, views, poses) if labelled else None)
    else:
        write_dataset(path, header, [ViewPixels(one.rgba) for one in views])
    return path


def exported(source: Path, folder: Path, format: str, **settings: Any) -> dict[str, Any]:
    """Write a dataset in another format."""
    return export_dataset(DatasetExportSettings(str(source), str(folder), format, **settings), QuietReporter())
