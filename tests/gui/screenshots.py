# SPDX-License-Identifier: GPL-3.0-or-later
"""Screenshots against stored ones: small, so that another software renderer or a letter more makes no difference.

Run with RENEW_SCREENSHOTS=1 the tests store what they see instead. Look at it before it is committed.
"""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

EXPECTED = Path(__file__).with_name("expected")
WIDTH = 250
# of 255, in a picture of WIDTH pixels that is blurred a little
VISIBLE = 12
# share of the pixels that may visibly differ
MOST = 0.012

Image = NDArray[np.uint8]


def small(path: Path) -> Image:
    """A picture [h, WIDTH, 3], however large it is."""
    image = cv2.imread(str(path))
    assert image is not None, path
    height = round(image.shape[0] * WIDTH / image.shape[1])
    return np.asarray(cv2.resize(image, (WIDTH, height), interpolation=cv2.INTER_AREA), np.uint8)


def share_that_differs(first: Image, second: Image) -> float:
    """Of the pixels of two small pictures of one size."""
    blurred = (cv2.GaussianBlur(image, (5, 5), 0).astype(np.int16) for image in (first, second))
    return float((np.abs(np.subtract(*blurred)).max(axis=2) > VISIBLE).mean())


def assert_as_stored(screenshot: Path, name: str) -> None:
    """Compare with expected/NAME.png, or make it."""
    seen, stored = small(screenshot), EXPECTED / f"{name}.png"
    if os.environ.get("RENEW_SCREENSHOTS"):
        EXPECTED.mkdir(exist_ok=True)
        cv2.imwrite(str(stored), seen)
    share = share_that_differs(seen, small(stored))
    assert share < MOST, f"{share:.1%} of {screenshot} differ from {stored}: look at both"
