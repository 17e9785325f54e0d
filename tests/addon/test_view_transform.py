# SPDX-License-Identifier: GPL-3.0-or-later
"""The baked view transform, against what Blender itself saves."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
import pytest
from numpy.typing import NDArray

from radiance_twin.addon.view_transform import bake_view_transform, displayed, view_transform_key
from radiance_twin.core.colour import linear_to_srgb


@pytest.fixture
def scene() -> Any:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    return bpy.context.scene


def random_colours(stops_up: float = 4.0) -> NDArray[np.float32]:
    """[100, 100, 3], far more saturated than most of what is rendered."""
    return np.exp2(np.random.default_rng(7).uniform(-8.0, stops_up, (100, 100, 3))).astype(np.float32)


def errors_in_bytes(scene: Any, colours: NDArray[np.float32]) -> NDArray[np.float32]:
    baked = bake_view_transform(scene)
    return np.abs(baked.apply(colours) - displayed(scene, colours)).max(axis=-1) * 255.0


@pytest.mark.parametrize(
    ("view", "look", "exposure", "gamma"),
    [
        ("Standard", "None", 0.0, 1.0),
        ("Standard", "None", 1.5, 1.0),
        ("Standard", "None", -2.0, 1.7),
        ("Filmic", "None", 0.0, 1.0),
        ("Filmic", "Very High Contrast", 0.5, 1.0),
        ("AgX", "None", 0.0, 1.0),
        ("AgX", "AgX - Punchy", -1.0, 0.9),
    ],
)
def test_the_table_shows_what_blender_shows(scene, view, look, exposure, gamma):
    settings = scene.view_settings
    settings.view_transform, settings.look, settings.exposure, settings.gamma = view, look, exposure, gamma
    # half a stop below the table's end, whatever the exposure
    errors = errors_in_bytes(scene, random_colours(min(4.0, 5.5 - exposure)))
    assert np.percentile(errors, 98) < 1.5
    assert errors.mean() < 0.25
    if view == "Standard":
        assert errors.max() < 1.0
    # of AgX, whose own table has creases, the table of 65³ nodes misses a few very saturated colours
    assert errors.max() < 8.0


@pytest.mark.parametrize("view", ["Standard", "Filmic", "AgX"])
def test_greys_are_shown_as_blender_shows_them(scene, view):
    scene.view_settings.view_transform = view
    greys = np.repeat(np.geomspace(2.0**-9, 2.0**5, 400, dtype=np.float32), 3).reshape(20, 20, 3)
    assert errors_in_bytes(scene, greys).max() < 0.5


def test_standard_is_the_srgb_curve(scene):
    scene.view_settings.view_transform = "Standard"
    colours = random_colours()
    assert displayed(scene, colours) == pytest.approx(linear_to_srgb(colours), abs=1e-4)


def test_black_is_black_and_white_is_white(scene):
    scene.view_settings.view_transform = "Standard"
    baked = bake_view_transform(scene)
    assert baked.apply([0.0, 0.0, 0.0]).max() == 0.0
    assert baked.apply([1.0, 1.0, 1.0]) == pytest.approx((1.0, 1.0, 1.0), abs=1e-3)
    assert baked.apply([1000.0, np.inf, np.nan]) == pytest.approx((1.0, 1.0, 0.0))


def test_curves_are_in_the_table(scene):
    settings = scene.view_settings
    settings.view_transform = "Standard"
    plain = bake_view_transform(scene)
    settings.use_curve_mapping = True
    settings.curve_mapping.curves[3].points.new(0.3, 0.6)
    settings.curve_mapping.update()
    curved = bake_view_transform(scene)
    assert curved.apply([0.3, 0.3, 0.3])[0] > plain.apply([0.3, 0.3, 0.3])[0] + 0.1
    assert errors_in_bytes(scene, random_colours(-0.1)).max() < 1.0


def test_the_scene_and_the_file_are_as_before(scene):
    output = scene.render.image_settings
    output.file_format = "JPEG"
    output.quality = 37
    output.color_mode = "BW"
    scene.view_settings.exposure = 0.25
    before = {name: set(getattr(bpy.data, name).keys()) for name in ("images", "scenes", "textures", "node_groups")}
    baked = bake_view_transform(scene)
    assert (output.file_format, output.quality, output.color_mode) == ("JPEG", 37, "BW")
    assert {name: set(getattr(bpy.data, name).keys()) for name in before} == before
    assert (baked.view, baked.exposure, baked.display) == ("AgX", 0.25, "sRGB")


def test_the_key_changes_with_the_view_transform_alone(scene):
    settings = scene.view_settings
    key = view_transform_key(scene)
    scene.render.resolution_x += 10
    scene.frame_set(7)
    assert view_transform_key(scene) == key

    def changed() -> bool:
        nonlocal key
        before, key = key, view_transform_key(scene)
        return before != key

    settings.exposure = 0.5
    assert changed()
    settings.view_transform = "Filmic"
    assert changed()
    settings.look = "High Contrast"
    assert changed()
    settings.use_curve_mapping = True
    assert changed()
    settings.curve_mapping.curves[0].points[0].location = (0.0, 0.2)
    assert changed()
    assert not changed()
