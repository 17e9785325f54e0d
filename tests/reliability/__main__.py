# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of faults: what was done, what was expected, what happened, what was lost. Half an hour on two cores.

make reliability                                     writes tests/reliability/RESULTS.md
python tests/reliability --inputs 10000 --moments 50     the same, in numbers
python tests/reliability --only renders                  some rows, which are printed alone
"""

from __future__ import annotations

import argparse
import os
import platform
import runpy
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
runpy.run_path(str(HERE.parent.parent / "core" / "bootstrap.py"))["register"](HERE.parent.parent)
sys.path.insert(0, str(HERE.parent))

from reliability import deaths, fuzzing, surroundings  # noqa: E402
from reliability.readers import READERS  # noqa: E402
from reliability.table import Row, line_of  # noqa: E402

RESULTS = HERE / "RESULTS.md"


def row_of_fuzzing(reader: fuzzing.Reader, inputs: int) -> tuple[Row, float]:
    """A reader's line, and the seconds of its slowest input."""
    outcome = fuzzing.fuzz(reader, inputs)
    row = Row(f"spoilt files: {reader.name}", "read, or refused in one line", sum(outcome.counts.values()))
    row.happened = outcome.counts
    row.lost = sorted({what for what, _ in outcome.faults})
    return row, outcome.slowest


def main() -> int:
    """Inject all faults and write the table; the exit code is 1 when something was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=10_000, help="spoilt files for each reader")
    parser.add_argument("--moments", type=int, default=50, help="at which each of rendering and training is killed")
    parser.add_argument("--only", choices=("renders", "trainings", "others", "files"), help="this part alone")
    asked = parser.parse_args()
    began, rows, slowest = time.monotonic(), [], 0.0

    def take(new: list[Row]) -> None:
        rows.extend(new)
        for row in new:
            print(line_of(row), flush=True)

    with tempfile.TemporaryDirectory(prefix="radiance_twin_faults_") as elsewhere:
        folder = Path(elsewhere)
        place = deaths.make_place(folder, None)
        if asked.only in (None, "renders"):
            take(deaths.kill_renders(place, asked.moments, longest=7.0))
        if asked.only in (None, "trainings"):
            take(deaths.kill_trainings(folder, asked.moments, longest=9.0))
        if asked.only in (None, "others"):
            take(deaths.stop_processes(place))
            take(surroundings.disks(place))
            take(surroundings.isolation(folder))
        if asked.only in (None, "files"):
            take(surroundings.damaged_files(folder, asked.inputs // 10))
            for reader in READERS:
                row, seconds = row_of_fuzzing(reader, asked.inputs)
                slowest = max(slowest, seconds)
                take([row])
    lost = [row for row in rows if row.lost]
    if asked.only is not None:
        return 1 if lost else 0
    command = " ".join(["python tests/reliability", *sys.argv[1:]])
    machine = f"{platform.system()}, {os.cpu_count()} cores, no GPU, Python {platform.python_version()}"
    minutes = (time.monotonic() - began) / 60
    RESULTS.write_text(
        "# What happens when things go wrong\n\n"
        f"`{command}` on {machine}: {minutes:.0f} minutes, something was lost in {len(lost)} of "
        f"{len(rows)} rows. The slowest spoilt file took {slowest:.1f} s to judge.\n"
        "Seconds in brackets: until no process was left. Guided inputs come on top; `corpus/README.md` says how many.\n"
        "\n"
        "| fault | times | expected | happened | lost |\n|---|---|---|---|---|\n"
        + "\n".join(line_of(row) for row in rows)
        + "\n",
        encoding="utf-8",
    )
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
