# SPDX-License-Identifier: GPL-3.0-or-later
"""The one job that may run at a time: a request to the worker, what it has said so far, and how it ended.

Nothing here touches the scene. The state lives in this module, outside the .blend: it outlives the opening of another
file and ends with Blender.
"""

import shutil
import tempfile
import time
import traceback
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy

from ...core.errors import Cancelled, Fault, UserError
from ...core.processes import worker_command
from ...core.twin_file import Twin
from ...core.worker.child import Child, ChildCrashed
from ..preferences import find_worker_python
from .frames import Answer, Frames, View
from .logs import new_log

SECONDS_TO_LEAVE = 5.0  # between the worker's answer and its end

Finish = Callable[["Job", dict[str, Any] | None], str]


class Job:
    """One request to the worker. It is its own reporter: what the worker says is kept here until it is drawn.

    Args:
        request: "render", "check", "train", "compare", "fix_it", "export", "runtime" or "doctor".
        arguments: the stage's settings as JSON can carry them.
        session: a folder with what the job reads, if it needs one. It is kept until the job has succeeded, so that
            an interrupted one can go on where it was.
        finish: called on the main thread with the result, or with None when there is none; after a cancel too, what it
            returns is shown as the outcome.
        command: how the process is started; when not given, the worker in the Python that does the work.
        begun: called on the main thread when `expected` is known: the twin that is being trained, without its arrays.
    """

    def __init__(
        self,
        request: str,
        arguments: dict[str, Any],
        session: Path | None,
        finish: Finish,
        begun: Callable[["Job"], None] | None = None,
        command: list[str] | None = None,
    ) -> None:
        if command is None:
            python, reason = find_worker_python()
            if reason:
                raise UserError(reason)
            command = worker_command(python)
        self.request = request
        self.arguments = arguments
        self.session = session
        self.blend = bpy.data.filepath
        self.stage = ""
        self.fraction = 0.0
        self.seconds_left: float | None = None
        self.figures: dict[str, float] = {}
        self.expected: Twin | None = None
        self.note = "Starting"
        self.lines: list[str] = []
        self.cancelling = False
        self.finishing = False
        self.ended = False
        self.result: dict[str, Any] | None = None
        self.error: Exception | None = None
        self.outcome = ""
        self.news = 0  # grows with everything worth drawing
        self._unheard: deque[dict[str, Any]] = deque()
        self._answer: dict[str, Any] | Exception | None = None
        self._answered_at: float | None = None
        self._finish = finish
        self._begun = begun
        self._frames: Frames | None = None
        self._child = Child(command, request, arguments, new_log(request))

    @property
    def title(self) -> str:
        """What is being done right now, in a word."""
        return (self.stage or self.request).capitalize()

    @property
    def log_path(self) -> Path:
        """What the worker prints."""
        return self._child.log_path

    @property
    def process_id(self) -> int:
        """Of the worker."""
        return self._child.pid

    def log(self, text: str) -> None:
        self.lines.append(text)
        self.news += 1

    def progress(
        self,
        stage: str,
        done: float,
        total: float,
        *,
        seconds_left: float | None = None,
        text: str = "",
        **figures: float,
    ) -> None:
        self.stage = stage
        self.fraction = min(1.0, max(0.0, done / total)) if total else 0.0
        if self.cancelling or (self.finishing and stage == "train"):
            # what came of the button is said already, and what is left of the whole way is not what is waited for
            self.news += 1
            return
        self.seconds_left = seconds_left
        # the quality first: a narrow sidebar cuts the rest off
        self.figures = dict(sorted(figures.items(), key=lambda figure: figure[0] != "psnr"))
        notes = [text, *(figure_in_words(name, value) for name, value in self.figures.items())]
        self.note = " · ".join(note for note in notes if note)
        self.news += 1

    def cancelled(self) -> bool:
        return self.cancelling

    def cancel(self) -> None:
        """Ask the worker to stop; what is finished is kept. Asked again, it ends at once."""
        if self.cancelling:
            self._child.kill()
        self.cancelling = True
        self.note = "Stopping; cancel again to end it at once"
        self.seconds_left = None
        self.news += 1
        self._child.cancel()

    def finish(self) -> None:
        """Ask a training to end here, and to bake and write what it has learned."""
        self.finishing = True
        self.note = "Finishing: what is learned is baked and written"
        self.seconds_left = None
        self.news += 1
        self._child.finish()

    def ask(self, view: View) -> Answer:
        """Ask a training for a frame of its field as it is; `hear` brings it, when its turn has come.

        Raises:
            UserError: there is no room for it.
        """
        if self._frames is None:
            self._frames = Frames(self._child)
        return self._frames.ask(view)

    def drop(self, answer: Answer) -> None:
        """A frame is not wanted any more."""
        if self._frames is not None:
            self._frames.drop(answer)

    def hear(self, seconds: float) -> None:
        """Take in what the worker has said, for about `seconds`. Ends the job when the worker has answered and left."""
        until = time.monotonic() + seconds
        gone = self._child.finished  # asked before reading, so that its last words are read too
        self._unheard.extend(self._child.events())
        while self._unheard and time.monotonic() < until:
            try:
                self._take(self._unheard.popleft())
            except (UserError, Cancelled) as error:
                self._answer = error
            except Exception as error:  # Blender never calls a timer again that has raised
                self._answer = _fault(error)
            if self._answer is not None and self._answered_at is None:
                self._answered_at = time.monotonic()
        if gone and not self._unheard:
            self._end(self._answer or (Cancelled("stopped") if self.cancelling else self._crash()))
        elif self._answered_at is not None and time.monotonic() - self._answered_at > SECONDS_TO_LEAVE:
            self._end(self._answer or self._crash())

    def _take(self, event: dict[str, Any]) -> None:
        if self._frames is not None and self._frames.take(event):
            return
        if event.get("event") == "field":
            self.expected = Twin(dict(event["metadata"]), {})
            if self._begun is not None:
                self._begun(self)
            return
        self._answer = Child.take(event, self) or self._answer

    def stop(self) -> None:
        """Hang up at once; the worker leaves by itself within seconds, else it is killed."""
        if not self.ended:
            self._end(Cancelled("stopped"))

    def _crash(self) -> ChildCrashed:
        return ChildCrashed(self._child.returncode or 0, self._child.log_tail())

    def _end(self, answer: dict[str, Any] | Exception) -> None:
        self.ended = True
        self.news += 1
        self._child.close()
        if self._frames is not None:
            self._frames.close()
        if isinstance(answer, Exception):
            self.error = answer
        else:
            self.clear()
            self.result = answer
        said = ""
        try:
            said = self._finish(self, self.result)
        except Exception as error:  # likewise
            if self.error is None or isinstance(self.error, Cancelled):
                self.error = error if isinstance(error, UserError | OSError | RuntimeError) else _fault(error)
        match self.error:
            case None:
                self.outcome = said
            case ChildCrashed() as crash:
                self.outcome = sentence(f"{crash}; its last words: {crash.log}" if crash.log else str(crash))
            case Cancelled() as stopped:
                self.outcome = sentence(said or str(stopped))
            case failure:
                self.outcome = sentence(str(failure))

    def clear(self) -> None:
        """Remove the session's folder: this job is not needed any more."""
        if self.session is not None:
            shutil.rmtree(self.session, ignore_errors=True)
            self.session = None


