# SPDX-License-Identifier: GPL-3.0-or-later
"""Which class an object is of."""

import pytest

from radiance_twin.core.classes import class_complaint, class_of, class_rules

RULES = class_rules(["chair = Chair*", "plant=collection:Garden ?", "glass = material:Glass*", "odd = a:b"])


def test_the_first_that_says_something_wins() -> None:
    assert class_of(RULES, "Chair.001", "throne", ["Garden 1"], ["Glass"]) == "throne"
    assert class_of(RULES, "Chair.001", "", ["Garden 1"], ["Glass"]) == "chair"
    assert class_of(RULES, "Vase", "", ["Garden 1"], ["Glass.002"]) == "plant"
    assert class_of(RULES, "Vase", "", ["Garden 12"], ["Wood", "Glass.002"]) == "glass"
    assert class_of(RULES, "a:b") == "odd", "what is before the colon is no kind: it is a part of a name"
    assert class_of(RULES, "chair") == "chair" and class_of([], "Chair*") == "Chair*"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Chair.001", "Chair"),
        ("Chair.0123", "Chair"),
        ("Chair.01", "Chair.01"),
        ("Chair.001.x", "Chair.001.x"),
        (".001", ".001"),  # a class has to have a name
    ],
)
def test_copies_are_of_the_class_of_what_they_are_copies_of(name: str, expected: str) -> None:
    assert class_of([], name) == expected


@pytest.mark.parametrize("rule", ["chair", "= Chair", "chair =", "plant = collection:"])
def test_what_is_no_rule_is_named(rule: str) -> None:
    assert f"has no rule {rule!r}" in class_complaint(["a = b", rule])
    assert class_complaint(["a = b"]) == ""
