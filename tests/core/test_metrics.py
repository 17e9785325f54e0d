# SPDX-License-Identifier: GPL-3.0-or-later
"""The metrics against pencil and paper, and against second formulations written here from the papers."""

import math

import flip_evaluator
import numpy as np
import pytest

from radiance_twin.core import colour
from radiance_twin.core.comparison import metrics


def picture(height: int = 40, width: int = 56, seed: int = 0) -> np.ndarray:
    """Smooth shapes with some texture, [H, W, 3] uint8."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / (5 + 2 * c)) * np.cos(y / (7 - c)) for c in range(3)]
    noise = np.random.default_rng(seed).normal(0, 0.05, (height, width, 3))
    return (np.clip(0.5 + 0.35 * np.stack(waves, -1) + noise, 0, 1) * 255).astype(np.uint8)


def whole(image: np.ndarray) -> np.ndarray:
    return np.ones(image.shape[:2], np.float32)


@pytest.mark.parametrize("step", [1, 5, 51])
def test_a_constant_offset_has_the_psnr_of_pencil_and_paper(step: int) -> None:
    dark = np.full((16, 16, 3), 100, np.uint8)
    assert metrics.psnr(dark, dark + np.uint8(step)) == pytest.approx(20 * math.log10(255 / step))


def test_psnr_does_not_wrap_around_in_8_bits() -> None:
    black, white = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    assert metrics.psnr(black, white) == pytest.approx(0.0)
    assert metrics.psnr(white, black) == pytest.approx(0.0)


def test_identical_images_have_no_finite_psnr_ssim_1_and_flip_0() -> None:
    image = picture()
    result = metrics.image_metrics(image, image.copy(), whole(image))
    assert result.psnr is None
    assert result.psnr_foreground is None
    assert result.foreground == 1.0
    assert result.ssim == pytest.approx(1.0)
    assert result.flip == 0.0
    assert not result.flip_map.any()


def test_the_foreground_is_where_the_classic_alpha_is_above_one_percent() -> None:
    classic = np.full((20, 20, 3), 80, np.uint8)
    neural = classic.copy()
    neural[:, :10] += 10
    alpha = np.zeros((20, 20), np.float32)
    alpha[:, :5] = 0.011  # foreground, off by 10
    alpha[:, 5:] = 0.01  # background, partly off
    result = metrics.image_metrics(classic, neural, alpha)
    assert result.foreground == pytest.approx(0.25)
    assert result.psnr_foreground == pytest.approx(20 * math.log10(255 / 10))
    assert result.psnr == pytest.approx(10 * math.log10(255**2 / 50))


def test_without_foreground_its_psnr_does_not_exist() -> None:
    image = picture()
    result = metrics.image_metrics(image, 255 - image, np.zeros(image.shape[:2]))
    assert result.psnr_foreground is None
    assert result.foreground == 0.0
    assert result.psnr is not None


def ssim_from_the_paper(a: np.ndarray, b: np.ndarray) -> float:
    """Wang et al. 2004, equation 13 with K1 0.01 and K2 0.03, one explicit 11 x 11 window after the other."""
    offset = np.arange(11) - 5
    weight = np.exp(-(offset[:, None] ** 2 + offset[None] ** 2) / (2 * 1.5**2))
    weight /= weight.sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for channel in range(3):
        p, q = a[..., channel].astype(float), b[..., channel].astype(float)
        for y in range(a.shape[0] - 10):
            for x in range(a.shape[1] - 10):
                u, v = p[y : y + 11, x : x + 11], q[y : y + 11, x : x + 11]
                mu, mv = (weight * u).sum(), (weight * v).sum()
                su, sv = (weight * (u - mu) ** 2).sum(), (weight * (v - mv) ** 2).sum()
                suv = (weight * (u - mu) * (v - mv)).sum()
                values.append(
                    (2 * mu * mv + c1) * (2 * suv + c2) / ((mu**2 + mv**2 + c1) * (su + sv + c2)),
                )
    return float(np.mean(values))


@pytest.mark.parametrize("sigma", [2.0, 20.0])
def test_ssim_equals_the_formula_of_the_paper(sigma: float) -> None:
    a = picture(24, 30)
    noise = np.random.default_rng(1).normal(0, sigma, a.shape)
    b = np.clip(a + noise, 0, 255).astype(np.uint8)
    assert metrics.ssim(a, b) == pytest.approx(ssim_from_the_paper(a, b), abs=1e-6)


def test_ssim_of_two_flat_images_is_its_luminance_term() -> None:
    a, b = np.full((15, 15, 3), 60, np.uint8), np.full((15, 15, 3), 90, np.uint8)
    c1 = (0.01 * 255) ** 2
    assert metrics.ssim(a, b) == pytest.approx((2 * 60 * 90 + c1) / (60**2 + 90**2 + c1))


def test_ssim_needs_one_whole_window() -> None:
    assert metrics.ssim(picture(11, 11), picture(11, 11)) == pytest.approx(1.0)
    assert metrics.ssim(picture(10, 40), picture(10, 40)) is None


def test_flip_is_the_authors_ldr_flip_at_67_pixels_per_degree() -> None:
    a, b = picture(), picture(seed=3)
    mean, error = metrics.flip_error(a, b)
    reference = flip_evaluator.evaluate(
        (a / 255).astype(np.float32), (b / 255).astype(np.float32), "LDR", applyMagma=False
    )
    # its own default viewing distance of 0.7 m before a 3840-pixel, 0.7 m screen is 67.02 pixels per degree
    assert reference[2]["ppd"] == pytest.approx(67, abs=0.03)
    assert mean == pytest.approx(reference[1], rel=1e-3)
    assert error.shape == a.shape[:2]
    assert mean == pytest.approx(float(error.mean()), abs=1e-5)


def test_flip_of_black_and_white_is_nearly_the_most_there_is() -> None:
    black, white = np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)
    assert 0.9 < metrics.flip_error(black, white)[0] <= 1.0


def test_flip_maps_wear_the_colours_of_the_authors_maps() -> None:
    a, b = picture(), picture(seed=3)
    coloured = flip_evaluator.evaluate((a / 255).astype(np.float32), (b / 255).astype(np.float32), "LDR")[0]
    ours = metrics.magma()[metrics.flip_levels(metrics.flip_error(a, b)[1])]
    # a step of the colour table at most: the two viewing distances differ by 0.03 %
    assert np.abs(ours.astype(float) - coloured * 255).max() <= 4
    assert metrics.magma()[0].max() < 8
    assert metrics.magma()[255].min() > 180


def test_display_images_are_composited_in_scene_linear_light() -> None:
    # half-covering white over black is 0.5 in linear light, 188 in sRGB; composited after the curve it would be 128
    rgba = np.full((2, 2, 4), 0.5, np.float32)
    image = metrics.display_image(rgba, np.zeros(3), colour.standard_view_transform())
    assert image.dtype == np.uint8
    assert np.abs(image.astype(int) - 188).max() <= 1


def test_display_images_are_clipped_and_never_wrap() -> None:
    rgba = np.array([[[50.0, -3.0, np.nan, 1.0]]], np.float32)
    assert metrics.display_image(rgba, np.zeros(3), colour.standard_view_transform()).tolist() == [[[255, 0, 0]]]


def test_the_background_shows_where_alpha_is_0() -> None:
    clear = np.zeros((1, 1, 4), np.float32)
    transform = colour.standard_view_transform()
    assert metrics.display_image(clear, [0, 0, 0], transform).max() == 0
    assert metrics.display_image(clear, [1, 1, 1], transform).min() == 255


def test_the_mean_leaves_out_what_does_not_exist() -> None:
    assert metrics.mean_of([30.0, None, 40.0]) == pytest.approx(35.0)
    assert metrics.mean_of([None, None]) is None


def test_images_of_different_sizes_are_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="different sizes"):
        metrics.image_metrics(picture(20, 20), picture(20, 21), np.ones((20, 20)))


def test_what_nobody_knows_counts_as_identical_where_neighbourhoods_are_looked_at() -> None:
    classic = np.random.default_rng(3).integers(0, 256, (24, 24, 3), np.uint8)
    known = np.ones((24, 24), np.bool_)
    known[6:12, 8:20] = False
    neural = np.where(known[..., None], classic, 255 - classic)
    found = metrics.image_metrics(classic, neural, np.ones((24, 24)), known)
    assert (found.psnr, found.ssim, found.flip) == (None, pytest.approx(1.0), 0.0) and found.flip_map.max() == 0.0
