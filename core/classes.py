# SPDX-License-Identifier: GPL-3.0-or-later
"""The class of an object: what a semantic label says of it. The standard library alone.

In this order, the first that says something wins:
    1. the object's custom property "class";
    2. the rules, in the order in which they stand: "CLASS = NAME" for objects, "CLASS = collection:NAME" for all in a
       collection, "CLASS = material:NAME" for all that has the material in a slot; names with * and ? as in file names;
    3. the object's name, less the number that Blender appends to copies.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# the number that Blender appends to copies: "Chair.001"
COPY = re.compile(r"\.\d{3,}$")
KINDS = ("object", "collection", "material")


@dataclass(frozen=True)
class ClassRule:
    """Objects whose own name, a collection's or a material's (`kind`) fits `pattern` are of the class `name`."""

    name: str
    kind: str
    pattern: str

    def fits(self, names: Iterable[str]) -> bool:
        """Whether one of these names fits."""
        return any(fnmatch.fnmatchcase(name, self.pattern) for name in names)


def class_rules(texts: Sequence[str]) -> list[ClassRule]:
    """The rules that are written so.

    Raises:
        ValueError: one of them is no rule; it is the error's argument.
    """
    rules = []
    for text in texts:
        name, separator, what = (part.strip() for part in text.partition("="))
        kind, colon, pattern = (part.strip() for part in what.partition(":"))
        if not colon or kind not in KINDS:
            kind, pattern = "object", what
        if not (name and separator and pattern):
            raise ValueError(text)
        rules.append(ClassRule(name, kind, pattern))
    return rules


def class_complaint(texts: Sequence[str]) -> str:
    """What is wrong with these rules; empty when nothing is."""
    try:
        class_rules(texts)
    except ValueError as error:
        return f"has no rule {error.args[0]!r}; write it like 'chair = Chair*' or 'plant = collection:Plants'"
    return ""


def class_of(
    rules: Sequence[ClassRule], name: str, own: str = "", collections: Iterable[str] = (), materials: Iterable[str] = ()
) -> str:
    """The class of an object with this name, custom property `own`, and what it is in and made of."""
    if own:
        return own
    names = {"object": [name], "collection": list(collections), "material": list(materials)}
    return next((rule.name for rule in rules if rule.fits(names[rule.kind])), COPY.sub("", name) or name)
