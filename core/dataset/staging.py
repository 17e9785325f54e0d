# SPDX-License-Identifier: GPL-3.0-or-later
"""The staging folder: what is planned, which views are done, and how one knows. Numpy and the standard library alone.

    plan.json               everything but pixels: cameras, splits, bounds, objects, the key of each view
    view_transform.npz      the arrays of the scene's view transform
    view_000012.beauty.exr  light and alpha           view_000012.truth.exr   depth, normal, object index
    view_000012.labels.npz  what is known of each object (`labels.STAGED`)
    view_000012.json        written last: the view's key, its files' SHA-256 and the seconds that each of them took
    noise_floor, noise_ladder_0004 ...     the same of one test view: with another seed, and with 4 samples
    render.log              what Blender printed

A view is done when its JSON stands there with the planned key and its files have the recorded hashes. The key covers
everything that determines the pixels, so that a changed scene, setting or Blender is rendered anew and nothing else is.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cameras import Camera, pixel_grid
from ..colour import ViewTransform
from ..errors import UserError
from ..files import atomic_path, sha256_of_file, write_json
from ..lenses import NO_DISTORTION, CameraModel, Kind

FORMAT = "radiance-twin-plan"
# 1: the view transform was one table in view_transform.npy
VERSION = 2
# raise it when a change of this program changes the pixels of a view, or what is staged of it
RECIPE = 5
# pixels beside a pixel's centre whose light may be in it: of a filter 1.5 wide, as is usual, and what bending takes in
RIM = 1.5
NOISE_FLOOR = "noise_floor"
NOISE_LADDER = "noise_ladder"
# of all samples of a dataset, the most that are spent on measuring how Cycles' noise falls
LADDER_SHARE = 0.05


@dataclass(frozen=True)
class PlannedView:
    """One view that is to be rendered.

    Attributes:
        name: of its files.
        frame: of the scene, for the record; only the rig `animated` has several.
        camera_to_world: 4 x 4, OpenGL axes. intrinsics: fx fy cx cy in pixels.
        lens: what Blender's camera needs to get these intrinsics (see addon/studio/cameras.py).
        kind: of lens. distortion: k1 k2 p1 p2 k3 k4, see `core/lenses.py`.
        stand_in: intrinsics, size and samples of what is rendered for a lens that Cycles does not have (see
            `core/stand_in.py`); None: Cycles has it.
        samples, denoise, seed: of the render of light.
        draw: number of the random scene that it shows, if the scene is randomised.
        truth: whether depth, normal and object index are rendered as well. labels: whether objects are labelled.
        moving: whether the whole scene stands in `frame`.
        around: camera_to_world and lens in the frames before and after, for flow; None: the camera stands still.
        key: hash of everything that determines the pixels.
    """

    name: str
    frame: int
    camera_to_world: list[list[float]]
    intrinsics: list[float]
    lens: dict[str, float | str]
    samples: int
    denoise: bool
    seed: int
    draw: int = 0
    truth: bool = True
    key: str = ""
    kind: Kind = "opencv"
    distortion: list[float] = field(default_factory=lambda: list(NO_DISTORTION))
    stand_in: dict[str, Any] | None = None
    labels: bool = False
    moving: bool = False
    around: list[dict[str, Any]] | None = None

    @property
    def labels_file(self) -> str:
        """Name of the file of its labels, if it has any."""
        return f"{self.name}.labels.npz"

    @property
    def files(self) -> list[str]:
        """Names of all files that belong to it."""
        return [*self.pictures, *([self.labels_file] if self.labels else [])]

    @property
    def pictures(self) -> list[str]:
        """Names of its EXRs: light, and truth if it has that."""
        return [f"{self.name}.{part}.exr" for part in (("beauty", "truth") if self.truth else ("beauty",))]

    @property
    def rendered_samples(self) -> int:
        """Per pixel of what is rendered."""
        return self.samples if self.stand_in is None else int(self.stand_in["samples"])

    @property
    def widest(self) -> float:
        """The angle from the axis beyond which a fisheye's image circle ends, radians."""
        return 0.5 * float(self.lens.get("fisheye_fov", 2.0 * np.pi))

    def camera(self, size: tuple[int, int]) -> Camera:
        """The camera of its picture of `size`."""
        model = CameraModel(self.kind, tuple(self.distortion))
        return Camera(np.array(self.camera_to_world), np.array(self.intrinsics), size, model=model)

    def draws(self, size: tuple[int, int]) -> NDArray[np.bool_]:
        """[H, W] whether its lens draws all that a pixel is made of.

        Of a fisheye that is more than the pixel: light is filtered, and Cycles means opaque black beyond the circle.
        """
        camera, drawn = self.camera(size), np.ones(size[::-1], np.bool_)
        around = (-RIM, RIM) if self.kind == "fisheye" else (0.0,)
        for right in around:
            for down in around:
                ways = camera.local_directions(pixel_grid(*size) + np.array([right, down]))
                with np.errstate(invalid="ignore"):
                    drawn &= -ways[..., 2] >= np.cos(self.widest)
        return drawn

    def rendered_camera(self, size: tuple[int, int]) -> Camera:
        """The camera of what is rendered for a picture of `size`."""
        if self.stand_in is None:
            return self.camera(size)
        width, height = self.stand_in["size"]
        intrinsics = np.array(self.stand_in["intrinsics"])
        return replace(self.camera(size), intrinsics=intrinsics, size=(width, height), model=CameraModel(self.kind))


