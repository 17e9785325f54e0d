# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that reads a file which may come from anybody: a sound file to begin with, and the reading of it."""

from __future__ import annotations

import io
import json
import runpy
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np

from radiance_twin.core.bake.bricks import from_arrays
from radiance_twin.core.camera_file import read_camera, read_cameras
from radiance_twin.core.colour import standard_view_transform
from radiance_twin.core.comparison.costs import training_of
from radiance_twin.core.comparison.error_points import ErrorPoints, read_error_points, write_error_points
from radiance_twin.core.dataset.checksums import ATTRIBUTE, read_attributes
from radiance_twin.core.dataset.readers import colmap, nerf, nerfstudio, ngp
from radiance_twin.core.dataset.readers.pictures import check_picture, read_depth, read_grey, read_picture
from radiance_twin.core.dataset.readers.posed import Problems, Unsound
from radiance_twin.core.dataset.staging import Plan, PlannedView, read_plan, read_view_transform, write_plan
from radiance_twin.core.dataset.store import open_dataset
from radiance_twin.core.errors import UserError
from radiance_twin.core.field.model import FieldConfig, RadianceField, config_metadata, field_arrays
from radiance_twin.core.field.occupancy import occupancy_bits
from radiance_twin.core.field.render import load_field
from radiance_twin.core.rendering.configuration_file import configuration_text, read_configuration
from radiance_twin.core.twin_file import SUMS, read_twin, write_twin
from radiance_twin.core.view import view_transform_of

CORE_TESTS = Path(__file__).resolve().parent.parent / "core"
FOREIGN = SimpleNamespace(**runpy.run_path(str(CORE_TESTS / "foreign_datasets.py")))
SCENE = SimpleNamespace(**runpy.run_path(str(CORE_TESTS / "analytic_scene.py")))

OPENCV = (50, 50, 20, 15, 0, 0, 0, 0)  # fx fy cx cy and no distortion
# what a reader may say of a file that it does not take
REFUSALS = (UserError, Unsound)


@dataclass(frozen=True)
class Reader:
    """One reader.

    Attributes:
        name: in tables, and of its folder of corpora.
        file: the name of what is fuzzed.
        make: puts a sound dataset into a folder, with that file in it.
        read: reads all that anybody uses of the folder; raises one of REFUSALS when it does not take it.
    """

    name: str
    file: str
    make: Callable[[Path], object]
    read: Callable[[Path], object]


def _write_earlier_dataset(folder: Path) -> None:
    """As they were before they had checksums: what is spoilt in it gets farther."""
    SCENE.write(folder / "sealed.h5", views=2, size=8)
    with h5py.File(folder / "sealed.h5") as sealed, h5py.File(folder / "scene.h5", "w") as file:

        def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Dataset):
                file.create_dataset(name, data=item[()], chunks=item.chunks if item.ndim > 2 else None)
            attributes = {key: value for key, value in read_attributes(item).items() if key != ATTRIBUTE}
            file.require_group(name).attrs.update(attributes) if isinstance(item, h5py.Group) else None

        copy("/", sealed)
        sealed.visititems(copy)


def _dataset(folder: Path) -> None:
    with open_dataset(folder / "scene.h5") as dataset:
        for index in range(dataset.count):
            for name in dataset.passes:
                dataset.pixels(name, index)
            dataset.camera(index)
            dataset.sha256(index)
        _ = dataset.noise_floor, dataset.noise_ladder, dataset.labels


def _twin(folder: Path) -> None:
    twin = read_twin(folder / "scene.twin")
    _ = twin.bounds, twin.training_history, training_of(twin)
    from_arrays(twin.arrays, twin.metadata)
    view_transform_of(twin)
    load_field(twin, "cpu")


def _write_twin(folder: Path) -> None:
    density = np.zeros((8, 8, 8), np.float16)
    density[2:5, 2:5, 2:5] = 30.0
    config = FieldConfig(levels=2, base_resolution=2, finest_resolution=4, log2_table_size=4, hidden=16)
    view_transform = standard_view_transform()
    metadata = {
        "world_from_field": np.eye(4).tolist(),
        "bake": {"kind": "grid"},
        "bounds": [[0, 0, 0], [1, 1, 1]],
        "model": config_metadata(config),
        "march": {"step": 0.1, "occupancy_resolution": 8},
        "view_transform": view_transform.to_metadata(),
        "training": {"seconds": 3.0, "stages": {"baking": 1.0}, "views": [{"psnr": 20.0}], "history": [[1.0, 15.0]]},
    }
    arrays = {
        "bake/density": density,
        "bake/colour": np.full((8, 8, 8, 3), 0.5, np.float16),
        **field_arrays(RadianceField(config)),
        **occupancy_bits(density > 0.0),
        **{f"view_transform/{name}": array for name, array in view_transform.arrays().items()},
    }
    write_twin(folder / "scene.twin", metadata, arrays)


