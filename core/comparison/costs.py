# SPDX-License-Identifier: GPL-3.0-or-later
"""What both ways cost, and from how many frames on the twin pays off. Everything is measured, nothing assumed."""

from __future__ import annotations

import math
import sys
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from ..dataset.store import Dataset
from ..twin_file import Twin
from .metrics import Show, mean_of, psnr

Rung = dict[str, Any]


def noise_ladder(dataset: Dataset, show: Show) -> dict[str, Any] | None:
    """How the classic render gets better with its samples, each rung held against the reference of the same view.

    The last rung is the reference's own number of samples, rendered with another seed: no render with so many samples
    is closer to the reference than that.

    Returns:
        index (of the view), denoised, rungs: [{samples, seconds, psnr}] with rising samples; psnr is None where no
        pixel differs. None when the dataset holds no such renders, or does not know what they took.
    """
    floor = dataset.noise_floor
    if floor is None or not dataset.noise_ladder:
        return None
    index, again = floor
    reference, valid = show(dataset.rgba(index)), dataset.valid(index)

    def rung(samples: int, seconds: float, rgba: NDArray[np.float32]) -> Rung:
        return {"samples": samples, "seconds": seconds, "psnr": psnr(reference[valid], show(rgba)[valid])}

    rungs = [rung(each.samples, each.seconds, each.rgba) for each in dataset.noise_ladder]
    rungs.append(rung(int(dataset.samples[index]), float(dataset.seconds[index]), again))
    if any(each["samples"] <= 0 or each["seconds"] <= 0.0 for each in rungs):
        return None
    return {"index": index, "denoised": bool(dataset.configuration.get("denoise")), "rungs": rungs}


def training_of(twin: Twin) -> dict[str, Any]:
    """What the twin says of its training: history [[seconds, psnr]] on val views, psnr of all of them in the end,
    seconds of training alone, whole_seconds with loading, compiling, evaluating and baking. None where it is silent."""
    said = twin.metadata.get("training")
    said = said if isinstance(said, dict) else {}
    seconds, stages, views = said.get("seconds"), said.get("stages"), said.get("views")
    seconds = float(seconds) if _is_number(seconds) else None
    beside = 0.0
    if isinstance(stages, dict):
        beside = sum(float(value) for name, value in stages.items() if name != "training" and _is_number(value))
    ends = [view.get("psnr") for view in views if isinstance(view, dict)] if isinstance(views, list) else []
    return {
        "seconds": seconds,
        "whole_seconds": None if seconds is None else seconds + beside,
        "history": [list(moment) for moment in twin.training_history],
        "psnr": mean_of(value for value in ends if _is_number(value)),
    }


def cost_table(
    dataset: Dataset,
    views: list[dict[str, Any]],
    floor: dict[str, Any] | None,
    ladder: dict[str, Any] | None,
    training: dict[str, Any],
) -> dict[str, Any]:
    """What a frame costs on both sides, what the twin costs before its first frame, and where the two meet.

    Args:
        views, floor: `views` and `noise_floor` of metrics.json.
        ladder, training: as `noise_ladder` and `training_of` return them.

    Returns:
        dataset_views: how many.
        dataset_seconds: of rendering them; None when the dataset does not know (imported pictures).
        train_seconds: the whole training; None when the twin does not say.
        fixed_seconds: their sum, None when one of them is unknown.
        neural_seconds: a frame of the twin, mean over the views.
        classic: [{what, samples, seconds, psnr, break_even_frames}]: `what` is "reference", and "same_psnr" for the
            number of samples at which the classic render is as far from the reference as the twin is, on the noise
            floor's view. break_even_frames is None when the twin never pays off, or when fixed_seconds is unknown.
    """
    rendering = float(dataset.seconds.sum() + dataset.truth_seconds.sum())
    dataset_seconds = rendering if rendering > 0.0 else None
    train_seconds = training["whole_seconds"]
    known = dataset_seconds is not None and train_seconds is not None
    fixed = dataset_seconds + train_seconds if known else None
    neural = float(np.mean([view["neural_seconds"] for view in views]))
    reference = float(np.mean([view["classic_seconds"] for view in views]))
    ways: list[dict[str, Any]] = []
    if reference > 0.0:
        best = None if floor is None else floor["psnr"]
        samples = float(np.mean([view["classic_samples"] for view in views]))
        ways.append({"what": "reference", "samples": samples, "seconds": reference, "psnr": best})
    twins = None if ladder is None else next((view for view in views if view["index"] == ladder["index"]), None)
    if ladder is not None and twins is not None:
        equal = equal_quality(ladder["rungs"], twins["psnr"])
        if equal is not None:
            ways.append({"what": "same_psnr", **equal})
    for way in ways:
        way["break_even_frames"] = None if fixed is None else break_even_frames(fixed, way["seconds"], neural)
    return {
        "dataset_views": dataset.count,
        "dataset_seconds": dataset_seconds,
        "train_seconds": train_seconds,
        "fixed_seconds": fixed,
        "neural_seconds": neural,
        "classic": ways,
    }


def break_even_frames(fixed: float, classic: float, neural: float) -> int | None:
    """The first number of frames for which the twin, with all that it costs before them, takes no longer than the
    classic render; None when there is none. All in seconds: `fixed` once, `classic` and `neural` a frame."""
    saved = classic - neural
    return max(1, math.ceil(fixed / saved)) if saved > 0.0 else None


def equal_quality(rungs: list[Rung], target: float | None) -> Rung | None:
    """Where the classic render reaches `target` dB: {samples, seconds, psnr}, between two rungs by their logarithms.

    The lowest rung when that is better already, with its own PSNR; None when no rung reaches it.
    """
    if target is None:
        return None
    for lower, upper in zip([None, *rungs], rungs, strict=False):
        if upper["psnr"] is not None and upper["psnr"] < target:
            continue
        if lower is None or upper["psnr"] is None:
            return dict(upper)
        share = (target - lower["psnr"]) / (upper["psnr"] - lower["psnr"])
        between = {name: lower[name] * (upper[name] / lower[name]) ** share for name in ("samples", "seconds")}
        return {**between, "psnr": target}
    return None


def _is_number(value: object) -> TypeGuard[float]:
    # JSON has integers that no float holds
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= sys.float_info.max
