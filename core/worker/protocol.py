# SPDX-License-Identifier: GPL-3.0-or-later
"""The child's side of the protocol: requests in, JSON lines out. Standard library alone.

docs/protocol.md says what goes over the wire, and when who gives up.
"""

from __future__ import annotations

import io
import json
import os
import platform
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TextIO

from ..errors import Cancelled, UserError
from ..stopping import Stopping, interrupt_main_thread

PROTOCOL = 1
SECONDS_BETWEEN_PROGRESS = 0.2
# what is left of a child after its parent's death: two seconds with what it takes to notice
SECONDS_TO_STOP = 1.5

Handler = Callable[[dict[str, Any], "ChildReporter"], dict[str, Any]]
# for work that has not asked in time whether it is cancelled
Unheeded = Callable[["ChildReporter"], None]
# hears further requests while it works
Server = Callable[[dict[str, Any], "ChildReporter", "Requests"], dict[str, Any]]


class ChildReporter:
    """Sends what a stage reports to the parent, progress at most five times a second."""

    def __init__(self, stream: TextIO, identity: int, unheeded: Unheeded | None = None) -> None:
        self._stream = stream
        self.identity = identity
        self._lock = threading.Lock()
        self._stopping = Stopping(unheeded and partial(unheeded, self))
        self._last: dict[str, float] = {}

    def send(self, event: str, **fields: Any) -> None:
        line = json.dumps({"event": event, "id": self.identity, **fields})
        with self._lock:
            self._stream.write(line + "\n")
            self._stream.flush()

    def log(self, text: str) -> None:
        self.send("log", text=text)

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
        now = time.monotonic()
        if done < total and now - self._last.get(stage, -1.0) < SECONDS_BETWEEN_PROGRESS:
            return
        self._last[stage] = now
        self.send(
            "progress", stage=stage, done=done, total=total, seconds_left=seconds_left, text=text, figures=figures
        )

    def cancelled(self) -> bool:
        return self._stopping.wished()

    def request_cancel(self) -> None:
        self._stopping.wish()


@dataclass(frozen=True)
class Request:
    """One line that asks for something."""

    identity: int
    name: str
    arguments: dict[str, Any]
    reporter: ChildReporter


