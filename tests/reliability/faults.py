# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults that are injected into rendering and training as users run them, and what is lost by each.

"Blender" is here what the panel is: a process that starts the worker and waits for it. The worker renders by a second
Blender (the package bpy) or trains. All three are killed, stopped, and put on disks that are full or cannot be written.
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
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from radiance_twin.core.dataset.digest import dataset_digest
from radiance_twin.core.dataset.staging import missing_views, read_plan, staging_folder
from radiance_twin.core.errors import UserError
from radiance_twin.core.processes import ROOT, worker_command
from radiance_twin.core.reporting import QuietReporter
from radiance_twin.core.twin_file import read_twin, unfinished_path
from radiance_twin.core.worker import child
from radiance_twin.core.worker.child import Child

from .fuzzing import judge
from .readers import BY_NAME, SCENE

VIEWS = 240
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


@dataclass
class Row:
    """One line of the table.

    Attributes:
        fault: what was done. times: how often. expected: what should come of it.
        happened: how often each thing did. lost: what was; empty: nothing that should not.
        seconds: the longest that it took until all was over, where that is asked.
    """

    fault: str
    expected: str
    times: int = 0
    happened: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def note(self, what: str, seconds: float = 0.0) -> None:
        self.times += 1
        self.seconds = max(self.seconds, seconds)
        self.happened[what] += 1


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
    """Views that are rendered and sound, whichever way they are kept."""
    folder = staging_folder(output)
    try:
        plan = read_plan(folder)
    except UserError:
        return 0
    return len(plan.work) - len(missing_views(folder, plan))


def kill_renders(place: Place, moments: int, longest: float, views: int = VIEWS, seed: int = 0) -> list[Row]:
    """kill -9 at random moments of a render, which is then gone on with, until it is whole; again and again."""
    chance, before = random.Random(seed), fingerprint(place.scene)
    reference = place.folder / "reference.h5"
    Work("render", place.render(reference, views)).blender.wait(120)
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
            work.blender.wait(120)  # the worker starts another one, and goes on
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
    Work("render", place.render(output, views)).blender.wait(120)
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
    Work("train", asked).blender.wait(120)
    for row in rows.values():
        if not output.exists() or list(folder.glob(".train.twin.*")):
            row.lost.append("the last training did not end, or something is left behind")
    return list(rows.values())


def stop_processes(place: Place) -> list[Row]:
    """SIGSTOP: a process that neither works nor listens is ended some seconds after a cancel."""
    return [_stop(place, who) for who in ("the worker", "the rendering Blender")]


def _stop(place: Place, who: str) -> Row:
    # what the panel allows a render
    patience = 15.0
    limit = patience + child.SECONDS_FROM_TERMINATE_TO_KILL + SECONDS_TO_END
    row = Row(f"SIGSTOP of {who}, then Cancel", f"all gone within {limit:.0f} s, every view kept")
    output = place.folder / "stopped.h5"
    worker = Child(worker_command(sys.executable), "render", place.render(output, views=400))
    seconds_until(lambda: done_views(output) > 0, 120)
    kept, renderers = done_views(output), children_of(worker.pid)
    os.kill(worker.pid if who == "the worker" else renderers[0], signal.SIGSTOP)
    worker.cancel(patience)
    took = seconds_until(lambda: not worker.events() and worker.finished, 60)
    worker.close()
    took += seconds_until(lambda: not any(is_alive(pid) for pid in renderers), 30)
    row.note("as expected" if took <= limit else f"ran for {took:.0f} s", took)
    if done_views(output) < kept:
        row.lost.append("views")
    shutil.rmtree(staging_folder(output), ignore_errors=True)
    return row


@contextmanager
def small_disk(folder: Path, kilobytes: int, options: str = "") -> Iterator[Path | None]:
    """A disk of that size; None where this user may not mount one."""
    folder.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k{options}", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mounted, capture_output=True).returncode != 0:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def run_command(*words: object, prefix: tuple[str, ...] = (), limit: float = 240) -> subprocess.CompletedProcess[str]:
    """The command line, in a process of its own."""
    start = [sys.executable, str(ROOT / "core" / "bootstrap.py"), "core.cli"]
    return subprocess.run([*prefix, *start, *map(str, words)], capture_output=True, text=True, timeout=limit)


