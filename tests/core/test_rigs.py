# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the rigs put their cameras."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from radiance_twin.core import cameras
from radiance_twin.core.errors import UsageError, UserError
from radiance_twin.core.rendering import covers, rigs

COUNTS = {"train": 60, "val": 4, "test": 12}


def angles_to_nearest(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Degrees from each of `points` to the nearest of `others`, all unit vectors."""
    return np.degrees(np.arccos(np.clip((points @ others.T).max(axis=1), -1, 1)))


@pytest.mark.parametrize("upper_half", [False, True])
def test_fibonacci_points_cover_the_sphere_evenly(upper_half: bool) -> None:
    points = covers.fibonacci(200, (0.0, 1.0) if upper_half else (-1.0, 1.0))
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
@pytest.mark.parametrize("rig", [rig for rig in rigs.PLACED_RIGS if rig not in rigs.SHAPED_RIGS])
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
    frames = rigs.choose_frames(np.arange(1, 251), COUNTS)
    everything = np.sort(np.concatenate(list(frames.values())))
    assert (everything[0], everything[-1], len(np.unique(everything))) == (1, 250, 76)
    assert set(np.diff(everything)) <= {3, 4}


def test_every_frame_is_used_when_there_are_just_enough() -> None:
    frames = rigs.choose_frames(np.arange(10, 29, 2), {"train": 7, "val": 1, "test": 2})
    assert sorted(np.concatenate(list(frames.values()))) == list(range(10, 29, 2))


def test_an_animation_that_is_too_short_says_so() -> None:
    with pytest.raises(UserError, match="24 frames, too few for 76 views"):
        rigs.choose_frames(np.arange(1, 25), COUNTS)


def test_frames_are_written_as_ranges_with_steps() -> None:
    assert rigs.frames_in_words("1-20:5, 30,8").tolist() == [1, 6, 8, 11, 16, 30]
    assert rigs.frames_in_words("3-5").tolist() == [3, 4, 5]
    for wrong in ("", "1-", "1-20:0", "five", "1:5"):
        with pytest.raises(UsageError, match="write frames like 1-100:5,120"):
            rigs.frames_in_words(wrong)


def room(origin: np.ndarray, ways: np.ndarray) -> np.ndarray:
    """How far it is to the walls of a room of 6 x 4 x 3 around the origin, and to a pillar of radius 0.5 in it."""
    to_wall = np.where(ways > 0, 1.0, -1.0) * (3.0, 2.0, 1.5) - origin
    walls = np.min(to_wall / np.where(ways == 0, -1e-12, ways), axis=1)
    flat, across = origin[:2] - (1.2, 0.0), ways[:, :2]
    a, b, c = (across**2).sum(axis=1), across @ flat, flat @ flat - 0.25
    root = b * b - a * c
    pillar = np.where((root > 0) & (-b > 0), (-b - np.sqrt(np.maximum(root, 0))) / np.maximum(a, 1e-12), np.inf)
    return np.minimum(walls, pillar)


def test_a_walk_stays_in_the_open_and_looks_all_around() -> None:
    poses = rigs.walk(300, (-1.0, 0.0, 0.0), step=0.3, clearance=0.3, reach=room, seed=3)
    places, gaze = poses[:, :3, 3], -poses[:, :3, 2]
    assert (np.abs(places) < np.array([3.0, 2.0, 1.5]) - 0.25).all(), "away from the walls"
    assert np.linalg.norm(places[:, :2] - (1.2, 0.0), axis=1).min() > 0.5 + 0.2, "and from the pillar"
    assert np.linalg.norm(np.diff(places, axis=0), axis=1).max() < 0.31, "one step after the other"
    assert np.ptp(places, axis=0)[:2] == pytest.approx([5.4, 3.4], abs=0.6), "through the whole room"
    turned = np.histogram(np.arctan2(gaze[:, 1], gaze[:, 0]), 8, (-np.pi, np.pi))[0]
    assert turned.min() > 10 and np.abs(np.arcsin(gaze[:, 2])).max() < 0.6
    assert [room(place, way[None])[0] >= 0.6 for place, way in zip(places, gaze, strict=True)].count(False) == 0
    assert np.array_equal(poses[:40], rigs.walk(40, (-1.0, 0.0, 0.0), 0.3, 0.3, room, 3))


@pytest.mark.parametrize(
    ("width", "height", "shift_x", "shift_y"),
    [
        (200, 200, 0, 0),
        (300, 200, 0, 0),
        (200, 300, 0.1, -0.2),
        # each of the four borders is the nearest once
        (300, 200, 0, 0.15),
        (300, 200, 0, -0.15),
        (200, 300, 0.15, 0),
        (200, 300, -0.15, 0),
    ],
)
def test_the_target_fits_with_ten_per_cent_to_spare(width: int, height: int, shift_x: float, shift_y: float) -> None:
    intrinsics = cameras.intrinsics_from_lens(50, 36, 24, "AUTO", shift_x, shift_y, width, height)
    distance = rigs.fitting_distance(2.0, cameras.Camera(np.eye(4), intrinsics, (width, height)))
    ball = np.random.default_rng(1).normal(size=(50000, 3))
    ball *= 2.0 * rigs.MARGIN / np.linalg.norm(ball, axis=1, keepdims=True)
    pixels, _ = cameras.project(ball, cameras.look_at((distance, 0, 0), (0, 0, 0)), intrinsics)
    to_spare = min(pixels.min(), (np.array([width, height]) - pixels).min())
    assert to_spare == pytest.approx(0.0, abs=0.3)


@pytest.mark.parametrize(
    ("distortion", "degrees"),
    [((0.0,) * 6, 360.0), ((0.0,) * 6, 70.0), ((0.3, 0.0, 0.0, 0.0, 0.0, 0.0), 360.0)],
    ids=["plain", "a small image circle", "bent inwards"],
)
def test_the_target_fits_into_what_a_fisheye_draws(distortion: tuple[float, ...], degrees: float) -> None:
    """Of one lens of 96 degrees from side to side, of which distortion or a small image circle leaves less."""
    model = cameras.CameraModel("fisheye", distortion)
    camera = cameras.Camera(np.eye(4), np.array([60.0, 60, 50, 50]), (100, 100), model=model)
    distance = rigs.fitting_distance(2.0, camera, np.radians(degrees))
    ball = np.random.default_rng(1).normal(size=(50000, 3))
    ball *= 2.0 * rigs.MARGIN / np.linalg.norm(ball, axis=1, keepdims=True)
    there = cameras.look_at((distance, 0, 0), (0, 0, 0))
    pixels, _ = replace(camera, camera_to_world=there).project(ball)
    from_axis = np.degrees(
        np.arccos((ball - there[:3, 3]) @ -there[:3, 2] / np.linalg.norm(ball - there[:3, 3], axis=1))
    )
    to_spare = min(pixels.min(), (100.0 - pixels).min())
    assert min(to_spare, 0.5 * degrees - from_axis.max()) == pytest.approx(0.0, abs=0.3)


def test_a_lens_shift_that_loses_the_target_says_so() -> None:
    intrinsics = cameras.intrinsics_from_lens(50, 36, 24, "AUTO", 0.6, 0, 200, 200)
    with pytest.raises(UserError, match="Shift X and Y"):
        rigs.fitting_distance(1.0, cameras.Camera(np.eye(4), intrinsics, (200, 200)))


SHAPE = rigs.RigShape(elevation=(-20.0, 50.0), azimuth=(30.0, 150.0))


def angles_of(ways: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Elevation and azimuth in degrees."""
    return np.degrees(np.arcsin(ways[:, 2])), np.degrees(np.arctan2(ways[:, 1], ways[:, 0]))


@pytest.mark.parametrize("rig", ["cover", "random", "rings"])
def test_part_of_the_sphere_is_filled_and_nothing_beside_it(rig: str) -> None:
    ways = np.concatenate(list(rigs.directions(rig, {"train": 300, "val": 20, "test": 40}, SHAPE).values()))
    elevation, azimuth = angles_of(ways)
    assert elevation.min() >= -20.0 and elevation.max() <= 50.0
    assert azimuth.min() > 30.0 - 1e-9 and azimuth.max() < 150.0 + 1e-9
    # as many views left as right, high as low (by area)
    assert (azimuth < 90.0).mean() == pytest.approx(0.5, abs=0.06)
    if rig != "rings":
        middle = (np.sin(np.radians(-20.0)) + np.sin(np.radians(50.0))) / 2
        assert (ways[:, 2] < middle).mean() == pytest.approx(0.5, abs=0.06)


def test_held_out_views_of_a_shaped_rig_are_far_from_each_other_and_leave_the_rest_to_train() -> None:
    ways = rigs.directions("cover", {"train": 80, "val": 5, "test": 15}, SHAPE)
    assert [len(ways[split]) for split in ("train", "val", "test")] == [80, 5, 15]
    everything = np.concatenate(list(ways.values()))
    assert len(np.unique(everything.round(9), axis=0)) == 100
    apart = [angles_to_nearest(ways["test"][i : i + 1], np.delete(ways["test"], i, 0))[0] for i in range(15)]
    typical = np.median(angles_to_nearest(everything[:1], everything[1:]))
    assert min(apart) > 1.5 * typical


def test_views_from_one_place_are_shared_out_once_each() -> None:
    # a camera that turns on the spot, or stands before a turntable
    for places in (np.zeros((10, 3)), np.repeat(np.eye(3), [4, 4, 2], axis=0)):
        splits = covers.split_points(places, {"train": 6, "val": 2, "test": 2})
        assert [len(splits[split]) for split in covers.SPLITS] == [6, 2, 2]
        assert sorted(np.concatenate(list(splits.values()))) == list(range(10))


def test_random_views_do_not_depend_on_how_many_there_are() -> None:
    few, many = (covers.uniform(count, (-1.0, 1.0), (0.0, 2 * np.pi), seed=5) for count in (20, 100))
    assert np.array_equal(few, many[:20])
    assert not np.array_equal(few, covers.uniform(20, (-1.0, 1.0), (0.0, 2 * np.pi), seed=6))


def test_rings_stand_at_even_steps_with_as_many_views_as_they_are_long() -> None:
    ways = covers.rings(120, 3, (0.0, 1.0), (0.0, 2 * np.pi))
    elevations, counts = np.unique(np.degrees(np.arcsin(ways[:, 2])).round(6), return_counts=True)
    assert elevations == pytest.approx([15.0, 45.0, 75.0])
    assert counts / counts.sum() == pytest.approx(np.cos(np.radians(elevations)) / 1.93185, abs=0.01)


def test_a_spiral_climbs_evenly() -> None:
    ways = covers.spiral(200, 4.0, (0.0, np.sin(np.radians(60.0))))
    assert (np.diff(ways[:, 2]) > 0).all()
    steps = np.linalg.norm(np.diff(ways, axis=0), axis=1)
    assert steps.max() / steps.min() < 1.05
    turned = np.unwrap(np.arctan2(ways[:, 1], ways[:, 0]))
    assert (turned[-1] - turned[0]) / (2 * np.pi) == pytest.approx(4.0, abs=0.05)


def test_an_ellipsoid_between_two_distances_still_looks_at_its_middle() -> None:
    shape = rigs.RigShape(distance=(0.5, 2.0), stretch=(1.0, 2.0, 0.5))
    centre = np.array([1.0, 2.0, 3.0])
    poses = np.concatenate(list(rigs.place_cameras("cover", COUNTS, centre, 4.0, shape).values()))
    lengths = np.linalg.norm((poses[:, :3, 3] - centre) / shape.stretch, axis=1) / 4.0
    assert lengths.min() == pytest.approx(0.5, abs=0.05) and lengths.max() == pytest.approx(2.0, abs=0.05)
    for pose in poses:
        pixel, _ = cameras.project([centre], pose, [100.0, 100.0, 50.0, 50.0])
        assert pixel[0] == pytest.approx([50.0, 50.0])


def test_stereo_pairs_are_parallel_and_side_by_side() -> None:
    shape = rigs.RigShape(stereo=0.065)
    placed = rigs.place_cameras("hemisphere", {"train": 10, "val": 1, "test": 2}, (0, 0, 0), 3.0, shape)
    assert {split: len(poses) for split, poses in placed.items()} == {"train": 20, "val": 2, "test": 4}
    left, right = placed["train"][::2], placed["train"][1::2]
    assert np.array_equal(left[:, :3, :3], right[:, :3, :3])
    point = np.array([[0.1, 0.2, 0.05]])
    for one, other in zip(left, right, strict=True):
        (first, depth), (second, _) = (
            cameras.project(point, pose, [100.0, 100.0, 50.0, 50.0]) for pose in (one, other)
        )
        # disparity: focal length times baseline over depth
        assert first[0, 0] - second[0, 0] == pytest.approx(100.0 * 0.065 / depth[0])
        assert first[0, 1] == pytest.approx(second[0, 1])


@pytest.mark.parametrize(
    ("shape", "complaint"),
    [
        ({"elevation": (50.0, 20.0)}, "--elevation is 50 20; it must be two rising angles from -90 to 90"),
        ({"azimuth": (0.0, 400.0)}, "--azimuth is 0 400"),
        ({"distance": (0.0, 1.0)}, "--distance is 0 1; it must be two rising numbers above 0"),
        ({"stretch": (1.0, -1.0, 1.0)}, "--stretch is 1 -1 1"),
        ({"rings": 0}, "--rings is 0; it must be 1 to 1000"),
        ({"turns": float("nan")}, "--turns is nan"),
    ],
)
def test_shapes_that_make_no_sense_are_refused(shape: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        rigs.RigShape(**shape).check()
