# SPDX-License-Identifier: GPL-3.0-or-later
"""Fix-it cameras: where to look from, to mend what the held-out views show to be wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..camera_file import camera_words
from ..cameras import Camera, look_at
from ..comparison.compare import how_to_show
from ..comparison.error_points import ErrorPoints
from ..comparison.metrics import flip_error
from ..comparison.objects import ErrorsOfObjects
from ..dataset.store import Dataset, open_dataset
from ..errors import UsageError, UserError
from ..field.render import load_field, render_view
from ..files import require_ending, require_writable_file, write_json
from ..reporting import Reporter, followed
from ..twin_file import read_twin
from .covers import SPLITS, fibonacci

Array = NDArray[np.float64]

MOST_VIEWS = 1000
# of the held-out views as many are looked at as tell where the error is
MOST_JUDGES = 32
# regions along the longest side of the scene, and how many of them, the worst first, are cared for
FINENESS = 32
MOST_REGIONS = 600
# candidates: so many ways to look at each of so many places, from the training views' distance and from nearer
WAYS, PLACES, NEARER = 96, 8, (1.0, 0.7)
# cells along the longest side of the scene, for what stands in the way
CELLS = 48
# a training view from less than this beside shows the same; cosine of the angle
NEW_ANGLE = np.radians(60.0)
# a surface seen at a flatter angle than this is hardly seen
FLATTEST = 0.2
# and at a steeper one than this as well as can be; cosines of the angle to the normal
FACE_TO_FACE = 0.5
# new views stay this far from held-out ones at most (half of what lies between training views, if that is less)
KEEP_AWAY = np.radians(10.0)
# of the error of what a new view sees face to face; the next ones care more for the rest
MENDED = 0.5
# what is too little to be an error: a millionth of full scale, squared error
NOTHING = 1e-9


@dataclass(frozen=True)
class FixItSettings:
    """What to propose cameras for.

    Attributes:
        dataset: the .h5, of which the twin was trained. twin: the .twin.
        output: a JSON file for the cameras, as `render --add` takes it; None writes none.
        views: how many cameras, at most.
        device: auto | cpu | cuda.
    """

    dataset: str
    twin: str
    output: str | None = None
    views: int = 8
    device: str = "auto"


@dataclass(frozen=True)
class Proposal:
    """A camera, and why.

    Attributes:
        names: of the objects that it is there for, first the one that errs most there; empty when nothing has a name.
        psnr: dB over what it shows of that object and no training view shows from near there.
        seen_by: how many training views see that (the median over its parts).
    """

    camera: Camera
    frame: int
    names: list[str]
    psnr: float
    seen_by: int
    reason: str


def fix_it(settings: FixItSettings, reporter: Reporter) -> dict[str, Any]:
    """Find where the twin errs in the test views, and propose training cameras that see it.

    Returns:
        cameras: dictionaries with camera_to_world, intrinsics, size, frame, reason, objects, psnr, seen_by; best first.
        output: where they were written, or None.

    Raises:
        UsageError: no views are asked for.
        UserError: a file is missing or damaged, or the dataset has no test views, no training views or no depth.
        Cancelled: nothing was written.
    """
    if not 1 <= settings.views <= MOST_VIEWS:
        raise UsageError(f"--views is {settings.views}; it must be between 1 and {MOST_VIEWS}")
    if settings.output is not None:
        require_ending(settings.output, ".json")
        require_writable_file(settings.output)
    with open_dataset(settings.dataset) as dataset:
        for name in ("train", "test"):
            if not len(dataset.splits[name]):
                raise UserError(f"{dataset.path} has no {name} views; cameras are proposed for what they show")
        if not dataset.has_depth:
            raise UserError(f"{dataset.path} has no depth; where its errors are in space is not known")
        points = errors_of_test_views(dataset, settings, reporter)
        proposals = propose(dataset, points, settings.views, reporter)
    cameras = [
        {
            **camera_words(one.camera),
            "frame": one.frame,
            "reason": one.reason,
            "objects": one.names,
            "psnr": round(one.psnr, 2),
            "seen_by": one.seen_by,
        }
        for one in proposals
    ]
    if settings.output is not None:
        write_json(settings.output, {"cameras": cameras})
    return {"cameras": cameras, "output": settings.output}


def errors_of_test_views(dataset: Dataset, settings: FixItSettings, reporter: Reporter) -> ErrorPoints:
    """The test views' errors (at most MOST_JUDGES of them, evenly chosen), where the surfaces are."""
    field = load_field(read_twin(settings.twin), settings.device)
    show, errors = how_to_show(dataset, None), ErrorsOfObjects(dataset)
    test = dataset.splits["test"]
    judges = test[np.linspace(0, len(test) - 1, min(MOST_JUDGES, len(test))).round().astype(np.int64)]
    for index in followed(judges.tolist(), "measure", reporter, "view", "stopped; no cameras were proposed"):
        camera = dataset.camera(index)
        rgba, _ = render_view(field, camera, cancelled=reporter.cancelled)
        classic, neural = show(dataset.rgba(index)), show(rgba)
        errors.add(index, classic, neural, flip_error(classic, neural)[1])
    return errors.points()


