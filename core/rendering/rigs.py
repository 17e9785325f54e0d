# SPDX-License-Identifier: GPL-3.0-or-later
"""Rigs: rules that place cameras around a target, or choose frames of an animated camera. Numpy alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..cameras import Camera, look_at
from ..errors import UsageError, UserError
from .covers import (
    GOLDEN_ANGLE,
    SPLITS,
    fibonacci,
    hammersley,
    on_sphere,
    rings,
    spiral,
    split_points,
    uniform,
    van_der_corput,
)

Array = NDArray[np.float64]
# from an origin [3] along unit directions [N, 3]: how far it is [N] to what stands there
Reach = Callable[[Array, Array], Array]

# rigs that stand around a target; `walk` goes through free space, `animated` follows the scene's own camera,
# and `poses` stand where a file says
PLACED_RIGS = ("hemisphere", "sphere", "orbit", "cover", "random", "rings", "spiral")
RIGS = (*PLACED_RIGS, "walk", "animated", "poses")
# those whose part of the sphere can be chosen
SHAPED_RIGS = ("cover", "random", "rings", "spiral")

MARGIN = 1.1
WIDEST = np.radians(60.0)
ORBIT_ELEVATION = np.radians(30.0)
CANDIDATE_TURNS = 64
# of a walk from view to view: standard deviations of how it turns, climbs and turns its head, radians; how far up or
# down it looks at most; directions that it tries, and those in which there has to be room
TURN, CLIMB, HEAD, TILT = 0.5, 0.15, 0.7, 0.5
TRIES, AROUND = 24, 26


@dataclass(frozen=True)
class RigShape:
    """What can be chosen about a rig that stands around a target.

    Attributes:
        elevation, azimuth: from and to in degrees above the horizon and around z; of SHAPED_RIGS.
        distance: nearest and farthest, in units of the distance at which the target just fits into the picture. Between
            them every view has its own.
        stretch: of the sphere along x, y and z, which makes it an ellipsoid.
        rings: how many, of the rig of that name. turns: of the spiral.
        stereo: how far to the right of each camera, in scene units, a second one stands; 0: none does.
    """

    elevation: tuple[float, float] = (0.0, 80.0)
    azimuth: tuple[float, float] = (0.0, 360.0)
    distance: tuple[float, float] = (1.0, 1.0)
    stretch: tuple[float, float, float] = (1.0, 1.0, 1.0)
    rings: int = 3
    turns: float = 3.0
    stereo: float = 0.0

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UsageError: which value, and what it may be.
        """
        low, high = self.elevation
        first, last = self.azimuth
        near, far = self.distance
        for name, value, sound, allowed in (
            ("elevation", self.elevation, -90.0 <= low < high <= 90.0, "two rising angles from -90 to 90"),
            ("azimuth", self.azimuth, first < last <= first + 360.0, "two rising angles, at most 360 apart"),
            ("distance", self.distance, 0.0 < near <= far <= 1e6, "two rising numbers above 0"),
            ("stretch", self.stretch, all(0.0 < axis <= 1e6 for axis in self.stretch), "three numbers above 0"),
            ("rings", self.rings, 1 <= self.rings <= 1000, "1 to 1000"),
            ("turns", self.turns, 0.0 < self.turns <= 1000.0, "above 0, up to 1000"),
            ("stereo", self.stereo, abs(self.stereo) <= 1e6, "a distance in scene units"),
        ):
            if not sound:
                raise UsageError(f"--{name} is {_in_words(value)}; it must be {allowed}")


def rig_shape(settings: Mapping[str, Any]) -> RigShape:
    """The shape among other settings, in which pairs may be lists, as JSON has them."""
    given: dict[str, Any] = {}
    for field in fields(RigShape):
        value = settings[field.name]
        given[field.name] = tuple(value) if isinstance(value, list) else value
    return RigShape(**given)


