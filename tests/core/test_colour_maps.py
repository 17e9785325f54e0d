# SPDX-License-Identifier: GPL-3.0-or-later
"""Colours for numbers, held against OpenCV's."""

from __future__ import annotations

import cv2
import numpy as np

from radiance_twin.core.colour_maps import diverging, magma


def test_magma_is_the_one_that_everybody_knows() -> None:
    known = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_MAGMA)[:, 0, ::-1]
    assert np.abs(255.0 * magma() - known).max() < 4.0


def test_diverging_colours_are_dark_at_zero_and_equally_bright_on_both_sides() -> None:
    brightness = diverging(257) @ (0.2126, 0.7152, 0.0722)
    assert brightness.argmin() in range(120, 137) and brightness[128] < 0.1
    assert np.abs(brightness - brightness[::-1]).max() < 0.12
    assert diverging()[0, 2] > diverging()[0, 0] and diverging()[-1, 0] > diverging()[-1, 2]
