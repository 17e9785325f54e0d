# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for the worker where the interface alone is tested: it speaks the protocol and makes small files at once.

The seed says how it behaves: 1 waits to be cancelled or finished, 2 dies without an answer, 3 refuses, 4 never ends;
0 succeeds.
"""

from __future__ import annotations

import json
import os
import runpy
import struct
import sys
import time
import zlib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
WAITS, DIES, REFUSES, DEAF = 1, 2, 3, 4
# what stands in a dataset that cannot be compared with
BROKEN = "broken"
WORLD_FROM_FIELD = [[2.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0], [0.0, 0.0, 0.0, 1.0]]


def answer(arguments: dict[str, Any], reporter: Any, requests: Any = None) -> dict[str, Any]:
    from radiance_twin.core.errors import Cancelled, UserError

    seed = arguments.get("seed", 0)
    reporter.log(f"fake worker, seed {seed}")
    reporter.progress("work", 1, 4, seconds_left=3.0, text="view 1 of 4", rays_per_second=17_860.0, psnr=20.0)
    if seed == DIES:
        print("the last words", file=sys.stderr, flush=True)
        os._exit(7)
    if seed == REFUSES:
        raise UserError("the scene is not to my liking; choose another")
    while seed == DEAF:
        time.sleep(0.02)
    while seed == WAITS and not (requests and requests.finish_asked):
        if reporter.cancelled():
            raise Cancelled("stopped; what was done is kept")
        time.sleep(0.02)
    return {}


def render(arguments: dict[str, Any], reporter: Any) -> dict[str, Any]:
    copy = Path(arguments["scene"])
    found = {"scene_bytes": copy.stat().st_size, "scene_name": copy.name}
    answer(arguments, reporter)
    _write(arguments["output"], "dataset")
    views = arguments["views"] + arguments["val_views"] + arguments["test_views"]
    return {"output": arguments["output"], "views": views, "kept": 0, "seconds": 1.5, "arguments": arguments, **found}


def check(arguments: dict[str, Any], reporter: Any) -> dict[str, Any]:
    answer(arguments, reporter)
    assert Path(arguments["scene"]).is_file() and arguments["output"].endswith(".h5")
    findings = [{"what": "The views are black", "remedy": "add a light"}]
    coverage = {"places": 3000, "never": 0.05, "once": 0.05, "few": 0.1, "more": 0.8, "median": 20.0}
    cost = {"seconds": 61.0, "bytes": 11_000_000, "staging_bytes": 25_000_000}
    return {"findings": findings, "coverage": coverage, "views": 76, **cost}


def train(arguments: dict[str, Any], reporter: Any, requests: Any) -> dict[str, Any]:
    from radiance_twin.core.errors import Cancelled
    from radiance_twin.core.twin_file import unfinished_path, write_twin

    reporter.send("field", metadata={"world_from_field": WORLD_FROM_FIELD, "bounds": [[0, 0, 0], [1, 1, 1]]})
    unfinished = unfinished_path(arguments["output"])
    try:
        answer(arguments, reporter, requests)
    except Cancelled:
        unfinished.parent.mkdir(parents=True, exist_ok=True)
        spent = {"seconds": 0.5, "steps": 5}
        write_twin(unfinished, {"world_from_field": WORLD_FROM_FIELD, "unfinished": spent}, {})
        raise
    _write_twin(arguments["output"])
    unfinished.unlink(missing_ok=True)
    return {
        "output": arguments["output"],
        "steps": 10,
        "seconds": arguments.get("seconds", 1.0),
        "psnr": 31.25,
        "psnr_foreground": 28.5,
    }


def compare(arguments: dict[str, Any], reporter: Any) -> dict[str, Any]:
    broken = Path(arguments["dataset"]).read_text(encoding="utf-8") == BROKEN
    answer({"seed": REFUSES} if broken else arguments, reporter)
    report = Path(arguments["output"])
    if "scene" in arguments:
        assert Path(arguments["scene"]).is_file()
    (report / "images").mkdir(parents=True, exist_ok=True)
    views = []
    for index, flip in ((64, 0.1), (67, 0.4), (70, 0.2)):
        images = {}
        for side, grey in (("classic", 64), ("neural", 192), ("flip", 128)):
            images[side] = f"images/{side}_{index:03d}.png"
            (report / images[side]).write_bytes(grey_png(grey))
        figures = {"psnr": 30.0, "psnr_foreground": 27.0, "ssim": 0.9, "flip": flip, "frame": 1}
        figures |= camera_at((6.0, index - 67.0, 2.0))
        views.append({"index": index, "images": images, "classic_seconds": 2.0, "neural_seconds": 0.5, **figures})
    mean = {"psnr": 30.0, "psnr_foreground": 27.0, "ssim": 0.9, "flip": 0.2333}
    metrics = {
        "format": "radiance-twin-metrics",
        "version": 1,
        "dataset": {"scene": "table", "bounds": [[-1.0] * 3, [1.0] * 3]},
        "mean": mean,
        "views": views,
        "objects": [
            {"index": 1, "names": ["Cube"], "psnr": 21.5, "flip": 0.2, "pixels": 900, "views": 3},
            {"index": 2, "names": ["Gone"], "psnr": None, "flip": 0.0, "pixels": 5, "views": 1},
        ],
        "warnings": ["It is fake."],
        "costs": {
            "fixed_seconds": 300.0,
            "neural_seconds": 0.5,
            "classic": [{"what": "reference", "samples": 128, "seconds": 2.0, "psnr": 40.0, "break_even_frames": 200}],
        },
    }
    write_errors(report / "errors.npz")
    _write(str(report / "metrics.json"), json.dumps(metrics))
    _write(str(report / "index.html"), "<title>report</title>")
    return {**metrics, "report": str(report / "index.html"), "arguments": arguments}


def camera_at(eye: tuple[float, float, float]) -> dict[str, Any]:
    """A camera that looks at the middle, with pixels that are not square and a lens that is shifted."""
    from radiance_twin.core.cameras import look_at

    intrinsics = [60.0, 40.0, 22.0, 17.0]
    return {"camera_to_world": look_at(eye, (0, 0, 0)).tolist(), "intrinsics": intrinsics, "size": [48, 32]}


def write_errors(path: Path) -> None:
    """Errors on the cube of Blender's own start-up scene: 0.4 on the side towards +x, none elsewhere, unseen below."""
    import numpy as np

    from radiance_twin.core.comparison.error_points import ErrorPoints, write_error_points

    flat = np.stack(np.meshgrid(*[np.linspace(-1, 1, 41)] * 2), axis=-1).reshape(-1, 2)
    sides = [np.insert(flat, axis, sign, axis=1) for axis in range(3) for sign in (-1.0, 1.0)][:4]
    sides.append(np.insert(flat, 2, 1.0, axis=1))
    position = np.concatenate(sides)
    flip = np.where(position[:, 0] > 0.999, 0.4, 0.0).astype(np.float32)
    ones = np.ones(len(flip), np.float32)
    normal = np.zeros((len(flip), 3), np.float32)
    write_error_points(path, ErrorPoints(position, normal, flip, flip**2, ones.astype(np.uint16), 0.05 * ones))


