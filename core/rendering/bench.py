# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast views are rendered, what share of it is not Cycles' own sampling, and what memory they leave behind."""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from ..errors import UserError
from ..reporting import Reporter
from .render import RenderSettings, ask_blender

# views after which memory should stay what it is: what Blender and Cycles keep for all views is there by then. It
# swings from view to view, so that the median of as many views is taken, from there and at the end
SETTLED = 50


def bench_render(settings: RenderSettings, reporter: Reporter) -> dict[str, Any]:
    """Render the views of a scene as `render` would, measure, and keep none; the output's name does not matter.

    Returns:
        scene, views, resolution, samples, denoise, device; views_per_second; first_seconds (of the first view, for
        which Cycles builds the scene, and which the other figures leave out); besides_sampling (share of the time that
        is neither sampling nor denoising), denoising_share (both None where they cannot be told: of one sample, or on
        a machine with much other work), truth_share (a part of the first); memory (bytes of Blender's part at the
        end, None where the system does not tell), memory_growth (since the 50th view, or since half of them when
        there are fewer, in the median of 50 views each).

    Raises:
        UsageError: a setting makes no sense.
        UserError: the scene cannot be rendered.
        Cancelled: nothing is left behind.
    """
    if settings.views < 2:
        raise UserError("one view says nothing about speed; ask for two at least (--views)")
    with tempfile.TemporaryDirectory(prefix="radiance_twin_") as place:
        answer = ask_blender(settings, "bench_views", Path(place), reporter)
    memory, truth = answer["memory"], answer["truth_seconds"] / answer["seconds"]
    besides, denoising = _shares(answer)
    return {
        "scene": str(Path(settings.scene).absolute()),
        "views": answer["views"],
        "resolution": answer["resolution"],
        "samples": settings.samples,
        "denoise": settings.denoise,
        "device": answer["device"],
        "views_per_second": (answer["views"] - 1) / answer["seconds"],
        "first_seconds": answer["first_seconds"],
        "besides_sampling": besides,
        "denoising_share": denoising,
        "truth_share": truth,
        "memory": memory[-1] if memory else None,
        "memory_growth": _growth(memory) if memory else None,
    }


def _shares(answer: dict[str, Any]) -> tuple[float | None, float | None]:
    """Of the time, what is neither sampling nor denoising, and denoising; None, None where they cannot be told apart.

    Each is a difference of renders, which another program's work beside them makes larger or smaller than can be.
    """
    if answer["sampling_share"] is None:
        return None, None
    denoising = answer["denoising_share"]
    besides = 1.0 - answer["sampling_share"] - denoising
    return (besides, denoising) if min(besides, denoising) >= 0.0 and besides <= 1.0 else (None, None)


def _growth(memory: list[int]) -> float:
    settled = memory[min(SETTLED, len(memory) // 2) :]
    return median(settled[-SETTLED:]) - median(settled[:SETTLED])


def bench_in_words(result: dict[str, Any]) -> str:
    """What was measured, for people."""
    width, height = result["resolution"]
    if result["besides_sampling"] is None:
        besides = "cannot be told from it; take more samples, on a machine with nothing else to do"
    else:
        truth = f"{result['truth_share']:.1%} of it depth, normals and object index"
        denoising = f"{result['denoising_share']:.1%}"
        besides = f"{result['besides_sampling']:.1%} of the time ({truth}); denoising {denoising}"
    lines = [
        f"{result['views']} views of {width}x{height} at {result['samples']} samples on {result['device']}, "
        f"{'denoised' if result['denoise'] else 'not denoised'}",
        f"{result['views_per_second']:.3g} views per second; the first took {result['first_seconds']:.1f} s",
        f"Besides Cycles' own sampling and denoising: {besides}",
    ]
    if result["memory"] is None:
        return "\n".join([*lines, "Memory: this system does not tell"])
    growth = result["memory_growth"] / 1e6
    since = min(SETTLED, result["views"] // 2)
    memory = (
        f"Memory after {result['views']} views: {result['memory'] / 1e6:.0f} MB, {growth:+.1f} MB since view {since}"
    )
    return "\n".join([*lines, memory])
