# SPDX-License-Identifier: GPL-3.0-or-later
"""Thousands of spoilt files for each reader: each is read or refused in one line, soon, and in bounded memory.

    python tests/reliability/fuzzing.py --inputs 10000 [READER ...]          changed at random, from a seed
    python tests/reliability/fuzzing.py --guided 10000 READER                 guided by what code they reach (Atheris)

Guided inputs that reach something new are kept in corpus/READER, from which both kinds go on.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import runpy
import signal
import sys
import tempfile
import time
import zipfile
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, NoReturn

HERE = Path(__file__).resolve().parent
if __name__ == "__main__":
    runpy.run_path(str(HERE.parent.parent / "core" / "bootstrap.py"))["register"](HERE.parent.parent)
    sys.path.insert(0, str(HERE.parent))
    if "--guided" in sys.argv:
        import atheris

        # what is imported in here tells which of its lines are reached
        with atheris.instrument_imports(include=["radiance_twin.core"]):
            from reliability.readers import BY_NAME, READERS, REFUSALS, Reader
    else:
        from reliability.readers import BY_NAME, READERS, REFUSALS, Reader
else:
    from .readers import BY_NAME, READERS, REFUSALS, Reader

from radiance_twin.core.dataset import walk  # noqa: E402

CORPUS = HERE / "corpus"
# an input that takes longer hangs; a machine that is busy takes its time
SECONDS = 20
# of address space beyond what the process had before; the largest picture that is allowed takes 2 GB as floats
MOST_BYTES = 6 << 30
# a file of the corpus takes milliseconds, one in which HDF5 goes round for ever all of this
SECONDS_TO_WALK = 2
LARGEST_KEPT = 4096
ODD_NUMBERS = [
    0,
    -1,
    1e308,
    -1e308,
    1e999,
    2**31,
    2**63,
    -(2**63),
    10**400,
    0.5,
    True,
    None,
    "nan",
    [],
    {},
    "../../x",
    "/etc/x",
]


@dataclass
class Outcome:
    """What came of the inputs of one reader: how many of each, and each fault with the input that made it."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[str, bytes]] = field(default_factory=list)
    slowest: float = 0.0


def spoilt(data: bytes, chance: random.Random) -> bytes:
    """`data` changed in one to four ways; JSON and zip files also in what they hold."""
    if data[:1] == b"{" and chance.random() < 0.5:
        return _other_json(data, chance)
    if data[:2] == b"PK" and chance.random() < 0.7:
        return _other_zip(data, chance)
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(changed) + 1)
        match chance.randrange(6):
            case 0 if at < len(changed):
                changed[at] ^= 1 << chance.randrange(8)
            case 1:
                changed[at : at + chance.choice([1, 2, 4, 8])] = chance.randbytes(chance.choice([1, 2, 4, 8]))
            case 2:
                word = chance.choice([0, 1, 0x7F, 0xFF]).to_bytes(1, "little")
                changed[at : at + 8] = word * chance.choice([4, 8])
            case 3:
                del changed[at : at + chance.choice([1, 4, 64])]
            case 4:
                changed[at:at] = changed[at : at + chance.choice([1, 16, 256])]
            case _ if chance.random() < 0.2:
                del changed[at:]
    return bytes(changed)


