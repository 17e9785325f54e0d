# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever bytes or JSON a reader is given: it reads them, or it says in one line why not. Nothing else happens."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from radiance_twin.core.dataset.readers import colmap, nerf, nerfstudio, ngp
from radiance_twin.core.dataset.readers.pictures import check_picture, picture_size, read_depth, read_grey, read_picture
from radiance_twin.core.dataset.readers.posed import Problems, Unsound
from radiance_twin.core.errors import UserError

FOREIGN = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("foreign_datasets.py"))))
OFTEN = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner), max_leaves=8
)
MATRICES = st.lists(st.lists(st.floats() | st.integers(-2, 2), min_size=4, max_size=4), min_size=3, max_size=4)
NAMES = st.sampled_from(["images/000.png", "images/001", "../x.png", "", ".", "/", "images", "\0", "a" * 5000])
TOP = "fl_x fl_y cx cy w h k1 k4 camera_angle_x x_fov camera_model is_fisheye aabb_scale scale offset latlong "
TOP += "integer_depth_scale train_filenames depth_unit_scale_factor"
WORDS = st.sampled_from(TOP.split())
FRAMES = st.fixed_dictionaries(
    {},
    optional={
        "file_path": NAMES | ANYTHING,
        "transform_matrix": MATRICES | ANYTHING,
        "mask_path": NAMES | ANYTHING,
        "depth_file_path": NAMES | ANYTHING,
        "depth_path": NAMES | ANYTHING,
        "fl_x": ANYTHING,
        "k1": ANYTHING,
        "camera_model": ANYTHING,
    },
)
FILES = st.dictionaries(WORDS, ANYTHING, max_size=5).flatmap(
    lambda top: st.lists(FRAMES | ANYTHING, max_size=3).map(lambda frames: {**top, "frames": frames})
)


def read(reader: Any, source: Path) -> None:
    said: list[str] = []
    try:
        found = reader.read(source, None, Problems(said.append))
    except UserError as error:
        said.append(str(error))
    else:
        for image in found.images:
            assert np.isfinite(image.camera_to_world).all() and image.path.is_relative_to(source.resolve())
            assert image.lens.fx > 0 and np.isfinite([image.lens.fx, image.lens.cx, *image.lens.distortion]).all()
    assert not any("\n" in line for line in said)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    FOREIGN.write_transforms(folder, count=2)
    return folder


@OFTEN
@given(data=FILES)
@pytest.mark.parametrize("reader", [ngp, nerfstudio, nerf], ids=["ngp", "nerfstudio", "nerf"])
def test_any_json(reader: Any, data: dict[str, Any], folder: Path) -> None:
    for name in ("transforms.json", "transforms_train.json"):
        (folder / name).write_text(json.dumps(data), encoding="utf-8", errors="replace")
    read(reader, folder)


@OFTEN
@given(start=st.integers(0, 400), bytes_=st.binary(max_size=12), cut=st.integers(0, 400))
@pytest.mark.parametrize("name", ["cameras", "images", "points3D"])
def test_any_change_of_a_binary_model(name: str, start: int, bytes_: bytes, cut: int, model: Path) -> None:
    path = model / "sparse" / "0" / f"{name}.bin"
    whole = path.read_bytes()
    try:
        path.write_bytes((whole[:start] + bytes_ + whole[start + len(bytes_) :])[: len(whole) - cut // 4])
        read(colmap, model)
    finally:
        path.write_bytes(whole)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A binary model written by COLMAP itself."""
    folder: Path = FOREIGN.write_colmap_binary(
        tmp_path_factory.mktemp("fuzz") / "set", "OPENCV", (50, 50, 20, 15, 0, 0, 0, 0), 3, 8
    )
    return folder


@OFTEN
@given(
    lines=st.lists(
        st.text(alphabet="0123456789.-e #PINHOLEnaf\t/", max_size=40)
        | st.lists(st.floats() | st.integers(-9, 99), max_size=12).map(lambda row: " ".join(map(str, row))),
        max_size=5,
    )
)
@pytest.mark.parametrize("name", ["cameras", "images", "points3D"])
def test_any_text_in_a_model(name: str, lines: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp() / f"text {name}"
    if not folder.exists():
        FOREIGN.write_colmap_text(folder, "PINHOLE", (50, 50, 20, 15), 2)
    path = folder / "sparse" / "0" / f"{name}.txt"
    whole = path.read_text()
    try:
        path.write_text("\n".join([*lines, *whole.splitlines()[1:]]))
        read(colmap, folder)
    finally:
        path.write_text(whole)


@OFTEN
@given(start=st.integers(0, 300), bytes_=st.binary(max_size=8), cut=st.integers(0, 60))
@pytest.mark.parametrize("kind", ["png", "jpg", "npy", "hdr", "exr"])
def test_any_picture(kind: str, start: int, bytes_: bytes, cut: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    import cv2
    import OpenEXR

    folder = tmp_path_factory.getbasetemp() / "pictures"
    folder.mkdir(exist_ok=True)
    whole, path = folder / f"whole.{kind}", folder / f"broken.{kind}"
    if not whole.exists():
        image = FOREIGN.picture(alpha=False)
        if kind == "npy":
            np.save(whole, image[..., 0])
        elif kind == "exr":
            with OpenEXR.File({"type": OpenEXR.scanlineimage}, {"RGB": image.astype(np.float32)}) as file:
                file.write(str(whole))
        else:
            cv2.imwrite(str(whole), image.astype(np.float32) if kind == "hdr" else image)
    good = whole.read_bytes()
    path.write_bytes((good[:start] + bytes_ + good[start + len(bytes_) :])[: len(good) - cut])
    for use in (picture_size, check_picture, read_picture, read_grey, read_depth):
        try:
            use(path)
        except Unsound:
            pass
