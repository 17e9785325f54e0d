# SPDX-License-Identifier: GPL-3.0-or-later
"""One line of the table of faults."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


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


def line_of(row: Row) -> str:
    happened = ", ".join(f"{what} {count:,}" for what, count in sorted(row.happened.items()))
    if row.seconds:
        happened += f" (at most {row.seconds:.1f} s)"
    lost = "; ".join(sorted(set(row.lost))) or "nothing"
    return f"| {row.fault} | {row.times:,} | {row.expected} | {happened} | {lost} |"