@dataclass(frozen=True)
class Plan:
    """What Blender's part is going to render; all of the dataset but pixels.

    Attributes:
        views: in the dataset's order. splits: "train", "val", "test" to their indices.
        noise_floor: the middle test view once more with another seed; noise_floor_of is that view's index.
        noise_ladder: that view again with 1, 2, 4 ... samples.
        bounds: [2][3] of everything that renders. objects, classes, materials: as in `DatasetHeader`.
        keypoints: `ObjectLabels.keypoint_table`.
        passes: the dataset's name of each pass to its name in the EXRs, "" when it is made of others.
        device: what renders, for people. view_transform: without its arrays.
    """

    views: list[PlannedView]
    splits: dict[str, list[int]]
    noise_floor: PlannedView | None
    noise_floor_of: int | None
    resolution: tuple[int, int]
    film: str
    bounds: list[list[float]]
    objects: list[dict[str, Any]]
    passes: dict[str, str]
    scene_name: str
    scene_hash: str
    scene_bytes: int
    blender_version: str
    unit_scale: float
    device: str
    view_transform: dict[str, Any]
    configuration: dict[str, Any]
    noise_ladder: list[PlannedView] = field(default_factory=list)
    keypoints: list[dict[str, Any]] = field(default_factory=list)
    classes: list[dict[str, Any]] = field(default_factory=list)
    materials: list[dict[str, Any]] = field(default_factory=list)

    @cached_property
    def is_seen_by_pinholes(self) -> bool:
        """Whether every view's lens draws something at every pixel."""
        return all(view.camera(self.resolution).model.is_pinhole for view in self.views)

    @property
    def work(self) -> list[PlannedView]:
        """All that is rendered, in the order of rendering."""
        return [*self.views, *([self.noise_floor] if self.noise_floor else []), *self.noise_ladder]


def staging_folder(output: str | os.PathLike[str]) -> Path:
    """The folder beside a dataset in which its views are staged."""
    return Path(output).with_suffix(".views")


