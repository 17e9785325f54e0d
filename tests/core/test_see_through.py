# SPDX-License-Identifier: GPL-3.0-or-later
"""A pane of glass in front of a painted wall, known exactly: what is behind the pane is learned where it is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from radiance_twin.core.cameras import look_at, pixel_grid, ray_directions, world_from_field_of_bounds
from radiance_twin.core.colour import standard_view_transform
from radiance_twin.core.comparison.metrics import display_image, psnr
from radiance_twin.core.dataset.contents import DatasetHeader, ViewPixels
from radiance_twin.core.dataset.store import Dataset, open_dataset
from radiance_twin.core.dataset.writing import write_dataset
from radiance_twin.core.field.cpu import thread_pool
from radiance_twin.core.field.render import render_view
from radiance_twin.core.training import run as training_run
from radiance_twin.core.training.recipe import Recipe
from radiance_twin.core.training.run import prepare
from radiance_twin.core.training.sampler import NOTHING, load_pixels
from radiance_twin.core.training.see_through import seen_through

SIZE = 48
TRAINING_VIEWS = 30
# the pane stands in the plane y = 0, the wall in y = 0.7
PANE, WALL, BEHIND = 0.4, 0.8, 0.7
LETS_THROUGH = 0.8
BOUNDS = np.array([[-0.8, -0.1, -0.8], [0.8, 0.8, 0.8]])


def trace(origin: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Premultiplied colour and alpha [R, 4], distance to the first hit [R] (0: none), and which rays meet the pane."""
    points = [origin + (depth - origin[1]) / directions[:, 1:2] * directions for depth in (0.0, BEHIND)]
    at_pane = (np.abs(points[0][:, [0, 2]]) < PANE).all(axis=1)
    at_wall = (np.abs(points[1][:, [0, 2]]) < WALL).all(axis=1)
    blocks = np.floor(points[1][:, [0, 2]] / 0.2).astype(int)
    bright = 0.05 + 0.85 * (blocks.sum(axis=1) % 2)
    paint = bright[:, None] * (0.6 + 0.2 * ((blocks[:, :1] + np.arange(3)) % 3))
    rgba = np.concatenate([paint, np.ones((len(paint), 1))], axis=1) * at_wall[:, None]
    rgba[at_pane] = LETS_THROUGH * rgba[at_pane] + (1 - LETS_THROUGH) * np.array([0.05, 0.1, 0.1, 1.0])
    distance = [np.linalg.norm(part - origin, axis=1) for part in points]
    return rgba, np.where(at_pane, distance[0], np.where(at_wall, distance[1], 0.0)), at_pane


def cameras(count: int, turn: float) -> np.ndarray:
    """In front of the pane, spread over a cone."""
    spread = np.sqrt((np.arange(count) + 0.5) / count) * 0.55
    angles = (np.arange(count) + turn) * 2.399963
    ways = np.stack([spread * np.cos(angles), -np.ones(count), spread * np.sin(angles)], axis=1)
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    return np.array([look_at(np.array([0.0, 0.3, 0.0]) + 2.2 * way, [0.0, 0.3, 0.0]) for way in ways])


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dataset]:
    matrices = np.concatenate([cameras(TRAINING_VIEWS, 0.0), cameras(3, 0.4)])
    intrinsics = np.array([1.2 * SIZE, 1.2 * SIZE, SIZE / 2, SIZE / 2])
    count = len(matrices)
    header = DatasetHeader(
        camera_to_world=matrices,
        intrinsics=np.tile(intrinsics, (count, 1)),
        size=np.full((count, 2), SIZE, np.int32),
        frame=np.zeros(count, np.int32),
        splits={"train": list(range(TRAINING_VIEWS)), "val": [], "test": list(range(TRAINING_VIEWS, count))},
        world_from_field=world_from_field_of_bounds(BOUNDS),
        bounds=BOUNDS,
        film="transparent",
        view_transform=standard_view_transform(),
    )

    def views() -> Iterator[ViewPixels]:
        for matrix in matrices:
            rgba = np.zeros((SIZE * SIZE, 4))
            for shift in np.ndindex(3, 3):
                pixels = pixel_grid(SIZE, SIZE) + (np.array(shift) - 1) / 3
                rgba += trace(matrix[:3, 3], ray_directions(matrix, intrinsics, pixels).reshape(-1, 3))[0] / 9
            directions = ray_directions(matrix, intrinsics, pixel_grid(SIZE, SIZE)).reshape(-1, 3)
            depth = trace(matrix[:3, 3], directions)[1] * (directions @ -matrix[:3, 2])
            image, planar = rgba.reshape(SIZE, SIZE, 4), depth.reshape(SIZE, SIZE)
            yield ViewPixels(image.astype(np.float32), planar.astype(np.float32))

    path = tmp_path_factory.mktemp("pane") / "pane.h5"
    write_dataset(path, header, views())
    with open_dataset(path) as opened:
        yield opened


def at_pane(dataset: Dataset, index: int) -> np.ndarray:
    matrix = dataset.camera_to_world[index]
    directions = ray_directions(matrix, dataset.intrinsics[index], pixel_grid(SIZE, SIZE)).reshape(-1, 3)
    return trace(matrix[:3, 3], directions)[2]


def test_the_pane_is_found_and_most_of_the_painted_wall_is_not(dataset: Dataset) -> None:
    pixels = load_pixels(dataset, dataset.splits["train"])
    found = seen_through(pixels, 32)
    pane = np.concatenate([at_pane(dataset, int(index)) for index in dataset.splits["train"]])
    wall = ~pane & (pixels.distances < NOTHING)
    assert 0.1 < pane.mean() < 0.5
    assert found[pane].mean() > 0.8
    assert found[wall].mean() < 0.25  # beside the pane, and where its blocks are smaller than a cell is wide
    pixels.beyond = found
    everything = np.arange(pixels.count)
    assert (pixels.rays(everything, cut=0.1).last[found] == NOTHING).all()
    assert (pixels.farthest[found] == NOTHING).all()


def pane_psnr(dataset: Dataset) -> float:
    """After a short training, over the test views' pixels behind the pane."""
    with thread_pool() as pool:
        run = prepare(dataset, torch.device("cpu"), 0, pool, Recipe(samples=8192))
        for step in range(200):
            run.step(step / 200)
        field = run.trained_field()
    figures = []
    for index in dataset.splits["test"]:
        rgba, _ = render_view(field, dataset.camera(index))
        both = (dataset.rgba(int(index)), rgba)
        shown = [display_image(image, dataset.background, dataset.view_transform) for image in both]
        pane = at_pane(dataset, int(index)).reshape(SIZE, SIZE)
        figures.append(psnr(shown[0][pane], shown[1][pane]) or np.inf)
    return float(np.mean(figures))


def test_what_stands_behind_the_pane_is_learned_there(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    marched = pane_psnr(dataset)
    monkeypatch.setattr(training_run, "seen_through", lambda pixels, resolution: np.zeros(0, np.bool_))
    assert marched > pane_psnr(dataset) + 6.0
