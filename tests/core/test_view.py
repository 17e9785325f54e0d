# SPDX-License-Identifier: GPL-3.0-or-later
"""`radiance-twin view`, and the view server: frames are what `render_view` gives, and nothing takes anything down."""

from __future__ import annotations

import json
import os
import runpy
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import OpenEXR
import pytest
from PIL import Image

from radiance_twin.core.cameras import Camera
from radiance_twin.core.cli import main
from radiance_twin.core.dataset.store import open_dataset
from radiance_twin.core.errors import UserError
from radiance_twin.core.field.render import load_field, render_view
from radiance_twin.core.processes import worker_command
from radiance_twin.core.reporting import QuietReporter
from radiance_twin.core.training.recipe import Recipe
from radiance_twin.core.training.trainer import TrainSettings, train
from radiance_twin.core.twin_file import read_twin
from radiance_twin.core.view import ViewSettings, view, view_transform_of
from radiance_twin.core.worker.child import Child
from radiance_twin.core.worker.frames import FrameFile, make_frame_file

SCENE = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("analytic_scene.py"))))
SIZE = (36, 28)
INTRINSICS = (45.0, 44.0, 18.5, 13.0)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(SCENE.write(tmp_path_factory.mktemp("scene") / "analytic.h5", views=8, size=32))


@pytest.fixture(scope="module")
def twin(dataset: Path) -> Path:
    """Rough, but a twin: what is tested is that everybody sees the same of it."""
    path = dataset.with_suffix(".twin")
    train(TrainSettings(str(dataset), str(path), steps=40, device="cpu"), QuietReporter(), Recipe(4096, bake_steps=2))
    return path


@pytest.fixture(scope="module")
def field(twin: Path) -> Any:
    return load_field(read_twin(twin), "cpu")


@pytest.fixture
def camera() -> Any:
    return SCENE.cameras(1, 0.2)[0]


# the command


