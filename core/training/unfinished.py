# SPDX-License-Identifier: GPL-3.0-or-later
"""What a training has learned, kept on disk while it goes on: whatever kills it, a minute is lost and not an hour."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..reporting import Reporter
from ..twin_file import unfinished_path, write_twin
from .metadata import arrays_of_field, metadata_to_go_on
from .resume import Earlier
from .run import Run

# seconds between two of them, and how many times as long as writing one takes
SECONDS_APART = 60.0
TIMES_APART = 50.0


class Unfinished:
    """The unfinished twin beside `output`: a field without a bake, for `--resume` alone; `resumed` is what it names."""

    def __init__(self, output: Path, resumed: str | None, reporter: Reporter) -> None:
        self.path = unfinished_path(output)
        self._reporter = reporter
        self._due = time.monotonic() + SECONDS_APART
        if self.path.exists() and (resumed is None or not self.path.samefile(resumed)):
            reporter.log(f"Note: {self.path} is what a training left that did not end; --resume goes on with it.")

    def look(self, run: Run, earlier: Earlier | None) -> None:
        """Write it when it is time. Never fails: a disk that is full is no reason to stop training."""
        began = time.monotonic()
        if began < self._due:
            return
        field = run.field_so_far()
        arrays = arrays_of_field(field)
        # a step that ruins the field is taken back later
        if all(np.isfinite(array).all() for array in arrays.values()):
            try:
                write_twin(self.path, metadata_to_go_on(field, run, earlier), arrays)
            except UserError as error:
                self._reporter.log(f"Note: what is learned so far cannot be kept: {error}")
        now = time.monotonic()
        self._due = now + max(SECONDS_APART, TIMES_APART * (now - began))

    def remove(self) -> None:
        """The twin is finished."""
        self.path.unlink(missing_ok=True)
