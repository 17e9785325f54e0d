# SPDX-License-Identifier: GPL-3.0-or-later
"""Compiled kernels are kept in the user's cache, so that only the first training on a machine waits for a compiler."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from ...errors import UserError
from ...files import atomic_path, cache_folder
from .nvrtc import Nvrtc

# a field of another shape has kernels of its own; the ones not used for longest go first
MOST_FILES = 32


def compile_cached(
    nvrtc: Nvrtc, source: str, name: str, target: str, options: Sequence[str] = (), folder: Path | None = None
) -> bytes:
    """`nvrtc.compile`, or what it once returned for the same source, target, options and compiler.

    Raises:
        KernelsUnavailable: the source does not compile.
    """
    folder = folder or cache_folder("cuda")
    inputs = json.dumps([source, name, target, list(options), nvrtc.version])
    path = folder / f"{name}-{target}-{hashlib.sha256(inputs.encode()).hexdigest()[:32]}.bin"
    image = _read(path)
    if image is None:
        image = nvrtc.compile(source, name, target, options)
        _write(path, image)
    return image


def _read(path: Path) -> bytes | None:
    """What a file holds behind its own SHA-256; None when it is missing or damaged."""
    try:
        held = path.read_bytes()
        os.utime(path)
    except OSError:
        return None
    digest, image = held[:32], held[32:]
    return image if hashlib.sha256(image).digest() == digest else None


def _write(path: Path, image: bytes) -> None:
    try:
        with atomic_path(path) as temporary:
            temporary.write_bytes(hashlib.sha256(image).digest() + image)
        files = sorted(path.parent.glob("*.bin"), key=lambda one: one.stat().st_mtime)
        for oldest in files[:-MOST_FILES]:
            oldest.unlink()
    except (UserError, OSError):
        # a full disk or another process at the same work: the next run compiles again
        pass