def test_an_exr_holds_the_light_itself_and_depth(twin: Path, field: Any, camera: Any, tmp_path: Path, capsys: Any):
    words = {"camera_to_world": camera.tolist(), "intrinsics": INTRINSICS, "size": SIZE}
    (tmp_path / "camera.json").write_text(json.dumps(words))
    output = tmp_path / "x.exr"
    arguments = ["view", str(twin), "--camera", str(tmp_path / "camera.json"), "-o", str(output), "--device", "cpu"]
    assert main([*arguments, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["size"] == list(SIZE) and result["seconds"] > 0
    rgba, depth = render_view(field, Camera(camera, np.array(INTRINSICS), SIZE))
    with OpenEXR.File(str(output)) as file:
        channels = file.channels()
        assert np.array_equal(channels["RGBA"].pixels, rgba)
        assert np.array_equal(channels["Z"].pixels, depth)
    assert 0.05 < (depth > 0).mean() < 0.95


def test_an_orthographic_camera_sees_as_parallel_rays_do(twin: Path, field: Any, camera: Any, tmp_path: Path):
    """Held against the scene itself, which numpy traces, and against a very long lens from very far."""
    size, per_unit = (40, 36), 18.0
    intrinsics = [per_unit, per_unit, 20.0, 18.0]
    words = {"camera_to_world": camera.tolist(), "intrinsics": intrinsics, "size": size, "orthographic": True}
    (tmp_path / "camera.json").write_text(json.dumps(words))
    output = str(tmp_path / "x.exr")
    assert main(["view", str(twin), "--camera", str(tmp_path / "camera.json"), "-o", output, "--device", "cpu"]) == 0
    channels = OpenEXR.File(output).channels()
    rgba, depth = channels["RGBA"].pixels, channels["Z"].pixels
    x, y = np.meshgrid((np.arange(40) + 0.5 - 20.0) / per_unit, -(np.arange(36) + 0.5 - 18.0) / per_unit)
    origins = np.stack([x.ravel(), y.ravel()], axis=1) @ camera[:3, :2].T + camera[:3, 3]
    _, distance = SCENE.trace(origins, np.broadcast_to(-camera[:3, 2], origins.shape))
    hit = np.isfinite(distance).reshape(36, 40)
    assert 0.2 < hit.mean() < 0.8
    assert ((rgba[..., 3] > 0.5) == hit).mean() > 0.9, "a rough twin's rim is soft"
    away, back = camera.copy(), 100.0
    away[:3, 3] += back * camera[:3, 2]
    focal = per_unit * (back + 3.0)  # what is 3 units before the near one is as large as there
    lens, lens_depth = render_view(field, Camera(away, np.array([focal, focal, 20.0, 18.0]), size))
    assert np.abs(lens - rgba).mean() < 1e-2
    both = (depth > 0.0) & (lens_depth > 0.0)
    assert np.median(np.abs(lens_depth - back - depth)[both]) < 1e-2


def test_a_png_is_what_a_screen_shows_of_a_datasets_view(
    twin: Path, field: Any, dataset: Path, tmp_path: Path, capsys: Any
):
    output = tmp_path / "x.png"
    arguments = ["view", str(twin), "--dataset", str(dataset), "--view", "9", "-o", str(output), "--device", "cpu"]
    assert main(arguments) == 0
    assert capsys.readouterr().out.startswith(f"{output}: 32 x 32 pixels in ")
    with open_dataset(dataset) as views:
        rgba, _ = render_view(field, views.camera(9))
    seen = np.asarray(Image.open(output)).astype(np.float64)
    alpha = rgba[..., 3]
    assert np.abs(seen[..., 3] - 255 * alpha).max() < 0.51
    solid = alpha > 0.1
    shown = view_transform_of(read_twin(twin)).apply((rgba[..., :3] / np.maximum(alpha, 1e-6)[..., None])[solid])
    assert np.abs(seen[solid][:, :3] - 255 * shown).max() < 0.51


def test_a_large_picture_says_how_far_it_is(twin: Path, dataset: Path, tmp_path: Path):
    told = []

    class Told(QuietReporter):
        def progress(self, stage: str, done: float, total: float, **more: Any) -> None:
            told.append((done / total, more.get("seconds_left")))

    large = ViewSettings(
        str(twin), str(tmp_path / "x.png"), dataset=str(dataset), view=8, size=(256, 256), device="cpu"
    )
    view(large, Told())
    shares = [share for share, _ in told]
    assert len(told) > 4 and shares == sorted(shares) and (shares[0], shares[-1]) == (0.0, 1.0)
    assert all(left is not None for share, left in told if 0.0 < share < 1.0)


def test_another_size_shows_the_same(twin: Path, dataset: Path, tmp_path: Path):
    view = ["view", str(twin), "--dataset", str(dataset), "--view", "8", "--device", "cpu"]
    assert main([*view, "-o", str(tmp_path / "small.exr")]) == 0
    assert main([*view, "-o", str(tmp_path / "large.exr"), "--size", "64x64"]) == 0
    small, large = (
        OpenEXR.File(str(tmp_path / f"{name}.exr")).channels()["RGBA"].pixels for name in ("small", "large")
    )
    assert large.shape == (64, 64, 4)
    assert np.abs(cv2.resize(large, (32, 32), interpolation=cv2.INTER_AREA) - small).mean() < 0.02


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (["-o", "x.png"], 2, "say from where"),
        (["-o", "x.png", "--dataset", "DATASET"], 2, "belong together"),
        (["-o", "x.jpg", "--dataset", "DATASET", "--view", "0"], 2, "name it like x.png or x.exr"),
        (["-o", "x.png", "--dataset", "DATASET", "--view", "99"], 1, "has no view 99; it has 0 to 11"),
        (["-o", "x.png", "--dataset", "DATASET", "--view", "0", "--size", "0x9"], 2, "sides are 1 to"),
        (["-o", "x.png", "--camera", "none.json"], 1, "check the path"),
        (["-o", "x.png", "--camera", "DATASET"], 1, "is no camera"),
    ],
)
def test_wrong_use_is_told_in_one_line(
    words: list[str],
    code: int,
    complaint: str,
    twin: Path,
    dataset: Path,
    tmp_path: Path,
    monkeypatch: Any,
    capsys: Any,
):
    monkeypatch.chdir(tmp_path)
    assert main(["view", str(twin), *(str(dataset) if word == "DATASET" else word for word in words)]) == code
    told = capsys.readouterr()
    assert complaint in told.err and told.err.count("\n") == 1 and told.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        {"camera_to_world": np.eye(4).tolist(), "intrinsics": [1, 1, 0, 0]},
        {"camera_to_world": np.zeros((4, 4)).tolist(), "intrinsics": [1, 1, 0, 0], "size": [4, 4]},
        {"camera_to_world": np.eye(3).tolist(), "intrinsics": [1, 1, 0, 0], "size": [4, 4]},
        {"camera_to_world": np.eye(4).tolist(), "intrinsics": [0, 1, 0, 0], "size": [4, 4]},
        {"camera_to_world": np.eye(4).tolist(), "intrinsics": [1, 1, 0], "size": [4, 4]},
        {"camera_to_world": "here", "intrinsics": [1, 1, 0, 0], "size": [4, 4]},
        {"camera_to_world": np.eye(4).tolist(), "intrinsics": [1, 1, 0, 0], "size": [4]},
        [1, 2, 3],
    ],
)
def test_a_camera_that_is_none(words: Any, twin: Path, tmp_path: Path, capsys: Any):
    (tmp_path / "camera.json").write_text(json.dumps(words))
    assert main(["view", str(twin), "--camera", str(tmp_path / "camera.json"), "-o", str(tmp_path / "x.png")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "x.png").exists()


# frames through a file


def test_a_frame_file_keeps_the_last_two_frames(tmp_path: Path):
    make_frame_file(tmp_path / "frame", (6, 4))
    writer, reader = FrameFile(tmp_path / "frame"), FrameFile(tmp_path / "frame")
    frames = {n: (np.full((4, 6, 4), n, np.float32), np.full((4, 6), 10 * n, np.float32)) for n in (1, 2, 3)}
    assert reader.last == 0 and reader.read(1) is None
    for number, frame in frames.items():
        writer.write(number, *frame)
    assert reader.last == 3 and reader.read(1) is None
    for number in (2, 3):
        seen = reader.read(number)
        assert seen is not None
        assert np.array_equal(seen[0], frames[number][0]) and np.array_equal(seen[1], frames[number][1])
    writer.write(4, np.ones((2, 3, 4), np.float32), np.ones((2, 3), np.float32))
    smaller = reader.read(4)
    assert smaller is not None and smaller[0].shape == (2, 3, 4)
    with pytest.raises(UserError, match="larger than the file"):
        writer.write(5, np.ones((9, 6, 4), np.float32), np.ones((9, 6), np.float32))
    for file in (writer, reader):
        file.close()


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system cannot be asked for room")
def test_a_frame_file_has_its_room_before_it_is_mapped(tmp_path: Path):
    make_frame_file(tmp_path / "frame", (640, 480))
    told = (tmp_path / "frame").stat()
    assert told.st_blocks * 512 >= told.st_size >= 2 * 640 * 480 * 5 * 4


def test_a_frame_that_is_written_meanwhile_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    make_frame_file(tmp_path / "frame", (6, 4))
    writer, reader = FrameFile(tmp_path / "frame"), FrameFile(tmp_path / "frame")
    rgba, depth = np.ones((4, 6, 4), np.float32), np.ones((4, 6), np.float32)
    writer.write(1, rgba, depth)
    pixels = reader._pixels

    def overtaken(*place: int) -> np.ndarray:
        writer.write(3, 2.0 * rgba, depth)
        return pixels(*place)

    with monkeypatch.context() as patch:
        patch.setattr(reader, "_pixels", overtaken)
        assert reader.read(1) is None, "it is half the one and half the other"
    with pytest.raises(ValueError, match="broadcast"):
        writer.write(5, rgba[:2], depth)
    assert reader.read(3) is None and reader.read(5) is None, "who wrote into its room has not come to the end"


def test_a_frame_file_that_is_none(tmp_path: Path):
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "short").write_bytes(bytes(40))
    for name in ("none", "empty", "short"):
        with pytest.raises(UserError):
            FrameFile(tmp_path / name)
    with pytest.raises(UserError, match="largest side"):
        make_frame_file(tmp_path / "x", (0, 4))


