# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the programs that make an environment: heard, stopped when asked to, and their failures put into one line."""

from __future__ import annotations

import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..errors import Cancelled, UserError
from ..processes import KILL, own_group, signal_group
from ..reporting import Reporter
from .pip_settings import without_addresses

SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_TO_LEAVE = 3.0
LINES_KEPT = 40
LEASH = Path(__file__).with_name("leash.py")

NOT_REACHED = "the package index cannot be reached"
# what installers say, and what that means to a user: the first that fits
FAILURES = (
    (r"no space left|os error 28|errno 28|disk quota|os error 112", "the disk is full; free some space and try again"),
    (
        r"hash mismatch|do not match the hashes|hashes are required|hash-checking",
        "a package is not the file that Radiance Twin was made with; try again, or look for who changed it",
    ),
    (
        r"zip ?file|invalid (zip|package|wheel)|failed to extract|corrupt|not a zip|wheel .* is invalid",
        "a package file is damaged; remove it from the folder of wheels, or try again",
    ),
    (
        r"authentication credentials|error 40[13]\b|40[13] (error|client error|unauthorized|forbidden)",
        "the package index asks for a name and a password; give them where its address stands, or in a netrc file",
    ),
    (
        r"no solution found|no matching distribution|could not find a version|was not found in the",
        "a package is missing where packages are taken from; complete the folder of wheels, or use the network",
    ),
    (
        r"peer certificate|certificate verify|self.signed certificate",
        "the package index's certificate is not trusted here; name the right ones by pip's setting cert (PIP_CERT)",
    ),
    (
        r"dns error|failed to resolve|client error \(connect\)|connection|timed out|network|error sending request",
        f"{NOT_REACHED}; check the network, or install from a folder of wheels",
    ),
    (r"permission denied|access is denied|read-only file system", "the runtime's folder cannot be written"),
)


def run_step(
    command: Sequence[str | Path],
    environment: Mapping[str, str],
    reporter: Reporter,
    look: Callable[[str], None],
) -> None:
    """Run one program to its end, which comes with ours at the latest: half an installation would go on for minutes.

    Args:
        look: told each line that it prints, and an empty one each second: how far is it?

    Raises:
        UserError: it failed; one line says why.
        Cancelled: the user asked to stop, and the program is gone.
    """
    process = subprocess.Popen(
        [sys.executable, "-I", str(LEASH), *map(str, command)],
        env=dict(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        **own_group(),
    )
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(process, lines), daemon=True).start()
    last: list[str] = []
    looked = time.monotonic()
    ended = False
    try:
        while not ended:
            if reporter.cancelled():
                raise Cancelled("stopped; nothing was changed")
            try:
                line = lines.get(timeout=0.1)
                ended = line is None
                if line:
                    last = [*last, line][-LINES_KEPT:]
                    print(line, file=sys.stderr, flush=True)
                    look(line)
            except queue.Empty:
                pass
            if time.monotonic() - looked > SECONDS_BETWEEN_LOOKS:
                looked = time.monotonic()
                look("")
        if process.wait() != 0:
            raise UserError(why(last))
    finally:
        _end(process)


def why(lines: Sequence[str]) -> str:
    """What went wrong, from the last lines of an installer."""
    named = [line.strip(" ×╰─▶│├,;.") for line in lines]
    told = next((line for line in named if re.search(r"error|failed|cannot|×", line, re.IGNORECASE)), "")
    for pattern, meaning in FAILURES:
        found = next((line for line in reversed(named) if re.search(pattern, line, re.IGNORECASE)), None)
        if found is not None:
            return f"{meaning} ({found[:160]})"
    return f"the installer failed: {(told or (named[-1] if named else 'it said nothing'))[:200]}; see the log"


def _read(process: subprocess.Popen[str], lines: queue.SimpleQueue[str | None]) -> None:
    assert process.stdout is not None
    with process.stdout as stream:
        for line in stream:
            lines.put(without_addresses(line.rstrip()))
    lines.put(None)


def _end(process: subprocess.Popen[str]) -> None:
    """End it and what it has started."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(SECONDS_TO_LEAVE)
    except subprocess.TimeoutExpired:
        signal_group(process, KILL)
        process.wait()
