# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a dataset: one .h5 file of posed views."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..cameras import Camera
from ..colour import ViewTransform
from ..errors import UserError
from ..lenses import KINDS, NO_DISTORTION, CameraModel, Kind
from ..passes import PASSES
from ..rendering.covers import SPLITS
from .checksums import attributes_are_sound, hash_of_passes, read_attributes
from .contents import FORMAT, MOST_PIXELS, VERSION, ViewPixels
from .labels import LABELS, ObjectLabels, shapes_of_labels
from .run_lengths import Runs, mask_of, split_runs
from .walk import require_walkable

MOST_VIEWS = 1_000_000
LARGEST_SIDE = 65536
MOST_RUNGS = 32
# what can be done without, in words
EXTRAS = {"labels": "the labels", "noise_floor": "the second seed's picture", "noise_ladder": "the noise ladder"}


def open_dataset(path: str | os.PathLike[str], skip_damaged: Callable[[str], None] | None = None) -> Dataset:
    """Open a dataset for reading.

    Args:
        skip_damaged: reads all views first, takes those that are damaged out of the splits, and is told of each.

    Raises:
        UserError: missing, empty, truncated, foreign, of a newer version, or inconsistent.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path} does not exist; render or import it first, or check the path")
    if path.is_dir():
        raise UserError(f"{path} is a folder, not a dataset; name the .h5 file")
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty; render it again")
    try:
        require_walkable(path)
        file = h5py.File(path, "r")
    except OSError as error:
        wrong = "is not a complete .h5 file; render it again or fetch it again"
        raise UserError(f"{path} {wrong if path.suffix == '.h5' else 'is no dataset; name an .h5 file'}") from error
    try:
        dataset = Dataset(path, file)
        if skip_damaged is not None:
            dataset.skip_damaged(skip_damaged)
        return dataset
    except UserError:
        file.close()
        raise
    except (KeyError, ValueError, TypeError, OSError, RuntimeError, RecursionError) as error:
        file.close()
        raise UserError(f"{path} is damaged ({error}); render it again or fetch it again") from error


class Dataset:
    """An open dataset; close it, or use it as a context manager. The fields are those of `DatasetHeader`.

    `file` is the .h5 itself, for whoever needs what has no method here.
    """

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path = path
        self.file = file
        self._left_out: set[str] = set()
        attributes = read_attributes(file)
        if attributes.get("format") != FORMAT:
            raise UserError(f"{path} is an .h5 file of another kind, not a Radiance Twin dataset; import it first")
        if int(attributes["version"]) > VERSION:
            raise UserError(f"{path} was made by a newer Radiance Twin; update yours")
        if not attributes_are_sound(file):
            raise UserError(f"{path} is damaged (its attributes); render it again or fetch it again")
        self.camera_to_world: NDArray[np.float64] = _small(file, "cameras/camera_to_world", 3)
        self.count = len(self.camera_to_world)
        self.intrinsics: NDArray[np.float64] = _small(file, "cameras/intrinsics", 2)
        self.size: NDArray[np.int32] = _small(file, "cameras/size", 2)
        self.frame: NDArray[np.int32] = _small(file, "cameras/frame", 1)
        self.camera_kind: Kind = read_attributes(file["cameras"]).get("model", "opencv")
        bent = "cameras/distortion" in file
        self.distortion = _small(file, "cameras/distortion", 2) if bent else np.tile(NO_DISTORTION, (self.count, 1))
        self.splits: dict[str, NDArray[np.int64]] = {
            name: np.asarray(_small(file, f"splits/{name}", 1), np.int64) for name in SPLITS
        }
        self.world_from_field = np.asarray(attributes["world_from_field"], np.float64)
        self.bounds = np.asarray(attributes["bounds"], np.float64)
        self.background = np.asarray(attributes["background"], np.float32)
        self.film = str(attributes["film"])
        self.scene_name = str(attributes["scene_name"])
        self.scene_hash = str(attributes["scene_hash"])
        self.scene_bytes = int(attributes["scene_bytes"])
        self.blender_version = str(attributes["blender_version"])
        self.seed = int(attributes["seed"])
        self.unit_scale = float(attributes["unit_scale"])
        self.configuration: dict[str, Any] = json.loads(str(attributes["configuration"]))
        tables = read_attributes(file["objects"])
        self.objects: list[dict[str, Any]] = json.loads(str(tables["table"]))
        self.classes: list[dict[str, Any]] = json.loads(str(tables.get("classes", "[]")))
        self.materials: list[dict[str, Any]] = json.loads(str(tables.get("materials", "[]")))
        group = file["view_transform"]
        arrays = {name: _small(file, f"view_transform/{name}", None, limit=32 << 20) for name in group}
        try:
            self.view_transform = ViewTransform.from_metadata(read_attributes(group), arrays)
        except UserError as error:
            raise UserError(f"{path} is damaged: {error}") from error
        self.seconds: NDArray[np.float64] = _small(file, "views/seconds", 1)
        self.samples: NDArray[np.int32] = _small(file, "views/samples", 1)
        timed = "views/truth_seconds" in file
        self.truth_seconds = _small(file, "views/truth_seconds", 1) if timed else np.zeros_like(self.seconds)
        self._check()

    def __enter__(self) -> Dataset:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    @property
    def has_depth(self) -> bool:
        """Whether there is depth at all."""
        return "views/depth" in self.file

    @property
    def depth_complete(self) -> bool:
        """Whether a depth of 0 always means that nothing was hit. In imported datasets it may also be unknown."""
        return bool(self.file["views/depth"].attrs.get("complete", True)) if self.has_depth else False

    @property
    def passes(self) -> list[str]:
        """Names of what every view holds: "rgba", and what there is of the others in core/passes.py."""
        return sorted(
            name for name, array in self.file["views"].items() if isinstance(array, h5py.Dataset) and array.ndim >= 3
        )

    @property
    def all_pinholes(self) -> bool:
        """Whether every view is a plain perspective."""
        return self.camera_kind == "opencv" and not self.distortion.any()

    def camera(self, index: int) -> Camera:
        """The camera of a view."""
        width, height = (int(side) for side in self.size[index])
        model = CameraModel(self.camera_kind, tuple(self.distortion[index].tolist()))
        return Camera(self.camera_to_world[index], self.intrinsics[index], (width, height), model=model)

    def rgba(self, index: int) -> NDArray[np.float32]:
        """[H, W, 4] float32 scene-linear, premultiplied."""
        return np.asarray(self.pixels("rgba", index), np.float32)

    def depth(self, index: int) -> NDArray[np.float32]:
        """[H, W] float32 depth as `camera` means it, 0 where nothing was hit (all 0 without that pass); see
        `depth_complete`."""
        return np.asarray(self.pixels("depth", index), np.float32)

    def normal(self, index: int) -> NDArray[np.float32]:
        """[H, W, 3] float32 unit normals in world space, 0 on a miss (all 0 without that pass)."""
        return np.asarray(self.pixels("normal", index), np.float32)

    def object_index(self, index: int) -> NDArray[np.uint16]:
        """[H, W] uint16, 0 = background (all 0 without that pass)."""
        return np.asarray(self.pixels("object_index", index), np.uint16)

    def valid(self, index: int) -> NDArray[np.bool_]:
        """[H, W] bool, which pixels are to be trained on and compared (all of them without that pass)."""
        if "views/valid" not in self.file:
            width, height = (int(n) for n in self.size[index])
            return np.ones((height, width), np.bool_)
        return self.pixels("valid", index).astype(np.bool_)

    @cached_property
    def labels(self) -> ObjectLabels | None:
        """What is known of each of `objects` in each view; None without labels."""
        if "labels" not in self.file or "labels" in self._left_out:
            return None
        group = self.file["labels"]
        with self._reading(EXTRAS["labels"]):
            table = json.loads(str(read_attributes(group)["keypoints"]))
            shapes = shapes_of_labels(self.count, len(self.objects), len(table))
            arrays = {
                name: _small(self.file, f"labels/{name}", len(shape), limit=4 << 30).astype(LABELS[name])
                for name, shape in shapes.items()
            }
            owners = [int(keypoint["object"]) for keypoint in table if str(keypoint["name"])]
            masks = self._amodal_masks() if "amodal_runs" in group else None
            fits = all(arrays[name].shape == shape for name, shape in shapes.items())
            if not fits or any(not 0 <= owner < len(self.objects) for owner in owners):
                raise ValueError("labels do not fit its objects")
            return ObjectLabels(**arrays, keypoint_table=table, amodal_masks=masks)

    def amodal_mask(self, index: int, place: int) -> NDArray[np.bool_] | None:
        """[H, W] the pixels of a view that would show the object at `place` of the table if it were alone; None where
        that is not known.

        Raises:
            UserError: the file is damaged.
        """
        labels = self.labels
        if labels is None or labels.amodal_masks is None or not labels.amodal_pixels[index, place]:
            return None
        runs = labels.amodal_masks[index].get(place)
        if runs is None:
            return self.object_index(index) == self.objects[place]["index"]
        try:
            return mask_of(runs, self.camera(index).size)
        except ValueError as error:
            raise UserError(f"{self.path} is damaged ({error}); render it again or fetch it again") from error

    def _amodal_masks(self) -> list[dict[int, Runs]]:
        """As `ObjectLabels` has them.

        Raises:
            ValueError, KeyError, OSError: the file is damaged.
        """
        runs = _small(self.file, "labels/amodal_runs", 1, limit=4 << 30).astype(np.uint32)
        counts = _small(self.file, "labels/amodal_run_counts", 2, limit=4 << 30).astype(np.int64)
        if counts.shape != (self.count, len(self.objects)):
            raise ValueError("its masks do not fit its objects")
        parts = np.split(runs, np.cumsum(counts.sum(axis=1))[:-1])
        return [split_runs(part, of_view) for part, of_view in zip(parts, counts, strict=True)]

    def pixels(self, name: str, index: int) -> NDArray[Any]:
        """Any pass of core/passes.py as it is stored, [H, W] or [H, W, channels]; all 0 without that pass."""
        width, height = (int(n) for n in self.size[index])
        with self._reading(f"{name} of view {index}"):
            if f"views/{name}" in self.file:
                return np.asarray(self.file[f"views/{name}"][index, :height, :width])
        kind = PASSES[name]
        return np.zeros((height, width, kind.channels) if kind.channels else (height, width), kind.dtype)

    def sha256(self, index: int) -> str:
        """Hexadecimal, of a view's passes; see `view_hash`."""
        with self._reading(f"the checksum of view {index}"):
            return bytes(self.file["views/sha256"][index]).decode("ascii")

    @property
    def noise_floor(self) -> tuple[int, NDArray[np.float32]] | None:
        """A test view's index and its pixels [H, W, 4] with another seed, when it was rendered twice."""
        if "noise_floor/rgba" not in self.file or "noise_floor" in self._left_out:
            return None
        with self._reading(EXTRAS["noise_floor"]):
            pixels = self.file["noise_floor/rgba"]
            view = int(pixels.attrs["view"])
            width, height = (int(n) for n in self.size[view])
            if pixels.shape != (height, width, 4):
                raise ValueError("it has another size")
            return view, np.asarray(pixels[...], np.float32)

    @property
    def noise_ladder(self) -> list[ViewPixels]:
        """The light of the noise floor's view with fewer samples, the fewest first; empty when it was not rendered."""
        floor = self.noise_floor
        if floor is None or "noise_ladder/rgba" not in self.file or "noise_ladder" in self._left_out:
            return []
        with self._reading(EXTRAS["noise_ladder"]):
            samples, seconds = (_small(self.file, f"noise_ladder/{name}", 1) for name in ("samples", "seconds"))
            pixels = self.file["noise_ladder/rgba"]
            fits = pixels.shape == (len(samples), *floor[1].shape) and len(samples) <= MOST_RUNGS
            if not fits or len(seconds) != len(samples) or not np.isfinite(seconds).all():
                raise ValueError("its arrays do not fit each other")
            return [
                ViewPixels(np.asarray(rung, np.float32), seconds=float(took), samples=int(count))
                for rung, took, count in zip(pixels[...], seconds, samples, strict=True)
            ]

    def damaged_views(self) -> Iterator[tuple[int, str]]:
        """Each view that cannot be read, or is not what was written, and what of it. Reads everything."""
        for index in range(self.count):
            try:
                passes = {name: self.pixels(name, index) for name in self.passes}
                written = self.sha256(index)
            except UserError as error:
                yield index, str(error).partition(";")[0]
            else:
                if hash_of_passes(passes) != written:
                    yield index, f"{self.path} is damaged (view {index} is not what was written)"

    def damaged_extras(self) -> Iterator[str]:
        """Which of EXTRAS cannot be read; who leaves one out asks on then."""
        for name in EXTRAS:
            try:
                getattr(self, name)
            except UserError:
                yield name

    def skip_damaged(self, tell: Callable[[str], None]) -> None:
        """Take damaged views out of the splits and do without damaged extras, with a line for each."""
        for index, what in self.damaged_views():
            tell(f"Note: {what}; it is left out")
            self.splits = {name: indices[indices != index] for name, indices in self.splits.items()}
        for name in self.damaged_extras():
            tell(f"Note: {self.path} is damaged ({EXTRAS[name]}); it is left out")
            self._left_out.add(name)

    @contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError, ValueError, KeyError, IndexError, TypeError) as error:
            # ours are ValueErrors; what HDF5 says of its filters helps nobody
            damage = f"{what}: {error}" if isinstance(error, ValueError) else what
            raise UserError(
                f"{self.path} is damaged ({damage}); fetch it again, render it again, or use the rest by --skip-damaged"
            ) from error

    def _check(self) -> None:
        n = self.count
        if not 0 < n <= MOST_VIEWS:
            raise UserError(f"{self.path} holds {n} views; there is nothing to use")
        shapes: dict[str, tuple[NDArray[Any], tuple[int, ...]]] = {
            "camera_to_world": (self.camera_to_world, (n, 4, 4)),
            "intrinsics": (self.intrinsics, (n, 4)),
            "size": (self.size, (n, 2)),
            "distortion": (self.distortion, (n, 6)),
            "frame": (self.frame, (n,)),
            "seconds": (self.seconds, (n,)),
            "truth_seconds": (self.truth_seconds, (n,)),
            "samples": (self.samples, (n,)),
            "world_from_field": (self.world_from_field, (4, 4)),
            "bounds": (self.bounds, (2, 3)),
            "background": (self.background, (3,)),
        }
        for name, (array, shape) in shapes.items():
            if array.shape != shape or not np.isfinite(array).all():
                raise UserError(f"{self.path} is damaged ({name}); render it again or fetch it again")
        if (self.size.astype(np.int64).prod(axis=1) > MOST_PIXELS).any():
            raise UserError(f"{self.path} claims views of absurdly many pixels; it is not used")
        if (self.size < 1).any() or (self.size > LARGEST_SIDE).any() or (self.intrinsics[:, :2] <= 0).any():
            raise UserError(f"{self.path} is damaged (sizes or focal lengths); render it again or fetch it again")
        if self.film not in ("transparent", "world"):
            raise UserError(f"{self.path} has an unknown film {self.film!r}; update Radiance Twin")
        if self.camera_kind not in KINDS:
            raise UserError(f"{self.path} has an unknown kind of camera {self.camera_kind!r}; update Radiance Twin")
        used = np.concatenate([self.splits[name] for name in SPLITS])
        if len(used) and (used.min() < 0 or used.max() >= n or len(np.unique(used)) != len(used)):
            raise UserError(f"{self.path} is damaged (splits overlap or point outside); render it again")
        largest = tuple(int(m) for m in self.size.max(axis=0)[::-1])
        for name, kind in PASSES.items():
            if f"views/{name}" not in self.file and name != "rgba":
                continue
            trailing = (kind.channels,) if kind.channels else ()
            if self.file[f"views/{name}"].shape != (n, *largest, *trailing):
                raise UserError(f"{self.path} is damaged (views/{name} has the wrong shape); render it again")


def _small(file: h5py.File, name: str, dimensions: int | None, limit: int = 512 << 20) -> NDArray[Any]:
    """Read a whole array that has no business to be large."""
    item = file[name]
    if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "fiu":
        raise ValueError(f"{name} is no array of numbers")
    if dimensions is not None and item.ndim != dimensions:
        raise ValueError(f"{name} is no array of {dimensions} dimensions")
    if item.size * item.dtype.itemsize > limit:
        raise ValueError(f"{name} is absurdly large")
    try:
        return np.asarray(item[()])
    except OSError as error:
        raise ValueError(f"{name} cannot be read") from error
