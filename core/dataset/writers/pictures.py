# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that pixels go into: display-referred PNG with straight alpha, scene-linear EXR, depth, masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
from numpy.typing import NDArray
from PIL import Image

from ...colour import ViewTransform

# a millimetre where the scene's unit is a metre; steps of it up to the farthest depth, without which it is too coarse
DEPTH_STEP = 1e-3
FEWEST_STEPS = 1000


def straight_image(rgba: NDArray[np.float32], view_transform: ViewTransform) -> NDArray[np.uint8]:
    """Premultiplied scene-linear [H, W, 4] as 8-bit display-referred colour with straight alpha [H, W, 4]."""
    alpha = np.clip(rgba[..., 3:], 0.0, 1.0)
    colour = view_transform.apply(rgba[..., :3] / np.maximum(alpha, 1e-6))
    image: NDArray[np.uint8] = np.rint(np.concatenate([colour, alpha], axis=-1) * 255.0).astype(np.uint8)
    return image


def write_picture(path: Path, rgba: NDArray[np.float32], view_transform: ViewTransform, alpha: bool) -> None:
    """One view's light [H, W, 4], premultiplied scene-linear, as the ending of `path` says.

    .png: 8-bit, through the view transform, straight alpha, or without that channel.
    .exr: 32-bit, premultiplied scene-linear, always with alpha.
    """
    if path.suffix == ".exr":
        write_exr(path, {"RGBA": rgba})
        return
    image = straight_image(rgba, view_transform)
    Image.fromarray(image if alpha else image[..., :3]).save(path, compress_level=4)


def write_exr(path: Path, channels: dict[str, NDArray[np.float32]]) -> None:
    """An OpenEXR file, losslessly compressed: name ("RGBA", "Z", "V") to [H, W] or [H, W, letters]."""
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    pixels = {name: np.ascontiguousarray(values, np.float32) for name, values in channels.items()}
    with OpenEXR.File(header, pixels) as file:
        file.write(str(path))


def write_labels(path: Path, labels: NDArray[Any]) -> None:
    """Whole numbers [H, W] below 65536 as a grey PNG: 8-bit where they fit, else 16-bit."""
    Image.fromarray(labels.astype(np.uint8) if labels.max(initial=0) < 256 else labels.astype(np.uint16)).save(path)


def write_pixels(stem: Path, name: str, pixels: NDArray[Any]) -> str:
    """A pass [H, W] or [H, W, channels] as it is, to `stem` with the ending that is returned.

    .png: one whole number to a pixel (valid: 255 and 0). .exr: everything else in 32 bits, one channel as Z (depth) or
    V, two as X and Y, three as R, G and B, more by their numbers.
    """
    if pixels.ndim == 2 and pixels.dtype.kind == "u":
        write_labels(stem.with_name(f"{stem.name}.png"), 255 * pixels if name == "valid" else pixels)
        return ".png"
    values = pixels.astype(np.float32)
    if pixels.ndim == 2:
        channels = {"Z" if name == "depth" else "V": values}
    elif pixels.shape[2] == 3:
        channels = {"RGB": values}
    else:
        letters = "XY" if pixels.shape[2] == 2 else "0123456789"
        channels = {letters[number]: values[..., number] for number in range(pixels.shape[2])}
    write_exr(stem.with_name(f"{stem.name}.exr"), channels)
    return ".exr"


def write_depth(path: Path, depth: NDArray[np.float32], unit: float) -> None:
    """Planar depth [H, W] in whole `unit`s as a 16-bit PNG; 0 stays 0 (nothing there), the farthest is 65535 units."""
    steps = np.where(depth > 0.0, np.clip(np.rint(depth / unit), 1, 65535), 0)
    Image.fromarray(steps.astype(np.uint16)).save(path)


def depth_unit(farthest: float) -> float:
    """What one step of a 16-bit depth is in scene units: a thousandth where that reaches and is fine enough, else a
    part of the farthest depth."""
    suits = FEWEST_STEPS <= farthest / DEPTH_STEP <= 65535
    return DEPTH_STEP if suits or farthest <= 0.0 else farthest / 65535.0
