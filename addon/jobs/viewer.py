# SPDX-License-Identifier: GPL-3.0-or-later
"""The view server as Blender sees it: one process of the worker that renders fields while somebody looks.

It is started by the first question and leaves by itself when there were none for a while. Unlike a job it has no
progress to show and never touches the scene. May be called from a render's thread: one lock guards it all.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from bpy.app.handlers import persistent
from numpy.typing import NDArray

from ...core.errors import Cancelled, UserError
from ...core.processes import worker_command
from ...core.reporting import QuietReporter
from ...core.worker.child import Child
from ...core.worker.frames import FrameFile, make_frame_file
from ..preferences import find_worker_python

IDLE_SECONDS = 300.0
MOST_FILES = 3
SECONDS_BETWEEN_LOOKS = 0.01

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class View:
    """What is asked for: one twin, seen by one camera.

    Attributes:
        twin: absolute path of the .twin.
        camera_to_world: [4, 4], OpenGL axes.
        intrinsics: fx fy cx cy in pixels.
        size: width and height.
        world_from_object: [4, 4], where the twin's object stands.
        behind: whether what lies behind a scene with film "world" is part of the frame.
        coarse: whether a frame of fewer pixels is wanted first.
        device: auto | cpu | cuda.
    """

    twin: str
    camera_to_world: Matrix
    intrinsics: Matrix
    size: tuple[int, int]
    world_from_object: Matrix
    behind: bool = True
    coarse: bool = False
    device: str = "auto"


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


class _Server:
    """The process, and the files that its frames come through."""

    def __init__(self, python: str, device: str) -> None:
        self.key = (python, device)
        self.folder = Path(tempfile.mkdtemp(prefix="radiance_twin_frames_", dir=bpy.app.tempdir))
        self.answers: dict[int, Answer] = {}
        self._files: dict[tuple[int, int], FrameFile] = {}
        arguments = {"device": device, "idle_seconds": IDLE_SECONDS}
        try:
            self.child = Child(worker_command(python), "serve_frames", arguments)
        except UserError:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def can_be_asked(self, python: str, device: str) -> bool:
        """Whether it is the one that is wanted, and able to answer."""
        # Blender empties its temporary folder when factory settings are loaded
        return self.key == (python, device) and not self.child.finished and self.folder.is_dir()

    def ask(self, view: View) -> Answer:
        answer = Answer(view)
        self._file(view.size)
        words = {
            "frame": str(self._path(view.size)),
            "twin": view.twin,
            "camera_to_world": view.camera_to_world.tolist(),
            "intrinsics": view.intrinsics.tolist(),
            "size": list(view.size),
            "world_from_object": view.world_from_object.tolist(),
            "behind": view.behind,
            "coarse": view.coarse,
        }
        self.answers[self.child.ask("frame", words)] = answer
        return answer

    def drop(self, answer: Answer) -> None:
        for identity, one in self.answers.items():
            if one is answer:
                self.child.drop(identity)

    def hear(self) -> None:
        gone = self.child.finished  # asked before reading, so that its last words are read too
        for event in self.child.events():
            try:
                self._take(event)
            except (UserError, Cancelled) as error:
                answer = self.answers.pop(int(event.get("id", 0)), None)
                if answer is not None:
                    answer.ended = True
                    answer.problem = "" if isinstance(error, Cancelled) else str(error)
        if gone:
            for answer in self.answers.values():
                answer.ended = True
                answer.problem = f"the worker ended unexpectedly (exit code {self.child.returncode})"
            self.answers.clear()

    def _take(self, event: dict[str, Any]) -> None:
        identity = int(event.get("id", 0))
        answer = self.answers.get(identity)
        if event.get("event") == "frame" and answer is not None:
            frame = self._file(answer.view.size).read(int(event["sequence"]))
            if frame is not None:
                answer.rgba, answer.depth = frame
                answer.complete = bool(event["complete"])
            return
        result = Child.take(event, QuietReporter())
        if result is not None and answer is not None:
            answer.seconds = float(result["seconds"])
            answer.ended = True
            del self.answers[identity]

    def close(self) -> None:
        for answer in self.answers.values():
            answer.ended = True
        self.child.cancel()
        self.child.close()
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


_lock = threading.RLock()
_server: _Server | None = None
# whoever renders has the server for itself
_taken = 0


def ask(view: View) -> Answer:
    """Ask for a frame; `hear` brings it. It overtakes whatever was asked before.

    Raises:
        UserError: there is no worker, or no room for frames.
    """
    global _server
    python, reason = find_worker_python()
    if reason:
        raise UserError(reason)
    with _lock:
        if _server is not None and not _server.can_be_asked(python, view.device):
            stop()
        if _server is None:
            _server = _Server(python, view.device)
        return _server.ask(view)


def hear() -> None:
    """Take in what the server has said. Does not wait."""
    with _lock:
        if _server is not None:
            _server.hear()


def drop(answer: Answer) -> None:
    """Not wanted any more."""
    with _lock:
        if _server is not None:
            _server.drop(answer)


def wait(view: View, cancelled: Callable[[], bool]) -> Answer:
    """Ask for a frame and wait until it is complete.

    Raises:
        UserError: there is none, and why. Cancelled: `cancelled` said so.
    """
    global _taken
    with _lock:
        _taken += 1
    try:
        answer = ask(view)
        while not answer.ended:
            if cancelled():
                drop(answer)
                raise Cancelled("stopped")
            hear()
            time.sleep(SECONDS_BETWEEN_LOOKS)
    finally:
        with _lock:
            _taken -= 1
    if not answer.complete:
        raise UserError(answer.problem or "the frame was overtaken by another one; render again")
    return answer


def is_taken() -> bool:
    """Whether somebody waits for a frame, whom other questions would overtake."""
    return _taken > 0


def process_id() -> int | None:
    """Of the server, None when there is none."""
    with _lock:
        return None if _server is None or _server.child.finished else _server.child.pid


def stop() -> None:
    """End the server and give its memory back, the GPU's too."""
    global _server
    with _lock:
        if _server is not None:
            _server.close()
            _server = None


@persistent
def _before_rendering(scene: bpy.types.Scene, *_: Any) -> None:
    """Cycles and EEVEE may need the memory that the fields lie in."""
    if scene is not None and scene.render.engine in {"CYCLES", "BLENDER_EEVEE", "BLENDER_EEVEE_NEXT"}:
        stop()


def register() -> None:
    atexit.register(stop)
    bpy.app.handlers.render_init.append(_before_rendering)


def unregister() -> None:
    bpy.app.handlers.render_init.remove(_before_rendering)
    atexit.unregister(stop)
    stop()