def place_cameras(
    rig: str, counts: dict[str, int], centre: ArrayLike, distance: float, shape: RigShape | None = None, seed: int = 0
) -> dict[str, Array]:
    """Camera-to-world matrices [n, 4, 4] of each split, all of them looking at `centre`.

    With a stereo distance each camera is followed by its partner, so that there are twice as many.

    Args:
        distance: at which the target just fits into the picture.
        seed: of the rig `random`.
    """
    shape = shape or RigShape()
    middle, stretch = np.asarray(centre, np.float64), np.array(shape.stretch)
    placed: dict[str, Array] = {}
    for split, ways in directions(rig, counts, shape, seed).items():
        steps = van_der_corput(len(ways))
        lengths = distance * (shape.distance[0] + steps * (shape.distance[1] - shape.distance[0]))
        poses = [look_at(middle + length * stretch * way, middle) for length, way in zip(lengths, ways, strict=True)]
        if shape.stereo:
            poses = [pose for first in poses for pose in (first, moved_right(first, shape.stereo))]
        placed[split] = np.array(poses).reshape(-1, 4, 4)
    return placed


def moved_right(camera_to_world: Array, distance: float) -> Array:
    """The camera [4, 4] of the right eye: parallel to the given one, `distance` to its right."""
    other = camera_to_world.copy()
    other[:3, 3] += distance * camera_to_world[:3, 0]
    return other


def directions(rig: str, counts: dict[str, int], shape: RigShape | None = None, seed: int = 0) -> dict[str, Array]:
    """Unit vectors [n, 3] from the target to the cameras of each split.

    Args:
        rig: one of PLACED_RIGS.
        counts: of "train", "val" and "test" views.
    """
    total = sum(counts.values())
    if rig == "orbit":
        return {split: _ring(slots * (2.0 * np.pi / total)) for split, slots in interleave(counts).items()}
    if rig in SHAPED_RIGS:
        points = _shaped(rig, total, shape or RigShape(), seed)
        return {split: points[indices] for split, indices in split_points(points, counts).items()}
    heights = (0.0, 1.0) if rig == "hemisphere" else (-1.0, 1.0)
    placed: dict[str, Array] = {}
    for split in SPLITS:
        points = fibonacci(counts[split], heights)
        placed[split] = _turn_away(points, np.concatenate([np.zeros((0, 3)), *placed.values()]))
    return placed


def interleave(counts: dict[str, int]) -> dict[str, NDArray[np.int64]]:
    """Slots 0 .. total-1 of one sequence, shared out so that each split is spread evenly over it."""
    entries = sorted(((i + 0.5) / counts[split], split) for split in SPLITS for i in range(counts[split]))
    return {
        split: np.array([slot for slot, (_, owner) in enumerate(entries) if owner == split], np.int64)
        for split in SPLITS
    }


def choose_frames(frames: NDArray[np.int64], counts: dict[str, int]) -> dict[str, NDArray[np.int64]]:
    """Those of rising `frames` that each split takes, evenly spread.

    Raises:
        UserError: there are fewer frames than views.
    """
    total = sum(counts.values())
    if len(frames) < total:
        held_out = counts["val"] + counts["test"]
        raise UserError(
            f"the animation has {len(frames)} frames, too few for {total} views ({counts['train']} to train and "
            f"{held_out} held out); ask for fewer views or lengthen the frame range"
        )
    chosen = frames[np.round(np.linspace(0, len(frames) - 1, total)).astype(np.int64)]
    return {split: chosen[slots] for split, slots in interleave(counts).items()}


def frames_in_words(text: str) -> NDArray[np.int64]:
    """Rising frames that are written like "1-100:5, 120": every fifth from 1 to 100, and 120.

    Raises:
        UsageError: it is written otherwise, or names too many.
    """
    frames: set[int] = set()
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d{1,7})(?:-(\d{1,7})(?::(\d{1,7}))?)?\s*", part)
        if found is None or found[3] == "0":
            raise UsageError(f"--frames is {text}; write frames like 1-100:5,120 (every fifth from 1 to 100, and 120)")
        first = int(found[1])
        frames.update(range(first, int(found[2] or first) + 1, int(found[3] or 1)))
    return np.array(sorted(frames), np.int64)


