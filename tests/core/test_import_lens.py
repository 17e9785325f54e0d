# SPDX-License-Identifier: GPL-3.0-or-later
"""Distorted images become those of a pinhole camera: every pixel shows what OpenCV and COLMAP say that it shows."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pycolmap
import pytest

from radiance_twin.core.cameras import project
from radiance_twin.core.dataset.readers.colmap_model import ONE_FOCAL_LENGTH, TWO_FOCAL_LENGTHS, Camera, lens_of
from radiance_twin.core.dataset.readers.lens import undistortion
from radiance_twin.core.dataset.readers.posed import Lens, Unsound
from radiance_twin.core.dataset.store import open_dataset
from radiance_twin.core.importing import ImportSettings, import_dataset
from radiance_twin.core.reporting import QuietReporter

FOREIGN = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("foreign_datasets.py"))))

WIDTH, HEIGHT = 80, 60
FX, FY, CX, CY = 70.0, 72.0, 41.5, 28.25
# of every model that is imported, in COLMAP's order after the focal length and the centre
DISTORTIONS = {
    "SIMPLE_RADIAL": (-0.08,),
    "RADIAL": (-0.1, 0.02),
    "OPENCV": (-0.12, 0.03, 0.004, -0.003),
    "FULL_OPENCV": (-0.12, 0.03, 0.004, -0.003, 0.01, 0.02, -0.01, 0.005),
    "OPENCV_FISHEYE": (-0.02, 0.004, -0.002, 0.001),
    "SIMPLE_RADIAL_FISHEYE": (0.03,),
    "RADIAL_FISHEYE": (0.03, -0.01),
    "SIMPLE_FISHEYE": (),
    "FISHEYE": (),
    "SIMPLE_PINHOLE": (),
    "PINHOLE": (),
}


def parameters(model: str) -> tuple[float, ...]:
    focal = (FX,) if model in ONE_FOCAL_LENGTH else (FX, FY)
    return (*focal, CX, CY, *DISTORTIONS[model])


def drawn_by_the_lens(lens: Lens, pixels: np.ndarray) -> np.ndarray:
    """Where the import takes the pinhole camera's `pixels` [N, 2] from, between pixels too."""
    across, down, _ = undistortion(lens)
    at = (pixels - 0.5).astype(np.float32)[None]
    found = [cv2.remap(one, at[..., 0], at[..., 1], cv2.INTER_LINEAR)[0] for one in (across, down)]
    return np.stack(found, axis=-1) + 0.5


def test_every_model_that_is_imported_is_tested() -> None:
    assert set(DISTORTIONS) == {*ONE_FOCAL_LENGTH, *TWO_FOCAL_LENGTHS}


@pytest.mark.parametrize("model", DISTORTIONS)
def test_known_points_are_where_colmap_sees_them(model: str) -> None:
    camera = pycolmap.Camera(model=model, width=WIDTH, height=HEIGHT, params=parameters(model))
    lens = lens_of(Camera(model, WIDTH, HEIGHT, parameters(model)))
    matrix = FOREIGN.poses(5)[2]
    points = FOREIGN.points()
    w2c = FOREIGN.world_to_camera(matrix)
    expected = camera.img_from_cam(points @ w2c[:3, :3].T + w2c[:3, 3])
    pixels, _ = project(points, matrix, (lens.fx, lens.fy, lens.cx, lens.cy))
    assert np.abs(drawn_by_the_lens(lens, pixels) - expected).max() < 0.05


@pytest.mark.parametrize("fisheye", [False, True])
def test_known_points_are_where_opencv_sees_them(fisheye: bool, tmp_path: Path) -> None:
    """The same by way of a transforms.json, against projectPoints."""
    words: dict[str, Any] = {"k1": -0.1, "k2": 0.02, "p1": 0.003, "p2": -0.002, "k3": 0.01, "k4": 0.0}
    if fisheye:
        words = {"k1": -0.03, "k2": 0.01, "k3": -0.004, "k4": 0.002, "camera_model": "OPENCV_FISHEYE"}
    path = FOREIGN.write_transforms(tmp_path / "set", count=3, **words)
    import_dataset(ImportSettings(str(path), str(tmp_path / "x.h5")), QuietReporter())
    with open_dataset(tmp_path / "x.h5") as dataset:
        for index, matrix in enumerate(FOREIGN.poses(3)):
            w2c = FOREIGN.world_to_camera(matrix)
            turn, shift = cv2.Rodrigues(w2c[:3, :3])[0], w2c[:3, 3]
            centre = np.array([[45.0, 0, 20.0], [0, 47.0, 13.75], [0, 0, 1]])  # OpenCV's pixels: centres at 0
            points = FOREIGN.points()
            if fisheye:
                k = np.array([words[f"k{i}"] for i in (1, 2, 3, 4)])
                expected = cv2.fisheye.projectPoints(points[:, None], turn, shift, centre, k)[0]
                lens = Lens(40, 30, 45, 47, 20.5, 14.25, True, tuple(k))
            else:
                k = np.array([words[name] for name in ("k1", "k2", "p1", "p2", "k3")])
                expected = cv2.projectPoints(points, turn, shift, centre, k)[0]
                lens = Lens(40, 30, 45, 47, 20.5, 14.25, False, tuple(k))
            pixels, _ = project(points, dataset.camera_to_world[index], dataset.intrinsics[index])
            assert np.abs(drawn_by_the_lens(lens, pixels) - 0.5 - expected[:, 0]).max() < 0.05


