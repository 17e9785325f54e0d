# SPDX-License-Identifier: GPL-3.0-or-later
"""Small pictures of a dataset for a Blender that cannot read it: right ones, at the right cameras, made once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from radiance_twin.core.camera_file import camera_from
from radiance_twin.core.colour import linear_to_srgb
from radiance_twin.core.dataset.store import open_dataset
from radiance_twin.core.dataset_pictures import LIST, PicturesSettings, straightened, write_pictures
from radiance_twin.core.errors import Cancelled, UserError
from radiance_twin.core.lenses import CameraModel
from radiance_twin.core.reporting import QuietReporter

from .labelled_dataset import CENTRED, HEIGHT, SHIFTED, WIDTH, view, write


@pytest.fixture
def settings(tmp_path: Path) -> PicturesSettings:
    write(tmp_path / "ball.h5", CENTRED)
    return PicturesSettings(str(tmp_path / "ball.h5"), str(tmp_path / "pictures"))


def test_each_view_has_its_camera_and_what_a_screen_shows_of_it(settings: PicturesSettings) -> None:
    result = write_pictures(settings, QuietReporter())
    folder = Path(result["folder"])
    listed = json.loads((folder / LIST).read_text())
    with open_dataset(settings.dataset) as dataset:
        assert result["views"] == len(listed["views"]) == dataset.count
        for words in listed["views"]:
            index = words["index"]
            assert index in dataset.splits[words["split"]]
            camera, own = camera_from(words, "a view"), dataset.camera(index)
            assert np.array_equal(camera.camera_to_world, own.camera_to_world) and camera.size == own.size
            shown = np.asarray(Image.open(folder / words["picture"]), np.float32) / 255.0
            linear = dataset.rgba(index)[..., :3]  # over black
            srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)
            assert shown == pytest.approx(np.clip(srgb, 0, 1), abs=0.0025)


@pytest.mark.parametrize(
    ("model", "intrinsics"),
    [
        (CameraModel("opencv", (-0.2, 0.05, 0.003, -0.002, 0.0, 0.0)), CENTRED),
        (CameraModel("opencv", (0.3, 0.0, 0.0, 0.0, 0.0, 0.0)), SHIFTED),
        (CameraModel("fisheye"), np.array([28.0, 28.0, WIDTH / 2, HEIGHT / 2])),
        (CameraModel("equirectangular"), np.array([24.0, 24.0, WIDTH / 2, HEIGHT / 2])),
    ],
)
def test_a_bent_lens_becomes_the_pinhole_in_its_place(
    tmp_path: Path, model: CameraModel, intrinsics: np.ndarray
) -> None:
    source = write(tmp_path / "bent.h5", intrinsics, model=model)
    straightened.cache_clear()
    folder = Path(write_pictures(PicturesSettings(str(source), str(tmp_path / "pictures")), QuietReporter())["folder"])
    listed = json.loads((folder / LIST).read_text())
    assert listed["straightened"]
    assert straightened.cache_info().misses == 1  # all views have one lens
    for words in listed["views"][:3]:
        camera = camera_from(words, "a view")
        assert camera.model.is_pinhole
        shown = np.asarray(Image.open(folder / words["picture"]), np.float32) / 255.0
        exact = linear_to_srgb(np.clip(view(camera).rgba[..., :3], 0, 1))
        # the checks are as fine as the pixels, which interpolating blurs
        beside = [np.abs(np.roll(shown, step, axis) - exact).mean() for step in (-1, 1) for axis in (0, 1)]
        assert np.abs(shown - exact).mean() < min(beside)
        hit, there = np.asarray(Image.open(folder / words["depth"])).any(axis=-1), view(camera).depth > 0
        assert (hit == there).mean() > 0.95
        middles = [np.mean(np.nonzero(mask), axis=1) for mask in (hit, there)]
        assert np.abs(middles[0] - middles[1]).max() < 0.3


def test_near_is_bright_and_far_is_dark(settings: PicturesSettings) -> None:
    folder = Path(write_pictures(settings, QuietReporter())["folder"])
    listed = json.loads((folder / LIST).read_text())
    with open_dataset(settings.dataset) as dataset:
        depth = dataset.depth(0)
    nearest, farthest = listed["depth"]
    assert depth[depth > 0].min() <= nearest * 1.2 and depth.max() >= farthest * 0.8
    picture = np.asarray(Image.open(folder / listed["views"][0]["depth"])).astype(int)
    assert not picture[depth == 0].any()
    # viridis: from yellow to violet
    front = picture[(depth > 0) & (depth <= np.quantile(depth[depth > 0], 0.1))].mean(axis=0)
    behind = picture[depth >= np.quantile(depth[depth > 0], 0.9)].mean(axis=0)
    assert front[0] > front[2] and behind[2] > behind[0] and front.sum() > behind.sum()


def test_they_are_made_once_and_anew_when_the_dataset_is(settings: PicturesSettings) -> None:
    folder = Path(write_pictures(settings, QuietReporter())["folder"])
    before = (folder / LIST).stat().st_mtime_ns
    reporter = QuietReporter()
    write_pictures(settings, reporter)
    assert (folder / LIST).stat().st_mtime_ns == before and not reporter.stages
    write(Path(settings.dataset), CENTRED)
    write_pictures(settings, reporter)
    assert (folder / LIST).stat().st_mtime_ns > before and reporter.stages == ["look"]


def test_what_was_stopped_is_not_listed(settings: PicturesSettings) -> None:
    reporter = QuietReporter()
    reporter.cancel_requested = True
    with pytest.raises(Cancelled):
        write_pictures(settings, reporter)
    assert not (Path(settings.output) / LIST).exists()
    with pytest.raises(UserError, match="no.h5"):
        write_pictures(PicturesSettings(str(Path(settings.dataset).with_name("no.h5")), settings.output), reporter)