def view_seed(seed: int, what: object) -> int:
    """Cycles' seed of one view: the same on every machine, and unrelated between views."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{what}".encode()).digest()[:4], "little") & 0x7FFFFFFF


def ladder_samples(reference: int, total: int) -> list[int]:
    """Samples per pixel of the noise ladder's rungs: 1, 2, 4 ... below `reference`, as far as LADDER_SHARE goes.

    Args:
        reference: samples per pixel of the view that the rungs are held against.
        total: of all views together.
    """
    rungs: list[int] = []
    samples = 1
    while samples < reference and sum(rungs) + samples <= LADDER_SHARE * total:
        rungs.append(samples)
        samples *= 2
    return rungs


def with_key(view: PlannedView, common: dict[str, Any]) -> PlannedView:
    """The view with its key, from its own fields and from `common` (scene, resolution, Blender, device ...)."""
    known = {**vars(view), "recipe": RECIPE, "common": common}
    del known["key"], known["name"]
    key = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()
    return replace(view, key=key)


def write_plan(folder: Path, plan: Plan, view_transform: ViewTransform) -> None:
    """Write the plan and the arrays of the view transform that it names.

    Raises:
        UserError: the folder cannot be written.
    """
    with atomic_path(folder / "view_transform.npz") as temporary, open(temporary, "wb") as file:
        np.savez(file, allow_pickle=False, **view_transform.arrays())
    # asdict would copy all poses of ten thousand views number by number
    as_json = {one.name: getattr(plan, one.name) for one in fields(Plan)}
    as_json["views"] = [vars(view) for view in plan.views]
    as_json["noise_floor"] = None if plan.noise_floor is None else vars(plan.noise_floor)
    as_json["noise_ladder"] = [vars(rung) for rung in plan.noise_ladder]
    write_json(folder / "plan.json", {"format": FORMAT, "version": VERSION, **as_json})


def read_plan(folder: Path) -> Plan:
    """The plan in a staging folder.

    Raises:
        UserError: there is none, or it is no plan of ours.
    """
    try:
        data = json.loads((folder / "plan.json").read_text("utf-8"))
        if data.pop("format") != FORMAT or data.pop("version") not in (1, VERSION):
            raise ValueError("another format")
        data["views"] = [PlannedView(**view) for view in data["views"]]
        if data["noise_floor"] is not None:
            data["noise_floor"] = PlannedView(**data["noise_floor"])
        data["noise_ladder"] = [PlannedView(**rung) for rung in data.get("noise_ladder", [])]
        data["resolution"] = tuple(data["resolution"])
        return Plan(**data)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{folder} holds no plan of views ({error}); render again") from error


def read_view_transform(folder: Path, plan: Plan) -> ViewTransform:
    """The view transform that was baked with the plan.

    Raises:
        UserError: its arrays are missing or damaged.
    """
    try:
        if "stages" in plan.view_transform:
            with np.load(folder / "view_transform.npz", allow_pickle=False) as file:
                arrays = dict(file)
        else:
            arrays = {"lut": np.load(folder / "view_transform.npy", allow_pickle=False)}
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{folder} holds no view transform ({error}); render again") from error
    return ViewTransform.from_metadata(plan.view_transform, arrays)


def write_record(folder: Path, view: PlannedView, seconds: float, truth_seconds: float = 0.0) -> None:
    """Say that a view is done, after its files are in place.

    Args:
        seconds: that its light took. truth_seconds: that depth, normal and object index took.

    Raises:
        UserError: the folder cannot be written.
    """
    files = {name: sha256_of_file(folder / name) for name in view.files}
    record = {"key": view.key, "seconds": seconds, "truth_seconds": truth_seconds, "files": files}
    write_json(folder / f"{view.name}.json", record)


def read_record(folder: Path, view: PlannedView) -> dict[str, Any] | None:
    """The record of a view that is done (key, seconds, truth_seconds, files), else None."""
    try:
        record = json.loads((folder / f"{view.name}.json").read_text("utf-8"))
        hashes = {name: sha256_of_file(folder / name) for name in view.files}
        complete = record["key"] == view.key and record["files"] == hashes and record["seconds"] >= 0
    except (OSError, ValueError, KeyError, TypeError, RecursionError, UserError):
        return None
    return dict(record) if complete else None


def missing_views(folder: Path, plan: Plan) -> list[PlannedView]:
    """What is still to be rendered, in order."""
    return [view for view in plan.work if read_record(folder, view) is None]


def anything_done(folder: Path) -> bool:
    """Whether there is a view that a later run may keep."""
    return any(folder.glob("view_*.json"))


def remove_staging(folder: Path, names: Sequence[str] = ("view_", "noise_", "plan.json", "render.log")) -> None:
    """Remove what we put into the folder, and the folder when nothing else is in it."""
    for path in folder.iterdir():
        if path.name.lstrip(".").startswith(tuple(names)):
            path.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()
