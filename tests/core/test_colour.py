# SPDX-License-Identifier: GPL-3.0-or-later
"""Colour: the table applies the curve that was baked into it, and compositing follows premultiplied alpha."""

import numpy as np
import pytest

from radiance_twin.core import colour
from radiance_twin.core.errors import UserError


@pytest.mark.parametrize("exposure", [0.0, 1.3, -2.0])
def test_standard_view_is_the_srgb_curve(exposure: float) -> None:
    linear = 2.0 ** np.random.default_rng(0).uniform(-12, 5, (20000, 3))
    shown = colour.standard_view_transform(exposure).apply(linear)
    expected = colour.linear_to_srgb(linear * 2.0**exposure)
    assert np.abs(shown - expected).max() < 1 / 255


def test_black_stays_black_and_nonsense_stays_in_range() -> None:
    view = colour.standard_view_transform()
    assert view.apply(np.zeros((1, 3))).max() == 0.0
    shown = view.apply([[np.nan, np.inf, -np.inf], [-1.0, 1e30, 0.5]])
    assert np.isfinite(shown).all() and shown.min() >= 0.0 and shown.max() <= 1.0


def test_shaper_and_its_inverse() -> None:
    positions = np.linspace(0.0, 1.0, 65)
    linear = colour.shaper_inverse(positions, -10.0, 6.0)
    assert linear[0] == 0.0 and np.isclose(linear[-1], 64.0)
    np.testing.assert_allclose(colour.shaper(linear, -10.0, 6.0), positions, atol=1e-6)


def test_srgb_round_trip() -> None:
    x = np.linspace(0.0, 1.0, 256)
    np.testing.assert_allclose(colour.linear_to_srgb(colour.srgb_to_linear(x)), x, atol=1e-6)


def test_composite_is_premultiplied_over() -> None:
    rgba = np.array([[0.25, 0.0, 0.0, 0.5]], np.float32)
    np.testing.assert_allclose(colour.composite(rgba, (1.0, 1.0, 0.0)), [[0.75, 0.5, 0.0]])


def test_metadata_round_trip_and_refusals() -> None:
    view = colour.standard_view_transform()
    assert colour.ViewTransform.from_metadata(view.to_metadata(), view.lut).display == "sRGB"
    with pytest.raises(UserError, match="wrong shape"):
        colour.ViewTransform.from_metadata(view.to_metadata(), np.zeros((65, 65, 3)))
    with pytest.raises(UserError, match="no numbers"):
        colour.ViewTransform.from_metadata(view.to_metadata(), np.full((65, 65, 65, 3), np.nan))
    with pytest.raises(UserError, match="incomplete"):
        colour.ViewTransform.from_metadata({}, view.lut)
    with pytest.raises(UserError, match="range"):
        colour.ViewTransform.from_metadata({**view.to_metadata(), "shaper_min": 9.0}, view.lut)