# the server


@dataclass
class Server:
    """The real worker, serving frames; `ask` and `wait_for` are what Blender's side does."""

    child: Child
    folder: Path
    twin: Path
    camera: Any

    def ask(self, **changes: Any) -> int:
        size = changes.get("size", SIZE)
        path = self.folder / f"{size[0]}x{size[1]}"
        if not path.exists():
            make_frame_file(path, size)
        words = {
            "frame": str(path),
            "twin": str(self.twin),
            "camera_to_world": self.camera.tolist(),
            "intrinsics": INTRINSICS,
            "size": size,
            "world_from_object": np.eye(4).tolist(),
            **changes,
        }
        return self.child.ask("frame", words)

    def wait_for(self, found: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """What it says up to the event that was looked for."""
        began, heard = time.monotonic(), []
        while True:
            for event in self.child.events():
                heard.append(event)
                if found(event):
                    return heard
            assert not self.child.finished, self.child.log_tail()
            assert time.monotonic() - began < 60, heard
            time.sleep(0.01)

    def answer(self, identity: int) -> dict[str, Any]:
        return self.wait_for(lambda event: event["id"] == identity and event["event"] in ("result", "error"))[-1]

    def frame(self, **changes: Any) -> tuple[Any, Any]:
        result = self.answer(self.ask(**changes))
        assert result["event"] == "result", result
        size = changes.get("size", SIZE)
        file = FrameFile(self.folder / f"{size[0]}x{size[1]}")
        frame = file.read(result["result"]["sequence"])
        file.close()
        assert frame is not None
        return frame


def start(folder: Path, twin: Path, camera: Any, idle_seconds: float = 60.0) -> Server:
    settings = {"device": "cpu", "idle_seconds": idle_seconds}
    return Server(Child(worker_command(sys.executable), "serve_frames", settings), folder, twin, camera)


@pytest.fixture(scope="module")
def running(twin: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = start(tmp_path_factory.mktemp("frames"), twin, SCENE.cameras(1, 0.2)[0])
    yield server
    server.child.close()


def test_a_frame_is_the_fields_picture(running: Server, field: Any, camera: Any):
    rgba, depth = running.frame()
    expected, expected_depth = render_view(field, Camera(camera, np.array(INTRINSICS), SIZE))
    assert np.abs(rgba - expected).max() < 1e-5
    assert depth == pytest.approx(expected_depth, abs=1e-4)


def test_camera_and_twin_moved_alike_give_the_same_frame(running: Server, camera: Any):
    still, depth = running.frame()
    turned = np.array([[0.0, -1.0, 0.0, 4.0], [1.0, 0.0, 0.0, -2.0], [0.0, 0.0, 1.0, 0.5], [0.0, 0.0, 0.0, 1.0]])
    moved, moved_depth = running.frame(camera_to_world=(turned @ camera).tolist(), world_from_object=turned.tolist())
    assert np.abs(moved - still).mean() < 1e-3 and np.abs(moved_depth - depth).mean() < 1e-2
    # twice as large, seen from twice as far: the same picture, everything twice as far away
    twice = np.diag([2.0, 2.0, 2.0, 1.0])
    far = camera.copy()
    far[:3, 3] *= 2.0
    large, large_depth = running.frame(camera_to_world=far.tolist(), world_from_object=twice.tolist())
    assert np.abs(large - still).mean() < 1e-3 and np.abs(large_depth - 2 * depth).mean() < 2e-2


def test_a_large_frame_comes_coarsely_first(running: Server):
    size = (160, 120)
    identity = running.ask(size=size, intrinsics=[200.0, 200.0, 80.0, 60.0], coarse=True)
    heard = running.wait_for(lambda event: event["id"] == identity and event["event"] == "result")
    frames = [event for event in heard if event["event"] == "frame"]
    assert [event["size"] for event in frames] == [[40, 30], [160, 120]]
    assert [event["complete"] for event in frames] == [False, True]
    file = FrameFile(running.folder / "160x120")
    (coarse, _), (fine, _) = (file.read(event["sequence"]) for event in frames)  # type: ignore[misc]
    file.close()
    assert np.abs(cv2.resize(fine, (40, 30), interpolation=cv2.INTER_AREA) - coarse).mean() < 0.02


def test_a_newer_request_cancels_the_one_in_work(running: Server):
    size = (1600, 1200)
    slow = running.ask(size=size, intrinsics=[2000.0, 2000.0, 800.0, 600.0], coarse=True)
    running.wait_for(lambda event: event["id"] == slow and event["event"] == "frame")
    waiting, newest = running.ask(), running.ask()
    heard = running.wait_for(lambda event: event["id"] == newest and event["event"] == "result")
    ended = {event["id"]: event.get("kind") for event in heard if event["event"] in ("result", "error")}
    assert ended == {slow: "cancelled", waiting: "cancelled", newest: None}


def test_a_request_can_be_dropped(running: Server):
    identity = running.ask(size=(1600, 1200), intrinsics=[2000.0, 2000.0, 800.0, 600.0])
    time.sleep(0.1)
    running.child.drop(identity)
    assert running.answer(identity)["kind"] == "cancelled"
    running.frame()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"twin": "/nowhere/x.twin"}, "is not there"),
        ({"frame": "/nowhere/frame"}, "cannot map the frame file"),
        ({"intrinsics": [1.0, 1.0]}, "intrinsics"),
        ({"camera_to_world": "here"}, "camera_to_world"),
        ({"world_from_object": np.diag([1.0, 2.0, 1.0, 1.0]).tolist()}, "scaled unevenly"),
    ],
)
def test_a_wrong_request_is_told_and_the_next_one_answered(running: Server, changes: dict[str, Any], complaint: str):
    error = running.answer(running.ask(**changes))
    assert error["event"] == "error" and error["kind"] in ("user", "usage") and complaint in error["message"]
    running.frame()


