# SPDX-License-Identifier: GPL-3.0-or-later
"""Colour: a view transform's stages do what they say, and compositing follows premultiplied alpha."""

import itertools
from typing import Any

import numpy as np
import pytest

from radiance_twin.core import colour
from radiance_twin.core.errors import UserError

RNG = np.random.default_rng(0)
CUBE = RNG.random((5, 5, 5, 3)).astype(np.float32)
CURVE = np.sort(RNG.random((7, 3)), axis=0).astype(np.float32)


def apply(kind: str, values: Any, x: Any) -> np.ndarray:
    return colour.Stage(kind, np.float32(values)).apply(np.float32(x))


@pytest.mark.parametrize("exposure", [0.0, 1.3, -2.0])
def test_standard_view_is_the_srgb_curve(exposure: float) -> None:
    linear = 2.0 ** np.random.default_rng(0).uniform(-12, 5, (20000, 3))
    shown = colour.standard_view_transform(exposure).apply(linear)
    expected = colour.linear_to_srgb(linear * 2.0**exposure)
    assert np.abs(shown - expected).max() < 0.01 / 255


def test_black_stays_black_and_nonsense_stays_in_range() -> None:
    view = colour.standard_view_transform()
    assert view.apply(np.zeros((1, 3))).max() == 0.0
    shown = view.apply([[np.nan, np.inf, -np.inf], [-1.0, 1e30, 0.5]])
    assert shown[0].tolist() == [0.0, 1.0, 0.0]
    assert np.isfinite(shown).all() and shown.min() >= 0.0 and shown.max() <= 1.0


def test_a_table_is_linear_in_each_tetrahedron() -> None:
    """Against the definition: barycentric coordinates in the tetrahedron that holds x."""
    for x in np.random.default_rng(1).random((200, 3)):
        low = np.minimum((x * 4).astype(int), 3)
        for axes in itertools.permutations(range(3)):
            corners = low + np.cumsum([np.zeros(3, int), *np.eye(3, dtype=int)[list(axes)]], axis=0)
            shares = np.linalg.solve(np.vstack([corners.T, np.ones(4)]), [*(x * 4), 1.0])
            if shares.min() >= -1e-9:
                expected = shares @ CUBE[tuple(corners.T)]
                np.testing.assert_allclose(apply("table", CUBE, [x])[0], expected, atol=1e-5)
    # nodes come back as they are, and beyond the cube its faces go on
    assert apply("table", CUBE, [[0.25, 0.5, 1.0]])[0].tolist() == CUBE[1, 2, 4].tolist()
    assert apply("table", CUBE, [[-7.0, 0.5, 9.0]])[0].tolist() == CUBE[0, 2, 4].tolist()


def test_a_curve_goes_on_straight_beyond_its_ends() -> None:
    x = np.linspace(0.0, 1.0, 50)
    for channel in range(3):
        expected = np.interp(x, np.linspace(0.0, 1.0, 7), CURVE[:, channel])
        np.testing.assert_allclose(apply("curve", CURVE, np.repeat(x[:, None], 3, 1))[:, channel], expected, atol=1e-6)
    step = CURVE[-1] - CURVE[-2]
    np.testing.assert_allclose(apply("curve", CURVE, [[1.5] * 3])[0], CURVE[-1] + 3.0 * step, atol=1e-5)
    np.testing.assert_allclose(apply("curve", CURVE, [[-1 / 6] * 3])[0], 2.0 * CURVE[0] - CURVE[1], atol=1e-5)


def test_the_small_stages() -> None:
    x = np.float32([[-0.5, 0.25, 2.0]])
    matrix = np.float32([[1, 2, 0, 0.1], [0, 1, 0, 0.0], [0, 0, -1, 0.0]])
    np.testing.assert_allclose(apply("matrix", matrix, x), [[0.1, 0.25, -2.0]], atol=1e-6)
    np.testing.assert_allclose(apply("log2", (), x)[0, 1:], [-2.0, 1.0])
    assert apply("log2", (), x)[0, 0] == -126.0
    np.testing.assert_allclose(apply("exp2", (), apply("log2", (), x)), [[0.0, 0.25, 2.0]], atol=1e-6)
    np.testing.assert_allclose(apply("power", [2.0], x), [[0.0, 0.0625, 4.0]])
    np.testing.assert_allclose(apply("clamp", [0.0, 1.0], x), [[0.0, 0.25, 1.0]])
    srgb = [2.4, 0.055]
    np.testing.assert_allclose(apply("decode", srgb, apply("encode", srgb, x)), x, atol=1e-5)
    np.testing.assert_allclose(
        apply("encode", srgb, [[0.001, 0.2, 0.9]])[0], colour.linear_to_srgb([0.001, 0.2, 0.9]), atol=1e-5
    )


def test_a_table_over_the_lattice_has_its_nodes_there() -> None:
    linear = colour.lattice(-10.0, 6.0, 17)
    assert linear[0, 0, 0].tolist() == [0.0] * 3 and np.isclose(linear.max(), 64.0)
    lut = RNG.random((17, 17, 17, 3)).astype(np.float32)
    view = colour.ViewTransform(tuple(colour.table_stages(lut, -10.0, 6.0)), "", "", "", 0.0, 1.0)
    # a node is met to the rounding of its logarithm
    np.testing.assert_allclose(view.apply(linear), lut, atol=2e-4)