def fix_it(arguments: dict[str, Any], reporter: Any) -> dict[str, Any]:
    """As many cameras as were asked for, to the left."""
    answer({}, reporter)
    cameras = [
        {**camera_at((-6.0, 0.1 * number, 3.0)), "frame": 1, "reason": f"the back errs, number {number}"}
        for number in range(arguments["views"])
    ]
    return {"cameras": cameras, "output": None}


def _write_twin(path: str) -> None:
    """A ball of half the cube's width."""
    import numpy as np

    from radiance_twin.core.twin_file import write_twin

    centres = (np.arange(16) + 0.5) / 16 - 0.5
    x, y, z = np.meshgrid(centres, centres, centres, indexing="ij")
    density = np.where(x**2 + y**2 + z**2 < 0.25**2, 50.0, 0.0).astype(np.float16)
    colour = np.full((16, 16, 16, 3), 0.5, np.float16)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    metadata = {"world_from_field": WORLD_FROM_FIELD}
    write_twin(path, metadata, {"bake/density": density, "bake/colour": colour})


def export(arguments: dict[str, Any], reporter: Any) -> dict[str, Any]:
    """Three red points as PLY, whatever was asked for."""
    answer({}, reporter)
    _write(arguments["output"], RED_POINTS)
    loss = {"export_psnr": 28.0, "field_psnr": 30.0, "loss_db": 2.0} if "dataset" in arguments else None
    return {"output": arguments["output"], "bytes": len(RED_POINTS), "loss": loss, "arguments": arguments}


RED_POINTS = """ply
format ascii 1.0
element vertex 3
property float x
property float y
property float z
property uchar red
property uchar green
property uchar blue
end_header
0 0 0 255 0 0
1 0 0 255 0 0
0 1 0 255 0 0
"""


def grey_png(level: int, side: int = 8) -> bytes:
    """A picture of one grey, in the standard library alone."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = (b"\0" + bytes([level]) * side) * side
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def _write(path: str, text: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    runpy.run_path(str(ROOT / "core" / "bootstrap.py"))["register"](ROOT)
    from radiance_twin.core.worker.protocol import serve

    serve(
        {"render": render, "check": check, "compare": compare, "fix_it": fix_it, "export": export},
        "fake",
        {"train": train},
    )
