# SPDX-License-Identifier: GPL-3.0-or-later
"""One picture to show around: a view both ways, side by side, with its figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from .words import classic_name

PAPER, INK, QUIET = "#17181a", "#f2f2f0", "#9a9da3"
SIDE = 560
MARGIN = 28
GAP = 4
CAPTION = 74


def write_picture(path: Path, folder: Path, metrics: dict[str, Any]) -> None:
    """Write `path` (PNG): classic | neural of the median view, whose images lie in the report's `folder`.

    Pixels are enlarged by a whole number and stay as they are: the picture shows what was measured, not a blur of it.
    """
    view = median_view(metrics["views"])
    pair = [Image.open(folder / view["images"][kind]).convert("RGB") for kind in ("classic", "neural")]
    zoom = max(1, SIDE // max(pair[0].size))
    width, height = (side * zoom for side in pair[0].size)
    sheet = Image.new("RGB", (2 * width + GAP + 2 * MARGIN, height + MARGIN + CAPTION), PAPER)
    draw = ImageDraw.Draw(sheet)
    columns = (MARGIN, MARGIN + width + GAP)
    for x, image, caption in zip(columns, pair, _captions(view, metrics), strict=True):
        sheet.paste(image.resize((width, height), Image.Resampling.NEAREST), (x, MARGIN))
        draw.text((x, MARGIN + height + 14), caption[0], font=_font(22), fill=INK)
        draw.text((x, MARGIN + height + 44), caption[1], font=_font(15), fill=QUIET)
    sheet.save(path, optimize=True)


def median_view(views: list[dict[str, Any]]) -> dict[str, Any]:
    """The view in the middle by PSNR: neither the best to show off, nor the worst."""
    ranked = sorted(views, key=lambda view: (view["psnr"] is None, view["psnr"] or 0.0))
    return ranked[len(ranked) // 2]


def _captions(view: dict[str, Any], metrics: dict[str, Any]) -> tuple[tuple[str, str], tuple[str, str]]:
    cost = [f"{view['classic_samples']} samples"] if view["classic_samples"] else []
    cost += [f"{view['classic_seconds']:.2g} s"] if view["classic_seconds"] > 0 else []
    likeness = ["identical"] if view["psnr"] is None else [f"PSNR {view['psnr']:.1f} dB"]
    likeness += [] if view["ssim"] is None else [f"SSIM {view['ssim']:.3f}"]
    likeness += [f"FLIP {view['flip']:.3f}", f"{view['neural_seconds']:.2g} s"]
    return (classic_name(metrics), " · ".join(cost)), ("Radiance Twin", " · ".join(likeness))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
