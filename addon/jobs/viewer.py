# SPDX-License-Identifier: GPL-3.0-or-later
"""The view server as Blender sees it: one process of the worker that renders fields while somebody looks.

It is started by the first question and leaves by itself when there were none for a while. Unlike a job it has no
progress to show and never touches the scene. May be called from a render's thread: one lock guards it all.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ...core.errors import Cancelled, UserError
from ...core.processes import worker_command
from ...core.reporting import QuietReporter
from ...core.worker.child import Child
from ..preferences import find_worker_python
from .frames import Answer, FlipAnswer, Frames, View
from .logs import new_log

Asked = TypeVar("Asked", Answer, FlipAnswer)

IDLE_SECONDS = 300.0
SECONDS_BETWEEN_LOOKS = 0.01
MOST_FAILED = 3


class _Server:
    """The process, and its frames."""

    def __init__(self, python: str, device: str) -> None:
        self.key = (python, device)
        arguments = {"device": device, "idle_seconds": IDLE_SECONDS}
        self.child = Child(worker_command(python), "serve_frames", arguments, new_log("serve_frames"))
        self.frames = Frames(self.child)

    def can_be_asked(self, python: str, device: str) -> bool:
        """Whether it is the one that is wanted, and able to answer."""
        # Blender empties its temporary folder when factory settings are loaded
        return self.key == (python, device) and not self.child.finished and self.frames.folder.is_dir()

    def hear(self) -> None:
        gone = self.child.finished  # asked before reading, so that its last words are read too
        for event in self.child.events():
            try:
                # what is about no frame is its hello, or what it says about serving at all
                if not self.frames.take(event):
                    Child.take(event, QuietReporter())
            except (UserError, Cancelled) as error:
                self.frames.end(str(error))
        if gone:
            self.frames.end(
                f"the worker ended unexpectedly (exit code {self.child.returncode}); see {self.child.log_path}"
            )

    @property
    def has_failed(self) -> bool:
        """Whether it died before it had brought a single frame."""
        return self.child.finished and self.child.returncode != 0 and not self.frames.brought

    def close(self) -> None:
        self.child.cancel()
        self.child.close()
        self.frames.close()


_lock = threading.RLock()
_server: _Server | None = None
# whoever renders has the server for itself
_taken = 0
# of each kind (Python, device), servers in a row that died before they had brought a frame
_failed: dict[tuple[str, str], int] = {}


def ask(view: View) -> Answer:
    """Ask for a frame; `hear` brings it. It overtakes whatever was asked before.

    Raises:
        UserError: there is no worker, or no room for frames.
    """
    with _lock:
        return _server_for(view.device).frames.ask(view)


def ask_flip(classic: NDArray[np.uint8], neural: NDArray[np.uint8], device: str) -> FlipAnswer:
    """Ask for the map of FLIP between two pictures [H, W, 3] as a screen shows them; likewise.

    Raises:
        UserError: there is no worker, or no room for the pictures.
    """
    with _lock:
        return _server_for(device).frames.ask_flip(np.stack([classic, neural]))


def _server_for(device: str) -> _Server:
    global _server
    python, reason = find_worker_python()
    if reason:
        raise UserError(reason)
    if _server is not None and not _server.can_be_asked(python, device):
        _failed[_server.key] = _failed.get(_server.key, 0) + 1 if _server.has_failed else 0
        stop()
    if _server is None:
        # a render asks because somebody wants it to; a viewport would ask for ever
        if _failed.get((python, device), 0) >= MOST_FAILED and not is_taken():
            raise UserError(f"the worker ended {MOST_FAILED} times before it brought a frame; press F12 to try again")
        _server = _Server(python, device)
    return _server


def hear() -> None:
    """Take in what the server has said. Does not wait."""
    with _lock:
        if _server is not None:
            _server.hear()


def drop(answer: Answer | FlipAnswer) -> None:
    """Not wanted any more."""
    with _lock:
        if _server is not None:
            _server.frames.drop(answer)


def wait(view: View, cancelled: Callable[[], bool]) -> Answer:
    """Ask for a frame and wait until it is complete.

    Raises:
        UserError: there is none, and why. Cancelled: `cancelled` said so.
    """
    answer = _wait(lambda: ask(view), cancelled)
    if not answer.complete:
        raise UserError(answer.problem or "the frame was overtaken by another one; render again")
    return answer


def wait_flip(
    classic: NDArray[np.uint8], neural: NDArray[np.uint8], device: str, cancelled: Callable[[], bool]
) -> NDArray[np.float32]:
    """Ask for the map of FLIP [H, W] between two pictures [H, W, 3] and wait for it.

    Raises:
        UserError: there is none, and why. Cancelled: `cancelled` said so.
    """
    answer = _wait(lambda: ask_flip(classic, neural, device), cancelled)
    if answer.error is None:
        raise UserError(answer.problem or "the map was overtaken by a frame; ask again")
    return answer.error


def _wait(begin: Callable[[], Asked], cancelled: Callable[[], bool]) -> Asked:
    """Ask, and wait until the answer has ended."""
    global _taken
    with _lock:
        _taken += 1
    try:
        answer = begin()
        while not answer.ended:
            if cancelled():
                drop(answer)
                raise Cancelled("stopped")
            hear()
            time.sleep(SECONDS_BETWEEN_LOOKS)
    finally:
        with _lock:
            _taken -= 1
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


def register() -> None:
    atexit.register(stop)


def unregister() -> None:
    atexit.unregister(stop)
    stop()
