# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the rigs put their cameras."""

import numpy as np
import pytest

from radiance_twin.core import cameras, rigs
from radiance_twin.core.errors import UserError

COUNTS = {"train": 60, "val": 4, "test": 12}


def angles_to_nearest(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Degrees from each of `points` to the nearest of `others`, all unit vectors."""
    return np.degrees(np.arccos(np.clip((points @ others.T).max(axis=1), -1, 1)))


@pytest.mark.parametrize("upper_half", [False, True])
def test_fibonacci_points_cover_the_sphere_evenly(upper_half: bool) -> None:
    points = rigs.fibonacci(200, upper_half)
    assert np.linalg.norm(points, axis=1) == pytest.approx(1.0)
    assert points[:, 2].min() > 0 if upper_half else abs(points.mean(axis=0)).max() < 0.01
    # equal areas: a cap around any direction holds the share of points that it has of the area
    area = 2 * np.pi if upper_half else 4 * np.pi
    for centre in np.random.default_rng(0).normal(size=(20, 3)) * (0.3, 0.3, 1.0):
        centre = np.abs(centre) / np.linalg.norm(centre)
        inside = (points @ centre > np.cos(0.4)).sum()
        if centre[2] > np.sin(0.4):
            assert inside / 200 == pytest.approx(2 * np.pi * (1 - np.cos(0.4)) / area, abs=0.035)


@pytest.mark.parametrize("rig", rigs.PLACED_RIGS)
def test_every_camera_looks_at_the_target_from_the_same_distance(rig: str) -> None:
    centre = np.array([3.0, -2.0, 5.0])
    placed = rigs.place_cameras(rig, COUNTS, centre, distance=4.0)
    assert {split: len(poses) for split, poses in placed.items()} == COUNTS
    for pose in np.concatenate(list(placed.values())):
        assert pose[:3, :3] @ pose[:3, :3].T == pytest.approx(np.eye(3), abs=1e-12)
        assert np.linalg.det(pose[:3, :3]) == pytest.approx(1.0)
        pixel, depth = cameras.project([centre], pose, [100.0, 100.0, 50.0, 50.0])
        assert pixel[0] == pytest.approx([50.0, 50.0])
        assert depth[0] == pytest.approx(4.0)
        assert pose[2, 1] >= 0  # the picture's up is the world's up


@pytest.mark.parametrize("counts", [COUNTS, {"train": 20, "val": 2, "test": 4}, {"train": 100, "val": 1, "test": 100}])
@pytest.mark.parametrize("rig", rigs.PLACED_RIGS)
def test_held_out_views_are_between_the_training_views(rig: str, counts: dict[str, int]) -> None:
    ways = rigs.directions(rig, counts)
    spacing = np.median(
        [angles_to_nearest(ways["train"][i : i + 1], np.delete(ways["train"], i, 0)) for i in range(counts["train"])]
    )
    for held_out, others in (("test", ways["train"]), ("val", np.concatenate([ways["train"], ways["test"]]))):
        assert angles_to_nearest(ways[held_out], others).min() > 0.1 * spacing
    # spread: they lean to no side, as far as so few can
    assert np.linalg.norm(ways["test"][:, :2].mean(axis=0)) < 0.05 + 0.8 / counts["test"]


def test_an_orbit_is_one_even_ring() -> None:
    ways = rigs.directions("orbit", {"train": 6, "val": 1, "test": 2})
    everything = np.concatenate(list(ways.values()))
    angles = np.sort(np.degrees(np.arctan2(everything[:, 1], everything[:, 0])) % 360)
    assert np.diff(angles) == pytest.approx(40.0)
    assert everything[:, 2] == pytest.approx(0.5)


def test_splits_are_interleaved_evenly() -> None:
    slots = rigs.interleave({"train": 6, "val": 1, "test": 3})
    assert sorted(np.concatenate(list(slots.values()))) == list(range(10))
    assert np.diff(slots["test"]).tolist() in ([3, 3], [3, 4], [4, 3])
    assert slots["val"][0] in (4, 5)


def test_frames_are_spread_over_the_whole_animation() -> None:
    frames = rigs.choose_frames(1, 250, 1, COUNTS)
    everything = np.sort(np.concatenate(list(frames.values())))
    assert (everything[0], everything[-1], len(np.unique(everything))) == (1, 250, 76)
    assert set(np.diff(everything)) <= {3, 4}


def test_every_frame_is_used_when_there_are_just_enough() -> None:
    frames = rigs.choose_frames(10, 28, 2, {"train": 7, "val": 1, "test": 2})
    assert sorted(np.concatenate(list(frames.values()))) == list(range(10, 29, 2))


def test_an_animation_that_is_too_short_says_so() -> None:
    with pytest.raises(UserError, match="24 frames, too few for 76 views"):
        rigs.choose_frames(1, 24, 1, COUNTS)


@pytest.mark.parametrize(
    ("width", "height", "shift_x", "shift_y"), [(200, 200, 0, 0), (300, 200, 0, 0), (200, 300, 0.1, -0.2)]
)
def test_the_target_fits_with_ten_per_cent_to_spare(width: int, height: int, shift_x: float, shift_y: float) -> None:
    intrinsics = cameras.intrinsics_from_lens(50, 36, 24, "AUTO", shift_x, shift_y, width, height)
    distance = rigs.fitting_distance(2.0, intrinsics, width, height)
    ball = np.random.default_rng(1).normal(size=(50000, 3))
    ball *= 2.0 * rigs.MARGIN / np.linalg.norm(ball, axis=1, keepdims=True)
    pixels, _ = cameras.project(ball, cameras.look_at((distance, 0, 0), (0, 0, 0)), intrinsics)
    to_spare = min(pixels.min(), (np.array([width, height]) - pixels).min())
    assert to_spare == pytest.approx(0.0, abs=0.3)


def test_a_lens_shift_that_loses_the_target_says_so() -> None:
    intrinsics = cameras.intrinsics_from_lens(50, 36, 24, "AUTO", 0.6, 0, 200, 200)
    with pytest.raises(UserError, match="shift"):
        rigs.fitting_distance(1.0, intrinsics, 200, 200)