@pytest.mark.parametrize("fisheye", [False, True])
def test_pixels_show_their_own_direction(fisheye: bool, tmp_path: Path) -> None:
    """A picture whose colours are the directions that the lens drew there, by OpenCV's inverse."""
    k = np.array([-0.05, 0.01, -0.004, 0.002] if fisheye else [-0.1, 0.02, 0.003, -0.002])
    u, v = np.meshgrid(np.arange(WIDTH, dtype=np.float64), np.arange(HEIGHT, dtype=np.float64))
    matrix = np.array([[FX, 0, CX - 0.5], [0, FY, CY - 0.5], [0, 0, 1]])
    undistort = cv2.fisheye.undistortPoints if fisheye else cv2.undistortPoints
    directions = undistort(np.stack([u, v], axis=-1).reshape(-1, 1, 2), matrix, k).reshape(HEIGHT, WIDTH, 2)
    image = np.concatenate([0.5 + 0.5 * directions, np.full((HEIGHT, WIDTH, 1), 0.5)], axis=-1)
    names = ("k1", "k2", "k3", "k4") if fisheye else ("k1", "k2", "p1", "p2")
    words = {**dict(zip(names, k.tolist(), strict=True)), "is_fisheye": fisheye, "aabb_scale": 1}
    words |= {"fl_x": FX, "fl_y": FY, "cx": CX, "cy": CY, "w": WIDTH, "h": HEIGHT}
    path = FOREIGN.write_transforms(tmp_path / "set", count=2, **words)
    for name in ("000", "001"):
        # 16 bits, so that a level is 1/500 of a pixel
        stored = np.rint(image[..., ::-1] * 65535).astype(np.uint16)
        cv2.imwrite(str(path.parent / "images" / f"{name}.png"), stored)
    result = import_dataset(ImportSettings(str(path), str(tmp_path / "x.h5")), QuietReporter())
    assert result["undistorted"] == 2
    with open_dataset(tmp_path / "x.h5") as dataset:
        valid = dataset.valid(0)
        assert valid.mean() > 0.8, "most of the picture is seen"
        linear = dataset.rgba(0)[..., :3]
        srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
        expected = np.stack([(u + 0.5 - CX) / FX, (v + 0.5 - CY) / FY], axis=-1)
        off = (srgb[..., :2] - 0.5) / 0.5 - expected
        # half floats near 0.5 have steps of a fiftieth of a pixel here
        assert (np.abs(off[valid]) * (FX, FY)).max() < 0.1
        # what the lens did not see is known as such
        fx, fy, cx, cy = dataset.intrinsics[0]
        assert (fx, fy, cx, cy) == (FX, FY, CX, CY)


def test_depth_and_masks_go_through_the_same_lens(tmp_path: Path) -> None:
    path = FOREIGN.write_transforms(tmp_path / "set", count=1, k1=-0.2, camera_model="OPENCV")
    depth = np.full((30, 40), 2000, np.uint16)
    depth[:, 20:] = 4000
    mask = np.full((30, 40), 255, np.uint8)
    mask[:15] = 0
    FOREIGN.save(path.parent / "d.png", depth)
    FOREIGN.save(path.parent / "m.png", mask)
    FOREIGN.change_json(path, lambda data: data["frames"][0].update(depth_file_path="d.png", mask_path="m.png"))
    import_dataset(ImportSettings(str(path), str(tmp_path / "x.h5")), QuietReporter())
    with open_dataset(tmp_path / "x.h5") as dataset:
        # the centre, where nothing bends, is at 20.5, 14.25; edges are never averaged
        assert set(np.unique(dataset.depth(0)[dataset.valid(0)])) == {2.0, 4.0}
        assert dataset.depth(0)[15, 19] == 2.0 and dataset.depth(0)[15, 21] == 4.0
        assert not dataset.valid(0)[:14].any() and dataset.valid(0)[16:28].all()


def test_where_a_lens_draws_twice_nothing_is_known() -> None:
    # with k1 -0.5 the drawn radius turns back at a tangent of 0.816
    lens = Lens(200, 200, 80.0, 80.0, 100.0, 100.0, False, (-0.5,))
    seen = undistortion(lens)[2]
    u, v = np.meshgrid(np.arange(200) + 0.5 - 100, np.arange(200) + 0.5 - 100)
    radius = np.hypot(u, v) / 80
    assert seen[radius < 0.81].all() and not seen[radius > 0.82].any()


@pytest.mark.parametrize("model", ["FOV", "THIN_PRISM_FISHEYE", "EUCM", "NO_SUCH_MODEL"])
def test_models_that_are_not_imported_say_so(model: str) -> None:
    with pytest.raises(Unsound, match=model):
        lens_of(Camera(model, WIDTH, HEIGHT, (50.0, 50.0, 40.0, 30.0, 0.1)))
