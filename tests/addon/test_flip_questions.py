# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions for maps of FLIP that overtake each other: each has pictures and a map of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from radiance_twin.addon.jobs.frames import Frames


class AskedChild:
    """Notes what it is asked, and answers nothing by itself."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []

    def ask(self, request: str, arguments: dict[str, str]) -> int:
        self.asked.append(arguments)
        return len(self.asked)


def test_a_question_leaves_the_files_of_the_one_before_alone(extension: None) -> None:
    child: Any = AskedChild()
    frames = Frames(child)
    pairs = [np.full((2, 3, 4, 3), level, np.uint8) for level in (10, 20)]
    answers = [frames.ask_flip(pair) for pair in pairs]
    for words, pair in zip(child.asked, pairs, strict=True):
        assert np.array_equal(np.load(words["pair"]), pair)
    for number, words in enumerate(child.asked):
        np.save(words["map"], np.full((3, 4), number, np.float32))
        assert frames.take({"event": "result", "id": number + 1, "result": {"mean": float(number)}})
        assert answers[number].ended and np.array_equal(answers[number].error, np.full((3, 4), number, np.float32))
    assert list(frames.folder.iterdir()) == [], "what is answered needs no room"
    frames.close()
