# SPDX-License-Identifier: GPL-3.0-or-later
"""Rays, targets and what depth and alpha say about the cube, on a scene that is known exactly."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from radiance_twin.core.cameras import pixel_grid, ray_directions
from radiance_twin.core.dataset.store import Dataset, open_dataset
from radiance_twin.core.training.cpu_execution import block_size
from radiance_twin.core.training.host_stepper import points_in_cells, raise_density
from radiance_twin.core.training.sampler import NOTHING, ViewPixels, load_pixels
from radiance_twin.core.training.seed import (
    candidate_cells,
    cells_near_surfaces,
    cells_not_seen_empty,
    pixels_worth_training,
)

SCENE = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("analytic_scene.py"))))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dataset]:
    path = SCENE.write(tmp_path_factory.mktemp("sampler") / "scene.h5", views=20, size=32)
    with open_dataset(path) as opened:
        yield opened


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as threads:
        yield threads


def world_points(dataset: Dataset, positions: np.ndarray) -> np.ndarray:
    matrix = dataset.world_from_field
    points: np.ndarray = positions @ matrix[:3, :3].T + matrix[:3, 3]
    return points


def centres(resolution: int) -> np.ndarray:
    """[n³, 3] field coordinates of the cells' centres, in the order of reshape(-1)."""
    return (np.indices((resolution,) * 3).reshape(3, -1).T + 0.5) / resolution


def distance_to_surface(points: np.ndarray) -> np.ndarray:
    """Signed, negative inside of the ball or the slab."""
    ball = np.linalg.norm(points - SCENE.CENTRE, axis=1) - SCENE.RADIUS
    outside = np.maximum(SCENE.SLAB[0] - points, points - SCENE.SLAB[1])
    slab = np.linalg.norm(np.maximum(outside, 0), axis=1) + np.minimum(outside.max(axis=1), 0)
    return np.minimum(ball, slab)


def test_rays_are_those_of_the_cameras(dataset: Dataset) -> None:
    views = dataset.splits["train"][3:6]
    pixels = load_pixels(dataset, views)
    size = 32 * 32
    rays = pixels.rays(np.arange(size, 2 * size))
    truth = ray_directions(dataset.camera_to_world[views[1]], dataset.intrinsics[views[1]], pixel_grid(32, 32))
    np.testing.assert_allclose(rays.directions, truth.reshape(-1, 3), atol=1e-6)
    eye = world_points(dataset, rays.origins.astype(np.float64))
    np.testing.assert_allclose(eye, np.broadcast_to(dataset.camera_to_world[views[1], :3, 3], eye.shape), atol=1e-5)
    np.testing.assert_array_equal(rays.targets.reshape(32, 32, 4), dataset.rgba(int(views[1])))


def test_targets_stand_before_the_background_of_the_dataset(tmp_path: Path) -> None:
    for film, background in (("transparent", (1.0, 0.5, 0.25)), ("world", (0.0, 0.0, 0.0))):
        path = SCENE.write(tmp_path / f"{film}.h5", views=4, size=32, film=film, background=(1.0, 0.5, 0.25))
        with open_dataset(path) as dataset:
            pixels = load_pixels(dataset, dataset.splits["train"])
            rays = pixels.rays(np.arange(32 * 32))
            colour = dataset.rgba(int(dataset.splits["train"][0])).reshape(-1, 4)
        np.testing.assert_array_equal(rays.behind, np.array(background, np.float32))
        if film == "transparent":
            assert 0.1 < colour[:, 3].mean() < 0.9
            seen = colour[:, :3] + (1.0 - colour[:, 3:]) * rays.behind
            np.testing.assert_allclose(rays.targets, np.concatenate([seen, colour[:, 3:]], axis=1), atol=1e-3)
        else:
            np.testing.assert_array_equal(rays.targets[:, :3], colour[:, :3])


def test_rays_end_behind_the_farthest_of_their_pixels_neighbours(dataset: Dataset) -> None:
    pixels = load_pixels(dataset, dataset.splits["train"][:3])
    cut = pixels.rays(np.arange(pixels.count), cut=0.25)
    opaque = cut.targets[:, 3] > 0.99
    assert (cut.last[~opaque] == NOTHING).all()
    farthest = pixels.farthest
    ended = opaque & (farthest < NOTHING)
    np.testing.assert_array_equal(cut.last[ended], farthest[ended] + np.float32(0.25))
    image = pixels.distances[: 32 * 32].reshape(32, 32)
    assert farthest.reshape(3, 32, 32)[0, 7, 9] == image[6:9, 8:11].max()
    assert farthest.reshape(3, 32, 32)[0, 0, 31] == image[:2, 30:].max()


