# SPDX-License-Identifier: GPL-3.0-or-later
"""Small pictures of a dataset for a Blender that cannot read it: right ones, at the right cameras, made once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from radiance_twin.core.camera_file import camera_from
from radiance_twin.core.dataset.store import open_dataset
from radiance_twin.core.dataset_pictures import LIST, PicturesSettings, write_pictures
from radiance_twin.core.errors import Cancelled, UserError
from radiance_twin.core.reporting import QuietReporter

from .labelled_dataset import CENTRED, write


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
