# SPDX-License-Identifier: GPL-3.0-or-later
"""What a comparison says in plain words."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

# Lowest foreground PSNR in dB, and what it looks like. Above 40 dB people need a magnifier, below 22 dB they wonder.
LIKENESS = (
    (40.0, "Hard to tell from {classic}, even when flipping between the two"),
    (33.0, "Very close to {classic}: the differences show only when flipping between the two"),
    (28.0, "Close to {classic}: fine detail and highlights are softer"),
    (22.0, "A fair likeness of {classic}: shapes and colours are right, detail is missing"),
    (-math.inf, "Not yet a likeness of {classic}: train longer, or render more views"),
)


def title(metrics: dict[str, Any]) -> str:
    """What the report is about: the scene's name, or the dataset's file."""
    dataset = metrics["dataset"]
    return str(dataset["scene"] or Path(dataset["path"]).stem)


def classic_name(metrics: dict[str, Any]) -> str:
    """What made the classic side: Cycles, or somebody else's pictures."""
    return "Cycles" if metrics["dataset"]["blender"] else "Reference"


def verdict(metrics: dict[str, Any]) -> str:
    """One line in plain words: how alike the two are, and which one is faster."""
    mean, floor = metrics["mean"], metrics["noise_floor"]
    name = "psnr" if mean["psnr_foreground"] is None else "psnr_foreground"
    classic = "Cycles" if metrics["dataset"]["blender"] else "the reference"
    if mean["psnr"] is None:
        words = f"Identical to {classic} in every pixel"
    elif floor and floor[name] is not None and mean[name] >= floor[name]:
        words = f"As close to {classic} as a second {classic} render with another seed"
    else:
        words = next(text for lowest, text in LIKENESS if mean[name] >= lowest).format(classic=classic)
    return f"{words}{_speed_in_words(metrics)}."


def _speed_in_words(metrics: dict[str, Any]) -> str:
    classic, neural = (sum(view[f"{side}_seconds"] for view in metrics["views"]) for side in ("classic", "neural"))
    if classic <= 0.0 or neural <= 0.0:
        return ""
    if classic >= 1.05 * neural:
        return f"; {_times(classic / neural)} as fast per frame"
    if neural >= 1.05 * classic:
        return f"; each frame takes {_times(neural / classic)} as long"
    return "; as fast per frame"


def _times(ratio: float) -> str:
    return f"{ratio:.0f} times" if ratio >= 9.5 else f"{ratio:.1f} times"
