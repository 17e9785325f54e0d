# SPDX-License-Identifier: GPL-3.0-or-later
"""Two processes at one file: the second is told; a dead one blocks nobody, and what it left is removed."""

import subprocess
import sys
from pathlib import Path

import pytest

from radiance_twin.core.errors import UserError
from radiance_twin.core.locks import locked
from radiance_twin.core.processes import ROOT

HOLDS = f"""
import runpy, sys, time
from pathlib import Path
runpy.run_path({str(ROOT / "core" / "bootstrap.py")!r})["register"](Path({str(ROOT)!r}))
from radiance_twin.core.files import atomic_path
from radiance_twin.core.locks import locked
with locked(sys.argv[1]), atomic_path(sys.argv[1]) as half:
    half.write_text("half")
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_second_is_told_and_a_dead_one_blocks_nobody(tmp_path: Path) -> None:
    output = tmp_path / "scene[1].h5"
    with subprocess.Popen([sys.executable, "-c", HOLDS, str(output)], stdout=subprocess.PIPE) as other:
        assert other.stdout and other.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match="being written by another Radiance Twin; wait"), locked(output):
            pass
        with locked(tmp_path / "scene.h5"):
            """Its neighbour is free."""
        assert (tmp_path / ".scene[1].h5.lock").stat().st_mode & 0o666 == 0o666, "another user is told as well"
        other.kill()
        other.wait()
    assert list(tmp_path.glob(".scene*.part")), "it was killed while it wrote"
    with locked(output):
        assert not list(tmp_path.glob("*.part")) and not list(tmp_path.glob(".*.part"))
    assert list(tmp_path.iterdir()) == []


def test_it_is_free_again_after_an_error(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), locked(tmp_path / "a" / "x.twin"):
            1 / 0  # noqa: B018
    assert list((tmp_path / "a").iterdir()) == []