def test_shifted_rays_pass_through_the_shifted_pixel(dataset: Dataset) -> None:
    pixels = load_pixels(dataset, dataset.splits["train"][:1])
    shifts = np.tile(np.array([[1.0, 0.0]], np.float32), (31, 1))
    moved, neighbours = pixels.rays(np.arange(31), shifts), pixels.rays(np.arange(1, 32))
    np.testing.assert_allclose(moved.directions, neighbours.directions, atol=1e-6)


def test_distances_end_on_the_surface(dataset: Dataset) -> None:
    pixels = load_pixels(dataset, dataset.splits["train"])
    hit = np.flatnonzero(pixels.distances < NOTHING)
    assert 0.1 < len(hit) / pixels.count < 0.9
    rays = pixels.rays(hit)
    ends = world_points(dataset, rays.origins + rays.last[:, None].astype(np.float64) * rays.directions)
    assert np.abs(distance_to_surface(ends)).max() < 1e-4


def test_cells_near_surfaces_hold_the_surface_and_little_else(dataset: Dataset) -> None:
    pixels = load_pixels(dataset, dataset.splits["train"])
    near = cells_near_surfaces(pixels, 32, margin=1).reshape(-1)
    away = np.abs(distance_to_surface(world_points(dataset, centres(32)))) * 32 / dataset.world_from_field[0, 0]
    assert away[near].max() < 3.5  # cells: one for the hit's own, one of margin, both along the diagonal
    visible = centres(32)[:, 2] > 0.45  # the ball's upper part, seen from all around
    assert near[visible & (away < 0.5)].all()


def test_carving_keeps_every_solid_cell_and_empties_most_of_the_air(dataset: Dataset, pool: ThreadPoolExecutor) -> None:
    pixels = load_pixels(dataset, dataset.splits["train"])
    kept = cells_not_seen_empty(pixels, 32, True, pool).reshape(-1)
    points = world_points(dataset, centres(32))
    signed = distance_to_surface(points)
    assert kept[signed < 0].all()
    cell = dataset.world_from_field[0, 0] / 32
    above = points[:, 2] > SCENE.SLAB[0, 2]  # what is below the slab no camera sees
    assert kept[above & (signed > 4 * cell)].mean() < 0.02


def test_with_a_world_behind_it_opacity_comes_from_the_hits(tmp_path: Path) -> None:
    for depth in (True, False):
        with open_dataset(SCENE.write(tmp_path / "world.h5", views=4, size=32, film="world", depth=depth)) as dataset:
            assert (dataset.rgba(0)[..., 3] == 1).all()
            pixels = load_pixels(dataset, dataset.splits["train"])
        opacity = pixels.rgba[:, 3]
        if not depth:
            assert (opacity < 0).all()
            continue
        assert set(np.unique(opacity)) == {-1.0, 0.0, 1.0}
        assert (pixels.distances[opacity == 1] < NOTHING).all()
        assert (pixels.distances[opacity == 0] == NOTHING).all()
        assert (opacity < 0).mean() < 0.25  # along the silhouettes alone


