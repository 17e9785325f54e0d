# SPDX-License-Identifier: GPL-3.0-or-later
"""Which processor Cycles renders on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import bpy

from ...core.errors import UserError
from .. import compat

# best first; OptiX and CUDA are two ways to the same card
GPU_KINDS = {"optix": "OptiX", "cuda": "CUDA", "hip": "HIP", "metal": "Metal", "oneapi": "oneAPI"}


@dataclass(frozen=True)
class Device:
    """What renders. `kind`: cpu or a key of GPU_KINDS. `text`: for people."""

    kind: str
    text: str


def cycles_preferences() -> Any:
    """Where Cycles lists the processors that it can use here."""
    return bpy.context.preferences.addons["cycles"].preferences


def use_device(scene: bpy.types.Scene, wanted: str) -> Device:
    """Make Cycles render on `wanted`: auto (a GPU when Cycles has one), cpu, or one of GPU_KINDS.

    Raises:
        UserError: Cycles has no such device here.
    """
    preferences = cycles_preferences()
    kinds = [] if wanted == "cpu" else list(GPU_KINDS) if wanted == "auto" else [wanted]
    offered = {identifier for identifier, *_ in preferences.get_device_types(bpy.context)}
    for kind in kinds:
        if kind.upper() not in offered:
            continue
        devices = [d for d in preferences.get_devices_for_type(kind.upper()) or [] if d.type == kind.upper()]
        if not devices:
            continue
        preferences.compute_device_type = kind.upper()
        for device in preferences.devices:
            device.use = device.type == kind.upper()
        compat.cycles_of(scene).device = "GPU"
        return Device(kind, f"{GPU_KINDS[kind]}: {', '.join(device.name for device in devices)}")
    if wanted not in ("auto", "cpu"):
        raise UserError(
            f"Cycles has no {GPU_KINDS[wanted]} device here; use --cycles-device auto or cpu, or check the driver"
        )
    compat.cycles_of(scene).device = "CPU"
    threads = scene.render.threads if scene.render.threads_mode == "FIXED" else os.cpu_count() or 1
    return Device("cpu", f"CPU ({threads} threads)")
