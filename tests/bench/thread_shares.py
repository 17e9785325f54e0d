# SPDX-License-Identifier: GPL-3.0-or-later
"""How well training on the CPU shares out among threads, whatever else the machine does: `python
tests/bench/thread_shares.py DATASET.h5`.

All tasks run on one thread. What each takes of the processor is then given out in order to so many threads that take
the next task when they are done; what the main thread does by itself is added. Waiting for Python's lock and for memory
that cores share does not count.
"""

from __future__ import annotations

import argparse
import runpy
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parent.parent.parent
runpy.run_path(str(ROOT / "core" / "bootstrap.py"))["register"](ROOT)

from radiance_twin.core.dataset.store import open_dataset  # noqa: E402
from radiance_twin.core.training.recipe import Recipe  # noqa: E402
from radiance_twin.core.training.run import prepare  # noqa: E402


class TimedPool(ThreadPoolExecutor):
    """One thread that remembers the processor's seconds of every task of every `map`."""

    def __init__(self) -> None:
        super().__init__(1, initializer=lambda: torch.set_num_threads(1))
        self.rounds: list[list[float]] = []

    def map(self, function: Callable[..., Any], *items: Iterable[Any], **options: Any) -> Any:
        seconds: list[float] = []
        self.rounds.append(seconds)

        def timed(*task: Any) -> Any:
            began = time.thread_time()
            result = function(*task)
            seconds.append(time.thread_time() - began)
            return result

        return super().map(timed, *items, **options)


def span(seconds: list[float], threads: int) -> float:
    """Until the last task is done, when each thread takes the next one as soon as it can."""
    ends = [0.0] * threads
    for task in seconds:
        ends[ends.index(min(ends))] += task
    return max(ends)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", metavar="DATASET.h5")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--threads", type=int, nargs="+", default=[2, 4, 8, 16])
    given = parser.parse_args()
    torch.set_num_threads(1)
    with open_dataset(given.dataset) as dataset, TimedPool() as pool:
        run = prepare(dataset, torch.device("cpu"), 0, pool, Recipe())
        run.compile()
        pool.rounds.clear()
        began = time.thread_time()
        for step in range(given.steps):
            run.step(step / given.steps)
        alone = time.thread_time() - began
    tasks = sum(map(sum, pool.rounds))
    print(f"{given.steps} steps: {tasks:.2f} s in tasks, {alone:.2f} s in the main thread alone")
    for threads in given.threads:
        seconds = alone + sum(span(seconds, threads) for seconds in pool.rounds)
        print(f"{threads} threads: {seconds:.2f} s, {(tasks + alone) / seconds:.2f} times as fast as one")


if __name__ == "__main__":
    main()
