# SPDX-License-Identifier: GPL-3.0-or-later
"""Files and folders that are complete or absent, whatever happens while they are written."""

from __future__ import annotations

import fcntl
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from radiance_twin.core import files
from radiance_twin.core.errors import UserError
from radiance_twin.core.files import atomic_folder, atomic_path, write_json


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with atomic_path(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    with pytest.raises(ZeroDivisionError), atomic_path(target) as temporary:
        temporary.write_bytes(b"half" * (temporary.write_bytes(b"half") // 0))
    assert target.read_text() == "new" and list(tmp_path.iterdir()) == [target]


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the disk was asked to hold, and when a name was given."""
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        done.append(f"hold {Path(os.readlink(f'/proc/self/fd/{descriptor}')).name.split('.part')[0]}")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", lambda old, new: (done.append("name it"), replace(old, new)))
    return done


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="names of open files are asked of /proc")
def test_a_loss_of_power_finds_the_contents_on_the_disk_before_the_name(tmp_path: Path, order: list[str]) -> None:
    write_json(tmp_path / "a.json", {})
    assert order == [f"hold .a.json.{os.getpid()}", "name it", f"hold {tmp_path.name}"]
    order.clear()
    with atomic_folder(tmp_path / "b") as folder:
        (folder / "c").mkdir()
        (folder / "c" / "d.txt").write_text("d")
    *held, named, last = order
    assert {"hold c", "hold d.txt"} < set(held) and len(held) == 3
    assert (named, last) == ("name it", f"hold {tmp_path.name}")


def test_macos_is_asked_to_empty_the_drives_own_cache_where_it_can(
    tmp_path: Path, order: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    asked: list[int] = []
    monkeypatch.setattr(fcntl, "fcntl", lambda descriptor, what: asked.append(what))
    write_json(tmp_path / "a.json", {})
    assert asked == [51, 51] and order == ["name it"]

    def not_here(descriptor: int, what: int) -> None:
        raise OSError(45, "Operation not supported")

    monkeypatch.setattr(fcntl, "fcntl", not_here)
    order.clear()
    write_json(tmp_path / "b.json", {})
    assert len(order) == 3, "as everywhere else"


def open_elsewhere() -> PermissionError:
    """What Windows says of a file that somebody has open."""
    error = PermissionError(13, "Access is denied")
    error.winerror = 32  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(
    ("refusals", "written", "told"),
    [(2, "new", nullcontext()), (99, "old", pytest.raises(UserError, match="access is denied"))],
)
def test_a_file_that_a_virus_scanner_holds_for_a_moment_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusals: int, written: str, told: Any
) -> None:
    target, replace, tried = tmp_path / "a.txt", os.replace, 0
    target.write_text("old")

    def refuse(old: Path, new: Path) -> None:
        nonlocal tried
        tried += 1
        if tried <= refusals:
            raise open_elsewhere()
        replace(old, new)

    monkeypatch.setattr(os, "replace", refuse)
    monkeypatch.setattr(files.time, "sleep", lambda seconds: None)
    with told, atomic_path(target) as temporary:
        temporary.write_text("new")
    assert target.read_text() == written and list(tmp_path.iterdir()) == [target]


def test_an_empty_folder_is_filled_where_no_folder_can_be_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.replace

    def as_on_windows(old: Path, new: Path) -> None:
        if new.is_dir():
            raise open_elsewhere()
        rename(old, new)

    monkeypatch.setattr(Path, "replace", as_on_windows)
    (tmp_path / "empty").mkdir()
    with atomic_folder(tmp_path / "empty") as folder:
        (folder / "a.txt").write_text("a")
    assert [path.name for path in (tmp_path / "empty").iterdir()] == ["a.txt"]
    with pytest.raises(UserError, match="exists already; name a new or empty folder"), atomic_folder(tmp_path):
        pass


def test_a_folder_that_cannot_be_replaced_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) == tmp_path / "disk")
    (tmp_path / "disk").mkdir()
    refused = pytest.raises(UserError, match="where a disk is mounted.*; name a folder in it")
    with refused, atomic_folder(tmp_path / "disk"):
        pytest.fail("hours of work")
