# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures, masks and depth from files of any common kind; sizes are bounded before memory is taken."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import BITSPERSAMPLE, TiffImageFile

from ...colour import srgb_to_linear
from ..cycles import DEPTH_OF_A_MISS
from .posed import Unsound

Array = NDArray[np.float32]

# only plain raster formats: some of Pillow's others start programs
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
WITH_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")
MOST_PIXELS = 1 << 27
# in all channels of an OpenEXR file
MOST_VALUES = 1 << 30
# where OpenEXR files hold depth, in any capitals; and the channels of it there, the likeliest first
DEPTH_LAYERS = ("depth", "z")
DEPTH_LETTERS = ("Z", "V", "Y", "R", "depth", "Depth")
PNG = b"\x89PNG\r\n\x1a\n"


def picture_size(path: Path) -> tuple[int, int]:
    """(width, height) from a picture's head.

    Raises:
        Unsound: it is no picture, or an absurdly large one.
    """
    if path.suffix.lower() == ".exr":
        size = _exr_size(path)
    elif path.suffix.lower() == ".hdr":
        size = _hdr_size(path)
    else:
        with _opened(path) as image:
            size = image.size
    return _bounded(size)


def check_picture(path: Path) -> bool:
    """Decode a picture once, strictly; returns whether anything in it is transparent.

    Raises:
        Unsound: it is broken.
    """
    if path.suffix.lower() in (".exr", ".hdr"):
        return bool((read_picture(path)[..., 3] < 1.0).any())
    with _opened(path) as image:
        _load(image)
        if image.mode in WITH_ALPHA or "transparency" in image.info:
            return bool((np.asarray(image.convert("RGBA").getchannel("A")) < 255).any())
        return False


def read_picture(path: Path) -> Array:
    """[H, W, 4] scene-linear, premultiplied.

    8- and 16-bit pictures are sRGB with straight alpha; OpenEXR and Radiance HDR are linear, premultiplied already.

    Raises:
        Unsound: it cannot be read.
    """
    picture_size(path)
    match path.suffix.lower():
        case ".exr":
            rgba = _read_exr(path)
        case ".hdr":
            rgba = _with_alpha(_by_opencv(path).astype(np.float32))
        case _:
            straight = _with_alpha(_read_levels(path))
            rgba = np.concatenate([srgb_to_linear(straight[..., :3]) * straight[..., 3:], straight[..., 3:]], axis=-1)
    return np.ascontiguousarray(rgba, np.float32)


def read_grey(path: Path) -> Array:
    """[H, W] in 0..1 as stored: a mask, or an opacity.

    Raises:
        Unsound: it cannot be read.
    """
    picture_size(path)
    levels = _read_levels(path)
    return levels if levels.ndim == 2 else np.ascontiguousarray(levels[..., : min(levels.shape[2], 3)].max(axis=-1))


def read_depth(path: Path) -> NDArray[np.float64]:
    """[H, W] as stored: an integer PNG or TIFF, OpenEXR, or .npy.

    Raises:
        Unsound: it cannot be read, or has several channels.
    """
    if path.suffix.lower() == ".npy":
        depth = _read_npy(path)
    else:
        picture_size(path)
        depth = _exr_depth(path) if path.suffix.lower() == ".exr" else _by_opencv(path)
    if depth.ndim == 3 and depth.shape[2] == 1:
        depth = depth[..., 0]
    if depth.ndim != 2 or depth.dtype.kind not in "fiu":
        raise Unsound(f"{path.name} has another shape than a depth image")
    return depth.astype(np.float64)


def _opened(path: Path) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large pictures, for which the bound is ours, and of odd metadata
            image = Image.open(path, formats=FORMATS)
    except FileNotFoundError:
        raise Unsound(f"{path.name} does not exist") from None
    except Exception as error:  # decoders raise whatever they like
        raise Unsound(f"{path.name} is not a picture that can be read") from error
    _bounded(image.size)
    return image


def _load(image: Image.Image) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.load()
    except Exception as error:
        name = Path(str(getattr(image, "filename", "the file"))).name
        raise Unsound(f"{name} is broken ({str(error) or type(error).__name__})") from error


