# SPDX-License-Identifier: GPL-3.0-or-later
"""What only the worker's Python can tell: PyTorch, the other packages, the kernels, and a short training."""

from __future__ import annotations

import importlib
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..runtime.accelerator import cuda_of_driver
from ..runtime.versions import NEEDED
from .checks import Check

STEPS = 50
# of the red and blue ball: it begins at 6 dB and reaches 15 dB on the processor
LEAST_PSNR = 12.0


def training_checks() -> Iterator[Check]:
    """The checks, one after another; what cannot be imported ends them."""
    problem = ""
    for name in ("torch", *NEEDED):
        try:
            importlib.import_module(name)
        except (ImportError, OSError) as error:
            problem = f"{name} does not load ({' '.join(str(error).split())[:160]})"
            break
    if problem:
        yield Check("PyTorch", "bad", problem, "install the training runtime (again)")
        return
    yield _torch()
    yield from _train()


def _torch() -> Check:
    import torch

    built = f"{torch.__version__}, " + (f"CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA")
    try:
        if torch.cuda.is_available():
            memory = torch.cuda.mem_get_info()[1] / 1e9
            return Check("PyTorch", "good", f"{built}, on {torch.cuda.get_device_name()} with {memory:.0f} GB")
    except RuntimeError as error:  # its memory is full, or the driver is ill
        said = " ".join(str(error).split())[:160]
        return Check("PyTorch", "bad", f"{built}: the GPU does not answer ({said})", "close what uses it, or restart")
    if cuda_of_driver() is None:
        return Check("PyTorch", "good", f"{built}, on the processor")
    if torch.version.cuda is None:
        remedy = "update the driver, and install the training runtime for CUDA"
        return Check("PyTorch", "bad", f"{built}: the GPU lies idle", remedy)
    return Check("PyTorch", "bad", f"{built}: it does not find the GPU", "update the driver, or restart the machine")


def _train() -> Iterator[Check]:
    """Kernels, and a training of some steps: two checks."""
    from ..dataset.store import open_dataset
    from ..field.device import choose_device
    from ..training.recipe import Recipe
    from ..training.run import prepare
    from .scene import write_scene

    device = choose_device("auto")
    said: list[str] = []
    try:
        with tempfile.TemporaryDirectory(prefix="radiance_twin_") as folder:
            path = Path(folder) / "ball.h5"
            write_scene(path)
            with open_dataset(path) as dataset, ThreadPoolExecutor(os.cpu_count()) as pool:
                began = time.perf_counter()
                run = prepare(dataset, device, 0, pool, Recipe(), log=said.append)
                run.compile()
                yield _kernels(device.type, said, time.perf_counter() - began)
                before = run.quick_psnr()
                began = time.perf_counter()
                for step in range(STEPS):
                    run.step(step / STEPS)
                run.synchronise()
                yield _trained(before, run.quick_psnr(), time.perf_counter() - began)
    except Exception as error:  # what machines come up with is not known beforehand, and is to be told
        yield Check("Training", "bad", " ".join(str(error).split())[:200], "please report it with this list")


def _kernels(device: str, said: list[str], seconds: float) -> Check:
    if device == "cpu":
        return Check("Kernels", "good", f"compiled for the processor in {seconds:.1f} s")
    if said:
        return Check("Kernels", "bad", said[0], "update the driver and the training runtime")
    return Check("Kernels", "good", f"compiled for the GPU, or read from the cache, in {seconds:.1f} s")


def _trained(before: float, after: float, seconds: float) -> Check:
    found = f"{STEPS} steps in {seconds:.1f} s, from {before:.1f} to {after:.1f} dB"
    if after < LEAST_PSNR:
        return Check("Training", "bad", f"{found}: it does not learn", "please report it with this list")
    return Check("Training", "good", found)
