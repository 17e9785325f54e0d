# SPDX-License-Identifier: GPL-3.0-or-later
"""What a training has learned, kept on disk before it has come to its end: whatever kills it, a minute is lost and not
an hour, and who stops it loses nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ..dataset.store import Dataset
from ..errors import Cancelled, UserError
from ..field.render import TrainedField
from ..reporting import Reporter
from ..twin_file import UNFINISHED, unfinished_path, write_twin
from .metadata import arrays_of_twin, metadata_of_twin
from .resume import Earlier
from .run import Run

# seconds between two of them, and how many times as long as writing one takes
SECONDS_APART = 60.0
TIMES_APART = 50.0


class Unfinished:
    """The unfinished twin beside `output`: all that a twin has but a bake. `resumed` is what `--resume` names."""

    def __init__(
        self, output: Path, resumed: str | None, dataset: Dataset, earlier: Earlier | None, reporter: Reporter
    ) -> None:
        self.path = unfinished_path(output)
        self._dataset = dataset
        self._earlier = earlier
        self._reporter = reporter
        self._due = time.monotonic() + SECONDS_APART
        there = self.path.exists()
        self._is_resumed = there and resumed is not None and self.path.samefile(resumed)
        if there and not self._is_resumed:
            reporter.log(f"Note: {self.path} is what a training left that did not end; --resume goes on with it.")

    def look(self, run: Run) -> None:
        """Write it when it is time. Never fails: a disk that is full is no reason to stop training."""
        began = time.monotonic()
        if began < self._due:
            return
        try:
            self._write(run, run.field_so_far())
        except UserError as error:
            self._reporter.log(f"Note: what is learned so far cannot be kept: {error}")
        now = time.monotonic()
        self._due = now + max(SECONDS_APART, TIMES_APART * (now - began))

    @contextmanager
    def left_when_stopped(self, run: Run) -> Iterator[None]:
        """Write it when the user stops what is done meanwhile.

        Raises:
            Cancelled: they did; it says where what was learned is.
            UserError: it cannot be written.
        """
        try:
            yield
        except (Cancelled, KeyboardInterrupt):
            if run.steps:
                self._write(run, run.sound_field())
            elif not self._is_resumed:
                raise Cancelled("stopped before anything was learned") from None
            raise Cancelled(
                f"stopped; what was learned has no bake yet, and --resume {self.path} goes on with it"
            ) from None

    def remove(self) -> None:
        """The twin is finished."""
        self.path.unlink(missing_ok=True)

    def _write(self, run: Run, field: TrainedField) -> None:
        arrays = arrays_of_twin(field, self._dataset)
        # a step that ruins the field is taken back later
        if not all(np.isfinite(array).all() for array in arrays.values()):
            return
        spent = self._earlier.spent if self._earlier else {"seconds": 0.0, "steps": 0}
        # reading all of a dataset for its digest takes longer than anybody waits who stops
        metadata = metadata_of_twin(self._dataset, field, run, self._earlier, {"dataset_digest": ""})
        metadata[UNFINISHED] = {
            "seconds": round(spent["seconds"] + run.seconds, 3),
            "steps": int(spent["steps"]) + run.steps,
        }
        write_twin(self.path, metadata, arrays)
