# SPDX-License-Identifier: GPL-3.0-or-later
"""The versions that the runtime is made of, as tools/lock.sh wrote them: two files of requirements with hashes."""

from __future__ import annotations

import functools
import hashlib
import re
from pathlib import Path

FOLDER = Path(__file__).parent


def packages() -> Path:
    """All but PyTorch, the same for every accelerator."""
    return FOLDER / "packages.txt"


def torch() -> Path:
    """PyTorch and its CUDA libraries, as the Python package index has them."""
    return FOLDER / "torch.txt"


def digest() -> str:
    """One short hash of all of it."""
    return _digest(FOLDER)


def version_of(package: str) -> str:
    """The locked version of something that torch.txt names."""
    found = re.search(rf"^{re.escape(package)}==(\S+)", torch().read_text("utf-8"), re.MULTILINE)
    assert found is not None, f"{package} is not locked"
    return found.group(1)


# panels ask for it whenever they are drawn
@functools.cache
def _digest(folder: Path) -> str:
    content = b"".join((folder / name).read_bytes() for name in ("packages.txt", "torch.txt"))
    return hashlib.sha256(content).hexdigest()[:12]
