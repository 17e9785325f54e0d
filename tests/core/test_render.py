# SPDX-License-Identifier: GPL-3.0-or-later
"""The parent of Blender's part: what it refuses, and what it does when Blender dies. Blender is played by a script."""

from dataclasses import replace
from pathlib import Path

import pytest

from radiance_twin.core.dataset.store import open_dataset
from radiance_twin.core.errors import UsageError, UserError
from radiance_twin.core.rendering.render import RenderSettings, render_dataset
from radiance_twin.core.reporting import QuietReporter

HEADERS = {
    "plain": b"BLENDER-v405REND",
    "plain since 5.0": b"BLENDER17-01v0500REND",
    "zstd": b"\x28\xb5\x2f\xfd rest",
    "gzip": b"\x1f\x8b rest",
}


@pytest.fixture
def settings(tmp_path: Path, fake_blender: str) -> RenderSettings:
    """Three views of a scene that nobody looks into, by a Blender that is none."""
    (tmp_path / "scene.blend").write_bytes(HEADERS["plain"])
    counts = {"views": 3, "val_views": 0, "test_views": 0}
    return RenderSettings(scene=tmp_path / "scene.blend", output=tmp_path / "scene.h5", blender=fake_blender, **counts)


def test_the_dataset_is_written_and_the_staging_folder_goes(settings: RenderSettings, tmp_path: Path) -> None:
    result = render_dataset(settings, QuietReporter())
    assert (result["views"], result["rendered"], result["kept"]) == (3, 3, 0)
    with open_dataset(settings.output) as dataset:
        assert dataset.count == 3
    assert not (tmp_path / "scene.views").exists()


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS.keys())
def test_every_kind_of_blend_is_let_through(settings: RenderSettings, header: bytes) -> None:
    Path(settings.scene).write_bytes(header)
    assert render_dataset(settings, QuietReporter())["views"] == 3


def test_a_view_that_crashes_once_is_tried_again(settings: RenderSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RADIANCE_TWIN_TEST_CRASH", "once view_000001")
    reporter = QuietReporter()
    assert render_dataset(settings, reporter)["kept"] == 1
    assert any("crashed at view_000001" in line for line in reporter.lines)


def test_a_view_that_always_crashes_costs_one_view(
    settings: RenderSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADIANCE_TWIN_TEST_CRASH", "view_000001")
    with pytest.raises(UserError, match=r"crashed twice at view_000001; all other views .*render\.log"):
        render_dataset(settings, QuietReporter())
    assert not Path(settings.output).exists()
    monkeypatch.delenv("RADIANCE_TWIN_TEST_CRASH")
    assert render_dataset(settings, QuietReporter())["kept"] == 2


@pytest.mark.parametrize(
    ("where", "message"),
    [("start", "crashes at loading the scene"), ("view_000000 view_000001 view_000002", "crashes at every view")],
)
def test_a_blender_that_only_crashes_is_given_up(
    settings: RenderSettings, monkeypatch: pytest.MonkeyPatch, where: str, message: str
) -> None:
    monkeypatch.setenv("RADIANCE_TWIN_TEST_CRASH", where)
    with pytest.raises(UserError, match=rf"{message}; see .*render\.log"):
        render_dataset(settings, QuietReporter())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"views": 0}, "--views is 0; it must be at least 1"),
        ({"views": -3}, "--views is -3"),
        ({"val_views": -1}, "--val-views"),
        ({"test_views": -1}, "--test-views"),
        ({"resolution": (0, 200)}, "--resolution is 0"),
        ({"resolution": (200, -1)}, "--resolution is -1"),
        ({"resolution": (200, 70000)}, "between 1 and 65536"),
        ({"samples": 0}, "--samples"),
        ({"reference_samples": 0}, "--reference-samples"),
        ({"seed": -1}, "--seed"),
        ({"rig": "carousel"}, "choose one of hemisphere, sphere, orbit, cover, random, rings, spiral, walk, animated"),
        ({"film": "kodak"}, "--film kodak is unknown"),
        ({"cycles_device": "abacus"}, "--cycles-device"),
        ({"rig": "animated", "target": "Cube"}, "--target has no meaning"),
        ({"elevation": (50.0, 20.0)}, "--elevation is 50 20"),
        ({"rig": "animated", "stereo": 0.1}, "--stereo has no meaning"),
        ({"test_camera": "Other"}, "--test-camera has no meaning with --rig hemisphere"),
        ({"moving": True}, "--moving has no meaning with --rig hemisphere"),
        ({"rig": "animated", "passes": ("flow",)}, "--passes flow needs --moving"),
        ({"passes": ("colour",)}, "--passes colour is unknown; choose one of albedo, diffuse"),
        ({"classes": ("Chair*",)}, "--classes has no rule 'Chair\\*'; write it like"),
        ({"frames": "1-9"}, "--frames has no meaning with --rig hemisphere"),
        ({"rig": "animated", "frames": "nine"}, "--frames is nine; write frames like 1-100:5,120"),
        ({"rig": "walk", "target": "Cube"}, "--target has no meaning with --rig walk"),
        ({"rig": "poses"}, "--rig poses needs --poses: a transforms.json"),
        ({"rig": "orbit", "poses": "a.json"}, "--poses has no meaning with --rig orbit"),
        ({"rig": "poses", "poses": "a.json", "intrinsics": (9.0, 9.0, 4.0, 4.0)}, "--intrinsics has no meaning with"),
        ({"fisheye_fov": 120.0}, "--fisheye-fov has no meaning with --camera-model scene; it belongs"),
        ({"elevation": (0.0, 30.0)}, "--elevation has no meaning with --rig hemisphere; it belongs to --rig cover or"),
        ({"rig": "spiral", "rings": 4}, "--rings has no meaning with --rig spiral; it belongs to --rig rings"),
        ({"resolution": (0, 0)}, "--resolution is 0x0, which has a meaning with --rig poses alone"),
        ({"least_target": 1.5}, "--least-target is 1.5; it must be between 0"),
        ({"output": "scene.blend"}, "name it like scene.h5"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: RenderSettings, change: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        render_dataset(replace(settings, **change), QuietReporter())


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "does not exist"), (b"", "is empty"), (b"\x89PNG\r\n", "is not a Blender file"), ("folder", "is a folder")],
)
def test_what_is_no_blend_is_refused(settings: RenderSettings, tmp_path: Path, content: object, message: str) -> None:
    scene = tmp_path / "other.blend"
    if content == "folder":
        scene.mkdir()
    elif isinstance(content, bytes):
        scene.write_bytes(content)
    with pytest.raises(UserError, match=f"other.blend {message}"):
        render_dataset(replace(settings, scene=scene), QuietReporter())


@pytest.mark.parametrize("place", ["a file/scene.h5", "/proc/nowhere/scene.h5"])
def test_an_output_that_cannot_be_written_is_refused_first(
    settings: RenderSettings, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a file").write_text("not a folder")
    monkeypatch.setenv("RADIANCE_TWIN_TEST_CRASH", "start")  # it must not come to that
    with pytest.raises(UserError, match="cannot write into"):
        render_dataset(replace(settings, output=tmp_path / place), QuietReporter())