def test_a_twin_that_is_trained_again_is_loaded_again(running: Server, twin: Path, tmp_path: Path):
    copy = tmp_path / "copy.twin"
    copy.write_bytes(twin.read_bytes())
    before, _ = running.frame(twin=str(copy))
    copy.write_bytes(b"no twin any more")
    assert "not a complete .twin" in running.answer(running.ask(twin=str(copy)))["message"]
    copy.write_bytes(twin.read_bytes())
    after, _ = running.frame(twin=str(copy))
    assert np.array_equal(before, after)


def test_what_lies_behind_a_scene_can_be_left_out(running: Server, tmp_path: Path):
    dataset, twin = Path(SCENE.write(tmp_path / "world.h5", views=6, size=24, film="world")), tmp_path / "world.twin"
    train(TrainSettings(str(dataset), str(twin), steps=30, device="cpu"), QuietReporter(), Recipe(4096, bake_steps=1))
    whole, depth = running.frame(twin=str(twin))
    alone, same = running.frame(twin=str(twin), behind=False)
    seen = depth > 0.0
    assert 0.05 < seen.mean() < 0.95
    assert np.array_equal(alone[seen], whole[seen]) and np.array_equal(same, depth)
    assert (whole[..., 3] == 1.0).all() and whole[~seen][:, :3].mean() > 0.1
    assert alone[~seen].max() == 0.0


def test_it_leaves_when_nobody_asks_any_more(twin: Path, tmp_path: Path):
    server = start(tmp_path, twin, SCENE.cameras(1, 0.2)[0], idle_seconds=0.5)
    server.frame()
    began = time.monotonic()
    while not server.child.finished:
        assert time.monotonic() - began < 20
        time.sleep(0.05)
    assert server.child.returncode == 0
    server.child.close()


def test_it_leaves_in_the_middle_of_a_frame_when_it_is_told_to(running: Server):
    # the last test: nobody answers after it
    slow = running.ask(size=(1600, 1200), intrinsics=[2000.0, 2000.0, 800.0, 600.0], coarse=True)
    running.wait_for(lambda event: event["id"] == slow and event["event"] == "frame")
    running.child.cancel()
    began = time.monotonic()
    while not running.child.finished:
        assert time.monotonic() - began < 5
        time.sleep(0.02)