def test_what_was_written_before_there_were_stages_still_opens() -> None:
    lut = colour.linear_to_srgb(colour.lattice(-10.0, 6.0))
    metadata = {"shaper_min": -10.0, "shaper_max": 6.0, "display": "sRGB", "view": "Standard", "look": "None"}
    view = colour.ViewTransform.from_metadata(metadata | {"exposure": 0.0, "gamma": 1.0}, {"lut": lut})
    linear = 2.0 ** np.random.default_rng(0).uniform(-12, 5, (2000, 3))
    assert np.abs(view.apply(linear) - colour.linear_to_srgb(linear)).max() < 0.2 / 255
    with pytest.raises(UserError, match="range"):
        colour.ViewTransform.from_metadata({**metadata, "shaper_min": 9.0}, {"lut": lut})


def test_srgb_round_trip() -> None:
    x = np.linspace(0.0, 1.0, 256)
    np.testing.assert_allclose(colour.linear_to_srgb(colour.srgb_to_linear(x)), x, atol=1e-6)


def test_composite_is_premultiplied_over() -> None:
    rgba = np.array([[0.25, 0.0, 0.0, 0.5]], np.float32)
    np.testing.assert_allclose(colour.composite(rgba, (1.0, 1.0, 0.0)), [[0.75, 0.5, 0.0]])


def every_stage() -> colour.ViewTransform:
    stages = [
        colour.matrix_stage(np.eye(3), 0.1),
        *colour.stages_of([("log2", ()), ("exp2", ()), ("power", [1.2]), ("encode", [2.4, 0.055])]),
        *colour.stages_of([("decode", [2.4, 0.055]), ("clamp", [0, 1]), ("curve", CURVE), ("table", CUBE)]),
    ]
    return colour.ViewTransform(tuple(stages), "sRGB", "AgX", "None", 0.5, 1.1)


def test_metadata_round_trip() -> None:
    view = every_stage()
    again = colour.ViewTransform.from_metadata(view.to_metadata(), view.arrays())
    assert again.to_metadata() == view.to_metadata()
    assert {stage.kind for stage in again.stages} == set(colour.SHAPES)
    x = RNG.random((30, 3))
    assert np.array_equal(again.apply(x), view.apply(x))


@pytest.mark.parametrize(
    ("changed", "values", "complaint"),
    [
        ("stage_08", np.zeros((5, 5, 3)), "wrong shape"),
        ("stage_08", np.zeros((5, 5, 4, 3)), "wrong shape"),
        ("stage_08", np.zeros((200, 1, 1, 3)), "wrong shape"),
        ("stage_08", np.full((5, 5, 5, 3), np.nan), "no numbers"),
        ("stage_07", np.zeros((9999, 3)), "wrong shape"),
        ("stage_00", (), "wrong shape"),
        ("stage_04", [1.0, 0.0], "no sense"),
    ],
)
def test_arrays_that_make_no_sense_are_refused(changed: str, values: Any, complaint: str) -> None:
    view = every_stage()
    with pytest.raises(UserError, match=complaint):
        colour.ViewTransform.from_metadata(view.to_metadata(), view.arrays() | {changed: values})


@pytest.mark.parametrize("kind", ["matrix", "power", "encode", "decode", "clamp", "curve", "table"])
def test_absurd_values_of_somebody_elses_file_do_no_harm(kind: str) -> None:
    shape = [n or 5 for n in colour.SHAPES[kind]]
    for seed in range(20):
        values = np.exp2(np.random.default_rng(seed).uniform(-120.0, 120.0, shape)) * (-1.0) ** seed
        if kind in ("encode", "decode"):
            values = np.abs(values) + 1.1
        # all the kinds that are read by an index come after it
        steps = [(kind, values), ("matrix", 1e30 * np.eye(3, 4, 1)), ("curve", CURVE), ("exp2", ()), ("table", CUBE)]
        view = colour.ViewTransform(colour.stages_of(steps), "", "", "", 0.0, 1.0)
        again = colour.ViewTransform.from_metadata(view.to_metadata(), view.arrays())
        shown = again.apply([[1.0, -1.0, 0.0], [np.inf, -np.inf, np.nan], [1e30, 1e-30, -1e30]])
        assert shown.min() >= 0.0 and shown.max() <= 1.0 and np.isfinite(shown).all()


def test_headers_that_make_no_sense_are_refused() -> None:
    metadata = colour.standard_view_transform().to_metadata()
    for change, complaint in (
        ({"stages": "magic"}, "unknown"),
        ({"stages": "log2 " * 99}, "too many"),
        ({"gamma": "x", "stages": ""}, "incomplete"),
    ):
        with pytest.raises(UserError, match=complaint):
            colour.ViewTransform.from_metadata(metadata | change, {})
    with pytest.raises(UserError, match="incomplete"):
        colour.ViewTransform.from_metadata({}, {})
