# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules on a scene with things that another file holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import pytest

from radiance_twin.core.errors import UserError

from .random_table import paint, picture, randomiser, state, table
from .scenes import add_box, add_collection, link_from, new_scene, save


@pytest.mark.parametrize(
    "rule",
    [
        {"what": "pose", "select": "Thing", "move": [[1, 1], [0, 0], [0, 0]]},
        {"what": "material", "select": "Thing", "swap": "Local"},
        {"what": "texture", "materials": "Linked", "folder": "pictures"},
    ],
)
def test_what_another_file_does_not_let_be_changed_is_refused(tmp_path: Path, rule: dict[str, Any]) -> None:
    new_scene()
    thing = add_box("Thing")
    paint(thing, "Linked")
    add_collection("Library", thing)
    library = save(tmp_path / "library.blend")
    table()
    paint(bpy.data.objects["Table"], "Local")
    link_from(library, "Library")
    (tmp_path / "pictures").mkdir()
    picture(tmp_path / "pictures" / "a.png", (0, 1, 0))
    if "folder" in rule:
        rule = {**rule, "folder": str(tmp_path / "pictures")}
    before = state()
    with pytest.raises(UserError, match="is linked from another file.*library override"), randomiser(rule).view(0, []):
        pass
    assert state() == before


def test_a_distractor_of_another_file_may_be_called_like_something_here(tmp_path: Path) -> None:
    new_scene()
    add_collection("Toys", add_box("Table"))
    library = save(tmp_path / "toys.blend")
    scene = table()
    toys = link_from(library, "Toys")
    scene.collection.children.unlink(toys)  # distractors need not be in the scene
    before = state()
    with randomiser({"what": "distractor", "collection": "Toys", "count": [1, 1]}).view(0, []):
        assert toys.objects[0] in scene.collection.objects.values()
    assert state() == before
