# SPDX-License-Identifier: GPL-3.0-or-later
"""The doctor's tests of the shaders: well where they are, and not where they are not."""

from __future__ import annotations

import bpy
import numpy as np
import pytest

from radiance_twin.addon.view_transform import bake_view_transform
from radiance_twin.addon.viewport import self_test


@pytest.mark.parametrize("view", ["Standard", "AgX", "Filmic"])
def test_colours_are_those_of_numpy(gpu, view):
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.scene.view_settings.view_transform = view
    assert self_test.colour_error(bake_view_transform(bpy.context.scene)) < 0.5


def test_rays_end_where_the_scene_is(gpu):
    assert self_test.depth_error() < 2e-3


def test_a_shader_that_is_wrong_is_found_out(gpu, monkeypatch):
    bpy.ops.wm.read_factory_settings(use_empty=True)
    baked = bake_view_transform(bpy.context.scene)
    drawn = self_test.show

    def darker(picture, rectangle, size, textures, overlay):
        drawn(picture, rectangle, size, textures, True)  # encoded once too often

    monkeypatch.setattr(self_test, "show", darker)
    assert self_test.colour_error(baked) > 5.0
    # a depth buffer that says one percent too far
    monkeypatch.setattr(self_test, "depth_texture", lambda plane: _texture(np.float32(moved(plane, 1.01))))
    assert self_test.depth_error() == pytest.approx(0.01, abs=3e-3)


def _texture(plane):
    from radiance_twin.addon.viewport.depth import depth_texture

    return depth_texture(plane)


def moved(plane, times):
    """Depth-buffer values of what is `times` as far away."""
    near, far = self_test.NEAR, self_test.FAR
    distance = 2 * far * near / (far + near - (plane.astype(np.float64) * 2.0 - 1.0) * (far - near)) * times
    return ((far + near) / (far - near) - 2 * far * near / ((far - near) * distance)) * 0.5 + 0.5
