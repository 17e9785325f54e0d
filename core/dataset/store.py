# SPDX-License-Identifier: GPL-3.0-or-later
"""The dataset: one .h5 file of posed views, written complete or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..cameras import Camera
from ..colour import ViewTransform
from ..errors import UserError
from ..files import atomic_path
from .sink import Sink

FORMAT = "radiance-twin-dataset"
# 1: the view transform was one table, view_transform/lut
VERSION = 2
HALF_MAX = 65504.0
MOST_VIEWS = 1_000_000
LARGEST_SIDE = 65536
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class DatasetHeader:
    """All of a dataset but its pixels.

    Attributes:
        camera_to_world: [N, 4, 4] float64, OpenGL axes.
        intrinsics: [N, 4] float64 (fx fy cx cy, pixels).
        size: [N, 2] int32 (width height).
        frame: [N] int32, the scene's frame of each view.
        splits: "train", "val", "test" to disjoint view indices.
        world_from_field: [4, 4] float64.
        bounds: [2, 3] float64, of everything that renders, world units.
        background: [3] scene-linear, what transparent views are composited over.
        film: "transparent" or "world".
        configuration: the settings that made it.
        view_transform: baked by Blender.
        objects: dictionaries with index, name, bounds.
        scene_name, scene_hash, scene_bytes: of the .blend.
    """

    camera_to_world: NDArray[np.float64]
    intrinsics: NDArray[np.float64]
    size: NDArray[np.int32]
    frame: NDArray[np.int32]
    splits: dict[str, list[int]]
    world_from_field: NDArray[np.float64]
    bounds: NDArray[np.float64]
    film: str
    view_transform: ViewTransform
    background: tuple[float, float, float] = (0.0, 0.0, 0.0)
    configuration: dict[str, Any] = field(default_factory=dict)
    objects: list[dict[str, Any]] = field(default_factory=list)
    scene_name: str = ""
    scene_hash: str = ""
    scene_bytes: int = 0
    blender_version: str = ""
    seed: int = 0
    unit_scale: float = 1.0


@dataclass(frozen=True)
class ViewPixels:
    """The passes of one view, row 0 at the top.

    Attributes:
        rgba: [H, W, 4] float32 scene-linear, premultiplied.
        depth: [H, W] float32 planar, 0 where nothing was hit.
        normal: [H, W, 3] float32 world-space, unit, 0 on a miss.
        object_index: [H, W] uint16, 0 = background.
        valid: [H, W] bool, which pixels are to be trained on and compared; None: all of them.
        depth_complete: whether a depth of 0 always means that nothing was hit; otherwise it may be unknown.
        seconds: that rendering the light took. samples: per pixel.
        truth_seconds: that rendering depth, normals and object indices took.
    """

    rgba: NDArray[np.float32]
    depth: NDArray[np.float32] | None = None
    normal: NDArray[np.float32] | None = None
    object_index: NDArray[np.uint16] | None = None
    valid: NDArray[np.bool_] | None = None
    depth_complete: bool = True
    seconds: float = 0.0
    samples: int = 0
    truth_seconds: float = 0.0


def write_dataset(
    path: str | os.PathLike[str],
    header: DatasetHeader,
    views: Iterable[ViewPixels],
    noise_floor: tuple[int, NDArray[np.float32]] | None = None,
    noise_ladder: Sequence[ViewPixels] = (),
) -> None:
    """Write a dataset, one view at a time, complete or not at all.

    Args:
        views: in the header's order; taken one by one, so that memory stays flat. All have the same passes.
        noise_floor: a test view's index and its pixels [H, W, 4] rendered with another seed.
        noise_ladder: the light of that same view rendered with fewer samples, the fewest first.

    Raises:
        UserError: the file cannot be written.
        ValueError: header and views do not fit each other.
    """
    count = len(header.size)
    largest = tuple(int(n) for n in header.size.max(axis=0)[::-1])
    with atomic_path(path) as temporary, Sink(temporary) as sink, h5py.File(sink, "w", track_order=False) as file:
        _write_header(file, header)
        arrays: dict[str, h5py.Dataset] = {}
        seconds, samples, hashes = np.zeros((2, count)), np.zeros(count, np.int32), []
        done, depth_complete = 0, True
        for index, view in enumerate(views):
            if index >= count:
                raise ValueError(f"more views than the {count} in the header")
            passes = _encode(view)
            if passes["rgba"].shape[:2] != tuple(header.size[index][::-1]):
                raise ValueError(f"view {index} is {passes['rgba'].shape[:2]}, the header says {header.size[index]}")
            if index and passes.keys() != arrays.keys():
                raise ValueError(f"view {index} has other passes than those before it")
            depth_complete &= view.depth_complete
            hashes.append(_hash_of_passes(passes))
            for name, pixels in passes.items():
                if name not in arrays:
                    shape = (*largest, *pixels.shape[2:])
                    arrays[name] = file.create_dataset(
                        f"views/{name}",
                        shape=(count, *shape),
                        dtype=pixels.dtype,
                        chunks=(1, *shape),
                        compression="gzip",
                        compression_opts=1,
                        shuffle=True,
                    )
                arrays[name][index, : pixels.shape[0], : pixels.shape[1]] = pixels
            seconds[:, index], samples[index] = (view.seconds, view.truth_seconds), view.samples
            done += 1
            sink.check()
        if done != count:
            raise ValueError(f"{done} views for a header of {count}")
        if not depth_complete:
            arrays["depth"].attrs["complete"] = False
        file["views/seconds"], file["views/truth_seconds"] = seconds
        file["views/samples"] = samples
        file["views/sha256"] = np.array(hashes, dtype="S64")
        if noise_floor is not None:
            pixels = file.create_dataset(
                "noise_floor/rgba", data=_half(noise_floor[1]), compression="gzip", shuffle=True
            )
            pixels.attrs["view"] = noise_floor[0]
            if noise_ladder:
                _write_ladder(file, noise_ladder)


def _write_ladder(file: h5py.File, rungs: Sequence[ViewPixels]) -> None:
    pixels = np.stack([_half(rung.rgba) for rung in rungs])
    file.create_dataset("noise_ladder/rgba", data=pixels, compression="gzip", shuffle=True)
    file["noise_ladder/samples"] = np.array([rung.samples for rung in rungs], np.int32)
    file["noise_ladder/seconds"] = np.array([rung.seconds for rung in rungs])


def open_dataset(path: str | os.PathLike[str]) -> Dataset:
    """Open a dataset for reading.

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
        file = h5py.File(path, "r")
    except OSError as error:
        raise UserError(f"{path} is not a complete .h5 file; render it again or fetch it again") from error
    try:
        return Dataset(path, file)
    except UserError:
        file.close()
        raise
    except (KeyError, ValueError, TypeError, OSError, RuntimeError) as error:
        file.close()
        raise UserError(f"{path} is damaged ({error}); render it again or fetch it again") from error


