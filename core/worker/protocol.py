# SPDX-License-Identifier: GPL-3.0-or-later
"""The child's side of the protocol: one request in, JSON lines out. Standard library alone.

The parent writes one line to the child's stdin:

    {"id": 1, "request": "train", "arguments": {...}}

and may later write `{"command": "cancel"}`. The end of stdin means that the parent is gone: the child then stops by
itself. The child answers on stdout, one JSON object a line, each with the request's id:

    {"event": "hello", "protocol": 1, "product": "0.1.0", "python": "3.11.7"}
    {"event": "log", "text": "Rendering 76 views on CPU"}
    {"event": "progress", "stage": "render", "done": 3, "total": 76, "seconds_left": 81.0, "text": "", "figures": {}}
    {"event": "result", "result": {...}}                            and exit code 0
    {"event": "error", "kind": "user", "message": "one line"}        and exit code 1 (usage 2, cancelled 130)

Whatever a library prints goes to stderr, never into this stream. Nothing is pickled.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, TextIO

from ..errors import Cancelled, UserError
from ..reporting import Reporter

PROTOCOL = 1
SECONDS_BETWEEN_PROGRESS = 0.2
SECONDS_TO_STOP = 2.0

Handler = Callable[[dict[str, Any], Reporter], dict[str, Any]]


class ChildReporter:
    """Sends what a stage reports to the parent, progress at most five times a second."""

    def __init__(self, stream: TextIO, identity: int) -> None:
        self._stream = stream
        self._identity = identity
        self._lock = threading.Lock()
        self._cancel = threading.Event()
        self._last: dict[str, float] = {}

    def send(self, event: str, **fields: Any) -> None:
        line = json.dumps({"event": event, "id": self._identity, **fields})
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
        return self._cancel.is_set()

    def request_cancel(self) -> None:
        self._cancel.set()


def serve(handlers: dict[str, Handler], product: str) -> None:
    """Answer the one request that the parent sends, then leave the process. Never returns.

    Leaving is by `os._exit`: Blender can hang in its own clean-up, and a hanging child helps nobody.
    """
    stream = _take_stdout()
    reporter = ChildReporter(stream, 0)
    reporter.send("hello", protocol=PROTOCOL, product=product, python=platform.python_version(), process=os.getpid())
    code = 1
    try:
        line = sys.stdin.readline()
        if not line:
            os._exit(1)
        request = json.loads(line)
        reporter = ChildReporter(stream, int(request["id"]))
        handler = handlers[request["request"]]
        threading.Thread(target=_hear_parent, args=(reporter,), daemon=True).start()
        result = handler(request["arguments"], reporter)
        reporter.send("result", result=result)
        code = 0
    except Cancelled as stopped:
        code = stopped.exit_code
        _send_error(reporter, "cancelled", str(stopped) or "stopped")
    except UserError as error:
        code = error.exit_code
        _send_error(reporter, "usage" if code == 2 else "user", str(error))
    except ModuleNotFoundError as error:
        # the Python that was named for us is the user's to mend
        traceback.print_exc()
        _send_error(reporter, "user", f"{sys.executable} lacks the package {error.name}; install radiance-twin there")
    except BrokenPipeError:
        pass
    except BaseException as error:
        traceback.print_exc()
        _send_error(reporter, "internal", f"{type(error).__name__}: {error}")
    sys.stderr.flush()
    os._exit(code)


def _take_stdout() -> TextIO:
    """Keep the real stdout for the protocol and point file descriptor 1 at stderr."""
    sys.stdout.flush()
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    os.dup2(2, 1)
    return stream


def _hear_parent(reporter: ChildReporter) -> None:
    for line in sys.stdin:
        try:
            if json.loads(line).get("command") == "cancel":
                reporter.request_cancel()
        except (ValueError, AttributeError):
            print(f"unknown line from the parent: {line!r}", file=sys.stderr)
    # the parent is gone: finish what can be finished quickly, then leave
    reporter.request_cancel()
    time.sleep(SECONDS_TO_STOP)
    os._exit(1)


def _send_error(reporter: ChildReporter, kind: str, message: str) -> None:
    try:
        reporter.send("error", kind=kind, message=" ".join(message.split()))
    except OSError:
        pass  # nobody listens any more
