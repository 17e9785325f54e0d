# SPDX-License-Identifier: GPL-3.0-or-later
"""nerfstudio's transforms.json, as its page on data conventions and its own parser have it.

Poses are camera-to-world with OpenGL axes, intrinsics stand at the top or in each frame. Black in `mask_path` means a
pixel not to be trained on. `depth_file_path` is planar z in integer or .npy units of `depth_unit_scale_factor` (0.001:
millimetres), 0 unknown. `applied_transform`, `applied_scale` and `orientation_override` say how these poses came about
or how nerfstudio shall turn them; the file's own coordinates stay the world here, and they are kept for the record.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .pictures import picture_size
from .posed import (
    PosedImage,
    PosedImages,
    Problems,
    Unsound,
    find_file,
    frames_of,
    number,
    pose,
    posed_frames,
    read_json,
    remarks_on_time,
)
from .transforms import lens_of, listed_name, picture_of, require_known_camera, splits_of, transforms_file

DEPTH_UNIT = 1e-3
NOTED = ("applied_transform", "applied_scale", "orientation_override", "ply_file_path")


def read(source: Path, images: Path | None, problems: Problems) -> PosedImages:
    """Read a transforms.json, or the folder that holds one.

    Raises:
        UserError: it is missing or no list of cameras, or has cameras that cannot be imported.
    """
    path = transforms_file(source)
    meta = read_json(path)
    require_known_camera(meta, path)
    splits = splits_of(meta, path)
    frames = frames_of(meta, path)

    def image_of(name: str, frame: dict[str, Any]) -> PosedImage:
        return _posed_image(name, meta, frame, path.parent, images, splits.get(listed_name(name)))

    found = posed_frames(frames, image_of, problems.leave_out)
    if splits and any(image.split is None for image in found):
        for image in [image for image in found if image.split is None]:
            problems.leave_out(image.name, "it is in none of train_filenames, val_filenames and test_filenames")
            found.remove(image)
    notes = {name: meta[name] for name in NOTED if name in meta}
    return PosedImages(found, notes=notes, remarks=remarks_on_time(frames))


def _posed_image(
    name: str, meta: dict[str, Any], frame: dict[str, Any], root: Path, images: Path | None, split: str | None
) -> PosedImage:
    matrix = pose(frame.get("transform_matrix"))
    picture = picture_of(frame, root, images)
    mask = depth = None
    if frame.get("mask_path"):
        mask = _side_file(root, frame["mask_path"], "mask")
    if frame.get("depth_file_path"):
        depth = _side_file(root, frame["depth_file_path"], "depth")
    unit = number(meta.get("depth_unit_scale_factor", DEPTH_UNIT), "depth_unit_scale_factor")
    lens = lens_of(meta, frame, picture_size(picture))
    return PosedImage(name, picture, lens, matrix, split, mask=mask, depth=depth, depth_unit=unit)


def _side_file(root: Path, name: Any, what: str) -> Path:
    try:
        return find_file(root, name)
    except Unsound as error:
        raise Unsound(f"its {what} {name!r}: {error}") from error
