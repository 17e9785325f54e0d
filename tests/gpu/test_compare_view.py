# SPDX-License-Identifier: GPL-3.0-or-later
"""Both sides of a comparison in the viewport: known colours through the real shaders, held against numpy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import radians
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from radiance_twin.addon.viewport.compare import sides as module
from radiance_twin.addon.viewport.compare.sides import (
    Kind,
    Sides,
    compose,
    display_images,
    flip_texture,
    new_sides,
    on_ground,
    read_pixels,
    show_difference,
    show_sides,
)
from radiance_twin.addon.viewport.compare.view import psnr
from radiance_twin.addon.viewport.compare.wipe import Wipe
from radiance_twin.addon.viewport.depth import depth_texture
from radiance_twin.addon.viewport.march import Picture, Rectangle
from radiance_twin.addon.viewport.textures import float_buffer, view_transform_textures
from radiance_twin.core.colour import ViewTransform, standard_view_transform
from radiance_twin.core.colour_maps import diverging, magma

SIZE = (96, 64)
WHOLE = Rectangle(0, 0, *SIZE)
WORLD = (0.1, 0.2, 0.4, 1.0)


@pytest.fixture(autouse=True)
def _freed(gpu: Any) -> Iterator[None]:
    yield
    module.free()


@pytest.fixture
def picture(gpu: Any) -> Callable[[NDArray[np.float32]], Picture]:
    """A picture on the GPU, of half floats as Blender's own, that holds given pixels (row 0 at the bottom)."""

    def make(pixels: NDArray[np.float32]) -> Picture:
        size = pixels.shape[1::-1]
        texture = gpu.types.GPUTexture(size, format="RGBA16F", data=float_buffer(pixels))
        return Picture(texture, gpu.types.GPUFrameBuffer(color_slots=texture), size)

    return make


def halves(seed: int, alpha: float = 1.0) -> NDArray[np.float32]:
    """Random light that half floats hold, premultiplied."""
    rgba = np.exp2(np.random.default_rng(seed).uniform(-7.0, 2.0, (SIZE[1], SIZE[0], 4)))
    rgba[..., 3] = alpha
    return rgba.astype(np.float16).astype(np.float32)


def composed(classic: NDArray[np.float32], marched: Picture, depth: Any = 0.5) -> Sides:
    """Both sides, the twin's picture covering the whole view."""
    sides = new_sides(classic)
    compose(sides, marched, WHOLE, depth_texture(np.broadcast_to(np.float32(depth), classic.shape[:2]).copy()))
    return sides


def neural(sides: Sides) -> NDArray[np.float32]:
    return read_pixels(sides.neural.framebuffer, WHOLE)


def test_a_wipe_leaves_one_side_as_it_is_and_puts_the_other_one_beyond_the_line(picture):
    classic, twin = halves(1), halves(2)
    sides = composed(classic, picture(twin))
    assert np.array_equal(neural(sides), twin), "an opaque twin hides all that is there"
    x, y = np.meshgrid(np.arange(SIZE[0]) + 0.5, np.arange(SIZE[1]) + 0.5)
    for angle in (0.0, 30.0, 90.0, 180.0, -100.0):
        wipe = Wipe((40.0, 30.0), radians(angle))
        light = picture(classic)
        with light.framebuffer.bind():
            show_sides(sides, wipe, whole=False)
        shown = read_pixels(light.framebuffer, WHOLE)
        away = wipe.distance((x, y))
        assert np.array_equal(shown[away < -0.5], classic[away < -0.5])
        assert np.array_equal(shown[away > 0.5], twin[away > 0.5])
        between = np.abs(away) <= 0.5
        share = (away + 0.5)[between, None]
        expected = (1.0 - share) * classic[between] + share * twin[between]
        assert shown[between] == pytest.approx(expected, rel=2e-3, abs=2e-3)
        assert 0 < between.sum() < 300


def test_one_side_fills_the_whole_view_while_the_key_is_held(picture):
    classic, twin = halves(3), halves(4)
    sides = composed(classic, picture(twin))
    for shown, expected in (("CLASSIC", classic), ("NEURAL", twin)):
        light = picture(np.zeros_like(classic))
        with light.framebuffer.bind():
            show_sides(sides, shown, whole=True)
        assert np.array_equal(read_pixels(light.framebuffer, WHOLE), expected)


def test_the_twin_stands_before_the_background_and_not_before_the_objects(picture):
    """A red block in front of a world of one colour; the twin has nothing in its left half."""
    classic = np.broadcast_to(np.float32(WORLD), (SIZE[1], SIZE[0], 4)).copy()
    depth = np.ones(classic.shape[:2], np.float32)
    classic[20:44, 30:66], depth[20:44, 30:66] = (5.0, 0.0, 0.0, 1.0), 0.5
    twin = np.zeros_like(classic)
    twin[:, 48:] = 0.25, 0.25, 0.25, 0.5
    shown = neural(composed(classic, picture(twin), depth))
    world = np.float16(WORLD).astype(np.float32)
    # the block is gone: behind it stands what is around it
    assert shown[:, :48] == pytest.approx(np.broadcast_to(world, (SIZE[1], 48, 4)), abs=5e-4)
    half = 0.5 * world + (0.25, 0.25, 0.25, 0.5)
    assert shown[:, 48:] == pytest.approx(np.broadcast_to(half, (SIZE[1], 48, 4)), abs=5e-4)


