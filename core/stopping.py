# SPDX-License-Identifier: GPL-3.0-or-later
"""The wish to stop, and what reaches work that does not ask for it. Standard library alone."""

from __future__ import annotations

import _thread
import signal
import threading
from collections.abc import Callable

# in which work asks by itself, at a point of its choice; the rest of a second is for leaving
SECONDS_TO_HEED = 0.5


class Stopping:
    """Whether to stop. Work asks; `unheeded` is called in a thread of its own when it has not asked in time."""

    def __init__(self, unheeded: Callable[[], object] | None = None) -> None:
        self._wished = threading.Event()
        self._unheeded = unheeded
        self._heeded = False

    def wish(self) -> None:
        """Have the work stop."""
        if self._unheeded is not None and not self._wished.is_set():
            timer = threading.Timer(SECONDS_TO_HEED, self._give_up_waiting)
            timer.daemon = True
            timer.start()
        self._wished.set()

    def wished(self) -> bool:
        """Whether to stop; who is told so, does."""
        self._heeded = self._wished.is_set()
        return self._heeded

    def _give_up_waiting(self) -> None:
        if not self._heeded and self._unheeded is not None:
            self._unheeded()


def interrupt_main_thread() -> None:
    """Raise a KeyboardInterrupt in the main thread as soon as it is at Python code: files half-written are removed."""
    if hasattr(signal, "pthread_kill"):
        # this one also wakes a thread that waits
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        _thread.interrupt_main()
