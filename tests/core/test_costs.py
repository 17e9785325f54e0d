# SPDX-License-Identifier: GPL-3.0-or-later
"""What both ways cost, and where they meet: the arithmetic by hand, the ladder from known noise, and its plot."""

import math
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from radiance_twin.core import cameras, colour
from radiance_twin.core.comparison import plot
from radiance_twin.core.comparison.costs import (
    break_even_frames,
    cost_table,
    equal_quality,
    noise_ladder,
    training_of,
)
from radiance_twin.core.comparison.metrics import display_image
from radiance_twin.core.dataset.contents import DatasetHeader, ViewPixels
from radiance_twin.core.dataset.store import open_dataset
from radiance_twin.core.dataset.writing import write_dataset
from radiance_twin.core.twin_file import Twin

SIDE = 24
RUNGS = [
    {"samples": 1, "seconds": 0.5, "psnr": 20.0},
    {"samples": 4, "seconds": 1.0, "psnr": 26.0},
    {"samples": 16, "seconds": 4.0, "psnr": 32.0},
]


def test_break_even_by_hand() -> None:
    # 100 s before the first frame, then 2 s saved with each: 50 frames cost 150 s either way
    assert break_even_frames(100.0, 3.0, 1.0) == 50
    assert break_even_frames(101.0, 3.0, 1.0) == 51
    assert break_even_frames(0.0, 3.0, 1.0) == 1
    assert break_even_frames(100.0, 1.0, 1.0) is None
    assert break_even_frames(100.0, 1.0, 3.0) is None


def test_equal_quality_lies_between_two_rungs() -> None:
    # half-way in dB is half-way in the logarithm: sqrt(4 * 16) samples, sqrt(1 * 4) seconds
    assert equal_quality(RUNGS, 29.0) == pytest.approx({"samples": 8.0, "seconds": 2.0, "psnr": 29.0})
    assert equal_quality(RUNGS, 26.0) == pytest.approx(RUNGS[1])
    assert equal_quality(RUNGS, 12.0) == RUNGS[0]  # one sample is better already
    assert equal_quality(RUNGS, 33.0) is None  # not even the reference's own samples are so close to it
    assert equal_quality(RUNGS, None) is None  # identical
    assert equal_quality([*RUNGS[:2], {"samples": 16, "seconds": 4.0, "psnr": None}], 40.0)["samples"] == 16


def write_noisy_dataset(path: Path, **changes: Any) -> Path:
    """One grey view; its renders with n samples have Gaussian noise of 0.1 / sqrt(n)."""
    random = np.random.default_rng(1)

    def noisy(samples: int) -> np.ndarray:
        colours = 0.4 + random.normal(0.0, 0.1 / math.sqrt(samples), (SIDE, SIDE, 3))
        display = np.concatenate([colour.srgb_to_linear(colours), np.ones((SIDE, SIDE, 1))], -1)
        return display.astype(np.float32)

    header = DatasetHeader(
        camera_to_world=np.array([cameras.look_at((3.0, float(n), 1.0), (0, 0, 0)) for n in range(3)]),
        intrinsics=np.tile([30.0, 30.0, SIDE / 2, SIDE / 2], (3, 1)),
        size=np.full((3, 2), SIDE, np.int32),
        frame=np.zeros(3, np.int32),
        splits={"train": [0, 1], "val": [], "test": [2]},
        world_from_field=np.eye(4),
        bounds=np.array([[-1.0, -1, -1], [1, 1, 1]]),
        film="transparent",
        view_transform=colour.standard_view_transform(),
        configuration={"denoise": False},
        blender_version="4.5.0",
    )
    views = [ViewPixels(noisy(1 << 14), seconds=6.0, truth_seconds=0.5, samples=1 << 14, **changes) for _ in range(3)]
    rungs = [ViewPixels(noisy(samples), seconds=0.01 * samples, samples=samples) for samples in (1, 4, 16, 64)]
    write_dataset(path, header, views, (2, noisy(1 << 14)), rungs)
    return path


