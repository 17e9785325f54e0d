# SPDX-License-Identifier: GPL-3.0-or-later
"""What an import knows and does not know reaches the training: masks, and depth that nobody measured."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from radiance_twin.core.cameras import Camera, look_at, world_from_field_of_bounds
from radiance_twin.core.colour import standard_view_transform
from radiance_twin.core.dataset.contents import DatasetHeader, ViewPixels
from radiance_twin.core.dataset.store import open_dataset
from radiance_twin.core.dataset.writing import write_dataset
from radiance_twin.core.errors import UserError
from radiance_twin.core.reporting import QuietReporter
from radiance_twin.core.training.recipe import Recipe
from radiance_twin.core.training.sampler import NOTHING, load_pixels
from radiance_twin.core.training.trainer import TrainSettings, train
from radiance_twin.core.twin_file import read_twin

SCENE = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("analytic_scene.py"))))
SIZE, VIEWS = 24, 9
INTRINSICS = np.array([30.0, 30.0, SIZE / 2, SIZE / 2])
POSES = [look_at((3 * np.cos(a), 3 * np.sin(a), 1.5), (0, 0, 0.3)) for a in 2 * np.pi * np.arange(VIEWS) / VIEWS]


def views(film: str, depth: bool = True) -> list[ViewPixels]:
    return [SCENE.view(Camera(matrix, INTRINSICS, (SIZE, SIZE)), film, depth) for matrix in POSES]


def write(path: Path, film: str, pixels: list[ViewPixels]) -> Path:
    header = DatasetHeader(
        camera_to_world=np.array(POSES),
        intrinsics=np.tile(INTRINSICS, (VIEWS, 1)),
        size=np.full((VIEWS, 2), SIZE, np.int32),
        frame=np.arange(VIEWS, dtype=np.int32),
        splits={"train": list(range(VIEWS - 1)), "val": [VIEWS - 1], "test": []},
        world_from_field=world_from_field_of_bounds(SCENE.BOUNDS),
        bounds=SCENE.BOUNDS,
        film=film,
        view_transform=standard_view_transform(),
    )
    write_dataset(path, header, pixels)
    return path


def masked(view: ViewPixels, colour: float) -> ViewPixels:
    """A block of the picture covered by something that is not there."""
    rgba, valid = view.rgba.copy(), np.ones((SIZE, SIZE), bool)
    rgba[4:16, 6:14], valid[4:16, 6:14] = (colour, 0.0, colour, colour), False
    return replace(view, rgba=rgba, valid=valid)


@pytest.mark.parametrize("film", ["transparent", "world"])
def test_what_is_masked_has_no_influence(film: str, tmp_path: Path) -> None:
    weights = []
    for colour in (0.0, 1.0):
        path = write(tmp_path / f"{colour}.h5", film, [masked(view, colour) for view in views(film)])
        settings = TrainSettings(str(path), str(tmp_path / f"{colour}.twin"), steps=5, device="cpu")
        result = train(settings, QuietReporter(), Recipe(samples=1024, bake_steps=2))
        weights.append((result["psnr"], read_twin(settings.output).arrays))
    (first_psnr, first), (second_psnr, second) = weights
    assert first_psnr == second_psnr, "nor on what is measured"
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name], err_msg=name)


def test_masked_pixels_prove_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", "transparent", [masked(view, 0.0) for view in views("transparent")])
    with open_dataset(path) as dataset:
        pixels = load_pixels(dataset, dataset.splits["train"])
    hidden = ~pixels.valid
    assert hidden.sum() == (VIEWS - 1) * 12 * 8
    # neither empty space behind a transparent pixel, nor a surface at some depth
    assert (pixels.rgba[hidden, 3] == 1.0).all() and (pixels.distances[hidden] == NOTHING).all()


def test_nothing_but_masks_is_said(tmp_path: Path) -> None:
    nothing = [replace(view, valid=np.zeros((SIZE, SIZE), bool)) for view in views("transparent")]
    path = write(tmp_path / "a.h5", "transparent", nothing)
    with pytest.raises(UserError, match="valid"):
        train(TrainSettings(str(path), str(tmp_path / "a.twin"), steps=5, device="cpu"), QuietReporter())


def test_depth_that_may_be_unknown_is_not_taken_for_sky(tmp_path: Path) -> None:
    complete = views("world")
    with open_dataset(write(tmp_path / "complete.h5", "world", complete)) as dataset:
        pixels = load_pixels(dataset, dataset.splits["train"])
        assert dataset.depth_complete and pixels.has_depth and (pixels.rgba[:, 3] == 0.0).any()
    holes = [replace(view, depth_complete=False) for view in complete]
    with open_dataset(write(tmp_path / "holes.h5", "world", holes)) as dataset:
        pixels = load_pixels(dataset, dataset.splits["train"])
        assert not dataset.depth_complete and not pixels.has_depth and (pixels.rgba[:, 3] == -1.0).all()
    # with a transparent film it is the alpha that tells what is empty
    holes = [replace(view, depth_complete=False) for view in views("transparent")]
    with open_dataset(write(tmp_path / "film.h5", "transparent", holes)) as dataset:
        assert load_pixels(dataset, dataset.splits["train"]).has_depth
