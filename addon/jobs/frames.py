# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions to one process of the worker for frames of fields, and the files that its answers come through."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ...core.errors import Cancelled, UserError
from ...core.reporting import QuietReporter
from ...core.worker.child import Child
from ...core.worker.frames import FrameFile, make_frame_file

MOST_FILES = 3

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class View:
    """What is asked for: one twin, seen by one camera.

    Attributes:
        twin: absolute path of the .twin.
        camera_to_world: [4, 4], OpenGL axes.
        intrinsics: fx fy cx cy in pixels; of an orthographic camera, fx and fy in pixels per scene unit.
        size: width and height.
        world_from_object: [4, 4], where the twin's object stands.
        behind: whether what lies behind a scene with film "world" is part of the frame.
        coarse: whether a frame of fewer pixels is wanted first.
        device: auto | cpu | cuda.
        orthographic: whether rays are parallel, and start in the camera's plane z = 0.
    """

    twin: str
    camera_to_world: Matrix
    intrinsics: Matrix
    size: tuple[int, int]
    world_from_object: Matrix
    behind: bool = True
    coarse: bool = False
    device: str = "auto"
    orthographic: bool = False


@dataclass
class Answer:
    """What has come of a question so far.

    Attributes:
        rgba: [H, W, 4] scene-linear, premultiplied, row 0 at the top; None as long as there is nothing.
        depth: [H, W] planar, scene units, 0 where there is nothing.
        complete: whether that is the frame that was asked for, not a coarse one.
        seconds: that its rendering took.
        ended: nothing more will come.
        problem: why, in one line, when it is not complete; empty when it was overtaken or dropped.
    """

    view: View
    rgba: NDArray[np.float32] | None = None
    depth: NDArray[np.float32] | None = None
    complete: bool = False
    seconds: float = 0.0
    ended: bool = False
    problem: str = ""


@dataclass
class FlipAnswer:
    """What has come of a question for a map of FLIP.

    Attributes:
        pair_file, map_file: which the worker reads and writes.
        error: the map [H, W], 0..1, row 0 at the top; None when there is none yet.
        mean: of the map.
        ended, problem: as of Answer.
    """

    pair_file: Path
    map_file: Path
    error: NDArray[np.float32] | None = None
    mean: float = 0.0
    ended: bool = False
    problem: str = ""


class Frames:
    """What `child` was asked for, and what has come of it; `brought` tells whether any of it has come."""

    def __init__(self, child: Child) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="radiance_twin_frames_", dir=bpy.app.tempdir))
        self.brought = False
        self._child = child
        self._answers: dict[int, Answer | FlipAnswer] = {}
        self._flips = 0
        self._files: dict[tuple[int, int], FrameFile] = {}

    def ask(self, view: View) -> Answer:
        """Ask for a frame; what comes of it is put into the answer by `take`.

        Raises:
            UserError: there is no room for it.
        """
        answer = Answer(view)
        self._file(view.size)
        words = {
            "frame": str(self._path(view.size)),
            "twin": view.twin,
            "camera_to_world": view.camera_to_world.tolist(),
            "intrinsics": view.intrinsics.tolist(),
            "orthographic": view.orthographic,
            "size": list(view.size),
            "world_from_object": view.world_from_object.tolist(),
            "behind": view.behind,
            "coarse": view.coarse,
        }
        self._answers[self._child.ask("frame", words)] = answer
        return answer

    def ask_flip(self, pair: NDArray[np.uint8]) -> FlipAnswer:
        """Ask for the map of FLIP between two pictures [2, H, W, 3], the reference first.

        Raises:
            UserError: there is no room for them.
        """
        # of its own: the worker may still be at the files of a question that this one overtakes
        self._flips += 1
        answer = FlipAnswer(self.folder / f"pair{self._flips}.npy", self.folder / f"flip{self._flips}.npy")
        try:
            np.save(answer.pair_file, pair, allow_pickle=False)
        except OSError as error:
            raise UserError(f"there is no room for pictures in {self.folder} ({error.strerror}); free some") from error
        words = {"pair": str(answer.pair_file), "map": str(answer.map_file)}
        self._answers[self._child.ask("flip", words)] = answer
        return answer

    def drop(self, answer: Answer | FlipAnswer) -> None:
        """Not wanted any more."""
        for identity, one in self._answers.items():
            if one is answer:
                self._child.drop(identity)

    def take(self, event: dict[str, Any]) -> bool:
        """Take in what the child has said; whether it was about a frame."""
        identity = int(event.get("id", 0))
        answer = self._answers.get(identity)
        if answer is None:
            return False
        try:
            if event.get("event") == "frame" and isinstance(answer, Answer):
                frame = self._file(answer.view.size).read(int(event["sequence"]))
                if frame is not None:
                    answer.rgba, answer.depth = frame
                    answer.complete = bool(event["complete"])
                return True
            result = Child.take(event, QuietReporter())
            self.brought = self.brought or result is not None
            if result is not None and isinstance(answer, Answer):
                answer.seconds = float(result["seconds"])
            elif result is not None:
                answer.error, answer.mean = np.load(answer.map_file, allow_pickle=False), float(result["mean"])
            answer.ended = result is not None
        except (UserError, Cancelled) as error:
            answer.ended = True
            answer.problem = "" if isinstance(error, Cancelled) else str(error)
        if answer.ended:
            del self._answers[identity]
            if isinstance(answer, FlipAnswer):
                for file in (answer.pair_file, answer.map_file):
                    with suppress(OSError):  # it goes with the folder
                        file.unlink()
        return True

    def end(self, problem: str = "") -> None:
        """Nothing more will come."""
        for answer in self._answers.values():
            answer.ended = True
            answer.problem = problem
        self._answers.clear()

    def close(self) -> None:
        """Let go of the files; the child has to have ended."""
        self.end()
        for file in self._files.values():
            file.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, size: tuple[int, int]) -> Path:
        return self.folder / f"{size[0]}x{size[1]}"

    def _file(self, size: tuple[int, int]) -> FrameFile:
        file = self._files.pop(size, None)
        if file is None:
            make_frame_file(self._path(size), size)
            file = FrameFile(self._path(size))
        # most recently used last
        self._files[size] = file
        while len(self._files) > MOST_FILES:
            old = next(iter(self._files))
            self._files.pop(old).close()
            try:
                self._path(old).unlink()
            except OSError:
                pass  # Windows keeps what the worker still maps; it goes with the folder
        return file