def _bounded(size: tuple[int, int]) -> tuple[int, int]:
    width, height = (int(n) for n in size)
    if width < 1 or height < 1 or width * height > MOST_PIXELS or max(width, height) > 65536:
        raise Unsound(f"it claims {width} x {height} pixels, too many to be a picture")
    return width, height


def _read_levels(path: Path) -> Array:
    """[H, W] or [H, W, channels] in 0..1 as stored."""
    with _opened(path) as image:
        if image.mode in ("I;16", "I;16B", "I", "F") or _bits(image, path) == 16:
            _load(image)  # OpenCV reads 16 bits, but takes a truncated file for a whole one
            return _scaled(_by_opencv(path), path)
        _load(image)
        if image.mode in ("1", "L"):
            wanted = "RGBA" if "transparency" in image.info else "L"
        else:
            wanted = "RGBA" if image.mode in WITH_ALPHA or "transparency" in image.info else "RGB"
        return np.asarray(image.convert(wanted), np.float32) / np.float32(255.0)


def _bits(image: Image.Image, path: Path) -> int:
    """Of a channel as stored: Pillow keeps eight of sixteen."""
    if isinstance(image, TiffImageFile):
        return int(max(image.tag_v2.get(BITSPERSAMPLE, (8,))))
    with open(path, "rb") as file:
        head = file.read(25)
    return head[24] if head.startswith(PNG) and len(head) == 25 else 8


def _require_whole_chunks(path: Path) -> None:
    """OpenCV takes as much memory as a chunk of a PNG claims to hold, up to 4 GB."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        if file.read(len(PNG)) != PNG:
            return
        while len(head := file.read(8)) == 8 and head[4:] != b"IEND":
            after = file.tell() + int.from_bytes(head[:4], "big") + 4
            if after > size:
                raise Unsound(f"{path.name} is broken (a part of it is longer than the file)")
            file.seek(after)


def _scaled(levels: NDArray[Any], path: Path) -> Array:
    if levels.dtype.kind == "f":
        return levels.astype(np.float32)
    if levels.dtype.kind != "u":
        raise Unsound(f"{path.name} holds signed numbers, not colours")
    return levels.astype(np.float32) / np.float32(np.iinfo(levels.dtype).max)


def _by_opencv(path: Path) -> NDArray[Any]:
    """As stored, channels in the order RGBA."""
    _require_whole_chunks(path)
    try:
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise Unsound(f"{path.name} is broken") from error
    if image is None:
        raise Unsound(f"{path.name} is broken")
    if image.ndim == 3 and image.shape[2] >= 3:
        return image[..., [2, 1, 0, 3][: image.shape[2]]]
    return np.asarray(image)


def _with_alpha(levels: Array) -> Array:
    if levels.ndim == 2:
        levels = np.repeat(levels[..., None], 3, axis=-1)
    if levels.shape[2] == 2:
        levels = levels[..., [0, 0, 0, 1]]
    if levels.shape[2] == 3:
        levels = np.concatenate([levels, np.ones((*levels.shape[:2], 1), np.float32)], axis=-1)
    return levels


def _hdr_size(path: Path) -> tuple[int, int]:
    # "-Y height +X width" ends the head: Radiance's file formats, section "picture file format"
    with open(path, "rb") as file:
        head = file.read(1 << 16)
    for line in head.split(b"\n"):
        words = line.split()
        if len(words) == 4 and words[0] in (b"-Y", b"+Y") and words[2] in (b"+X", b"-X"):
            try:
                return int(words[3]), int(words[1])
            except ValueError:
                break
    raise Unsound(f"{path.name} is not a Radiance HDR picture")


def _exr_head(path: Path) -> dict[str, Any]:
    """The first part's; of all parts only how many values they claim is asked, as the library reads them all."""
    import OpenEXR

    try:
        heads = [dict(part.header) for part in OpenEXR.File(str(path), header_only=True).parts]
        values = 0
        for head in heads:
            (left, top), (right, bottom) = head["dataWindow"]
            values += (int(right) - int(left) + 1) * (int(bottom) - int(top) + 1) * len(head["channels"])
    except Exception as error:  # the binding raises RuntimeError, ValueError and worse
        raise Unsound(f"{path.name} is not an OpenEXR file that can be read") from error
    if values > MOST_VALUES:
        raise Unsound(f"{path.name} claims {values:,} values in its channels, too many to be a picture")
    return heads[0]