def walk(count: int, begin: ArrayLike, step: float, clearance: float, reach: Reach, seed: int) -> Array:
    """Camera-to-world matrices [count, 4, 4] along a random walk through free space, which looks around as it goes.

    The first views of a longer walk are those of a shorter one.

    Args:
        begin: [3], the first place, with room around it.
        step: from view to view. clearance: how far the walk stays away from everything.
        reach: how far it is [N] from an origin [3] along unit directions [N, 3] to what stands there.
    """
    place = np.asarray(begin, np.float64)
    around = fibonacci(AROUND)
    heading, head, tilt = 2.0 * np.pi * np.random.default_rng(seed).random(), 0.0, 0.0
    poses = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        turn, climb, turn_of_head, lift = rng.normal(size=4) * (TURN, CLIMB, HEAD, 0.5 * TILT)
        if number:
            # straight on, more or less, and anywhere else where that does not go
            for angle in heading + np.concatenate([[turn], rng.uniform(-np.pi, np.pi, TRIES)]):
                way = np.array([np.cos(angle), np.sin(angle), climb]) / np.hypot(1.0, climb)
                there = place + step * way
                if reach(place, way[None])[0] >= step + clearance and reach(there, around).min() >= clearance:
                    place, heading = there, angle
                    break
        head, tilt = head + turn_of_head, float(np.clip(0.7 * tilt + lift, -TILT, TILT))
        for angle in heading + head + np.arange(TRIES) * GOLDEN_ANGLE:
            gaze = np.array([np.cos(tilt) * np.cos(angle), np.cos(tilt) * np.sin(angle), np.sin(tilt)])
            # not into a wall from close by
            if reach(place, gaze[None])[0] >= 2.0 * clearance:
                break
        poses.append(look_at(place, place + gaze))
    return np.array(poses).reshape(-1, 4, 4)


def fitting_distance(radius: float, camera: Camera, image_circle: float = 2.0 * np.pi) -> float:
    """How far away a sphere fits into the picture, with 10 % margin, whatever the lens shift.

    A lens that sees wider than WIDEST is used as if it did not: cameras should stand beside their target, not on it.

    Args:
        image_circle: the angle across it, radians; beyond it a fisheye draws nothing, however large its picture is.

    Raises:
        UserError: the shift moves the centre out of the picture.
    """
    (fx, fy, cx, cy), (width, height) = camera.intrinsics, camera.size
    nearest = min(cx / fx, (width - cx) / fx, cy / fy, (height - cy) / fy)
    narrowest = np.arctan(nearest) if camera.model.kind == "opencv" else min(nearest, 0.5 * image_circle, WIDEST)
    if camera.model.is_distorted:
        borders = camera.local_directions([[0.0, cy], [width, cy], [cx, 0.0], [cx, height]])
        # a fisheye may draw nothing at any of them
        narrowest = np.nanmin([narrowest, *np.arccos(-borders[:, 2])])
    if narrowest <= 1e-3:
        raise UserError(
            "the middle of the lens lies outside of the picture; set the camera's Shift X and Y to 0, or name "
            "--intrinsics whose cx and cy lie within the --resolution"
        )
    return float(MARGIN * radius / np.sin(narrowest))


def _shaped(rig: str, count: int, shape: RigShape, seed: int) -> Array:
    heights = (float(np.sin(np.radians(shape.elevation[0]))), float(np.sin(np.radians(shape.elevation[1]))))
    angles = (float(np.radians(shape.azimuth[0])), float(np.radians(shape.azimuth[1])))
    match rig:
        case "cover":
            return hammersley(count, heights, angles)
        case "random":
            return uniform(count, heights, angles, seed)
        case "rings":
            return rings(count, shape.rings, heights, angles)
        case _:
            return spiral(count, shape.turns, heights, angles[0])


def _ring(angles: Array) -> Array:
    return on_sphere(np.full(len(angles), np.sin(ORBIT_ELEVATION)), angles)


def _turn_away(points: Array, others: Array) -> Array:
    """`points` turned about the vertical so that the nearest of `others` is as far away as can be."""
    if not len(points) or not len(others):
        return points
    best, best_closeness = points, np.inf
    for turn in np.arange(CANDIDATE_TURNS) * (2.0 * np.pi / CANDIDATE_TURNS):
        c, s = np.cos(turn), np.sin(turn)
        turned = points @ np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
        closeness = float((turned @ others.T).max())
        if closeness < best_closeness - 1e-9:
            best, best_closeness = turned, closeness
    return best


def _in_words(value: object) -> str:
    return " ".join(f"{one:g}" for one in value) if isinstance(value, tuple) else f"{value:g}"