def propose(dataset: Dataset, points: ErrorPoints, count: int, reporter: Reporter) -> list[Proposal]:
    """At most `count` cameras, one after another: each the one that sees most error from where no view trains yet.

    A candidate's worth is the squared error of the regions that it sees (in its picture, facing it, nothing between),
    each weighted by how far it lies beside the nearest training view that sees the same, up to 60 degrees. What a
    proposed view sees counts as half mended for those after it. Cameras do not stand inside of things, nor next to a
    held-out view: that must stay a judge.
    """
    regions = Regions.of(points, dataset)
    if not len(regions.mass) or regions.mass.max() <= NOTHING:
        return []
    pattern = dataset.camera(int(dataset.splits["train"][0]))
    frame = int(dataset.frame[dataset.splits["train"][0]])
    trained = Seen(dataset, regions, reporter)
    candidates = _candidates(regions, dataset, trained)
    sees = np.zeros((len(candidates), len(regions.mass)), np.bool_)
    ways = np.zeros((*sees.shape, 3), np.float32)
    for number, pose in enumerate(candidates):
        sees[number], ways[number] = trained.sees(replace(pattern, camera_to_world=pose))
    facing = np.clip(regions.facing(ways) / FACE_TO_FACE, 0.0, 1.0)
    # the largest cosine between the candidate's way of seeing a region and that of any view which trains it
    nearest = np.full(sees.shape, -1.0, np.float32)
    for way, seen in zip(trained.ways, trained.seen, strict=True):
        np.maximum(nearest, np.where(seen, np.einsum("crk,rk->cr", ways, way), -1.0), out=nearest)
    proposals: list[Proposal] = []
    left = regions.mass.copy()
    for _ in range(count):
        news = np.clip(np.arccos(np.clip(nearest, -1.0, 1.0)) / NEW_ANGLE, 0.0, 1.0)
        worth = np.where(sees, left * news * facing, 0.0)
        total = worth.sum(axis=1)
        if not len(total) or total.max() <= NOTHING:
            break
        best = int(total.argmax())
        camera = replace(pattern, camera_to_world=candidates[best])
        proposals.append(_with_reason(camera, frame, worth[best], regions, trained, dataset))
        closeness = np.einsum("crk,rk->cr", ways, ways[best])
        np.maximum(nearest, np.where(sees[best], closeness, -1.0), out=nearest)
        left *= 1.0 - MENDED * np.where(sees[best], facing[best], 0.0)
    return proposals


@dataclass(frozen=True)
class Regions:
    """Pieces of surface: what lies in one cell, belongs to one object and faces one of six ways.

    Attributes:
        position, normal: [R, 3] means; a normal of 0 is unknown. size: of a cell, world units.
        mass: [R] sum of the squared errors of its pixels. pixels: [R] how many.
        object_index: [R].
    """

    position: Array
    normal: Array
    size: float
    mass: Array
    pixels: Array
    object_index: NDArray[np.int64]

    @classmethod
    def of(cls, points: ErrorPoints, dataset: Dataset) -> Regions:
        """The worst regions that these points make up."""
        size = float(np.ptp(dataset.bounds, axis=0).max()) / FINENESS
        normal = points.normal.astype(np.float64)
        cell = np.floor((points.position - dataset.bounds[0]) / size).astype(np.int64)
        axis = np.abs(normal).argmax(axis=1)
        side = 2 * axis + (np.take_along_axis(normal, axis[:, None], axis=1)[:, 0] > 0)
        keys = np.column_stack([cell, points.object_index.astype(np.int64), side])
        _, of_region, pixels = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
        of_region = of_region.ravel()

        def summed(values: NDArray[Any]) -> Array:
            return np.bincount(of_region, values, len(pixels)).astype(np.float64)

        position, facing = (
            np.stack([summed(values[:, k]) for k in range(3)], axis=1) for values in (points.position, normal)
        )
        mass = summed(points.squared)
        length = np.linalg.norm(facing, axis=1, keepdims=True)
        worst = np.argsort(-mass, kind="stable")[:MOST_REGIONS]
        number = np.zeros(len(pixels), np.int64)
        number[of_region] = points.object_index
        return cls(
            (position / pixels[:, None])[worst],
            np.divide(facing, length, out=np.zeros_like(facing), where=length > 0)[worst],
            size,
            mass[worst],
            pixels[worst].astype(np.float64),
            number[worst],
        )

    def facing(self, ways: NDArray[Any]) -> Array:
        """Cosines [..., R] between the normals and unit ways [..., R, 3]; 1 where the normal is unknown."""
        cosines: Array = np.where(self.normal.any(axis=1), np.einsum("...rk,rk->...r", ways, self.normal), 1.0)
        return cosines


