# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames of a field while it is trained: they are its own, they cost little, and training does not notice them."""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from radiance_twin.core.cameras import Camera
from radiance_twin.core.dataset.store import open_dataset
from radiance_twin.core.field.cpu import thread_pool
from radiance_twin.core.field.model import field_arrays
from radiance_twin.core.field.occupancy import occupancy_bits
from radiance_twin.core.field.render import MIDDLE, PATTERN, render_view
from radiance_twin.core.processes import worker_command
from radiance_twin.core.training.recipe import Recipe
from radiance_twin.core.training.run import prepare
from radiance_twin.core.worker import previews
from radiance_twin.core.worker.child import Child
from radiance_twin.core.worker.frames import FrameFile, make_frame_file
from radiance_twin.core.worker.previews import Previews, affordable
from radiance_twin.core.worker.protocol import ChildReporter, Requests

from . import analytic_scene as scene

SIZE = (120, 90)
CAMERA = scene.look_at((2.0, -2.2, 1.6), (0.0, 0.0, 0.35))
BOUNDS = scene.BOUNDS.tolist()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scene.write(tmp_path_factory.mktemp("previews") / "scene.h5", views=12, size=40)


def words(frame: Path, camera_to_world: Any = CAMERA) -> dict[str, Any]:
    """What Blender asks for."""
    return {
        "frame": str(frame),
        "camera_to_world": np.asarray(camera_to_world).tolist(),
        "intrinsics": [140.0, 140.0, 60.0, 45.0],
        "size": list(SIZE),
        "world_from_object": np.eye(4).tolist(),
        "behind": False,
    }


class Looking(Previews):
    """Somebody who asks again as soon as there was an answer, and compares each frame with the field at that moment."""

    def __init__(self, frame: Path) -> None:
        self._requests = Requests(io.StringIO())
        super().__init__(ChildReporter(io.StringIO(), 1), self._requests)
        self._words, self._asked, self.differences = words(frame), 1, []

    def look(self, run: Any) -> None:
        if self._requests.newest() is None:
            self._asked += 1
            self._requests.put({"id": self._asked, "request": "frame", "arguments": self._words})
        run = SimpleNamespace(seconds=100.0 * run.steps, field_so_far=run.field_so_far)  # much time to spend
        before = self.frames
        super().look(run)
        if self.frames > before:
            file = FrameFile(self._words["frame"])
            seen = file.read(file.last)
            file.close()
            camera = Camera(CAMERA, np.array(self._words["intrinsics"]), SIZE)
            expected, _ = render_view(run.field_so_far(), camera)
            assert seen is not None and seen[0].shape == (*SIZE[::-1], 4)
            self.differences.append(np.abs(seen[0] - expected).max())


def test_looking_shows_the_field_as_it_is_and_does_not_change_it(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(previews, "APART", 0.0)
    monkeypatch.setattr(previews, "FARTHER", 0.0)
    monkeypatch.setattr(previews, "FEWEST_RAYS", SIZE[0] * SIZE[1] * len(PATTERN))
    make_frame_file(tmp_path / "frame", SIZE)
    looking = Looking(tmp_path / "frame")
    fields = []
    with open_dataset(dataset) as opened, thread_pool() as pool:
        for onlooker in (looking, None):
            run = prepare(opened, torch.device("cpu"), 0, pool, Recipe(8192))
            for step in range(20):
                run.step(step / 20)
                if onlooker is not None:
                    onlooker.look(run)
            trained = run.trained_field()
            fields.append({**field_arrays(trained.model), **occupancy_bits(trained.occupied)})
    assert len(looking.differences) > 1 and max(looking.differences) < 1e-4
    assert fields[0].keys() == fields[1].keys()
    assert all(np.array_equal(fields[0][name], fields[1][name]) for name in fields[0])


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    perf_counter = monotonic


@pytest.mark.parametrize("rays_per_second", [500.0, 200_000.0, 1e8])
@pytest.mark.parametrize("moves", [False, True])
def test_previews_cost_a_tenth_of_the_training_at_most(
    rays_per_second: float, moves: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On slow and fast machines, and for a view that rests or never does."""
    clock, frames = Clock(), []
    monkeypatch.setattr(previews, "time", clock)

    def give_frames(field: Any, cameras: Any, arguments: Any, reporter: Any, pattern: Any) -> dict[str, Any]:
        (camera,) = cameras
        frames.append((clock.now, camera.size))
        clock.now += camera.size[0] * camera.size[1] * len(pattern) / rays_per_second
        return {}

    monkeypatch.setattr(previews, "give_frames", give_frames)
    requests = Requests(io.StringIO())
    looking = Previews(ChildReporter(io.StringIO(), 1), requests)
    run: Any = SimpleNamespace(seconds=0.0, field_so_far=lambda: None)
    for number in range(6000):
        run.seconds += 0.1
        clock.now += 0.1
        camera_to_world = CAMERA + np.eye(4) * 1e-3 * (number if moves else 0)
        requests.put({"id": number + 2, "request": "frame", "arguments": words(Path("none"), camera_to_world)})
        looking.look(run)
    first = previews.FEWEST_RAYS / min(rays_per_second, previews.RAYS_PER_SECOND)
    assert looking.seconds <= previews.SHARE * run.seconds + first
    gaps = np.diff([when for when, _ in frames])
    assert gaps.min() >= (previews.APART_WHEN_MOVED if moves else previews.APART)
    assert frames[0][0] < 3.0, "something is seen soon"
    if rays_per_second > 1e6:
        assert frames[-1][1] == SIZE, "and all of it, where that is cheap"


def test_a_frame_has_as_many_rays_as_can_be_had() -> None:
    camera = Camera(CAMERA, np.array([140.0, 140.0, 60.0, 45.0]), SIZE)
    assert affordable(1e9, camera) == (camera, PATTERN)
    whole, pattern = affordable(SIZE[0] * SIZE[1], camera)
    assert whole.size == SIZE and pattern == MIDDLE
    coarse, pattern = affordable(SIZE[0] * SIZE[1] / 16, camera)
    assert coarse.size == (30, 22) and pattern == MIDDLE
    # the same picture: the middle of it stays where it was
    assert coarse.intrinsics[2:] / coarse.size == pytest.approx(camera.intrinsics[2:] / SIZE)


def test_a_training_is_asked_by_its_parent(dataset: Path, tmp_path: Path) -> None:
    make_frame_file(tmp_path / "frame", SIZE)
    settings = {"dataset": str(dataset), "output": str(tmp_path / "x.twin"), "seconds": 60.0, "device": "cpu"}
    child = Child(worker_command(sys.executable), "train", settings)
    overtaken, newest = (child.ask("frame", words(tmp_path / "frame", pose)) for pose in (np.eye(4), CAMERA))
    heard: list[dict[str, Any]] = []
    began = time.monotonic()
    while not any(event["id"] == newest and event["event"] == "result" for event in heard):
        heard += child.events()
        assert time.monotonic() - began < 100 and not child.finished, child.log_tail()
        time.sleep(0.02)
    child.kill()
    child.close()
    assert (overtaken, "cancelled") in {(event["id"], event.get("kind")) for event in heard}
    ((width, height),) = (event["size"] for event in heard if event["event"] == "frame")
    assert width / height == pytest.approx(SIZE[0] / SIZE[1], rel=0.05) and 1000 < width * height < SIZE[0] * SIZE[1]
    (place,) = (event["metadata"] for event in heard if event["event"] == "field")
    assert place == {"world_from_field": scene.world_from_field_of_bounds(scene.BOUNDS).tolist(), "bounds": BOUNDS}
