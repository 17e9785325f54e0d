# SPDX-License-Identifier: GPL-3.0-or-later
"""A dataset grows by training views, and what is compared stays honest."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radiance_twin.core.camera_file import read_cameras
from radiance_twin.core.cameras import world_from_field_of_bounds
from radiance_twin.core.comparison.compare import doubts
from radiance_twin.core.dataset.digest import dataset_digest
from radiance_twin.core.dataset.joining import added_to, join_views
from radiance_twin.core.dataset.store import open_dataset
from radiance_twin.core.errors import UserError
from radiance_twin.core.rendering import render_more
from radiance_twin.core.rendering.render import RenderSettings, check_settings
from radiance_twin.core.rendering.render_more import add_views
from radiance_twin.core.reporting import QuietReporter
from radiance_twin.core.twin_file import Twin

from . import painted_cube as scene


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return scene.write(tmp_path / "cube.h5", scene.ring([90, 180]), scene.ring([0, 270]))


@pytest.fixture
def more(tmp_path: Path) -> Path:
    return scene.write(tmp_path / "more.h5", scene.ring([20, 40, 60]), [])


def trained_from(digest: str) -> Twin:
    return Twin({"training": {"scene_hash": "cube", "dataset_digest": digest}}, {})


def test_new_views_train_and_the_judges_stay(base: Path, more: Path) -> None:
    with open_dataset(base) as before:
        old = [before.rgba(index) for index in range(before.count)]
    join_views(base, more, ["", "", ""], QuietReporter())
    with open_dataset(base) as grown, open_dataset(more) as added:
        assert {name: list(indices) for name, indices in grown.splits.items()} == {
            "train": [0, 1, 4, 5, 6],
            "val": [],
            "test": [2, 3],
        }
        for index, picture in enumerate([*old, *(added.rgba(index) for index in range(3))]):
            assert np.array_equal(grown.rgba(index), picture)
        assert np.array_equal(grown.depth(5), added.depth(1))
        assert np.array_equal(grown.camera_to_world[4:], added.camera_to_world)
        assert np.array_equal(grown.object_index(6), added.object_index(2))


def test_a_twin_from_before_is_not_doubted_and_one_that_was_helped_is(base: Path, more: Path) -> None:
    before = dataset_digest(base)
    join_views(base, more, ["The top of Cube errs", "", "The top of Cube errs"], QuietReporter())
    with open_dataset(base) as grown:
        assert [(entry["views"], entry["digest"]) for entry in added_to(grown)] == [(3, before)]
        assert doubts(grown, trained_from(before)) == []
        [helped] = doubts(grown, trained_from(dataset_digest(base)))
        assert helped.startswith("2 training views were added where these held-out views erred")
        [foreign] = doubts(grown, trained_from("0" * 64))
        assert "another dataset" in foreign


def test_views_that_a_person_chose_are_no_reason_for_doubt(base: Path, more: Path) -> None:
    join_views(base, more, ["", "", ""], QuietReporter())
    with open_dataset(base) as grown:
        assert doubts(grown, trained_from(dataset_digest(base))) == []


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"bounds": scene.BOUNDS * 1.1, "world_from_field": world_from_field_of_bounds(scene.BOUNDS * 1.1)}, "bounds"),
        ({"objects": scene.OBJECTS[:1]}, "objects"),
        ({"film": "world"}, "film"),
    ],
)
def test_views_of_a_changed_scene_do_not_join(base: Path, tmp_path: Path, change: dict, what: str) -> None:
    other = scene.write(tmp_path / "other.h5", scene.ring([20]), [], **change)
    before = base.read_bytes()
    with pytest.raises(UserError, match=rf"the scene has changed .*\({what}\); render the whole dataset again"):
        join_views(base, other, [""], QuietReporter())
    assert base.read_bytes() == before


CAMERA = (
    '{"camera_to_world": [[1,0,0,0],[0,1,0,0],[0,0,1,4],[0,0,0,1]], "intrinsics": [60,60,24,24], "size": [48, SIZE]}'
)


def test_cameras_need_a_dataset_to_join(base: Path, tmp_path: Path) -> None:
    poses = tmp_path / "cameras.json"
    poses.write_text(f'{{"cameras": [{CAMERA.replace("SIZE", "48")}]}}')
    settings = RenderSettings(scene="cube.blend", output=tmp_path / "none.h5", add=str(poses))
    with pytest.raises(UserError, match="does not exist; --add adds to a dataset"):
        add_views(settings, QuietReporter())
    # nobody knows how the analytic cube was rendered
    with pytest.raises(UserError, match="was not rendered by Radiance Twin"):
        add_views(RenderSettings(scene="cube.blend", output=base, add=str(poses)), QuietReporter())


def test_what_was_asked_of_the_datasets_own_rig_is_no_matter_of_given_cameras(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the panel asks: with all settings of the rig that began the dataset."""
    known = {"rig": "animated", "resolution": [48, 48], "samples": 4, "reference_samples": 8, "denoise": False}
    known["film"] = "transparent"
    base = scene.write(tmp_path / "cube.h5", scene.ring([90]), [], configuration=known, blender_version="4.5")
    poses = tmp_path / "cameras.json"
    poses.write_text(f'{{"cameras": [{CAMERA.replace("SIZE", "48")}]}}')

    def rendered(settings: RenderSettings, reporter: Any) -> None:
        check_settings(settings)
        [camera] = read_cameras(str(settings.poses))
        assert (settings.rig, camera.split, camera.frame) == ("poses", "train", None)
        raise UserError("far enough")

    monkeypatch.setattr(render_more, "render_dataset", rendered)
    asked = {"rig": "animated", "frames": "1-9", "test_camera": "Other", "distortion": (0.1, 0, 0, 0, 0, 0)}
    with pytest.raises(UserError, match="far enough"):
        add_views(RenderSettings(scene="cube.blend", output=base, add=str(poses), **asked), QuietReporter())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read"),
        ("", "is no camera"),
        ("[]", "holds no cameras"),
        ('{"cameras": []}', "holds no cameras"),
        ('{"cameras": [7]}', "camera 0, is no camera"),
        (f'{{"cameras": [{CAMERA.replace("SIZE", "0")}]}}', "camera 0, has a size of 48 x 0"),
        (f'{{"cameras": [{CAMERA.replace("SIZE", "9").replace("[[1", "[[0")}]}}', "camera_to_world that is no pose"),
        (f'{{"cameras": [{CAMERA.replace("SIZE", "9")[:-1]}, "frame": "x"}}]}}', "frame"),
    ],
)
def test_damaged_files_of_cameras_are_refused_in_one_line(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "cameras.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=message) as refusal:
        read_cameras(str(path))
    assert "\n" not in str(refusal.value) and "cameras.json" in str(refusal.value)
