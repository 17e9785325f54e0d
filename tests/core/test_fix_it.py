# SPDX-License-Identifier: GPL-3.0-or-later
"""Fix-it cameras for a cube whose twin is wrong on the side that no view trains."""

import json
from pathlib import Path

import numpy as np
import pytest

from radiance_twin.core.camera_file import read_cameras
from radiance_twin.core.cameras import project
from radiance_twin.core.comparison.error_points import ErrorPoints
from radiance_twin.core.comparison.objects import ErrorsOfObjects
from radiance_twin.core.dataset.store import Dataset, open_dataset
from radiance_twin.core.errors import UsageError, UserError
from radiance_twin.core.rendering.fix_it import FixItSettings, Proposal, fix_it, propose, side_in_words
from radiance_twin.core.reporting import QuietReporter

from . import painted_cube as scene

BEHIND = scene.ring(range(100, 270, 10))  # nothing looks at +x
ALL_ROUND = scene.ring(range(0, 360, 45))


def errors_of(dataset: Dataset, wrong_side: bool = True) -> ErrorPoints:
    """The errors of the test views, when the twin is wrong on one side, or right."""
    errors = ErrorsOfObjects(dataset)
    for index in dataset.splits["test"]:
        pictures = [
            scene.trace(dataset.camera_to_world[index], scene.INTRINSICS, (scene.SIZE, scene.SIZE), wrong).rgba
            for wrong in (False, wrong_side)
        ]
        shown = [np.rint(255 * np.clip(picture[..., :3], 0, 1)).astype(np.uint8) for picture in pictures]
        errors.add(int(index), *shown, np.zeros((scene.SIZE, scene.SIZE), np.float32))
    return errors.points()


@pytest.fixture(scope="module")
def holed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scene.write(tmp_path_factory.mktemp("cube") / "cube.h5", BEHIND, ALL_ROUND)


@pytest.fixture(scope="module")
def proposals(holed: Path) -> list[Proposal]:
    with open_dataset(holed) as dataset:
        return propose(dataset, errors_of(dataset), 3, QuietReporter())


def test_every_proposed_camera_sees_the_wrong_side(proposals: list[Proposal]) -> None:
    assert len(proposals) == 3
    for one in proposals:
        pixels, depth = project([[0.5, 0.0, 0.0]], one.camera.camera_to_world, one.camera.intrinsics)
        assert depth[0] > 0 and (np.abs(pixels[0] - scene.SIZE / 2) < scene.SIZE / 2).all()
        seen = scene.trace(one.camera.camera_to_world, one.camera.intrinsics, one.camera.size, wrong_side=True)
        right = scene.trace(one.camera.camera_to_world, one.camera.intrinsics, one.camera.size)
        assert (seen.rgba != right.rgba).any(axis=-1).sum() > 150


def test_the_reason_names_object_side_and_how_few_views_train_it(proposals: list[Proposal]) -> None:
    first = proposals[0]
    wrong = ((scene.WRONG - scene.GREY) / 255) ** 2
    assert first.names == ["Cube"] and first.seen_by == 0
    # display values of the wrong side are of light here, not of what a screen shows
    assert first.psnr < -10 * np.log10(wrong) + 10
    assert first.reason == (
        f"The side towards +X of Cube is seen by 0 of {len(BEHIND)} training views and has {first.psnr:.1f} dB"
    )


def test_cameras_stand_in_the_open_and_away_from_held_out_views(proposals: list[Proposal]) -> None:
    eyes = np.array([one.camera.camera_to_world[:3, 3] for one in proposals])
    for box in scene.BOXES.values():
        assert not ((eyes > box[0]) & (eyes < box[1])).all(axis=1).any()
    held_out = np.array([pose[:3, 3] for pose in ALL_ROUND])
    assert np.linalg.norm(eyes[:, None] - held_out, axis=-1).min() > 0.2
    # and from each other: one that is proposed counts as trained for the next
    apart = np.linalg.norm(eyes[:, None] - eyes, axis=-1) + 9 * np.eye(len(eyes))
    assert apart.min() > 0.5


def test_a_perfect_twin_needs_no_new_cameras(holed: Path) -> None:
    with open_dataset(holed) as dataset:
        assert propose(dataset, errors_of(dataset, wrong_side=False), 3, QuietReporter()) == []


def test_where_views_train_already_new_ones_stand_between_them(tmp_path: Path) -> None:
    """The wrong side is seen from +x alone: a new camera goes to where its angle is new."""
    path = scene.write(tmp_path / "cube.h5", scene.ring([0, 5, -5]), scene.ring([40, -40], height=1.5))
    with open_dataset(path) as dataset:
        first = propose(dataset, errors_of(dataset), 1, QuietReporter())[0]
    assert first.seen_by == 3
    way = first.camera.camera_to_world[:3, 3] / np.linalg.norm(first.camera.camera_to_world[:3, 3])
    assert way[0] > 0.2 and np.degrees(np.arccos(way[0])) > 30


@pytest.mark.parametrize(
    ("normal", "words"),
    [
        ((0, 0, 1), "The top"),
        ((0.1, 0, -1), "The underside"),
        ((1, 0, 0.2), "The side towards +X"),
        ((-1, 1, 0), "The side towards -X +Y"),
    ],
)
def test_sides_are_told_by_the_axes(normal: tuple[float, float, float], words: str) -> None:
    assert side_in_words(np.array(normal, float)) == words


def test_the_command_writes_cameras_that_render_takes(
    tiny_twin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from radiance_twin.core.cli import main

    output = tmp_path / "cameras.json"
    words = ["fix-it", str(tiny_twin.with_suffix(".h5")), str(tiny_twin), "-o", str(output), "--views", "2", "--json"]
    assert main(words) == 0
    said = json.loads(capsys.readouterr().out)["cameras"]
    cameras = read_cameras(str(output))
    assert len(cameras) == len(said) == 2
    for one, words_of in zip(cameras, said, strict=True):
        assert one.reason == words_of["reason"] and "training views" in one.reason
        assert np.allclose(one.camera.camera_to_world, words_of["camera_to_world"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"splits": {"train": [0, 1], "val": [], "test": []}}, "no test views"),
        ({"splits": {"train": [], "val": [], "test": [0, 1]}}, "no train views"),
    ],
)
def test_datasets_that_tell_nothing_are_refused(tmp_path: Path, change: dict, message: str) -> None:
    path = scene.write(tmp_path / "cube.h5", scene.ring([0]), scene.ring([90]), **change)
    with pytest.raises(UserError, match=message):
        fix_it(FixItSettings(str(path), str(tmp_path / "x.twin")), QuietReporter())
    with pytest.raises(UsageError, match="--views is 0"):
        fix_it(FixItSettings(str(path), str(tmp_path / "x.twin"), views=0), QuietReporter())
