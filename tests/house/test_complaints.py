# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of complaints names tests that are there, and leaves no complaint out."""

import re
from pathlib import Path


def test_every_complaint_is_answered_and_every_test_it_names_is_there(root: Path) -> None:
    page = (root / "docs" / "complaints.md").read_text("utf-8")
    entries = re.split(r"(?m)^(?=\d+\. \*\*)", page)[1:]
    assert [int(entry.split(".")[0]) for entry in entries] == list(range(1, 46))
    for entry in entries:
        assert re.search(r"\*\*(Yes|Partly|No|Untried)[.*]", entry), entry
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page)
    assert len(named) > 45
    for file, name in named:
        assert re.search(rf"(?m)^def {name}\(", (root / file).read_text("utf-8")), f"{file}::{name}"