def test_without_depth_the_silhouettes_carve(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    path = SCENE.write(tmp_path / "scene.h5", views=20, size=32, depth=False)
    with open_dataset(path) as dataset:
        pixels = load_pixels(dataset, dataset.splits["train"])
        assert not pixels.has_depth
        kept = candidate_cells(pixels, 32, 1, True, pool).reshape(-1)
        points = world_points(dataset, centres(32))
    assert kept[distance_to_surface(points) < 0].all()
    assert kept[points[:, 2] > SCENE.CENTRE[2]].mean() < 0.2


def pixels_of_the_ball(dataset: Dataset, pixels: ViewPixels) -> np.ndarray:
    """[P] which pixels' centres hit it."""
    hits = pixels.rays(np.arange(pixels.count))
    ends = world_points(dataset, hits.origins + np.minimum(hits.last, 9)[:, None].astype(np.float64) * hits.directions)
    return np.abs(np.linalg.norm(ends - SCENE.CENTRE, axis=1) - SCENE.RADIUS) < 1e-3


def cells_of_the_ball(dataset: Dataset, resolution: int) -> np.ndarray:
    return np.linalg.norm(world_points(dataset, centres(resolution)) - SCENE.CENTRE, axis=1) < SCENE.RADIUS


def test_what_has_no_hit_is_not_left_out(dataset: Dataset, pool: ThreadPoolExecutor) -> None:
    # the ball becomes smoke: its pixels show something, but no ray hits anything there
    pixels = load_pixels(dataset, dataset.splits["train"])
    on_ball = pixels_of_the_ball(dataset, pixels)
    assert on_ball.mean() > 0.01
    smoky = replace(pixels, distances=np.where(on_ball, NOTHING, pixels.distances).astype(np.float32))
    inside = cells_of_the_ball(dataset, 32)
    assert candidate_cells(smoky, 32, 1, True, pool).reshape(-1)[inside].all()
    assert not candidate_cells(pixels, 32, 1, True, pool).reshape(-1)[inside].all()


def test_what_is_masked_proves_nothing_empty(dataset: Dataset, pool: ThreadPoolExecutor) -> None:
    pixels = load_pixels(dataset, dataset.splits["train"])
    on_ball = pixels_of_the_ball(dataset, pixels)
    black = replace(
        pixels,
        rgba=np.where(on_ball[:, None], np.float16(0), pixels.rgba),
        distances=np.where(on_ball, NOTHING, pixels.distances),
    )
    inside = cells_of_the_ball(dataset, 32)
    assert not cells_not_seen_empty(black, 32, True, pool).reshape(-1)[inside].all()
    masked = replace(black, valid=pixels.valid & ~on_ball)
    assert cells_not_seen_empty(masked, 32, True, pool).reshape(-1)[inside].all()
    everywhere = np.ones((32,) * 3, np.bool_)
    worth = pixels_worth_training(masked, everywhere, 0.01, pool)
    assert len(worth) and not on_ball[worth].any(), "nor is it trained on"


def test_a_camera_within_the_scene_says_nothing_of_what_is_behind_it(pool: ThreadPoolExecutor) -> None:
    side, focal = 16, 8.0  # 90 degrees
    sky = ViewPixels(
        rgba=np.zeros((side * side, 4), np.float16),
        distances=np.zeros(0, np.float32),
        valid=np.ones(side * side, np.bool_),
        first_pixel=np.array([0, side * side]),
        widths=np.array([side], np.int32),
        rotations=np.eye(3, dtype=np.float32)[None],  # looks along -z
        centres=np.full((1, 3), 0.5, np.float32),
        intrinsics=np.array([[focal, focal, side / 2, side / 2]], np.float32),
    )
    kept = cells_not_seen_empty(sky, 32, True, pool)
    assert kept[:, :, 16:].all() and not kept[14:18, 14:18, :8].any()
    assert sky.footprint() == 0.25 / focal, "not infinitely fine, as at the distance of the middle"


def test_a_pixels_footprint_is_that_on_surfaces_however_much_sky_there_is(dataset: Dataset) -> None:
    pixels = load_pixels(dataset, dataset.splits["train"])
    on_ball = pixels_of_the_ball(dataset, pixels)
    assert on_ball.mean() < 0.4
    alone = replace(pixels, distances=np.where(on_ball, pixels.distances, NOTHING))
    assert alone.footprint() == pytest.approx(np.median(pixels.distances[on_ball]) / pixels.intrinsics[0, 0], rel=1e-3)


def test_pixels_that_teach_nothing_are_left_out(dataset: Dataset, pool: ThreadPoolExecutor) -> None:
    pixels = load_pixels(dataset, dataset.splits["train"])
    near = cells_near_surfaces(pixels, 32, margin=1)
    chosen = pixels_worth_training(pixels, near, 1 / 128, pool)
    assert np.isin(np.flatnonzero(pixels.rgba[:, 3] > 0), chosen).all()
    assert len(chosen) < 0.8 * pixels.count
    assert len(np.unique(chosen)) == len(chosen)


def test_the_occupancy_grid_asks_in_every_part_of_the_candidates() -> None:
    candidates = np.random.default_rng(0).random((16, 16, 16)) < 0.3
    cells = np.flatnonzero(candidates)
    for count in (200, len(cells)):
        which, positions = np.empty(count, np.int64), np.empty((count, 3), np.float32)
        draws = np.random.default_rng(1).random((count, 4), dtype=np.float32)
        points_in_cells(cells, 16, draws, which, positions)
        corner = np.stack(np.unravel_index(cells[which], candidates.shape), axis=1)
        np.testing.assert_allclose(positions, (corner + draws[:, :3]) / 16, atol=1e-6)
        assert (np.diff(which) > 0).all()  # each part once, in order
        assert (which * count // len(cells) <= np.arange(count)).all()
    np.testing.assert_array_equal(which, np.arange(len(cells)))


def test_a_cell_keeps_a_share_of_what_it_was_known_to_hold() -> None:
    cells = np.array([np.inf, 10.0, 10.0, 5.0], np.float32)  # the first has never been asked
    raise_density(np.array([1.0, 2.0, 9.0], np.float32), np.arange(3), np.float32(0.8), cells)
    np.testing.assert_allclose(cells, [1.0, 8.0, 9.0, 5.0])


@pytest.mark.parametrize("together", [1, 4])
def test_blocks_of_rays_are_equal_and_share_out_among_eight_threads(together: int) -> None:
    for count in (256, 700, 776, 1024, 1028, 1804, 4096):
        size = block_size(count, together)
        assert size % together == 0 and size <= 256
        blocks = -(-count // size)
        assert blocks % 8 == 0 and count - (blocks - 1) * size > 0.5 * size, (count, size)
