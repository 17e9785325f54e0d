# SPDX-License-Identifier: GPL-3.0-or-later
"""All that wants a GPU, in ten minutes and one command: `python tests/bench/on_gpu.py`; see README.md."""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import runpy
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parent.parent.parent
runpy.run_path(str(ROOT / "core" / "bootstrap.py"))["register"](ROOT)

from radiance_twin.core.dataset.store import open_dataset  # noqa: E402
from radiance_twin.core.field.cpu import thread_pool  # noqa: E402
from radiance_twin.core.field.cuda.nvrtc import find_nvrtc  # noqa: E402
from radiance_twin.core.training.cuda_stepper import CudaStepper  # noqa: E402
from radiance_twin.core.training.recipe import Recipe  # noqa: E402
from radiance_twin.core.training.run import prepare  # noqa: E402

HERE = Path(__file__).parent
ANALYTIC = ROOT / "tests" / "core" / "analytic_scene.py"
# a training from that has settled: steps before kernels are timed, and steps timed
SETTLED, TIMED = 1000, 100
# compiling for GPUs that are not here takes minutes of the ten
TESTS = ["-q", "tests/core/cuda", "--ignore=tests/core/cuda/test_cuda_compile.py", "-p", "no:cacheprovider"]


class Report:
    """What is found, line by line on the screen and in a file, so that it is kept when time runs out."""

    def __init__(self, path: Path, minutes: float) -> None:
        self._path = path
        self._end = time.monotonic() + 60.0 * minutes
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("", "utf-8")

    def say(self, text: str) -> None:
        print(text, flush=True)
        with self._path.open("a", encoding="utf-8") as file:
            print(text, file=file)

    def run(self, *command: str, share: float = 1.0) -> list[str]:
        """The lines that a program of Python's says, also into log.txt; it may take a share of what time is left."""
        with self._path.with_name("log.txt").open("a+", encoding="utf-8") as log:
            log.seek(0, os.SEEK_END)
            began = log.tell()
            print(f"{' '.join(command)}\n", file=log, flush=True)
            program = subprocess.Popen([sys.executable, *command], cwd=ROOT, stdout=log, stderr=log)
            try:
                program.wait(max(share * (self._end - time.monotonic()), 0.0))
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()
                print("ended: no time is left", file=log, flush=True)
            log.seek(began)
            return log.read().splitlines()


def machine() -> str:
    """In words: GPU, driver's CUDA and PyTorch's, compiler."""
    if not torch.cuda.is_available():
        return f"no GPU, {platform.machine()}, {os.cpu_count()} cores, PyTorch {torch.__version__}"
    major, minor = torch.cuda.get_device_capability()
    memory = torch.cuda.get_device_properties(0).total_memory / 2**30
    compiler = ".".join(map(str, find_nvrtc().version))
    return (
        f"{torch.cuda.get_device_name()} ({major}.{minor}, {memory:.0f} GiB), PyTorch {torch.__version__}, "
        f"NVRTC {compiler}, {os.cpu_count()} cores"
    )


def kernel_times(path: Path) -> list[tuple[str, float]]:
    """Microseconds of each kernel in a step of a settled training and of all of a step as it is replayed; samples a
    second."""
    said: list[str] = []
    with open_dataset(path) as dataset, thread_pool() as pool:
        run = prepare(dataset, torch.device("cuda"), 0, pool, Recipe(), log=said.append)
    stepper = run._stepper
    if not isinstance(stepper, CudaStepper):
        raise RuntimeError(f"our kernels do not run here: {said[0]}")
    for step in range(SETTLED):
        run.step(0.7 * step / SETTLED)
    run.synchronise()
    samples, began = run.samples, time.perf_counter()
    for _ in range(TIMED):
        run.step(0.69)
    run.synchronise()
    seconds = time.perf_counter() - began
    whole = [
        ("a step, replayed", 1e6 * seconds / TIMED),
        ("million samples a second", (run.samples - samples) / seconds / 1e6),
    ]
    calls = [*stepper._gradients, *stepper._descent]
    events = [[torch.cuda.Event(enable_timing=True) for _ in range(len(calls) + 1)] for _ in range(TIMED)]
    for row in events:
        for event, call in zip(row, calls, strict=False):
            event.record()
            call()
        row[-1].record()
    torch.cuda.synchronize()
    spent: dict[str, float] = defaultdict(float)
    for row in events:
        for call, first, second in zip(calls, row, row[1:], strict=False):
            spent[call.kernel.name] += 1e3 * first.elapsed_time(second) / TIMED
    return [*sorted(spent.items(), key=lambda one: -one[1]), *whole]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("on_gpu"), help="folder of the sets and the report")
    parser.add_argument("--minutes", type=float, default=9.5, help="after which nothing more begins (%(default)s)")
    parser.add_argument("--views", type=int, default=100, help="to train on (%(default)s)")
    parser.add_argument("--size", type=int, default=800, help="of a view, pixels (%(default)s)")
    parser.add_argument("--seconds", type=float, nargs=2, default=[15.0, 60.0], help="of training, short and long")
    given = parser.parse_args()
    given.output = given.output.resolve()
    has_gpu = torch.cuda.is_available()
    report = Report(given.output / "report.md", given.minutes)
    report.say(f"{machine()}\n")

    several = ["-n", "8", "--dist", "loadfile"] if importlib.util.find_spec("xdist") else []
    report.say(f"tests/core/cuda: {report.run('-m', 'pytest', *TESTS, *several, share=0.5)[-1]}\n")

    scene: dict[str, Any] = runpy.run_path(str(ANALYTIC))
    sets = {"blind": given.output / "blind.h5", "with depth": given.output / "depth.h5"}
    for name, path in sets.items():
        if not path.exists():
            background = (1.0, 1.0, 1.0) if name == "blind" else (0.0, 0.0, 0.0)
            scene["write"](path, given.views, given.size, depth=name != "blind", background=background)

    if has_gpu:
        report.say("| kernel | µs a step |\n|---|---|")
        try:
            for name, value in kernel_times(sets["blind"]):
                report.say(f"| {name} | {value:.0f} |")
        except Exception as error:  # whatever it is, the trainings may tell more
            report.say(f"\n{error}")
        report.say("")

    short, long = given.seconds
    execution = "cuda" if has_gpu else "fast"
    report.say(f"{given.views} views of {given.size}×{given.size} of the tests' analytic scene:\n")
    parts = [("blind", "recipe", short), ("with depth", "recipe", short), ("blind", "full", short)]
    headed = False
    for name, model, seconds in [*parts, ("blind", "recipe", long)]:
        asked = ["--models", model, "--executions", execution, "--seconds", str(seconds), "--test-views", "2"]
        said = report.run(str(HERE / "training_speed.py"), str(sets[name]), *asked)
        table = [line for line in said if line.startswith("|")]
        if len(table) > 2 and not headed:
            headed = True
            report.say(f"| set | s {table[0]}\n|---|---{table[1]}")
        report.say(f"| {name} | {seconds:g} {table[2] if len(table) > 2 else '| ' + said[-1]}")
        for line in said:
            if "plain PyTorch" in line:
                report.say(f"\n{line}\n")


if __name__ == "__main__":
    main()