def _exr_size(path: Path) -> tuple[int, int]:
    head = _exr_head(path)
    for window in ("displayWindow", "dataWindow"):
        low, high = (np.asarray(corner, np.int64) for corner in head[window])
        size = _bounded((int(high[0] - low[0] + 1), int(high[1] - low[1] + 1)))
        if window == "displayWindow":
            shown = size
    return shown


def _exr_layers(path: Path, ends: tuple[str, ...], every_part: bool) -> dict[str, dict[str, Array]]:
    """Channels by their last letter, by the name of their layer ("" of those without), in the display window.

    Args:
        ends: how the names of layers end that are wanted besides that without a name; others are empty.
        every_part: otherwise the first alone, which holds the colours.
    """
    import OpenEXR

    width, height = _exr_size(path)
    try:
        parts = OpenEXR.File(str(path), separate_channels=True).parts[: None if every_part else 1]
        found: dict[str, dict[str, Array]] = {}
        for part in parts:
            for name, channel in part.channels.items():
                layer, _, letter = name.rpartition(".")
                # other programs than Blender name the part, and not its channels again
                layer = layer or (str(part.header.get("name") or "") if len(parts) > 1 else "")
                letters = found.setdefault(layer, {})
                if letter not in letters and (not layer or layer.lower().rpartition(".")[2] in ends):
                    letters[letter] = np.zeros((height, width), np.float32)
                    _put(letters[letter], np.asarray(channel.pixels, np.float32), part.header)
    except Exception as error:
        raise Unsound(f"{path.name} is broken") from error
    return found


def _put(placed: Array, pixels: Array, head: dict[str, Any]) -> None:
    """Enter a part's pixels, which are those of its data window, into the display window."""
    x, y = (int(a) - int(b) for a, b in zip(head["dataWindow"][0], head["displayWindow"][0], strict=True))
    (h, w), (height, width) = pixels.shape, placed.shape
    top, left = max(y, 0), max(x, 0)
    bottom, right = min(y + h, height), min(x + w, width)
    if bottom > top and right > left:
        placed[top:bottom, left:right] = pixels[top - y : bottom - y, left - x : right - x]


def _read_exr(path: Path) -> Array:
    channels: dict[str, Array] = {}
    for letters in _exr_layers(path, ("combined",), every_part=False).values():
        channels |= letters
    if not {"R", "G", "B"} <= set(channels) and "Y" not in channels:
        raise Unsound(f"{path.name} has no colour channels (R, G, B)")
    grey = channels.get("Y")
    colour = [channels.get(letter, grey) for letter in "RGB"]
    alpha = channels.get("A", np.ones_like(next(iter(channels.values()))))
    rgba = np.stack([*(np.asarray(channel) for channel in colour), alpha], axis=-1)
    if not np.isfinite(rgba).all():
        raise Unsound(f"{path.name} holds values that are not finite")
    return rgba


def _exr_depth(path: Path) -> Array:
    layers = _exr_layers(path, DEPTH_LAYERS, every_part=True)
    # a layer of its own before what has none
    for letters in sorted(layers.values(), key=lambda one: one is layers.get("")):
        for letter in DEPTH_LETTERS:
            if letter in letters:
                depth = letters[letter]
                return np.where(np.isfinite(depth) & (depth >= DEPTH_OF_A_MISS), np.float32(0.0), depth)
    there = ", ".join(sorted(filter(None, layers))) or "none"
    raise Unsound(
        f"{path.name} has no depth: no layer named {' or '.join(DEPTH_LAYERS)} (its layers: {there}), "
        f"and no channel {', '.join(DEPTH_LETTERS)} outside of layers"
    )


def _read_npy(path: Path) -> NDArray[Any]:
    try:
        depth = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a damaged head raises anything from ValueError to TokenError
        raise Unsound(f"{path.name} is not a .npy array") from error
    if not isinstance(depth, np.ndarray) or depth.size > MOST_PIXELS:
        raise Unsound(f"{path.name} is not a depth image")
    return depth
