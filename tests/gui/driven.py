# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Blender, named by the environment variable BLENDER, that a script plays in a small window."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any


def driven(script: Path, root: Path, folder: Path, **environment: str) -> dict[str, Any]:
    """What `script` found in a Blender of factory settings, given the tree and the folder for its screenshots."""
    variables = {
        **os.environ,
        **environment,
        "BLENDER_USER_RESOURCES": str(folder / "resources"),
        "BLENDER_SCREEN": "1000x700",
        "MESA_SHADER_CACHE_DIR": str(folder),
    }
    command = [os.environ["BLENDER"], "--factory-startup", "--python", str(script), "--", str(root), str(folder)]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    print(f"\nscreenshots: {folder}")
    found: dict[str, Any] = json.loads((folder / "found.json").read_text("utf-8"))
    assert "failed" not in found, found["failed"]
    # nor did anything fail while drawing
    assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
    return found
