# SPDX-License-Identifier: GPL-3.0-or-later
"""The film around the scene: its way, its frames, and what other programs read from the file."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from radiance_twin.core import cameras
from radiance_twin.core.comparison.compare import CompareSettings, compare
from radiance_twin.core.comparison.orbit import nearest_point, orbit_of
from radiance_twin.core.comparison.turntable import (
    CAPTION,
    GAP,
    film_frame,
    frame_rate,
    pane_size,
    shows_another_scene,
)
from radiance_twin.core.comparison.video import write_video
from radiance_twin.core.dataset.contents import ViewPixels
from radiance_twin.core.dataset.store import Dataset, open_dataset
from radiance_twin.core.dataset.writing import write_dataset
from radiance_twin.core.errors import Cancelled, UsageError, UserError
from radiance_twin.core.reporting import QuietReporter

from .test_compare import header, write_foggy_twin, write_grey_dataset

CENTRE = np.array([1.0, -2.0, 3.0])


def gradient(number: int, width: int = 64, height: int = 48) -> np.ndarray:
    """A smooth picture that says which one it is: what a codec keeps best."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    pixels = np.stack([40 + 160 * x, 40 + 160 * y, np.full_like(x, 20.0 * number)], -1)
    return pixels.astype(np.uint8)


def read_with_opencv(path: Path) -> list[np.ndarray]:
    film = cv2.VideoCapture(str(path))
    frames = []
    while True:
        there, pixels = film.read()
        if not there:
            return frames
        frames.append(pixels[..., ::-1])


