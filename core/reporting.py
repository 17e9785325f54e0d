# SPDX-License-Identifier: GPL-3.0-or-later
"""How a long job tells what it is doing: one small protocol, shown as a bar in a terminal or sent on as JSON."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from .errors import Cancelled
from .stopping import Stopping

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Reporter(Protocol):
    """What every stage (render, train, compare) reports to."""

    def log(self, text: str) -> None:
        """Say one line that stays."""

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
        """Say how far `stage` is. `figures` are numbers worth showing, for example psnr=31.2."""

    def cancelled(self) -> bool:
        """Whether the user asked to stop. Long loops ask at least once a second."""


Item = TypeVar("Item")


def followed(
    items: Sequence[Item], stage: str, reporter: Reporter, unit: str = "", stopped: str = ""
) -> Iterator[Item]:
    """Each of `items`, while `reporter` is told how far it is and how long the rest will take.

    Args:
        unit: what an item is called: "view 3 of 12".
        stopped: what a Cancelled says.

    Raises:
        Cancelled: the user asked to stop.
    """
    began = time.monotonic()
    for done, item in enumerate(items):
        if reporter.cancelled():
            raise Cancelled(stopped)
        left = time_left(time.monotonic() - began, done, len(items))
        text = f"{unit} {done + 1} of {len(items)}" if unit else ""
        reporter.progress(stage, done, len(items), seconds_left=left, text=text)
        yield item
    reporter.progress(stage, len(items), len(items), seconds_left=0.0)


def time_left(spent: float, done: float, total: float) -> float | None:
    """Seconds that the rest takes, when it goes on as it went; None as long as nothing is done."""
    return spent / done * (total - done) if done else None


class QuietReporter:
    """Keeps what it is told, shows nothing: for tests and for callers that only want the result."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.stages: list[str] = []
        self.cancel_requested = False

    def log(self, text: str) -> None:
        self.lines.append(text)

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
        if stage not in self.stages:
            self.stages.append(stage)

    def cancelled(self) -> bool:
        return self.cancel_requested


def format_seconds(seconds: float) -> str:
    """Render a duration as people say it: 42 s, 3:07, 1:02:33."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def format_bytes(size: float) -> str:
    """A size as people say it: 45 kB, 3.1 MB, 1.7 GB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.0f} kB"


class TerminalReporter:
    """A progress bar on stderr (rich), so that stdout stays free for results. Use it as a context manager."""

    def __init__(self, unheeded: Callable[[], object] | None = None) -> None:
        """`unheeded` is called when a long step has not asked in time whether it is cancelled."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._console = Console(file=sys.stderr, highlight=False)
        self._progress: Progress = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=self._console,
            # a pipe or a log file gets the lines of log() alone, not thousands of redrawn bars
            disable=not self._console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._stopping = Stopping(unheeded)

    def __enter__(self) -> TerminalReporter:
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def request_cancel(self) -> None:
        """Called by the Ctrl-C handler."""
        self._stopping.wish()

    def log(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)

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
        notes = [text] if text else []
        for name, value in figures.items():
            notes.append(f"{name.replace('_', ' ')} {format(value, ',.0f' if value >= 1000 else '.4g')}")
        if seconds_left is not None:
            notes.append(f"{format_seconds(seconds_left)} left")
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, total=total, note="")
        self._progress.update(self._tasks[stage], completed=done, total=total, note=" · ".join(notes))

    def cancelled(self) -> bool:
        return self._stopping.wished()