def test_the_ladder_finds_the_noise_that_was_put_in(tmp_path: Path) -> None:
    """Error falls with the square root of the samples: 6.02 dB for four times as many."""
    with open_dataset(write_noisy_dataset(tmp_path / "grey.h5")) as dataset:
        ladder = noise_ladder(dataset, lambda rgba: display_image(rgba, (0, 0, 0), dataset.view_transform))
    assert ladder is not None
    assert (ladder["index"], ladder["denoised"]) == (2, False)
    assert [rung["samples"] for rung in ladder["rungs"]] == [1, 4, 16, 64, 1 << 14]
    for rung in ladder["rungs"][:4]:
        assert rung["psnr"] == pytest.approx(20.0 + 10.0 * math.log10(rung["samples"]), abs=0.4)
        assert rung["seconds"] == pytest.approx(0.01 * rung["samples"])
    assert ladder["rungs"][-1]["seconds"] == 6.0


def entry(neural: float, psnr: float | None) -> dict[str, Any]:
    return {"index": 2, "psnr": psnr, "classic_seconds": 6.0, "classic_samples": 1 << 14, "neural_seconds": neural}


def test_the_table_adds_up_what_was_measured(tmp_path: Path) -> None:
    path = write_noisy_dataset(tmp_path / "grey.h5")
    twin = Twin({"training": {"seconds": 60.0, "stages": {"loading": 4.0, "training": 60.0, "baking": 16.0}}}, {})
    training = training_of(twin)
    assert (training["seconds"], training["whole_seconds"]) == (60.0, 80.0)
    ladder = {"index": 2, "denoised": False, "rungs": RUNGS}
    with open_dataset(path) as dataset:
        costs = cost_table(dataset, [entry(1.0, 29.0)], {"psnr": 32.5}, ladder, training)
        quicker = cost_table(dataset, [entry(2.5, 29.0)], None, ladder, training)
    # three views of 6 s light and 0.5 s truth
    assert costs["dataset_seconds"] == pytest.approx(19.5)
    assert costs["fixed_seconds"] == pytest.approx(99.5)
    reference, same = costs["classic"]
    assert (reference["what"], reference["seconds"], reference["psnr"]) == ("reference", 6.0, 32.5)
    assert reference["break_even_frames"] == math.ceil(99.5 / 5.0) == 20
    assert (same["what"], same["seconds"]) == ("same_psnr", pytest.approx(2.0))
    assert same["break_even_frames"] == 100  # 99.5 / (2 - 1)
    assert [way["break_even_frames"] for way in quicker["classic"]] == [math.ceil(99.5 / 3.5), None]


def test_without_times_nothing_is_made_up(tmp_path: Path) -> None:
    """Imported pictures do not know how long they took, and a foreign twin may know nothing of its training."""
    with open_dataset(write_noisy_dataset(tmp_path / "grey.h5")) as dataset:
        dataset.seconds[:], dataset.truth_seconds[:] = 0.0, 0.0
        show = lambda rgba: display_image(rgba, (0, 0, 0), dataset.view_transform)  # noqa: E731
        assert noise_ladder(dataset, show) is None
        costs = cost_table(
            dataset, [{**entry(1.0, 29.0), "classic_seconds": 0.0}], None, None, training_of(Twin({}, {}))
        )
    assert costs["classic"] == []
    assert (costs["dataset_seconds"], costs["train_seconds"], costs["fixed_seconds"]) == (None, None, None)


# JSON has integers that no float holds
HUGE = {"seconds": 10**400, "stages": {"baking": -(10**400)}, "views": [{"psnr": 10**400}], "history": [[10**400, 1]]}


@pytest.mark.parametrize(
    "training", [None, [], {"seconds": "long", "stages": 3, "views": [1], "history": "none"}, HUGE]
)
def test_a_twin_may_say_nonsense_of_its_training(training: Any) -> None:
    found = training_of(Twin({"training": training}, {}))
    assert found == {"seconds": None, "whole_seconds": None, "history": [], "psnr": None}


def metrics(history: list[tuple[float, float]]) -> dict[str, Any]:
    return {
        "noise_ladder": {"index": 2, "denoised": False, "rungs": RUNGS},
        "training": {"seconds": 60.0, "whole_seconds": 80.0, "history": history, "psnr": 29.5},
        "costs": {"dataset_seconds": 20.0, "neural_seconds": 0.2},
        "views": [{"index": 1, "psnr": 35.0}, {"index": 2, "psnr": 28.0}],
        "mean": {"psnr": 31.5},
    }