def _other_json(data: bytes, chance: random.Random) -> bytes:
    try:
        words = json.loads(data)
    except (ValueError, RecursionError):
        return data[: len(data) // 2]
    places: list[tuple[Any, Any]] = []

    def walk(item: Any) -> None:
        for key in item if isinstance(item, dict) else range(len(item)) if isinstance(item, list) else ():
            places.append((item, key))
            walk(item[key])

    walk(words)
    for _ in range(chance.randint(1, 3)):
        if places:
            item, key = chance.choice(places)
            item[key] = chance.choice(ODD_NUMBERS)
    text = json.dumps(words)
    if chance.random() < 0.05:
        text = text.replace("null", "[" * 100_000, 1)  # as deep as no parser goes
    return text.encode()


def _other_zip(data: bytes, chance: random.Random) -> bytes:
    """The same archive with one spoilt member, sound as an archive."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as file:
            members = {name: file.read(name) for name in file.namelist()}
        name = chance.choice(sorted(members))
        members[name] = spoilt(members[name], chance)
    except Exception:  # whatever zipfile says of an archive that is broken
        return data[: len(data) // 2]
    made = BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as file:
        for member, content in members.items():
            file.writestr(member, content)
    return made.getvalue()


def judge(reader: Reader, folder: Path, data: bytes) -> str:
    """What comes of one input: "read", "refused", or a fault in words."""
    try:
        (folder / reader.file).write_bytes(data)
        reader.read(folder)
    except REFUSALS as refusal:
        return "refused" if "\n" not in str(refusal) else f"a refusal of several lines: {refusal}"
    except MemoryError:
        return "took more memory than it may"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:80]}"
    return "read"


def fuzz(reader: Reader, inputs: int, seed: int = 0) -> Outcome:
    """Read `inputs` spoilt files in a process of their own, which is made anew when one of them kills it."""
    outcome, done = Outcome(), 0
    with tempfile.TemporaryDirectory(prefix="radiance_twin_fuzz_") as place:
        folder = Path(place)
        reader.make(folder)
        seeds = [(folder / reader.file).read_bytes(), *(path.read_bytes() for path in corpus_of(reader))]
        while done < inputs:
            done = _batch(reader, folder, seeds, range(done, inputs), seed, outcome)
    return outcome


def corpus_of(reader: Reader) -> list[Path]:
    """Inputs that are kept, because they reached something that others do not or were a fault once."""
    return sorted((CORPUS / reader.name).glob("*"))


def _input(reader: Reader, seeds: list[bytes], seed: int, number: int) -> bytes:
    chance = random.Random(f"{reader.name} {seed} {number}")
    if 0 < number < len(seeds):
        return seeds[number]
    # most of the others are refused early, and what becomes of them is, too
    return spoilt(seeds[0] if chance.random() < 0.5 else chance.choice(seeds), chance)


def _batch(reader: Reader, folder: Path, seeds: list[bytes], numbers: range, seed: int, outcome: Outcome) -> int:
    """Read inputs until one kills the process; returns the number of the next one."""
    hears, says = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(hears)
        _read_all(reader, folder, seeds, numbers, seed, says)
    os.close(says)
    next_one = numbers.start
    with os.fdopen(hears) as lines:
        for line in lines:
            number, said, seconds = json.loads(line)
            outcome.counts[said if said in ("read", "refused") else "fault"] += 1
            outcome.slowest = max(outcome.slowest, seconds)
            if said not in ("read", "refused"):
                outcome.faults.append((said, _input(reader, seeds, seed, number)))
            next_one = number + 1
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status != 0:
        what = f"more than {SECONDS} seconds" if status == -signal.SIGALRM else f"ended the process ({status})"
        outcome.counts["fault"] += 1
        outcome.faults.append((what, _input(reader, seeds, seed, next_one)))
        next_one += 1
    return next_one


def _read_all(reader: Reader, folder: Path, seeds: list[bytes], numbers: range, seed: int, says: int) -> NoReturn:
    """The other process: judge the inputs, and write a line for each."""
    code = 1
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        bytes_before = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (bytes_before + MOST_BYTES, resource.RLIM_INFINITY))
        nowhere = os.open(os.devnull, os.O_WRONLY)  # decoders complain a lot
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        for number in numbers:
            signal.alarm(SECONDS)
            began = time.monotonic()
            said = judge(reader, folder, _input(reader, seeds, seed, number))
            line = json.dumps([number, said, time.monotonic() - began])
            os.write(says, line.encode() + b"\n")
        code = 0
    finally:
        os._exit(code)


def _walked_by_a_fork(path: Path) -> bool:
    """What the walker says of a file (core/dataset/walk.py): a fork is there at once, when the last one was ended."""
    child = os.fork()
    if child == 0:
        for number in (signal.SIGALRM, signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE):
            signal.signal(number, signal.SIG_DFL)  # libFuzzer would report what ends this process as a fault of its own
        signal.alarm(SECONDS_TO_WALK)
        with suppress(Exception):
            walk.walk(str(path))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def guided(reader: Reader, runs: int) -> None:
    """Let Atheris look for inputs that reach new code, and keep the small ones among them. Never returns."""
    import atheris

    from radiance_twin.core.dataset.readers import pictures

    # or it finds out that large pictures may be, and looks at nothing else
    pictures.MOST_PIXELS = 1 << 20
    walk._walked = _walked_by_a_fork
    folder = Path(tempfile.mkdtemp(prefix="radiance_twin_fuzz_"))
    reader.make(folder)
    kept = CORPUS / reader.name
    kept.mkdir(parents=True, exist_ok=True)

    def look(data: bytes) -> None:
        said = judge(reader, folder, data)
        assert said in ("read", "refused"), said

    def change(data: bytes, most: int, seed: int) -> bytes:
        # bytes changed at random seldom make JSON or an archive that is one still
        chance = random.Random(seed)
        changed = spoilt(data, chance) if data and chance.random() < 0.5 else b""
        return changed if 0 < len(changed) <= most else bytes(atheris.Mutate(data, most))

    seeds = Path(tempfile.mkdtemp(prefix="radiance_twin_seed_"))
    (seeds / "sound").write_bytes((folder / reader.file).read_bytes())
    options = [
        f"-runs={runs}",
        f"-max_len={max(LARGEST_KEPT, 2 * (seeds / 'sound').stat().st_size)}",
        "-timeout=20",
        "-rss_limit_mb=6000",
        "-print_final_stats=1",
    ]
    arguments = [sys.argv[0], *options, str(kept), str(seeds)]
    atheris.Setup(arguments, look, custom_mutator=change, enable_python_coverage=True)
    atheris.Fuzz()


def main() -> int:
    """Fuzz the readers that are named, or all of them; the exit code is 1 when there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("readers", nargs="*", metavar="READER")
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--guided", type=int, metavar="RUNS")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    chosen = [BY_NAME[name] for name in asked.readers] or READERS
    if asked.guided:
        guided(chosen[0], asked.guided)
    faults = 0
    for reader in chosen:
        began = time.monotonic()
        outcome = fuzz(reader, asked.inputs, asked.seed)
        faults += len(outcome.faults)
        print(
            f"{reader.name}: {dict(outcome.counts)}, slowest {outcome.slowest:.2f} s, {time.monotonic() - began:.0f} s"
        )
        for what in sorted({what for what, _ in outcome.faults}):
            print(f"   {what}")
        sys.stdout.flush()
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
