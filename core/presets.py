# SPDX-License-Identifier: GPL-3.0-or-later
"""How long to train when nobody says a number: `--preset` and the panel's menu."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """Seconds of training on a CPU, and on a GPU with CUDA, which gets through a hundred times as much in each."""

    seconds: float
    seconds_on_cuda: float
    description: str


PRESETS = {
    "draft": Preset(30.0, 5.0, "a first look"),
    "preview": Preset(120.0, 15.0, "good enough to judge the scene by"),
    "final": Preset(900.0, 60.0, "as good as the field gets"),
}

# how large what the viewport draws may be
BAKES = {
    "normal": "as sharp as the views, up to 512 voxels along the cube",
    "small": "for small GPUs: fewer voxels, and a quicker fit",
}


def preset_seconds(name: str, on_cuda: bool) -> float:
    """How long the preset trains on that device."""
    preset = PRESETS[name]
    return preset.seconds_on_cuda if on_cuda else preset.seconds
