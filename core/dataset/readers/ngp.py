# SPDX-License-Identifier: GPL-3.0-or-later
"""instant-ngp's transforms.json, from its page of tips for datasets and from what its users' files hold.

Poses are camera-to-world with OpenGL axes. The scene is the cube of `aabb_scale` units around the middle of a unit
cube, into which positions go by `scale` (0.33) and `offset` (0.5). `depth_path` is planar z in 16-bit units of
`integer_depth_scale`. dynamic_mask_NAME.png says by non-black what to ignore; FILE.alpha.ENDING holds an opacity.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UserError
from .pictures import picture_size
from .posed import (
    Array,
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
from .transforms import lens_of, picture_of, require_known_camera, transforms_file

SCALE, OFFSET = 0.33, (0.5, 0.5, 0.5)
NOTED = ("aabb_scale", "scale", "offset")
# what instant-ngp does with pictures and we do not
WITHOUT_EFFECT = ("white_transparent", "black_transparent", "fix_premult", "rolling_shutter", "envmap")


def read(source: Path, images: Path | None, problems: Problems) -> PosedImages:
    """Read a transforms.json, or the folder that holds one.

    Raises:
        UserError: it is missing or no list of cameras, or has cameras that cannot be imported.
    """
    path = transforms_file(source)
    meta = read_json(path)
    require_known_camera(meta, path)
    frames = frames_of(meta, path)

    def image_of(name: str, frame: dict[str, Any]) -> PosedImage:
        return _posed_image(name, meta, frame, path.parent, images)

    found = posed_frames(frames, image_of, problems.leave_out)
    notes = {name: meta[name] for name in NOTED if name in meta}
    remarks = remarks_on_time(frames) + [f"{name} has no effect here." for name in WITHOUT_EFFECT if meta.get(name)]
    return PosedImages(found, bounds=_bounds(meta, path), notes=notes, remarks=remarks)


def _posed_image(name: str, meta: dict[str, Any], frame: dict[str, Any], root: Path, images: Path | None) -> PosedImage:
    if "transform_matrix" not in frame and "transform_matrix_start" in frame:
        raise Unsound("its camera moves during the exposure")
    matrix = pose(frame.get("transform_matrix"))
    picture = picture_of(frame, root, images)
    depth, unit = None, number(meta.get("integer_depth_scale", 0.0), "integer_depth_scale")
    # without a scale instant-ngp reads no depth, and we could only guess
    if frame.get("depth_path") and unit > 0.0:
        depth = find_file(root, frame["depth_path"], ("", ".png"))
    return PosedImage(
        name,
        picture,
        lens_of(meta, frame, picture_size(picture)),
        matrix,
        alpha=_if_there(picture.parent, f"{_written_name(frame)}.alpha{picture.suffix}"),
        mask=_if_there(picture.parent, f"dynamic_mask_{picture.stem}.png"),
        mask_is_black=True,
        depth=depth,
        depth_unit=unit,
    )


def _written_name(frame: dict[str, Any]) -> str:
    return str(frame["file_path"]).replace("\\", "/").rpartition("/")[2]


def _if_there(folder: Path, name: str) -> Path | None:
    try:
        return find_file(folder, name)
    except Unsound:
        return None


def _bounds(meta: dict[str, Any], path: Path) -> Array | None:
    if "aabb_scale" not in meta:
        return None
    try:
        side, scale = number(meta["aabb_scale"], "aabb_scale"), number(meta.get("scale", SCALE), "scale")
        offset = np.array([number(one, "offset") for one in meta.get("offset", OFFSET)])
        if not 0.0 < side < 1e6 or not 1e-6 < scale < 1e6 or offset.shape != (3,) or np.abs(offset).max() > 1e6:
            raise Unsound("aabb_scale, scale or offset make no sense")
    except (Unsound, TypeError) as error:
        raise UserError(f"{path}: {error}; mend it or leave aabb_scale out") from error
    centre = (0.5 - offset) / scale
    half = 0.5 * side / scale
    return np.stack([centre - half, centre + half])
