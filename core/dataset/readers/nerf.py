# SPDX-License-Identifier: GPL-3.0-or-later
"""NeRF-Synthetic and what is made like it: transforms_train.json, transforms_val.json, transforms_test.json.

The format of `load_blender.py` in the original NeRF: camera_angle_x for all frames, file_path without an ending,
transform_matrix camera-to-world with OpenGL axes, RGBA PNG with straight alpha. Unlike that program we look through
the pixels' centres, as the renderer of these pictures did.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UserError
from .pictures import picture_size
from .posed import PosedImage, PosedImages, Problems, frames_of, pose, posed_frames, read_json, remarks_on_time
from .transforms import SPLIT_FILES, lens_of, picture_of

# cameras of the benchmark stand on a hemisphere of this radius, its objects within this cube
BENCHMARK_RADIUS = 4.031
BENCHMARK_HALF = 1.5
WHITE = (1.0, 1.0, 1.0)


def read(source: Path, images: Path | None, problems: Problems) -> PosedImages:
    """Read a folder with transforms_*.json; a file among them stands for its whole folder.

    Raises:
        UserError: there is no such file, or one that is no list of cameras.
    """
    root = source if source.is_dir() else source.parent
    files = {split: root / name for split, name in SPLIT_FILES.items() if (root / name).is_file()}
    if not files:
        raise UserError(f"{root} holds no {SPLIT_FILES['train']}; name the folder that does")
    found: list[PosedImage] = []
    several = len(files) > 1
    remarks: list[str] = []
    for split, path in files.items():
        meta = read_json(path)
        remarks = remarks_on_time(frames_of(meta, path)) or remarks
        sound, wrong = _read_split(meta, path, split if several else None, images)
        if wrong and not sound and several and all(line == wrong[0][1] for _, line in wrong):
            # a file of poses that were never rendered: one line, not hundreds
            problems.leave_out(path.name, f"none of its {len(wrong)} frames can be used ({wrong[0][1]})")
        else:
            for name, what in wrong:
                problems.leave_out(name, what)
        found += sound
    return PosedImages(found, bounds=_benchmark_bounds(found), background=WHITE, remarks=remarks)


def _read_split(
    meta: dict[str, Any], path: Path, split: str | None, images: Path | None
) -> tuple[list[PosedImage], list[tuple[str, str]]]:
    wrong: list[tuple[str, str]] = []

    def image_of(name: str, frame: dict[str, Any]) -> PosedImage:
        matrix = pose(frame.get("transform_matrix"))
        picture = picture_of(frame, path.parent, images)
        return PosedImage(name, picture, lens_of(meta, frame, picture_size(picture)), matrix, split)

    sound = posed_frames(frames_of(meta, path), image_of, lambda name, what: wrong.append((name, what)))
    return sound, wrong


def _benchmark_bounds(images: list[PosedImage]) -> Any:
    if not images:
        return None
    radii = np.linalg.norm([image.camera_to_world[:3, 3] for image in images], axis=1)
    if np.abs(radii - BENCHMARK_RADIUS).max() > 0.05:
        return None
    return np.array([[-BENCHMARK_HALF] * 3, [BENCHMARK_HALF] * 3])