def disks(place: Place, which: Sequence[str] = ("render", "train", "export")) -> list[Row]:
    """A full disk, and a folder that cannot be written, by `which` commands: one line, nothing half-written."""
    dataset = SCENE.write(place.folder / "sound.h5", views=8, size=24)
    render = [str(word) for word in ("--views", 40, "--resolution", "64x64", "--samples", 1, "--reference-samples", 1)]
    if place.blender:
        render += ["--blender", place.blender]
    commands: dict[str, Callable[[Path], list[object]]] = {
        "render": lambda disk: ["render", place.scene, "-o", disk / "x.h5", *render],
        "train": lambda disk: ["train", dataset, "-o", disk / "x.twin", "--steps", 3, "--device", "cpu"],
        "export": lambda disk: ["export", dataset, "--format", "folder", "-o", disk / "x"],
    }
    rows = []
    for fault, kilobytes, options in (("a full disk (tmpfs)", 16, ""), ("a read-only folder (tmpfs)", 4096, ",ro")):
        row = Row(f"{fault}: {', '.join(which)}", "one line that says so, exit code 1, nothing half-written")
        rows.append(row)
        for name in which:
            with small_disk(place.folder / f"{name}{len(rows)}", kilobytes, options) as disk:
                if disk is None:
                    row.note("not tried: this user cannot mount")
                    continue
                done = run_command(*commands[name](disk))
                last = done.stderr.strip().splitlines()[-1:]
                said = done.returncode == 1 and last and last[0].startswith("radiance-twin: ") and str(disk) in last[0]
                row.note("as expected" if said else f"{name}: {done.returncode}, {done.stderr[-200:]}")
                left = {path.name for path in disk.rglob("*")}
                if any(name == "x" or name.endswith((".part", ".h5", ".twin")) for name in left):
                    row.lost.append(f"half-written: {sorted(left)}")
    return rows


def damaged_files(folder: Path, times: int, seed: int = 0) -> list[Row]:
    """Files that are cut, longer than they were, or have a flipped bit: refused, or not harmed in what they say."""
    chance = random.Random(seed)
    dataset = SCENE.write(folder / "whole.h5", views=4, size=12)
    run_command("train", dataset, "-o", folder / "whole.twin", "--steps", 2, "--device", "cpu")

    def cut(data: bytes) -> bytes:
        return data[: chance.randrange(len(data))]

    def flip(data: bytes) -> bytes:
        at, bit = chance.randrange(len(data)), 1 << chance.randrange(8)
        return data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]

    def lengthen(data: bytes) -> bytes:
        return data + chance.randbytes(chance.randrange(1, 100_000))

    rows = []
    for kind, ending, contents in (
        ("dataset", "h5", dataset_digest),
        ("twin", "twin", lambda path: [(name, array.tobytes()) for name, array in read_twin(path).arrays.items()]),
    ):
        whole, damaged = folder / f"whole.{ending}", folder / f"scene.{ending}"
        good, data = contents(whole), whole.read_bytes()
        for name, fault in (("cut off", cut), ("with a flipped bit", flip), ("with bytes after its end", lengthen)):
            row = Row(f"a {kind} {name}", "refused in one line, or read with the very same contents")
            rows.append(row)
            for _ in range(times):
                said = judge(BY_NAME[kind], folder, fault(data))
                if said == "read":
                    try:
                        said = "read, the same" if contents(damaged) == good else "read, another one"
                    except UserError:
                        said = "refused"
                row.note(said)
                if said not in ("read, the same", "refused"):
                    row.lost.append("a damaged file was taken for a sound one")
    return rows


def isolation(folder: Path) -> list[Row]:
    """No network, a worker of another version, and two at one file."""
    dataset = SCENE.write(folder / "alone.h5", views=4, size=12)
    train = ("train", dataset, "-o", folder / "alone.twin", "--steps", 2, "--device", "cpu")
    rows = [Row("no network: train", "it trains")]
    if shutil.which("unshare") and subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode == 0:
        done = run_command(*train, prefix=("unshare", "-n"))
        rows[-1].note("as expected" if done.returncode == 0 else done.stderr[-200:])
    else:
        rows[-1].note("not tried: this user cannot be without one")

    rows.append(Row("a worker of another version", "refused with the remedy"))
    spoken, child.PROTOCOL = child.PROTOCOL, child.PROTOCOL + 1
    try:
        Child(worker_command(sys.executable), "train", {}).run(QuietReporter())
        rows[-1].note("it was taken")
    except UserError as error:
        rows[-1].note("as expected" if "same version of Radiance Twin on both sides" in str(error) else str(error))
    finally:
        child.PROTOCOL = spoken

    rows.append(Row("two trainings into one twin", "the second is refused in one line, the first ends"))
    asked = {"dataset": str(dataset), "output": str(folder / "two.twin"), "seconds": 8.0, "device": "cpu"}
    first = Work("train", asked)
    seconds_until(lambda: any(folder.glob(".two.twin.lock")), 60)
    second = run_command("train", dataset, "-o", folder / "two.twin", "--steps", 2, "--device", "cpu")
    refused = second.returncode == 1 and "another Radiance Twin" in second.stderr
    first.blender.wait(120)
    rows[-1].note("as expected" if refused and (folder / "two.twin").exists() else second.stderr[-200:])
    first.end()
    return rows
