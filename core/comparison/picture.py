# SPDX-License-Identifier: GPL-3.0-or-later
"""One picture to show around: a view both ways, side by side, with its figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from ..lettering import INK, PAPER, QUIET, font
from .words import classic_name, duration, ssim_in_words

SIDE = 400
MARGIN = 28
GAP = 4
HEADING, LINE = 22, 15

Box = tuple[int, int, int, int]


def write_picture(path: Path, folder: Path, metrics: dict[str, Any]) -> None:
    """Write `path` (PNG): classic | neural of the median view, whose images lie in the report's `folder`.

    Both are cropped alike to what is not background. Pixels are enlarged by a whole number and stay as they are: the
    picture shows what was measured, not a blur of it.
    """
    view = median_view(metrics["views"])
    pair = [Image.open(folder / view["images"][kind]).convert("RGB") for kind in ("classic", "neural")]
    box = subject_box(pair[0])
    pair = [image.crop(box) for image in pair]
    zoom = max(1, SIDE // max(pair[0].size))
    width, height = (side * zoom for side in pair[0].size)
    captions = _captions(view, metrics)
    column = max(width, *(round(font(LINE).getlength(line)) + MARGIN for caption in captions for line in caption[1:]))
    size = (2 * MARGIN + 2 * column + GAP, 2 * MARGIN + height + 12 + HEADING + 3 * (LINE + 7))
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    for x, image, lines in zip((MARGIN, MARGIN + column + GAP), pair, captions, strict=True):
        sheet.paste(image.resize((width, height), Image.Resampling.NEAREST), (x, MARGIN))
        y = MARGIN + height + 12
        draw.text((x, y), lines[0], font=font(HEADING), fill=INK)
        for number, line in enumerate(lines[1:]):
            draw.text((x, y + HEADING + 9 + number * (LINE + 6)), line, font=font(LINE), fill=QUIET)
    sheet.save(path, optimize=True)


def median_view(views: list[dict[str, Any]]) -> dict[str, Any]:
    """The view in the middle by FLIP: neither the best to show off, nor the worst."""
    return sorted(views, key=lambda view: view["flip"])[len(views) // 2]


def subject_box(image: Image.Image) -> Box:
    """(left, top, right, bottom) of what differs from the image's corner, with a margin; all of it when all differs."""
    pixels = np.asarray(image, np.int16)
    rows, columns = np.nonzero(np.abs(pixels - pixels[0, 0]).max(axis=-1) > 2)
    if not len(rows):
        return (0, 0, *image.size)
    margin = max(2, max(image.size) // 20)
    left, top = max(0, columns.min() - margin), max(0, rows.min() - margin)
    right, bottom = columns.max() + 1 + margin, rows.max() + 1 + margin
    return int(left), int(top), int(min(image.width, right)), int(min(image.height, bottom))


def _captions(view: dict[str, Any], metrics: dict[str, Any]) -> tuple[list[str], list[str]]:
    cost = [f"{view['classic_samples']} samples per pixel"] if view["classic_samples"] else []
    cost += [f"{duration(view['classic_seconds'])} a frame"] if view["classic_seconds"] > 0 else []
    likeness = "identical" if view["psnr"] is None else f"PSNR {view['psnr']:.1f} dB"
    if view["psnr_foreground"] is not None and view["foreground"] < 1.0:
        likeness += f", foreground {view['psnr_foreground']:.1f} dB"
    twin = ["Radiance Twin", f"{duration(view['neural_seconds'])} a frame", likeness]
    return [classic_name(metrics), " · ".join(cost)], [
        *twin,
        f"SSIM {ssim_in_words(view['ssim'])} · FLIP {view['flip']:.3f}",
    ]
