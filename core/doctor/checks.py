# SPDX-License-Identifier: GPL-3.0-or-later
"""What a check has found, a list of them as people read it, and what may be said in public. Standard library alone."""

from __future__ import annotations

import getpass
import platform
import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ..errors import Cancelled
from ..reporting import Reporter

State = Literal["good", "bad", "note"]
ABOUT = 10  # checks, for the progress
MARKS: dict[str, str] = {"good": "✓", "bad": "✗", "note": "–"}

QUOTED_PATH = re.compile(r"""(['"])[^'"]*[\\/][^'"]*\1""")
PATH = re.compile(r"(?<![\w.])(?:file://)?(?:[A-Za-z]:[\\/]|\\\\|~?/)[^\s'\",;:()]+[^\s'\",;:().]")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: of it.
        state: "bad" keeps something from working; "note" is worth knowing.
        found: in words.
        remedy: what to do about it.
    """

    name: str
    state: State
    found: str
    remedy: str = ""

    def in_words(self) -> str:
        """One line, without its state."""
        return f"{self.name}: {self.found}" + (f"; {self.remedy}" if self.remedy else "")


def follow(checks: Iterable[Check], reporter: Reporter) -> dict[str, Any]:
    """Make the checks, and tell how far they are."""
    done: list[Check] = []
    reporter.progress("examine", 0, ABOUT)
    for check in checks:
        if reporter.cancelled():
            raise Cancelled("stopped")
        done.append(check)
        reporter.progress("examine", min(len(done), ABOUT - 1), ABOUT, text=check.name)
    reporter.progress("examine", ABOUT, ABOUT)
    return result_of(done)


def result_of(checks: Sequence[Check]) -> dict[str, Any]:
    """What is told of the checks, as JSON can carry it: without paths, addresses and names of people or machines."""
    told = [{name: without_names(str(value)) for name, value in asdict(one).items()} for one in checks]
    return {"healthy": all(one.state != "bad" for one in checks), "checks": told}


def checks_of(result: dict[str, Any]) -> list[Check]:
    """The checks of a result."""
    return [Check(**one) for one in result["checks"]]


def doctor_in_words(result: dict[str, Any]) -> str:
    """Each check in a line, then a summary: what is pasted into an issue."""
    return "\n".join([*(f"{MARKS[one.state]} {one.in_words()}" for one in checks_of(result)), summary(result)])


def summary(result: dict[str, Any]) -> str:
    """One line."""
    bad = [one.name for one in checks_of(result) if one.state == "bad"]
    count = len(result["checks"])
    return f"{len(bad)} of {count} checks failed: {', '.join(bad)}" if bad else f"All of {count} checks are well"


def without_names(text: str) -> str:
    """A text without paths, and without the names of this user, home folder and machine."""
    for folder in (tempfile.gettempdir(), str(Path.home())):
        if len(folder) > 1:
            text = re.sub(re.escape(folder) + r"[^\s'\",;()]*", "(path)", text)
    text = PATH.sub("(path)", QUOTED_PATH.sub("(path)", text))
    for name, instead in ((_user(), "(user)"), (Path.home().name, "(user)"), (platform.node(), "(machine)")):
        if name:
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", instead, text)
    return text


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""