class Dataset:
    """An open dataset; close it, or use it as a context manager. The fields are those of `DatasetHeader`.

    `file` is the .h5 itself, for whoever needs what has no method here.
    """

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path = path
        self.file = file
        attributes = file.attrs
        if attributes.get("format") != FORMAT:
            raise UserError(f"{path} is an .h5 file of another kind, not a Radiance Twin dataset; import it first")
        if int(attributes["version"]) > VERSION:
            raise UserError(f"{path} was made by a newer Radiance Twin; update yours")
        self.camera_to_world: NDArray[np.float64] = _small(file, "cameras/camera_to_world", 3)
        self.count = len(self.camera_to_world)
        self.intrinsics: NDArray[np.float64] = _small(file, "cameras/intrinsics", 2)
        self.size: NDArray[np.int32] = _small(file, "cameras/size", 2)
        self.frame: NDArray[np.int32] = _small(file, "cameras/frame", 1)
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
        self.objects: list[dict[str, Any]] = json.loads(str(file["objects"].attrs["table"]))
        group = file["view_transform"]
        arrays = {name: _small(file, f"view_transform/{name}", None, limit=32 << 20) for name in group}
        try:
            self.view_transform = ViewTransform.from_metadata(dict(group.attrs), arrays)
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
        """Names of what every view holds: "rgba", and what there is of depth, normal, object_index, valid."""
        return sorted(
            name for name, array in self.file["views"].items() if isinstance(array, h5py.Dataset) and array.ndim >= 3
        )

    def camera(self, index: int) -> Camera:
        """The camera of a view."""
        width, height = (int(side) for side in self.size[index])
        return Camera(self.camera_to_world[index], self.intrinsics[index], (width, height))

    def rgba(self, index: int) -> NDArray[np.float32]:
        """[H, W, 4] float32 scene-linear, premultiplied."""
        return np.asarray(self._pixels("rgba", index), np.float32)

    def depth(self, index: int) -> NDArray[np.float32]:
        """[H, W] float32 planar depth, 0 where nothing was hit (all 0 without that pass); see `depth_complete`."""
        return np.asarray(self._pixels("depth", index), np.float32)

    def normal(self, index: int) -> NDArray[np.float32]:
        """[H, W, 3] float32 unit normals in world space, 0 on a miss (all 0 without that pass)."""
        return np.asarray(self._pixels("normal", index), np.float32)

    def object_index(self, index: int) -> NDArray[np.uint16]:
        """[H, W] uint16, 0 = background (all 0 without that pass)."""
        return np.asarray(self._pixels("object_index", index), np.uint16)

    def valid(self, index: int) -> NDArray[np.bool_]:
        """[H, W] bool, which pixels are to be trained on and compared (all of them without that pass)."""
        if "views/valid" not in self.file:
            width, height = (int(n) for n in self.size[index])
            return np.ones((height, width), np.bool_)
        return self._pixels("valid", index).astype(np.bool_)

    def sha256(self, index: int) -> str:
        """Hexadecimal, of a view's passes; see `view_hash`."""
        return bytes(self.file["views/sha256"][index]).decode("ascii")

    @property
    def noise_floor(self) -> tuple[int, NDArray[np.float32]] | None:
        """A test view's index and its pixels [H, W, 4] with another seed, when it was rendered twice."""
        if "noise_floor/rgba" not in self.file:
            return None
        pixels = self.file["noise_floor/rgba"]
        view = int(pixels.attrs["view"])
        width, height = (int(n) for n in self.size[view])
        if pixels.shape != (height, width, 4):
            raise UserError(f"{self.path} is damaged (the second seed's picture has another size); render it again")
        return view, self._read(pixels, ...).astype(np.float32)

    @property
    def noise_ladder(self) -> list[ViewPixels]:
        """The light of the noise floor's view with fewer samples, the fewest first; empty when it was not rendered."""
        floor = self.noise_floor
        if floor is None or "noise_ladder/rgba" not in self.file:
            return []
        samples, seconds = (_small(self.file, f"noise_ladder/{name}", 1) for name in ("samples", "seconds"))
        pixels = self.file["noise_ladder/rgba"]
        if (
            pixels.shape != (len(samples), *floor[1].shape)
            or not np.isfinite(seconds).all()
            or len(seconds) != len(samples)
        ):
            raise UserError(f"{self.path} is damaged (its noise ladder); render it again")
        return [
            ViewPixels(self._read(pixels, number).astype(np.float32), seconds=float(took), samples=int(count))
            for number, (count, took) in enumerate(zip(samples, seconds, strict=True))
        ]

    def _pixels(self, name: str, index: int) -> NDArray[Any]:
        width, height = (int(n) for n in self.size[index])
        if f"views/{name}" not in self.file:
            return np.zeros((height, width, 3) if name == "normal" else (height, width), np.float32)
        return self._read(self.file[f"views/{name}"], (index, slice(0, height), slice(0, width)))

    def _read(self, array: h5py.Dataset, selection: Any) -> NDArray[Any]:
        try:
            return np.asarray(array[selection])
        except OSError as error:
            raise UserError(f"{self.path} is damaged ({array.name}); render it again or fetch it again") from error

    def _check(self) -> None:
        n = self.count
        if not 0 < n <= MOST_VIEWS:
            raise UserError(f"{self.path} holds {n} views; there is nothing to use")
        shapes: dict[str, tuple[NDArray[Any], tuple[int, ...]]] = {
            "camera_to_world": (self.camera_to_world, (n, 4, 4)),
            "intrinsics": (self.intrinsics, (n, 4)),
            "size": (self.size, (n, 2)),
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
        if (self.size < 1).any() or (self.size > LARGEST_SIDE).any() or (self.intrinsics[:, :2] <= 0).any():
            raise UserError(f"{self.path} is damaged (sizes or focal lengths); render it again or fetch it again")
        if self.film not in ("transparent", "world"):
            raise UserError(f"{self.path} has an unknown film {self.film!r}; update Radiance Twin")
        used = np.concatenate([self.splits[name] for name in SPLITS])
        if len(used) and (used.min() < 0 or used.max() >= n or len(np.unique(used)) != len(used)):
            raise UserError(f"{self.path} is damaged (splits overlap or point outside); render it again")
        largest = tuple(int(m) for m in self.size.max(axis=0)[::-1])
        for name, trailing in (("rgba", (4,)), ("depth", ()), ("normal", (3,)), ("object_index", ()), ("valid", ())):
            if f"views/{name}" not in self.file and name != "rgba":
                continue
            if self.file[f"views/{name}"].shape != (n, *largest, *trailing):
                raise UserError(f"{self.path} is damaged (views/{name} has the wrong shape); render it again")


def _write_header(file: h5py.File, header: DatasetHeader) -> None:
    file.attrs.update(
        format=FORMAT,
        version=VERSION,
        scene_name=header.scene_name,
        scene_hash=header.scene_hash,
        scene_bytes=header.scene_bytes,
        blender_version=header.blender_version,
        seed=header.seed,
        configuration=json.dumps(header.configuration, sort_keys=True),
        unit_scale=header.unit_scale,
        world_from_field=np.asarray(header.world_from_field, np.float64),
        bounds=np.asarray(header.bounds, np.float64),
        background=np.asarray(header.background, np.float32),
        film=header.film,
    )
    cameras = file.create_group("cameras")
    cameras["camera_to_world"] = np.asarray(header.camera_to_world, np.float64)
    cameras["intrinsics"] = np.asarray(header.intrinsics, np.float64)
    cameras["size"] = np.asarray(header.size, np.int32)
    cameras["frame"] = np.asarray(header.frame, np.int32)
    cameras["distortion"] = np.zeros((len(header.size), 6))
    cameras.attrs["model"] = "opencv"
    for name in SPLITS:
        file[f"splits/{name}"] = np.asarray(header.splits.get(name, []), np.int64)
    group = file.create_group("view_transform")
    for name, values in header.view_transform.arrays().items():
        group.create_dataset(name, data=values, compression="gzip", shuffle=True)
    group.attrs.update(header.view_transform.to_metadata())
    file.create_group("objects").attrs["table"] = json.dumps(header.objects, sort_keys=True)


def _encode(view: ViewPixels) -> dict[str, NDArray[Any]]:
    passes: dict[str, NDArray[Any]] = {"rgba": _half(view.rgba)}
    if view.depth is not None:
        passes["depth"] = np.asarray(view.depth, np.float32)
    if view.normal is not None:
        passes["normal"] = np.asarray(view.normal, np.float16)
    if view.object_index is not None:
        passes["object_index"] = np.asarray(view.object_index, np.uint16)
    if view.valid is not None:
        passes["valid"] = np.asarray(view.valid, np.uint8)
    return passes


def _half(rgba: NDArray[np.float32]) -> NDArray[np.float16]:
    # a half cannot hold more than 65504, and infinity would poison every sum that follows
    return np.clip(np.nan_to_num(rgba, nan=0.0), -HALF_MAX, HALF_MAX).astype(np.float16)


def view_hash(view: ViewPixels) -> str:
    """The hexadecimal SHA-256 that a dataset keeps of a view's passes as it stores them."""
    return _hash_of_passes(_encode(view)).decode()


def _hash_of_passes(passes: dict[str, NDArray[Any]]) -> bytes:
    digest = hashlib.sha256()
    for name in sorted(passes):
        digest.update(name.encode() + np.ascontiguousarray(passes[name]).tobytes())
    return digest.hexdigest().encode()


def _small(file: h5py.File, name: str, dimensions: int | None, limit: int = 512 << 20) -> NDArray[Any]:
    """Read a whole array that has no business to be large."""
    item = file[name]
    if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "fiu":
        raise ValueError(f"{name} is no array of numbers")
    if dimensions is not None and item.ndim != dimensions:
        raise ValueError(f"{name} is no array of {dimensions} dimensions")
    if item.size * item.dtype.itemsize > limit:
        raise ValueError(f"{name} is absurdly large")
    return np.asarray(item[()])