class Seen:
    """What the dataset's views see of the regions, and what stands in the way of new ones.

    Attributes:
        ways: [T, R, 3] float32 unit vectors from the regions to the training cameras.
        seen: [T, R] which training camera sees which region.
        distance: median depth of what training views see, world units.
    """

    def __init__(self, dataset: Dataset, regions: Regions, reporter: Reporter) -> None:
        self._regions = regions
        self._lower = dataset.bounds[0]
        self._cell = float(np.ptp(dataset.bounds, axis=0).max()) / CELLS
        shape = np.ceil(np.ptp(dataset.bounds, axis=0) / self._cell).astype(np.int64) + 1
        self._solid = np.zeros(shape, np.bool_)
        self._upper = dataset.bounds[1]
        self._depths: list[tuple[Camera, NDArray[np.float32]]] = []
        train = {int(index) for index in dataset.splits["train"]}
        ways, seen, distances = [], [], []
        indices = [int(index) for name in SPLITS for index in dataset.splits[name]]
        for index in followed(indices, "look", reporter, "view", "stopped; no cameras were proposed"):
            camera, depth = dataset.camera(index), dataset.depth(index)
            # every other pixel is enough to know what is solid and what is free
            self._depths.append((camera, depth[::2, ::2].copy()))
            position = camera.unproject(depth)[depth > 0.0]
            self._solid[tuple(np.clip((position - self._lower) // self._cell, 0, shape - 1).astype(np.int64).T)] = True
            if index in train:
                inside, way, planar, pixels = self._looks(camera)
                column, row = np.clip(np.nan_to_num(pixels), 0, np.array(camera.size) - 1).astype(np.int64).T
                found = depth[row, column]
                seen.append(inside & (np.abs(found - planar) < regions.size))
                ways.append(way)
                distances.append(np.median(depth[depth > 0.0]) if (depth > 0.0).any() else np.nan)
        self.ways, self.seen = np.array(ways, np.float32), np.array(seen, np.bool_)
        usual = np.nanmedian(distances) if np.isfinite(distances).any() else np.linalg.norm(np.ptp(dataset.bounds, 0))
        self.distance = float(usual)

    def sees(self, camera: Camera) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Which regions [R] a new camera would see, and the ways [R, 3] from them to it."""
        inside, way, _, _ = self._looks(camera)
        chosen = np.flatnonzero(inside)
        # start off the surface, or a region would stand in its own way
        normal = self._regions.normal[chosen]
        start = self._regions.position[chosen] + 1.8 * self._cell * np.where(
            normal.any(axis=1, keepdims=True), normal, way[chosen]
        )
        end = camera.camera_to_world[:3, 3]
        length = np.linalg.norm(end - start, axis=1)
        reach = min(float(length.max(initial=0.0)), float(np.linalg.norm(self._upper - self._lower)))
        along = np.arange(0.0, reach, self._cell)
        ray = start[:, None] + along[:, None] * way[chosen][:, None]
        cell = np.floor((ray - self._lower) / self._cell).astype(np.int64)
        within = ((cell >= 0) & (cell < self._solid.shape)).all(axis=-1) & (along < length[:, None])
        x, y, z = np.where(within[..., None], cell, 0).transpose(2, 0, 1)
        inside[chosen] &= ~(self._solid[x, y, z] & within).any(axis=1)
        return inside, way

    def is_free(self, eye: Array) -> bool:
        """Whether nothing is there: outside of all that renders, or before what some view sees."""
        margin = 0.5 * self._cell
        if (eye < self._lower - margin).any() or (eye > self._upper + margin).any():
            return True
        for camera, depth in self._depths:
            pixels, planar = camera.project(eye[None])
            if planar[0] <= 0 or not ((pixels[0] >= 0) & (pixels[0] < camera.size)).all():
                continue
            column, row = (pixels[0] // 2).astype(np.int64)
            found = depth[min(row, depth.shape[0] - 1), min(column, depth.shape[1] - 1)]
            if found == 0.0 or planar[0] < found - self._cell:
                return True
        return False

    def _looks(self, camera: Camera) -> tuple[NDArray[np.bool_], NDArray[np.float32], Array, Array]:
        """Which regions lie in the picture and face the camera, the ways to it, their planar depths and pixels."""
        pixels, planar = camera.project(self._regions.position)
        way = camera.camera_to_world[:3, 3] - self._regions.position
        way /= np.linalg.norm(way, axis=1, keepdims=True)
        inside = (planar > 0) & ((pixels >= 0) & (pixels < camera.size)).all(axis=1)
        inside &= self._regions.facing(way) > FLATTEST
        return inside, way.astype(np.float32), planar, pixels


def _candidates(regions: Regions, dataset: Dataset, trained: Seen) -> list[Array]:
    """Poses that look at the worst places from all around, as far away as training views are, or a little nearer."""
    places = [np.average(regions.position, axis=0, weights=regions.mass)]
    for position in regions.position:
        if min(np.linalg.norm(position - other) for other in places) > 4.0 * regions.size:
            places.append(position)
        if len(places) > PLACES:
            break
    centre = dataset.bounds.mean(axis=0)
    held_out = [dataset.camera_to_world[int(i)][:3, 3] for name in ("val", "test") for i in dataset.splits[name]]
    training = np.array([dataset.camera_to_world[int(i)][:3, 3] for i in dataset.splits["train"]])
    away = np.cos(min(KEEP_AWAY, 0.5 * _usual_angle(training - centre)))
    poses = []
    for place in places:
        judges = np.array([_unit(eye - place) for eye in held_out]).reshape(-1, 3)
        for way in fibonacci(WAYS):
            if len(judges) and (judges @ way).max() > away:
                continue
            for nearer in NEARER:
                eye = place + nearer * trained.distance * way
                if trained.is_free(eye):
                    poses.append(look_at(eye, place))
    return poses


def _usual_angle(ways: Array) -> float:
    """The median angle between neighbours, radians."""
    if len(ways) < 2:
        return float(np.pi)
    unit = ways / np.maximum(np.linalg.norm(ways, axis=1, keepdims=True), 1e-12)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -1.0)
    return float(np.median(np.arccos(np.clip(cosines.max(axis=1), -1.0, 1.0))))


def _with_reason(
    camera: Camera, frame: int, worth: Array, regions: Regions, trained: Seen, dataset: Dataset
) -> Proposal:
    """The proposal with what it is good for: the object that it does most for, on which side, and how bad that is."""
    of_objects = np.bincount(regions.object_index, worth)
    number = int(of_objects.argmax())
    mine = (regions.object_index == number) & (worth > 0.05 * worth.max())
    names = [str(thing["name"]) for thing in dataset.objects if int(thing["index"]) == number]
    psnr = float(-10.0 * np.log10(regions.mass[mine].sum() / regions.pixels[mine].sum()))
    seen_by = int(np.median(trained.seen[:, mine].sum(axis=0)))
    side = side_in_words(np.average(regions.normal[mine], axis=0, weights=worth[mine]))
    x, y, z = np.average(regions.position[mine], axis=0, weights=worth[mine])
    thing = names[0] if names else f"the surface around ({x:.2f}, {y:.2f}, {z:.2f})"
    total = len(trained.seen)
    reason = f"{side} of {thing} is seen by {seen_by} of {total} training views and has {psnr:.1f} dB"
    return Proposal(camera, frame, names, psnr, seen_by, reason)


def side_in_words(normal: Array) -> str:
    """Which side faces that way, by the axes of the world: "The top", "The underside", "The side towards +X -Y"."""
    unit = _unit(normal)
    if abs(unit[2]) > 0.8:
        return "The top" if unit[2] > 0 else "The underside"
    flat = _unit(unit[:2])
    words = [f"{'+' if value > 0 else '-'}{axis}" for axis, value in zip("XY", flat, strict=True) if abs(value) > 0.4]
    return f"The side towards {' '.join(words)}"


def _unit(vector: Array) -> Array:
    unit: Array = vector / max(float(np.linalg.norm(vector)), 1e-12)
    return unit
