# SPDX-License-Identifier: GPL-3.0-or-later
"""What a comparison says in plain words."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

FILM_RATE = 24

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


def ssim_in_words(ssim: float | None) -> str:
    """A figure as people read it; None is that of a picture too small to have one."""
    return "–" if ssim is None else f"{ssim:.3f}"


def _times(ratio: float) -> str:
    return f"{ratio:.0f} times" if ratio >= 9.5 else f"{ratio:.1f} times"


def pays_off(metrics: dict[str, Any]) -> list[str]:
    """When the twin pays off, in sentences for people who have to decide; the first is the one that matters most.

    Metrics of an earlier version, which know no costs, have none.
    """
    costs = metrics.get("costs")
    if not costs:
        return []
    if not costs["classic"]:
        return ["What a classic frame costs is not known: the dataset does not say how long its pictures took."]
    if costs["fixed_seconds"] is None:
        return ["From how many frames on the twin pays off is not known: it does not say how long its training took."]
    return [f"Against {_rival(way)}, the twin {_break_even(way, costs)}." for way in costs["classic"]]


def pays_off_in_short(metrics: dict[str, Any]) -> str:
    """From when on the twin is cheaper than the reference, in two or three words; empty when that is not known."""
    costs = metrics.get("costs")
    if not costs or not costs["classic"] or costs["fixed_seconds"] is None:
        return ""
    frames = costs["classic"][0]["break_even_frames"]
    return "never" if frames is None else f"from {frames:,} frames"


def _rival(way: dict[str, Any]) -> str:
    """The classic render that the twin competes with."""
    if way["what"] == "reference":
        return f"Cycles with {_samples(way)}, the reference"
    if way["samples"] <= 1:
        return "Cycles with a single sample, closer to the reference than the twin is"
    return f"Cycles with about {_samples(way)}, as far from the reference as the twin is"


def _samples(way: dict[str, Any]) -> str:
    count = round(way["samples"])
    return f"{count} sample{'' if count == 1 else 's'}"


def _break_even(way: dict[str, Any], costs: dict[str, Any]) -> str:
    frames = way["break_even_frames"]
    if frames is None:
        neural, classic = duration(costs["neural_seconds"]), duration(way["seconds"])
        return f"never pays off: its frame takes {neural}, that of Cycles {classic}"
    if frames == 1:
        return "pays off from the first frame on"
    film = duration(frames / FILM_RATE)
    return f"pays off from {frames:,} frames on, which is {film} of film at {FILM_RATE} frames a second"


def duration(seconds: float) -> str:
    """A time as people say it: 40 ms, 3.2 s, 2 min 5 s, 3 h 20 min."""
    if seconds >= 3600.0:
        return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"
    if seconds >= 60.0:
        return f"{seconds // 60:.0f} min {seconds % 60 // 1:.0f} s"
    return f"{seconds:.1f} s" if seconds >= 1.0 else f"{seconds * 1000.0:.0f} ms"
