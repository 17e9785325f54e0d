# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that are killed or stopped while they render or train as users have them do it, and what is lost by that.

"Blender" is here what the panel is: a process that starts the worker and waits for it. The worker renders by a second
Blender (the package bpy) or trains.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from radiance_twin.core.dataset.digest import dataset_digest
from radiance_twin.core.dataset.staging import staging_folder
from radiance_twin.core.errors import UserError
from radiance_twin.core.processes import ROOT, worker_command
from radiance_twin.core.twin_file import read_twin, unfinished_path
from radiance_twin.core.worker import child
from radiance_twin.core.worker.child import Child

from .readers import SCENE
from .table import Row

VIEWS = 240
# of what nobody kills, on a machine that has other things to do
SECONDS_TO_RENDER = 600.0
# after a death, seconds until nothing of it may run any more: the worker's 2, its own child's 2, and a busy machine
SECONDS_TO_END = 15.0

MAKE_BLEND = """
import sys, bpy
bpy.context.scene.render.engine = "CYCLES"
bpy.ops.wm.save_as_mainfile(filepath=sys.argv[1])
"""

# what the panel does, without a window
PARENT = f"""
import json, runpy, sys
from pathlib import Path
runpy.run_path({str(ROOT / "core" / "bootstrap.py")!r})["register"](Path({str(ROOT)!r}))
from radiance_twin.core.processes import worker_command
from radiance_twin.core.reporting import QuietReporter
from radiance_twin.core.worker.child import Child, ChildCrashed
child = Child(worker_command(sys.executable), sys.argv[1], json.loads(sys.argv[2]))
print(child.pid, flush=True)
try:
    child.run(QuietReporter())
except ChildCrashed as crash:
    sys.exit(f"crashed: {{crash}}")
except Exception as error:
    sys.exit(f"refused: {{error}}")
"""


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has asked about yet does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def children_of(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def seconds_until(condition: Callable[[], bool], limit: float) -> float:
    """How long it took; `limit` when it did not come."""
    began = time.monotonic()
    while not condition() and time.monotonic() - began < limit:
        time.sleep(0.02)
    return time.monotonic() - began


class Work:
    """A request that "Blender" has given to its worker."""

    def __init__(self, request: str, arguments: dict[str, object]) -> None:
        self.blender = subprocess.Popen(
            [sys.executable, "-c", PARENT, request, json.dumps(arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.blender.stdout is not None
        self.worker = int(self.blender.stdout.readline())
        self.renderers: set[int] = set()

    def processes(self) -> list[int]:
        """All that have been seen and run."""
        self.renderers |= set(children_of(self.worker))
        return [pid for pid in (self.blender.pid, self.worker, *self.renderers) if is_alive(pid)]

    def run_for(self, seconds: float) -> bool:
        """Let it work; whether it ended by itself."""
        seconds_until(lambda: (self.processes() and self.blender.poll() is not None) or not self.processes(), seconds)
        return self.blender.poll() is not None

    def end(self) -> tuple[float, str]:
        """Wait for all to end; how long that took, and what "Blender" said last."""
        took = seconds_until(lambda: self.blender.poll() is not None and not self.processes(), SECONDS_TO_END)
        for orphan in self.processes():
            os.kill(orphan, signal.SIGKILL)
        return took, (self.blender.communicate()[1] or "").strip()


@dataclass(frozen=True)
class Place:
    """A folder with a .blend and what rendering it and training from it take."""

    folder: Path
    blender: str | None

    @property
    def scene(self) -> Path:
        return self.folder / "scene.blend"

    def render(self, output: Path, views: int) -> dict[str, object]:
        counts = {"views": views, "val_views": 0, "test_views": 0, "samples": 1, "reference_samples": 1}
        return {
            "scene": str(self.scene),
            "output": str(output),
            "resolution": [24, 24],
            "denoise": False,
            "blender": self.blender,
            **counts,
        }


def make_place(folder: Path, blender: str | None) -> Place:
    """The scene: Blender's cube; with a `blender` that is none, any file does."""
    place = Place(folder, blender)
    if blender is None:
        subprocess.run([sys.executable, "-c", MAKE_BLEND, place.scene], check=True, capture_output=True)
    else:
        place.scene.write_bytes(b"BLENDER-v405")
    return place


def fingerprint(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def done_views(output: Path) -> int:
    """Views that are rendered: their records are there, and the files that these name are what they were."""
    records = (path for path in staging_folder(output).glob("*.json") if path.name != "plan.json")
    named = [json.loads(path.read_text("utf-8"))["files"] for path in records]
    folder = staging_folder(output)
    return sum(all(fingerprint(folder / name) == sha256 for name, sha256 in files.items()) for files in named)


def kill_renders(place: Place, moments: int, longest: float, views: int = VIEWS, seed: int = 0) -> list[Row]:
    """kill -9 at random moments of a render, which is then gone on with, until it is whole; again and again."""
    chance, before = random.Random(seed), fingerprint(place.scene)
    reference = place.folder / "reference.h5"
    Work("render", place.render(reference, views)).blender.wait(SECONDS_TO_RENDER)
    whole = dataset_digest(reference)
    expected = "all processes gone in time, every view kept, the same command ends with the same dataset"
    rows = {
        who: Row(f"kill -9 of {who} while rendering", expected)
        for who in ("the worker", "Blender", "both", "the rendering Blender")
    }
    output, kept = place.folder / "killed.h5", 0
    for moment in range(moments):
        who = list(rows)[moment % len(rows)]
        row, work = rows[who], Work("render", place.render(output, views))
        if work.run_for(chance.uniform(0.2, longest)):
            row.happened["(finished before it was killed)"] += 1
        victims = {
            "the worker": [work.worker],
            "Blender": [work.blender.pid],
            "both": [work.blender.pid, work.worker],
            "the rendering Blender": [pid for pid in work.processes() if pid in work.renderers],
        }[who]
        for victim in victims:
            if is_alive(victim):
                os.kill(victim, signal.SIGKILL)
        if who == "the rendering Blender":
            work.blender.wait(SECONDS_TO_RENDER)  # the worker starts another one, and goes on
        took, _ = work.end()
        row.note("as expected" if took < SECONDS_TO_END else "a process was left", took)
        if output.exists():
            if dataset_digest(output) != whole:
                row.lost.append("the dataset is another one")
            output.unlink()
            kept = 0
        elif (now := done_views(output)) < kept:
            row.lost.append(f"{kept - now} views")
        else:
            kept = now
    Work("render", place.render(output, views)).blender.wait(SECONDS_TO_RENDER)
    left = sorted(path.name for path in place.folder.iterdir() if path.name.endswith((".part", ".lock", ".views")))
    for row in rows.values():
        if not output.exists() or dataset_digest(output) != whole:
            row.lost.append("the last run did not end with the same dataset")
        if left:
            row.lost.append(f"left behind: {left}")
        if fingerprint(place.scene) != before:
            row.lost.append("the .blend has changed")
    output.unlink(missing_ok=True)
    return list(rows.values())


def kill_trainings(folder: Path, moments: int, longest: float, seed: int = 0) -> list[Row]:
    """kill -9 at random moments of a training: what it writes is whole, or what was there before."""
    chance = random.Random(seed)
    dataset, output = SCENE.write(folder / "train.h5", views=8, size=24), folder / "train.twin"
    before = fingerprint(dataset)
    asked: dict[str, object] = {"dataset": str(dataset), "output": str(output), "steps": 60, "device": "cpu"}
    expected = "all processes gone in time, the twin whole or absent, the dataset as it was"
    rows = {who: Row(f"kill -9 of {who} while training", expected) for who in ("the worker", "Blender", "both")}
    for moment in range(moments):
        who = list(rows)[moment % len(rows)]
        row, work = rows[who], Work("train", asked)
        if work.run_for(chance.uniform(0.2, longest)):
            row.happened["(finished before it was killed)"] += 1
        for victim, named in ((work.worker, who != "Blender"), (work.blender.pid, who != "the worker")):
            if named and is_alive(victim):
                os.kill(victim, signal.SIGKILL)
        took, said = work.end()
        fits = took < SECONDS_TO_END and (who != "the worker" or work.blender.returncode == 0 or "crashed" in said)
        row.note("as expected" if fits else f"{took:.0f} s, {said[:80]}", took)
        for twin in (output, unfinished_path(output)):
            if twin.exists():
                try:
                    read_twin(twin)
                except UserError as error:
                    row.lost.append(str(error))
        if fingerprint(dataset) != before:
            row.lost.append("the dataset has changed")
    Work("train", asked).blender.wait(SECONDS_TO_RENDER)
    for row in rows.values():
        if not output.exists() or list(folder.glob(".train.twin.*")):
            row.lost.append("the last training did not end, or something is left behind")
    return list(rows.values())


def stop_processes(place: Place) -> list[Row]:
    """SIGSTOP: a process that neither works nor listens is ended some seconds after a cancel."""
    return [_stop(place, who) for who in ("the worker", "the rendering Blender")]


def _stop(place: Place, who: str) -> Row:
    limit = child.SECONDS_UNTIL_KILL + SECONDS_TO_END
    row = Row(f"SIGSTOP of {who}, then Cancel", f"all gone within {limit:.0f} s, every view kept")
    output = place.folder / "stopped.h5"
    worker = Child(worker_command(sys.executable), "render", place.render(output, views=400))
    seconds_until(lambda: done_views(output) > 0, 120)
    kept, renderers = done_views(output), children_of(worker.pid)
    os.kill(worker.pid if who == "the worker" else renderers[0], signal.SIGSTOP)
    worker.cancel()
    took = seconds_until(lambda: not worker.events() and worker.finished, 60)
    worker.close()
    took += seconds_until(lambda: not any(is_alive(pid) for pid in renderers), 30)
    row.note("as expected" if took <= limit else f"ran for {took:.0f} s", took)
    if done_views(output) < kept:
        row.lost.append("views")
    shutil.rmtree(staging_folder(output), ignore_errors=True)
    return row
