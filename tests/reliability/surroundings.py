# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks that are full, files that are damaged, no network, strangers and neighbours: what commands make of them."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from radiance_twin.core.dataset.digest import dataset_digest
from radiance_twin.core.errors import UserError
from radiance_twin.core.processes import ROOT, worker_command
from radiance_twin.core.reporting import QuietReporter
from radiance_twin.core.twin_file import read_twin
from radiance_twin.core.worker import child
from radiance_twin.core.worker.child import Child

from .deaths import Place, Work, seconds_until
from .fuzzing import judge
from .readers import BY_NAME, SCENE
from .table import Row


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
