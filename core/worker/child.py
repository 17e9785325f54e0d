# SPDX-License-Identifier: GPL-3.0-or-later
"""The parent's side of the protocol: start a child, hear it, stop it. Standard library alone."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import Cancelled, Fault, UsageError, UserError, reason_of
from ..processes import KILL, own_group, signal_group
from ..reporting import Reporter
from .protocol import PROTOCOL

# after a cancel. Who has a child of its own must be done with it sooner, or is ended first and leaves it behind
SECONDS_UNTIL_TERMINATE = 5.0
SECONDS_UNTIL_KILL = 10.0
SOONER = 0.4
# between two looks at the child: then we, or the whole machine, were asleep
SECONDS_ASLEEP = 10.0


class ChildCrashed(Exception):
    """The child ended without an answer.

    Attributes:
        returncode: of the process (negative: the signal).
        log: the last lines that it printed.
    """

    def __init__(self, returncode: int, log: str) -> None:
        super().__init__(f"the process ended unexpectedly (exit code {returncode})")
        self.returncode = returncode
        self.log = log


class Child:
    """One process that answers one request, or serves: then it is asked for more by `ask` (see protocol.py).

    Args:
        command: how to start it, for example from `processes.worker_command`.
        request, arguments: what it is asked.
        log_path: where its stderr goes; a temporary file when not given.
        environment: variables to set on top of the present ones.
    """

    def __init__(
        self,
        command: list[str],
        request: str,
        arguments: dict[str, Any],
        log_path: str | os.PathLike[str] | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        self._owns_log = log_path is None
        try:
            if log_path is None:
                log, log_path = tempfile.mkstemp(prefix="radiance_twin_", suffix=".log")
            else:
                log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise UserError(f"cannot write a log: {reason_of(error)}; free some space") from error
        self.log_path = Path(log_path)
        self._events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._unsaid: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._cancelled_at: float | None = None
        self._pace = 1.0
        self._hung_up = False
        self.heard_at = time.monotonic()
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=_environment(environment),
                text=True,
                encoding="utf-8",
                errors="replace",
                **own_group(),
            )
        except OSError as error:
            raise UserError(f"cannot start {command[0]}: {error.strerror or error}; check its path") from error
        finally:
            os.close(log)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        threading.Thread(target=self._write, daemon=True).start()
        self._asked = 0
        self.ask(request, arguments)

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def finished(self) -> bool:
        """Whether the process has ended and everything it said has been read."""
        return self._process.poll() is not None and not self._reader.is_alive()

    @property
    def returncode(self) -> int | None:
        """Exit code, None while it runs."""
        return self._process.poll()

    def events(self) -> list[dict[str, Any]]:
        """What it has said since the last call. Does not wait. Also stops a cancelled child that does not listen."""
        self._enforce_cancel()
        heard = []
        while True:
            try:
                heard.append(self._events.get_nowait())
            except queue.Empty:
                return heard

    def ask(self, request: str, arguments: dict[str, Any]) -> int:
        """Ask a child that serves for something more; gives the id that its events about it will bear."""
        self._asked += 1
        self._send({"id": self._asked, "request": request, "arguments": arguments})
        return self._asked

    def drop(self, identity: int) -> None:
        """Let a child that serves forget one request."""
        self._send({"id": identity, "command": "cancel"})

    def cancel(self, pace: float = 1.0) -> None:
        """Ask it to stop at a good point. It is terminated after 5 seconds and killed after 10, times `pace`."""
        if self._cancelled_at is None:
            self._cancelled_at, self._pace = time.monotonic(), pace
            self._send({"command": "cancel"})

    def finish(self) -> None:
        """Ask a training to end here, and to write its twin as if it had come to its end."""
        self._send({"command": "finish"})

    def kill(self) -> None:
        """End it now, and what it has started in its own group: a script that starts Blender is killed with it."""
        signal_group(self._process, KILL)

    def close(self) -> None:
        """Hang up and wait: the child ends by itself within seconds, else it is killed."""
        self.hang_up()
        try:
            self._process.wait(SECONDS_UNTIL_TERMINATE)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        self._reader.join(1.0)
        if self._owns_log:
            self.log_path.unlink(missing_ok=True)

    def hang_up(self) -> None:
        """Close its stdin: it stops as if we were gone. Does not wait."""
        if not self._hung_up:
            self._hung_up = True
            self._unsaid.put(None)

    def log_tail(self, lines: int = 12) -> str:
        """The last lines that it printed."""
        try:
            with open(self.log_path, "rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - 16384))
                text = log.read().decode("utf-8", "replace")
        except OSError:
            return ""
        return "\n".join(text.strip().splitlines()[-lines:])

    def run(self, reporter: Reporter, silence_seconds: float = 600.0) -> dict[str, Any]:
        """Wait for the answer; forwards logs and progress, and a cancel the other way.

        Raises:
            UserError, UsageError: what the child says.
            Cancelled: it stopped because it was asked to.
            ChildCrashed: it ended without an answer, or said nothing for `silence_seconds`.
        """
        looked = time.monotonic()
        try:
            while True:
                now = time.monotonic()
                if now - looked > SECONDS_ASLEEP:
                    self.heard_at += now - looked
                looked = now
                if reporter.cancelled():
                    self.cancel(SOONER)
                ended = self.finished
                for event in self.events():
                    answer = self.take(event, reporter)
                    if answer is not None:
                        return answer
                if ended:
                    if self._cancelled_at is not None:
                        raise Cancelled("stopped")
                    raise ChildCrashed(self._process.returncode, self.log_tail())
                if now - self.heard_at > silence_seconds:
                    self.kill()
                    raise ChildCrashed(-9, f"no word for {silence_seconds:.0f} s\n" + self.log_tail())
                time.sleep(0.02)
        finally:
            self.close()

    @staticmethod
    def take(event: dict[str, Any], reporter: Reporter) -> dict[str, Any] | None:
        """Pass one event on to `reporter`. Returns the answer when this event is the answer.

        Raises:
            UserError, UsageError, Cancelled: as the child says.
        """
        match event.get("event"):
            case "hello":
                if event.get("protocol") != PROTOCOL:
                    raise UserError(
                        f"the process speaks protocol {event.get('protocol')}, not {PROTOCOL}; "
                        "install the same version of Radiance Twin on both sides"
                    )
            case "log":
                reporter.log(str(event["text"]))
            case "progress":
                reporter.progress(
                    event["stage"],
                    event["done"],
                    event["total"],
                    seconds_left=event.get("seconds_left"),
                    text=event.get("text", ""),
                    **event.get("figures", {}),
                )
            case "result":
                return dict(event["result"])
            case "error":
                message = str(event.get("message", ""))
                match event.get("kind"):
                    case "usage":
                        raise UsageError(message)
                    case "cancelled":
                        raise Cancelled(message)
                    case "internal":
                        raise Fault(f"{message} (a fault of Radiance Twin; please report it with the log)")
                    case _:
                        raise UserError(message)
        return None

    def _send(self, message: dict[str, Any]) -> None:
        if not self._hung_up:
            self._unsaid.put(json.dumps(message) + "\n")

    def _write(self) -> None:
        """Say what is unsaid, in a thread of its own: a child that does not read must not stop who asks."""
        assert self._process.stdin is not None
        with suppress(OSError), self._process.stdin as stream:  # it has ended; events() and finished tell
            while (line := self._unsaid.get()) is not None:
                stream.write(line)
                stream.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            for line in stream:
                self.heard_at = time.monotonic()
                try:
                    event = json.loads(line)
                except ValueError:
                    continue  # Blender prints a line or two before our part starts
                if isinstance(event, dict) and "event" in event:
                    self._events.put(event)

    def _enforce_cancel(self) -> None:
        if self._cancelled_at is None or self._process.poll() is not None:
            return
        waited = (time.monotonic() - self._cancelled_at) / self._pace
        if waited > SECONDS_UNTIL_KILL:
            self.kill()
        elif waited > SECONDS_UNTIL_TERMINATE:
            signal_group(self._process, signal.SIGTERM)


def _environment(extra: dict[str, str] | None) -> dict[str, str]:
    """Ours, without what one Python sets for itself and would confuse another."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP")}
    return {**kept, "PYTHONNOUSERSITE": "1", "PYTHONUNBUFFERED": "1", **(extra or {})}