def _write_earlier_twin(folder: Path) -> None:
    """As they were before they had checksums, likewise."""
    _write_twin(folder)
    with zipfile.ZipFile(folder / "scene.twin") as sealed:
        members = {name: sealed.read(name) for name in sealed.namelist()}
    words = json.loads(members["twin.json"])
    del words[SUMS]
    with zipfile.ZipFile(folder / "scene.twin", "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in {**members, "twin.json": json.dumps(words).encode()}.items():
            file.writestr(name, content)


def _posed(reader: Any) -> Callable[[Path], None]:
    def read(folder: Path) -> None:
        for image in reader.read(folder, None, Problems(lambda line: None)).images:
            assert image.path.resolve().is_relative_to(folder.resolve()), "a path has left its folder"
            assert np.isfinite(image.camera_to_world).all()

    return read


def _picture(ending: str) -> tuple[Callable[[Path], None], Callable[[Path], None]]:
    def make(folder: Path) -> None:
        import cv2
        import OpenEXR

        image, path = FOREIGN.picture(alpha=False)[:12, :16], folder / f"a.{ending}"
        if ending == "npy":
            np.save(path, image[..., 0])
        elif ending == "exr":
            with OpenEXR.File({"type": OpenEXR.scanlineimage}, {"RGB": image.astype(np.float32)}) as file:
                file.write(str(path))
        else:
            cv2.imwrite(str(path), image.astype(np.float32) if ending == "hdr" else image)

    def read(folder: Path) -> None:
        # a picture of colours is no depth, and the other way round
        refusals: list[Exception] = []
        for use in (check_picture, read_picture, read_grey, read_depth):
            try:
                use(folder / f"a.{ending}")
            except REFUSALS as error:
                refusals.append(error)
        if len(refusals) == 4:
            raise refusals[0]

    return make, read


def _write_cameras(folder: Path) -> None:
    camera = {"camera_to_world": np.eye(4).tolist(), "intrinsics": [9.0, 9.0, 4.0, 4.0], "size": [8, 8], "frame": 1}
    (folder / "cameras.json").write_text(json.dumps({"cameras": [camera, camera]}))
    (folder / "camera.json").write_text(json.dumps(camera))


def _write_points(folder: Path) -> None:
    ones, ways = np.ones(5, np.float32), np.ones((5, 3), np.float32)
    write_error_points(folder / "errors.npz", ErrorPoints(ways, ways, ones, ones, ones.astype(np.uint16), ones))


def _write_plan(folder: Path) -> None:
    view = PlannedView("view_000000", 1, np.eye(4).tolist(), [9.0, 9.0, 4.0, 4.0], {"lens": 50.0}, 4, True, 7)
    view_transform = standard_view_transform()
    plan = Plan(
        views=[view, view],
        splits={"train": [0], "val": [], "test": [1]},
        noise_floor=view,
        noise_floor_of=1,
        resolution=(8, 8),
        film="transparent",
        bounds=[[-1.0, -1.0, 0.0], [1.0, 1.0, 1.0]],
        objects=[{"index": 3, "name": "Teapot", "bounds": [[-1.0, -1.0, 0.0], [1.0, 1.0, 1.0]]}],
        passes={"depth": "Depth"},
        scene_name="tea",
        scene_hash="abc",
        scene_bytes=1234,
        blender_version="5.2.3",
        unit_scale=1.0,
        device="CPU",
        view_transform=view_transform.to_metadata(),
        configuration={"rig": "sphere"},
        noise_ladder=[view],
    )
    write_plan(folder, plan, view_transform)


def _plan(folder: Path) -> None:
    read_view_transform(folder, read_plan(folder))


READERS = [
    Reader("dataset", "scene.h5", lambda folder: SCENE.write(folder / "scene.h5", views=2, size=8), _dataset),
    Reader("dataset_without_checksums", "scene.h5", _write_earlier_dataset, _dataset),
    Reader("twin", "scene.twin", _write_twin, _twin),
    Reader("twin_without_checksums", "scene.twin", _write_earlier_twin, _twin),
    Reader("nerf", "transforms_train.json", FOREIGN.write_nerf, _posed(nerf)),
    Reader("ngp", "transforms.json", lambda folder: FOREIGN.write_transforms(folder, count=2), _posed(ngp)),
    Reader(
        "nerfstudio", "transforms.json", lambda folder: FOREIGN.write_transforms(folder, count=2), _posed(nerfstudio)
    ),
    *(
        Reader(f"colmap_{name}_{kind}", f"sparse/0/{name}.{ending}", make, _posed(colmap))
        for kind, ending, make in (
            ("binary", "bin", lambda folder: FOREIGN.write_colmap_binary(folder, "OPENCV", OPENCV, 3, 8)),
            ("text", "txt", lambda folder: FOREIGN.write_colmap_text(folder, "PINHOLE", (50, 50, 20, 15), 2)),
        )
        for name in ("cameras", "images", "points3D")
    ),
    *(
        Reader(ending, f"a.{ending}", *_picture(ending))
        for ending in ("png", "jpg", "tiff", "webp", "exr", "hdr", "npy")
    ),
    Reader("camera", "camera.json", _write_cameras, lambda folder: read_camera(str(folder / "camera.json"))),
    Reader("cameras", "cameras.json", _write_cameras, lambda folder: read_cameras(str(folder / "cameras.json"))),
    Reader(
        "settings",
        "render.toml",
        lambda folder: (folder / "render.toml").write_text(configuration_text({})),
        lambda folder: read_configuration(folder / "render.toml"),
    ),
    Reader("error_points", "errors.npz", _write_points, lambda folder: read_error_points(folder / "errors.npz")),
    Reader("plan", "plan.json", _write_plan, _plan),
]
BY_NAME = {reader.name: reader for reader in READERS}


def npy(array: np.ndarray) -> bytes:
    """An array as the bytes of a .npy file."""
    data = io.BytesIO()
    np.save(data, array, allow_pickle=False)
    return data.getvalue()