def rec709(planes: np.ndarray) -> np.ndarray:
    """Y, Cb, Cr planes as FFmpeg stacks them, 16..235, as RGB 0..255: ITU-R BT.709, table 3."""
    height = planes.shape[0] * 2 // 3
    width = planes.shape[1]
    luma = (planes[:height].astype(float) - 16.0) / 219.0
    blue, red = (planes[height:].reshape(2, height // 2, width // 2).astype(float) - 128.0) / 224.0
    blue, red = (plane.repeat(2, 0).repeat(2, 1) for plane in (blue, red))
    r, b = luma + 1.5748 * red, luma + 1.8556 * blue
    g = (luma - 0.2126 * r - 0.0722 * b) / 0.7152
    return 255.0 * np.stack([r, g, b], -1)


def test_other_programs_read_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    write_video(path, (gradient(number) for number in range(10)), rate=12)
    assert [frame.shape for frame in read_with_opencv(path)] == [(48, 64, 3)] * 10
    with av.open(str(path)) as film:
        (stream,) = film.streams.video
        assert (stream.codec_context.name, stream.pix_fmt, stream.average_rate) == ("h264", "yuv420p", 12)
        assert stream.codec_context.colorspace == av.video.reformatter.Colorspace.ITU709
        assert stream.codec_context.color_range == av.video.reformatter.ColorRange.MPEG
        frames = [rec709(frame.to_ndarray(format="yuv420p")) for frame in film.decode(stream)]
    for number, frame in enumerate(frames):
        assert np.abs(frame - gradient(number)).mean() < 2.0, number
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat"), "it starts before all of it is there"


def test_a_frame_shows_its_panes_side_by_side() -> None:
    panes = [gradient(number, 401, 300) for number in range(3)]
    sheet = film_frame(panes, ["Cycles", "Radiance Twin", "FLIP difference"])
    assert sheet.shape[0] % 2 == sheet.shape[1] % 2 == 0
    for number, pane in enumerate(panes):
        left = number * (401 + GAP)
        assert np.array_equal(sheet[:300, left : left + 401], pane)
        caption = sheet[300 : 300 + CAPTION, left : left + 401]
        assert caption.max() > 150 and caption[:, :5].max() < 40  # light letters in the middle of a dark strip


def test_small_panes_are_enlarged_by_whole_pixels() -> None:
    pane = gradient(3, 101, 63)
    sheet = film_frame([pane], ["Radiance Twin"])
    assert np.array_equal(sheet[: 4 * 63, : 4 * 101], pane.repeat(4, 0).repeat(4, 1))


def test_once_around_takes_about_four_seconds() -> None:
    assert [frame_rate(frames) for frames in (8, 24, 48, 96, 240)] == [8, 8, 12, 24, 30]


def write_dataset_around(path: Path, eyes: np.ndarray, up: Any = (0, 0, 1), **changes: Any) -> Path:
    poses = np.array([cameras.look_at(eye, CENTRE, up) for eye in eyes])
    count = len(poses)
    made = header(
        camera_to_world=poses,
        intrinsics=np.tile([40.0, 40.0, 16.0, 12.0], (count, 1)),
        size=np.tile(np.array([32, 24], np.int32), (count, 1)),
        frame=np.arange(count, dtype=np.int32)[::-1].copy(),
        splits={"train": list(range(count - 1)), "val": [], "test": [count - 1]},
    )
    pictures = [ViewPixels(np.ones((24, 32, 4), np.float32)) for _ in range(count)]
    write_dataset(path, replace(made, **changes), pictures)
    return path


def around(elevation: float, distance: float, up: np.ndarray, count: int = 9) -> np.ndarray:
    """Eyes on a circle around CENTRE, `elevation` above the plane across `up`."""
    side = np.cross(up, (0.3, 0.9, 0.1))
    side /= np.linalg.norm(side)
    angles = np.linspace(0.0, 2.0 * np.pi, count, endpoint=False)[:, None]
    ring = np.cos(angles) * side + np.sin(angles) * np.cross(up, side)
    return CENTRE + distance * (np.cos(elevation) * ring + np.sin(elevation) * up)


@pytest.mark.parametrize("up", [(0, 0, 1), (0, -1, 0), (0.6, 0, 0.8)], ids=["z up", "y down", "tilted"])
def test_the_orbit_goes_around_what_the_cameras_look_at(tmp_path: Path, up: Any) -> None:
    up = np.array(up, float)
    path = write_dataset_around(tmp_path / "a.h5", around(0.4, 5.0, up), up)
    with open_dataset(path) as dataset:
        orbit = orbit_of(dataset, 12, (64, 48))
    eyes = np.array([camera.camera_to_world[:3, 3] for camera in orbit])
    assert np.linalg.norm(eyes - CENTRE, axis=1) == pytest.approx(5.0)
    assert (eyes - CENTRE) @ up == pytest.approx(5.0 * np.sin(0.4))
    steps = np.linalg.norm(np.roll(eyes, -1, axis=0) - eyes, axis=1)
    assert steps == pytest.approx(2.0 * 5.0 * np.cos(0.4) * np.sin(np.pi / 12))
    for camera in orbit:
        pixel, depth = cameras.project([CENTRE], camera.camera_to_world, camera.intrinsics)
        assert pixel[0] == pytest.approx([32.0, 24.0])  # twice the dataset's 32 x 24
        assert depth[0] == pytest.approx(5.0)


def test_cameras_that_look_at_nothing_together_have_no_turntable(tmp_path: Path) -> None:
    path = write_dataset_around(tmp_path / "a.h5", around(0.4, 5.0, np.array([0.0, 0, 1])))
    with open_dataset(path) as dataset:
        poses = dataset.camera_to_world.copy()
        dataset.camera_to_world[:, :3, :3] = np.eye(3)  # side by side, as a drone films a field
        with pytest.raises(UserError, match="nothing to turn around; leave --turntable out"):
            orbit_of(dataset, 12, (64, 48))
        dataset.camera_to_world[:] = poses
        dataset.camera_to_world[:, :3, 2] *= -1.0  # outwards, as one who stands in a room
        dataset.camera_to_world[:, :3, 0] *= -1.0
        with pytest.raises(UserError, match="nothing to turn around"):
            orbit_of(dataset, 12, (64, 48))


def test_an_animated_camera_has_a_way_of_its_own(tmp_path: Path) -> None:
    eyes = around(0.4, 5.0, np.array([0.0, 0, 1]))
    path = write_dataset_around(tmp_path / "a.h5", eyes, configuration={"rig": "animated"})
    with open_dataset(path) as dataset:
        way = orbit_of(dataset, 3, (32, 24))
    # the frames run backwards in this dataset
    assert np.array([camera.camera_to_world[:3, 3] for camera in way]) == pytest.approx(eyes[[8, 4, 0]])


def test_lines_meet_where_they_meet() -> None:
    random = np.random.default_rng(0)
    directions = random.normal(size=(7, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    origins = CENTRE - random.uniform(1, 5, (7, 1)) * directions
    assert nearest_point(origins, directions) == pytest.approx(CENTRE)
    assert np.isnan(nearest_point(origins, np.tile([0.0, 0, 1], (7, 1)))).all()


@pytest.fixture
def grey(tmp_path: Path) -> CompareSettings:
    dataset = write_grey_dataset(tmp_path / "grey.h5", configuration={"rig": "orbit", "denoise": False})
    write_foggy_twin(tmp_path / "fog.twin", scene_hash="abc")
    return CompareSettings(str(dataset), str(tmp_path / "fog.twin"), str(tmp_path / "report"), "cpu", turntable=8)


def test_without_a_scene_the_twin_turns_alone(grey: CompareSettings) -> None:
    result = compare(grey, QuietReporter())
    turntable = result["turntable"]
    assert turntable["sides"] == ["Radiance Twin"]
    assert (turntable["frames"], turntable["size"]) == (8, [32, 24])
    assert turntable["psnr"] is turntable["classic_seconds"] is None
    assert len(read_with_opencv(Path(grey.output) / "turntable.mp4")) == 8
    assert "data:video/mp4;base64," in Path(result["report"]).read_text("utf-8")


@pytest.fixture
def with_scene(
    grey: CompareSettings, tmp_path: Path, fake_blender: str, monkeypatch: pytest.MonkeyPatch
) -> CompareSettings:
    """The same with a scene, which a script renders in Blender's place: grey all over."""
    monkeypatch.setenv("RADIANCE_TWIN_TEST_SIZE", "32")
    (tmp_path / "scene.blend").write_bytes(b"BLENDER-v405REND")
    return replace(grey, scene=str(tmp_path / "scene.blend"), blender=fake_blender)


def test_with_a_scene_both_turn_beside_their_difference(with_scene: CompareSettings, tmp_path: Path) -> None:
    result = compare(with_scene, QuietReporter())
    turntable = result["turntable"]
    assert turntable["sides"] == ["Cycles", "Radiance Twin", "FLIP difference"]
    assert turntable["classic_seconds"] == pytest.approx(0.01)
    frames = read_with_opencv(Path(with_scene.output) / "turntable.mp4")
    assert len(frames) == 8
    # the left pane is what Blender's part rendered: half of scene-linear grey, display-referred
    pane = frames[3][10 : -CAPTION - 10, 10 : frames[3].shape[1] // 3 - 10].astype(float)
    assert pane.mean() == pytest.approx(255 * 0.7354, abs=2.0) and pane.std() < 2.0
    assert not any("has changed" in warning for warning in result["warnings"])  # the same box, and no other objects
    assert not list(tmp_path.glob(".*")), "what was staged has gone"


def test_a_stopped_film_goes_on_where_it_was(with_scene: CompareSettings, tmp_path: Path) -> None:
    class StopsAtTheFilm(QuietReporter):
        def cancelled(self) -> bool:
            return "turntable" in self.stages

    with pytest.raises(Cancelled):
        compare(with_scene, StopsAtTheFilm())
    assert not Path(with_scene.output).exists()
    staged = tmp_path / ".report_turntable.views"
    before = {path.name: path.stat().st_mtime_ns for path in staged.glob("*.exr")}
    assert len(before) == 16
    seen: list[dict[str, int]] = []

    class Looks(QuietReporter):
        def progress(self, stage: str, *rest: Any, **figures: Any) -> None:
            if stage == "turntable" and not seen:
                seen.append({path.name: path.stat().st_mtime_ns for path in staged.glob("*.exr")})

    compare(with_scene, Looks())
    assert seen == [before]
    assert not staged.exists()


def test_what_makes_no_sense_is_refused_before_anything_is_rendered(grey: CompareSettings, tmp_path: Path) -> None:
    reporter = QuietReporter()
    for changes, words in (
        ({"turntable": 3}, "--turntable is 3; it must be between 8 and 1000"),
        ({"turntable": 0, "scene": "a.blend"}, "--scene is rendered for --turntable alone"),
        ({"scene": str(tmp_path / "none.blend")}, "none.blend does not exist"),
    ):
        with pytest.raises((UsageError, UserError), match=words):
            compare(replace(grey, **changes), reporter)
    foreign = write_grey_dataset(tmp_path / "foreign.h5", blender_version="")
    with pytest.raises(UsageError, match="somebody else's pictures"):
        compare(replace(grey, dataset=str(foreign), scene="a.blend"), reporter)
    assert not reporter.stages


def test_a_changed_scene_is_noticed_by_what_it_holds(tmp_path: Path) -> None:
    class Planned:
        scene_hash = "another copy of the same"
        bounds = ((-1.0, -1, -1), (1, 1, 1))
        objects = ({"name": "Teapot"},)

    path = write_grey_dataset(tmp_path / "grey.h5", objects=[{"index": 1, "name": "Teapot"}])
    with open_dataset(path) as dataset:
        plan: Any = Planned()
        assert not shows_another_scene(plan, dataset)
        plan.bounds = ((-1.0, -1, -1), (1, 1, 2))
        assert shows_another_scene(plan, dataset)
        plan.scene_hash = dataset.scene_hash
        assert not shows_another_scene(plan, dataset)


def test_a_frame_is_as_large_as_a_view_and_no_larger_than_a_screen_can_show_three() -> None:
    class Sized(Dataset):
        def __init__(self, width: int, height: int) -> None:
            self.size = np.array([[width, height]], np.int32)

    assert pane_size(Sized(200, 150)) == (200, 150)
    assert pane_size(Sized(1920, 1080)) == (720, 405)