class Requests:
    """What the parent asks a child that serves. Lines come from the hearing thread, answers from the main one.

    Attributes:
        finish_asked: whether the work shall come to its end with what there is, as if that had been all.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._news = threading.Condition()
        self._waiting: list[Request] = []
        self._current: Request | None = None
        self._ended = False
        self.finish_asked = False

    def put(self, message: dict[str, Any]) -> None:
        """Take a line that asks for something; what is in work is cancelled."""
        identity = int(message["id"])
        reporter = ChildReporter(self._stream, identity)
        with self._news:
            self._waiting.append(Request(identity, str(message["request"]), dict(message["arguments"]), reporter))
            if self._current is not None:
                self._current.reporter.request_cancel()
            self._news.notify()

    def drop(self, identity: int) -> None:
        """Cancel one request, in work or waiting."""
        with self._news:
            for request in (*self._waiting, *filter(None, [self._current])):
                if request.identity == identity:
                    request.reporter.request_cancel()

    def end(self) -> None:
        """Cancel everything; `answer` returns."""
        with self._news:
            self._ended = True
            if self._current is not None:
                self._current.reporter.request_cancel()
            self._news.notify()

    def answer(self, handlers: dict[str, Handler], idle_seconds: float) -> None:
        """Answer requests, until the parent has had enough or nothing was asked for `idle_seconds`."""
        while self._take(idle_seconds):
            self._answer_current(handlers)

    def newest(self) -> Request | None:
        """The one that would be answered next, None when nothing waits. Does not wait."""
        return self._waiting[-1] if self._waiting else None

    def answer_newest(self, handlers: dict[str, Handler]) -> None:
        """Answer the newest one, if any waits, and let those that it overtook go."""
        if self._take(0.0):
            self._answer_current(handlers)
        with self._news:
            self._current = None

    def _answer_current(self, handlers: dict[str, Handler]) -> None:
        assert self._current is not None
        request = self._current
        if request.reporter.cancelled():
            _send_error(request.reporter, "cancelled", "dropped")
        else:
            _answer(request.reporter, partial(_handle, handlers, request))

    def _take(self, seconds: float) -> bool:
        """Make the newest request the current one; those that it overtook are answered as cancelled."""
        with self._news:
            self._current = None
            self._news.wait_for(lambda: self._waiting or self._ended, seconds)
            if self._ended or not self._waiting:
                return False
            *overtaken, self._current = self._waiting
            self._waiting.clear()
        for request in overtaken:
            _send_error(request.reporter, "cancelled", "a newer request came")
        return True


def interrupt(_: ChildReporter) -> None:
    """For `serve`: the work is interrupted where it is, and tidies up."""
    interrupt_main_thread()


def leave(reporter: ChildReporter) -> None:
    """For `serve`: the process ends at once. What it was at is lost, and nothing that it wrote before is."""
    _send_error(reporter, "cancelled", "stopped")
    os._exit(Cancelled.exit_code)


def serve(
    handlers: dict[str, Handler],
    product: str,
    servers: dict[str, Server] | None = None,
    unheeded: Unheeded | None = None,
) -> None:
    """Answer the one request that the parent sends, or serve as it asks, then leave the process. Never returns.

    Leaving is by `os._exit`: Blender can hang in its own clean-up, and a hanging child helps nobody.

    Args:
        unheeded: `interrupt` or `leave`: what comes of work that does not ask in time whether it is cancelled; None:
            it is waited for.
    """
    told, stream = _take_stdin(), _take_stdout()
    sys.stderr = io.TextIOWrapper(_Log(), encoding="utf-8", errors="backslashreplace", write_through=True)
    # a process that was started in the background of a shell ignores it
    signal.signal(signal.SIGINT, signal.default_int_handler)
    reporter = ChildReporter(stream, 0, unheeded)
    reporter.send("hello", protocol=PROTOCOL, product=product, python=platform.python_version(), process=os.getpid())
    line = told.readline()
    if not line:
        os._exit(1)
    requests = Requests(stream)

    def first() -> dict[str, Any]:
        request = json.loads(line)
        reporter.identity = int(request["id"])
        threading.Thread(target=_hear_parent, args=(told, reporter, requests), daemon=True).start()
        server = (servers or {}).get(request["request"])
        if server is None:
            return handlers[request["request"]](request["arguments"], reporter)
        return server(request["arguments"], reporter, requests)

    code = 1
    try:
        code = _answer(reporter, first)
    finally:
        os._exit(code)


def _handle(handlers: dict[str, Handler], request: Request) -> dict[str, Any]:
    return handlers[request.name](request.arguments, request.reporter)


def _answer(reporter: ChildReporter, work: Callable[[], dict[str, Any]]) -> int:
    """Do the work and send what came of it; returns the exit code that says the same."""
    try:
        reporter.send("result", result=work())
        return 0
    except (Cancelled, KeyboardInterrupt) as stopped:
        _send_error(reporter, "cancelled", str(stopped) or "stopped")
        return Cancelled.exit_code
    except UserError as error:
        _send_error(reporter, "usage" if error.exit_code == 2 else "user", str(error))
        return error.exit_code
    except ModuleNotFoundError as error:
        # the Python that was named for us is the user's to mend
        traceback.print_exc()
        problem = f"{sys.executable} lacks the package {error.name}; install radiance-twin there"
        _send_error(reporter, "user", problem)
    except MemoryError:
        _send_error(reporter, "user", "out of memory; use fewer or smaller views")
    except BrokenPipeError:
        pass
    except BaseException as error:
        traceback.print_exc()
        _send_error(reporter, "internal", f"{type(error).__name__}: {error}")
    return 1


class _Log(io.RawIOBase):
    """stderr, from which nothing comes back: a log on a full disk must not end the work that it is about."""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 2

    def write(self, data: Any) -> int:
        with suppress(OSError):
            return os.write(2, data)
        return len(data)


def _take_stdin() -> TextIO:
    """Keep the real stdin for the protocol and point file descriptor 0 at nothing.

    What the work starts would read our lines from it. And on Windows, whoever asks about a pipe waits as long as
    another thread reads it, which OpenBLAS does while numpy is imported.
    """
    stream = os.fdopen(os.dup(0), encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return stream


def _take_stdout() -> TextIO:
    """Keep the real stdout for the protocol and point file descriptor 1 at stderr."""
    sys.stdout.flush()
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    os.dup2(2, 1)
    return stream


def _hear_parent(told: TextIO, reporter: ChildReporter, requests: Requests) -> None:
    for line in told:
        try:
            message = json.loads(line)
            if "request" in message:
                requests.put(message)
            elif message.get("command") == "cancel" and "id" in message:
                requests.drop(int(message["id"]))
            elif message.get("command") == "finish":
                requests.finish_asked = True
            elif message.get("command") == "cancel":
                reporter.request_cancel()
                requests.end()
        except (ValueError, AttributeError, TypeError, KeyError):
            print(f"unknown line from the parent: {line!r}", file=sys.stderr)
    # the parent is gone: finish what can be finished quickly, then leave
    reporter.request_cancel()
    requests.end()
    time.sleep(SECONDS_TO_STOP)
    os._exit(1)


def _send_error(reporter: ChildReporter, kind: str, message: str) -> None:
    try:
        reporter.send("error", kind=kind, message=" ".join(message.split()))
    except OSError:
        pass  # nobody listens any more
