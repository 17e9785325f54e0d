# SPDX-License-Identifier: GPL-3.0-or-later
"""What the interface says can be translated: words stand in it whole, and numbers are put into them afterwards.

What Blender is given as a literal it looks up itself. Failures come from core/ and stay as logs and command line say
them.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bpy
import pytest

from radiance_twin.addon.panels import layout

from .test_panel import Notes

ADDON = Path(layout.__file__).parents[1]
SAID = [*sorted((ADDON / "panels").glob("*.py")), ADDON / "viewport/badge.py", ADDON / "viewport/compare/words.py"]
# names of properties have an underscore
WORD = re.compile(r"[A-Za-z]{3}(?!\w*_)")


@pytest.mark.parametrize("path", SAID, ids=lambda path: path.stem)
def test_no_words_are_put_together_around_numbers(path: Path) -> None:
    def words_in(node: ast.JoinedStr) -> str:
        return "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))

    tree = ast.parse(path.read_text("utf-8"))
    # keys of dictionaries are not said
    keys = {id(node.slice) for node in ast.walk(tree) if isinstance(node, ast.Subscript)}
    formatted = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) and id(node) not in keys]
    assert [ast.unparse(node) for node in formatted if WORD.search(words_in(node))] == []


def test_a_paragraph_is_translated_before_it_is_cut_into_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    english = "Save this file to begin, or try the four steps on a sample."
    german = "Zuerst die Datei sichern, oder die vier Schritte an einem Beispiel versuchen."
    monkeypatch.setattr(layout, "iface_", {english: german}.get)
    notes: Any = Notes()
    context: Any = SimpleNamespace(preferences=bpy.context.preferences, region=None)
    layout.write(notes, context, english)
    assert len(notes.labels) > 1 and " ".join(notes.labels) == german