def curve(svg: str, side: str) -> np.ndarray:
    """The points [N, 2] of one side's line."""
    paths = [e for e in ElementTree.fromstring(svg).iter("path") if e.get("class") == f"{side} line"]
    numbers = re.findall(r"-?[\d.]+", paths[0].get("d") or "")
    return np.array(numbers, float).reshape(-1, 2)


@pytest.mark.parametrize(("width", "height"), [(1000.0, 380.0), (340.0, 320.0)])
def test_the_plot_puts_decibels_up_and_decades_of_seconds_apart(width: float, height: float) -> None:
    history = [(0.1, 12.0), (5.0, 25.0), (30.0, 28.0)]
    svg = plot.time_to_quality(metrics(history), "Cycles", width, height)
    classic, twin = curve(svg, "classic"), curve(svg, "twin")
    # 6 dB between the rungs: equal steps up; 0.5, 1, 4 seconds: one and two steps to the right
    assert classic[0, 1] - classic[1, 1] == pytest.approx(classic[1, 1] - classic[2, 1], abs=0.11)
    assert classic[2, 0] - classic[1, 0] == pytest.approx(2.0 * (classic[1, 0] - classic[0, 0]), abs=0.21)
    # the twin's line ends after 20 s of rendering and 60 s of training, at the same scale
    octave = classic[1, 0] - classic[0, 0]
    assert twin[-1, 0] - classic[2, 0] == pytest.approx(octave * math.log2(80.0 / 4.0), abs=0.3)
    decibel = (classic[0, 1] - classic[2, 1]) / 12.0
    assert classic[2, 1] - twin[-1, 1] == pytest.approx(-2.5 * decibel, abs=0.2)
    # the twin's dot is of the ladder's own view: 28 dB, four below the last rung
    (dot,) = (e for e in ElementTree.fromstring(svg).iter("circle") if e.get("class") == "twin")
    assert float(dot.get("cy") or 0) - classic[2, 1] == pytest.approx(4.0 * decibel, abs=0.2)
    everything = np.concatenate([classic, twin])
    assert (everything > 0).all() and (everything < (width, height)).all()
    texts = [text for e in ElementTree.fromstring(svg).iter("text") for text in [e.text] if text]
    assert {"PSNR in dB", "time, logarithmic", "1 s", "10 s", "1 sample", "dataset rendered"} <= set(texts)


def test_the_plot_leaves_out_the_worst_beginning() -> None:
    """Cycles' lowest rung has 20 dB: below 14 dB nothing is of interest."""
    assert plot.above([(1.0, 4.0), (2.0, 24.0), (3.0, 25.0)], 14.0) == [(1.5, 14.0), (2.0, 24.0), (3.0, 25.0)]
    assert plot.above([(1.0, 20.0), (2.0, 24.0)], 14.0) == [(1.0, 20.0), (2.0, 24.0)]


def test_there_is_no_plot_without_anything_to_plot() -> None:
    nothing = {**metrics([]), "noise_ladder": None}
    nothing["training"] = {"seconds": None, "whole_seconds": None, "history": [], "psnr": None}
    assert plot.time_to_quality(nothing, "Reference", 1000.0, 380.0) == ""


def test_words_in_the_plot_do_not_cover_its_dots() -> None:
    svg = plot.time_to_quality(metrics([(5.0, 25.0), (30.0, 28.0)]), "Cycles", 340.0, 320.0)
    root = ElementTree.fromstring(svg)
    dots = [(float(e.get("cx", 0)), float(e.get("cy", 0))) for e in root.iter("circle")]
    for text in (e for e in root.iter("text") if "name" in (e.get("class") or "")):
        x, foot, half = float(text.get("x", 0)), float(text.get("y", 0)), 0.5 * plot.LETTER * len(text.text or "")
        for cx, cy in dots:
            assert not (abs(cx - x) < half and foot - plot.LINE < cy < foot), text.text