def test_a_transparent_film_has_one_ground_on_both_sides():
    pixels = np.zeros((1, 3, 4), np.float32)
    pixels[0, 1], pixels[0, 2] = (0.3, 0.2, 0.1, 0.5), (0.6, 0.4, 0.2, 1.0)
    ground = module.GROUND
    expected = [(ground, ground, ground, 1.0), (0.3 + ground / 2, 0.2 + ground / 2, 0.1 + ground / 2, 1.0)]
    assert on_ground(pixels)[0, :2] == pytest.approx(np.array(expected))
    assert np.array_equal(on_ground(pixels)[0, 2], pixels[0, 2])


@pytest.fixture
def shown(gpu: Any) -> Callable[..., NDArray[np.float32]]:
    """A difference as a framebuffer gets it: [height, width, 3], row 0 at the bottom."""

    def draw(sides: Sides, kind: Kind, amplification: float, view: ViewTransform, **more: Any) -> NDArray[np.float32]:
        texture = gpu.types.GPUTexture(SIZE, format="RGBA32F")
        framebuffer = gpu.types.GPUFrameBuffer(color_slots=texture)
        with framebuffer.bind():
            framebuffer.clear(color=(0.0, 0.0, 0.0, 0.0))
            show_difference(sides, kind, amplification, view_transform_textures(view), overlay=False, **more)
        return read_pixels(framebuffer, WHOLE)[..., :3]

    return draw


def looked_up(colours: NDArray[np.float32], values: NDArray[np.float32]) -> NDArray[np.float32]:
    place = np.clip(values, 0.0, 1.0) * (len(colours) - 1)
    return np.stack([np.interp(place, np.arange(len(colours)), channel) for channel in colours.T], axis=-1)


def test_differences_are_those_of_what_the_screen_shows(picture, shown):
    classic, twin = halves(5), halves(6)
    sides, view = composed(classic, picture(twin)), standard_view_transform(0.5)
    first, second = view.apply(classic[..., :3]), view.apply(twin[..., :3])
    largest = np.abs(second - first).max(axis=-1)
    mean = (second - first).mean(axis=-1)
    for amplification in (1.0, 4.0):
        absolute = shown(sides, "ABSOLUTE", amplification, view)
        assert absolute == pytest.approx(looked_up(magma(), amplification * largest), abs=2e-4)
        signed = shown(sides, "SIGNED", amplification, view)
        assert signed == pytest.approx(looked_up(diverging(), 0.5 + 0.5 * amplification * mean), abs=5e-4)
    images = display_images(sides, view_transform_textures(view))
    for image, expected in zip(images, (first, second), strict=True):
        assert np.abs(image[::-1].astype(int) - np.rint(255.0 * expected)).max() <= 1
    error = np.mean((images[0].astype(float) - images[1]) ** 2)
    assert psnr(*images) == pytest.approx(10.0 * np.log10(255.0**2 / error), abs=1e-3)


def test_a_perfect_twin_has_no_difference(picture, shown):
    classic = halves(7)
    sides, view = composed(classic, picture(classic)), standard_view_transform()
    assert np.array_equal(*display_images(sides, view_transform_textures(view)))
    assert shown(sides, "ABSOLUTE", 64.0, view).max() <= magma()[0].max() + 1e-6
    assert psnr(*display_images(sides, view_transform_textures(view))) == np.inf


def test_a_map_of_the_worker_lies_where_its_pixels_are(picture, shown):
    flip_map = np.random.default_rng(8).random(SIZE[::-1], np.float32)
    sides = composed(halves(9), picture(halves(10)))
    seen = shown(sides, "FLIP", 1.0, standard_view_transform(), flip=flip_texture(flip_map))
    assert seen[::-1] == pytest.approx(looked_up(magma(), flip_map), abs=2e-4)


def test_loupe_and_legend_are_windows_of_the_same_shader(picture, shown):
    classic = halves(11)
    sides, view = composed(classic, picture(halves(12))), standard_view_transform()
    target, window = Rectangle(10, 5, 33, 33), Rectangle(50, 20, 11, 11)
    seen = shown(sides, "CLASSIC", 1.0, view, target=target, window=window)
    enlarged = view.apply(classic[20:31, 50:61, :3]).repeat(3, axis=0).repeat(3, axis=1)
    assert seen[5:38, 10:43] == pytest.approx(enlarged, abs=2e-4)
    assert seen[38:].max() == 0.0
    ramp = shown(sides, "MAGMA", 1.0, view)
    assert ramp[3] == pytest.approx(looked_up(magma(), (np.arange(SIZE[0]) + 0.5) / SIZE[0]), abs=1e-4)


def test_what_does_not_change_is_not_uploaded_again(picture):
    classic = halves(13)
    first = composed(classic, picture(halves(14)))
    assert new_sides(classic.copy(), first) is first
    changed = new_sides(halves(15), first)
    assert changed is not first and changed.neural is first.neural
