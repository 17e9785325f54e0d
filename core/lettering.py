# SPDX-License-Identifier: GPL-3.0-or-later
"""The face and the colours of pictures with words in them."""

from __future__ import annotations

from PIL import ImageFont

PAPER, INK, QUIET = "#17181a", "#f2f2f0", "#a2a5ab"


def font(size: int) -> ImageFont.FreeTypeFont:
    """The face in which our pictures are lettered, `size` pixels high."""
    font = ImageFont.load_default(size)
    # Pillow's own scalable font; the bitmap one of a Pillow without FreeType has no sizes
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font
