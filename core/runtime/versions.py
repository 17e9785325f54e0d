# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports what the worker needs and prints its versions: run by a new environment before it is switched to."""

from __future__ import annotations

import importlib
import json
import platform

NEEDED = ("av", "cv2", "h5py", "numba", "numpy", "PIL", "rich", "scipy", "skimage")

if __name__ == "__main__":
    import torch

    for name in NEEDED:
        importlib.import_module(name)
    versions = {"python": platform.python_version(), "torch": torch.__version__, "cuda": torch.version.cuda or ""}
    print(json.dumps(versions))
