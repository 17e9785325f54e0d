# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be looked at from any Python: system, driver, runtime, disk, write access. Standard library alone."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence

from ... import __version__
from ..files import cache_folder
from ..runtime.accelerator import cuda_of_driver
from ..runtime.install import GB, free_bytes
from ..runtime.places import VARIABLE, current, home, nearest_folder
from .checks import Check

LEAST_FREE = 5 * GB


def machine_checks(folders: Sequence[str] = ()) -> Iterator[Check]:
    """The checks, one after another.

    Args:
        folders: further ones that must be written to, for example that of the open .blend.
    """
    cores = os.cpu_count() or 1
    yield Check("Radiance Twin", "good", __version__)
    yield Check("System", "good", f"{platform.system()} {platform.release()}, {platform.machine()}, {cores} cores")
    yield _driver()
    yield _runtime()
    yield _disk()
    yield _writing([str(nearest_folder(home())), tempfile.gettempdir(), *folders])


def _driver() -> Check:
    if sys.platform == "darwin":
        return Check("Driver", "note", "macOS has no CUDA: training runs on the processor")
    version = cuda_of_driver()
    if version is None:
        found = "no NVIDIA driver: training runs on the processor"
        return Check("Driver", "note", found, "where there is such a GPU, install its driver")
    return Check("Driver", "good", f"NVIDIA, for CUDA up to {version[0]}.{version[1]}")


def _runtime() -> Check:
    environment = current()
    if environment is None:
        return Check("Training runtime", "note", "not installed; another Python may do its work")
    found = f"PyTorch {environment.torch} in Python {environment.python}"
    if environment.stale:
        return Check(
            "Training runtime", "bad", f"{found}, made for another version", "press Update, or run runtime update"
        )
    return Check("Training runtime", "good", found)


def _disk() -> Check:
    free = free_bytes(home())
    found = f"{free / GB:.1f} GB free where the runtime lies"
    if free < LEAST_FREE:
        return Check("Disk", "bad", found, f"free some space, or set {VARIABLE} to a folder on another disk")
    return Check("Disk", "good", found)


def _writing(folders: Sequence[str]) -> Check:
    failed = []
    for folder in folders:
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(b"written")
        except OSError as error:
            failed.append(f"{folder}: {error.strerror}")
    if cache_folder("logs").name != "logs":  # a temporary one takes its place
        failed.append("the cache folder cannot be written")
    if failed:
        return Check("Write access", "bad", "; ".join(failed), "give yourself the right to write there")
    return Check("Write access", "good", "data, cache and temporary folders can be written")