def _fault(error: Exception) -> Fault:
    """What nobody foresaw; the console has the rest."""
    traceback.print_exception(error)
    return Fault(f"{type(error).__name__}: {error} (a fault of Radiance Twin; please report it)")


_current: Job | None = None
_last: dict[str, Job] = {}


def running() -> Job | None:
    """The job that is running now."""
    return _current if _current is not None and not _current.ended else None


def training() -> Job | None:
    """The running training, None when there is none or its first step is yet to come."""
    job = running()
    return job if job is not None and job.request == "train" and job.expected is not None else None


def last(request: str) -> Job | None:
    """How `request` ended last for the file that is open now."""
    job = _last.get(request)
    return job if job is not None and job.ended and job.blend == bpy.data.filepath else None


def interrupted(request: str) -> Job | None:
    """The last `request` for the open file when it did not succeed and could go on where it was."""
    job = last(request)
    return job if job is not None and job.error is not None and job.session is not None else None


def session_folder() -> Path:
    """A new folder for one job. It is removed with the job, or at the latest with Blender's own temporary folder."""
    return Path(tempfile.mkdtemp(prefix="radiance_twin_", dir=bpy.app.tempdir))


def start(
    request: str,
    arguments: dict[str, Any],
    finish: Finish,
    session: Path | None = None,
    begun: Callable[[Job], None] | None = None,
    command: list[str] | None = None,
) -> Job:
    """Start a job.

    Raises:
        UserError: one is running already, or there is no Python that could do it.
    """
    global _current
    if running() is not None:
        raise UserError("a job is running already; wait for it or cancel it")
    _current = Job(request, arguments, session, finish, begun, command)
    earlier, _last[request] = _last.get(request), _current
    if earlier is not None and earlier.session != session:
        earlier.clear()
    return _current


def stop() -> None:
    """Stop the running job, if any, and forget the old ones."""
    global _current
    if _current is not None:
        _current.stop()
    for job in _last.values():
        job.clear()
    _current = None
    _last.clear()


def figure_in_words(name: str, value: float) -> str:
    """A figure with its unit, as short as it goes: 23.4 dB, 1,250 steps, 18k rays per second."""
    if name == "psnr":
        return f"{value:.1f} dB"
    number = f"{value / 1000:,.0f}k" if value >= 10_000 else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return f"{number} {name.replace('_', ' ')}"


def sentence(text: str) -> str:
    """A message as the interface shows it."""
    text = text.removeprefix("Error: ").strip()
    return text[:1].upper() + text[1:]
