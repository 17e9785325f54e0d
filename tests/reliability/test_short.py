# SPDX-License-Identifier: GPL-3.0-or-later
"""The short form of the table of faults; `make reliability` is the long one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from . import deaths, surroundings
from .fuzzing import corpus_of, fuzz, judge
from .readers import READERS, Reader

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are watched through /proc")


@pytest.fixture
def place(tmp_path: Path) -> deaths.Place:
    """A scene, and a Blender that renders grey views at once."""
    fake = tmp_path / "blender"
    script = Path(__file__).resolve().parent.parent / "core" / "fake_blender.py"
    start = f'RADIANCE_TWIN_TEST_ROOT="{deaths.ROOT}" exec "{sys.executable}" "{script}"'
    fake.write_text(f"#!/bin/sh\n{start}\n", encoding="utf-8")
    fake.chmod(0o755)
    return deaths.make_place(tmp_path, str(fake))


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_spoilt_files_are_read_or_refused(reader: Reader, tmp_path: Path) -> None:
    reader.make(tmp_path)
    sound = (tmp_path / reader.file).read_bytes()
    assert judge(reader, tmp_path, sound) == "read", "or what is made of it would be refused for another reason"
    outcome = fuzz(reader, 40, seed=1)
    assert outcome.faults == []
    assert sum(outcome.counts.values()) == 40 and outcome.counts["refused"] > 0
    # what was a fault once, or reached something new, stays mended
    assert {judge(reader, tmp_path, path.read_bytes()) for path in corpus_of(reader)} <= {"read", "refused"}


def test_renders_that_are_killed_lose_nothing(place: deaths.Place) -> None:
    for row in deaths.kill_renders(place, 4, longest=1.5, views=20):
        assert row.lost == [] and row.times == row.happened["as expected"] == 1, row


def test_disks_that_are_full_or_cannot_be_written_are_said(
    place: deaths.Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for row in surroundings.disks(place, ["render"]):
        assert row.lost == [] and set(row.happened) <= {"as expected", "not tried: this user cannot mount"}, row
