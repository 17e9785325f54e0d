# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures over each other: the nearer one hides the farther one, pixel by pixel."""

import numpy as np
import pytest

from radiance_twin.core.layers import composite_layers

RED, GREEN = (1.0, 0.0, 0.0, 1.0), (0.0, 1.0, 0.0, 1.0)


def layer(colour: object, depth: object) -> tuple[np.ndarray, np.ndarray]:
    """One row of pixels."""
    return np.float32(colour)[None], np.float32(depth)[None]


@pytest.mark.parametrize("turned", [False, True])
def test_the_nearer_pixel_is_in_front(turned: bool) -> None:
    layers = [layer([RED, RED, (0, 0, 0, 0)], [1.0, 3.0, 0.0]), layer([GREEN, GREEN, GREEN], [2.0, 2.0, 2.0])]
    order = [1, 0] if turned else [0, 1]
    rgba, depth = composite_layers([layers[i] for i in order], [(1.5, 2.0)[i] for i in order])
    assert rgba[0].tolist() == [list(RED), list(GREEN), list(GREEN)]
    assert depth[0].tolist() == [1.0, 2.0, 2.0]


def test_thin_light_lies_before_what_its_middle_is_nearer_than() -> None:
    haze = layer([(0.2, 0.2, 0.2, 0.4)], [0.0])
    rgba, depth = composite_layers([layer([RED], [2.0]), haze], [2.0, 1.0])
    assert rgba[0, 0] == pytest.approx([0.8, 0.2, 0.2, 1.0]) and depth[0, 0] == 2.0
    rgba, _ = composite_layers([layer([RED], [2.0]), haze], [2.0, 3.0])
    assert rgba[0, 0] == pytest.approx(RED)


def test_what_lies_behind_everything_is_behind_everything() -> None:
    sky = layer([GREEN], [0.0])
    rgba, depth = composite_layers([sky, layer([RED], [9.0])], [1.0, 9.0])
    assert rgba[0, 0] == pytest.approx(RED) and depth[0, 0] == 9.0
