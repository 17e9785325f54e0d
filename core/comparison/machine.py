# SPDX-License-Identifier: GPL-3.0-or-later
"""Which machine the seconds were measured on: without that, a time says nothing."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import torch


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Operating system, processor, cores that may be used, the device that rendered, Python and torch."""
    on_gpu = device.type == "cuda"
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "device": torch.cuda.get_device_name(device) if on_gpu else device.type,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _processor() -> str:
    # platform.processor() is empty on most Linuxes
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    except OSError:
        pass
    return platform.processor() or platform.machine()
