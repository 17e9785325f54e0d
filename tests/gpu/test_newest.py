# SPDX-License-Identifier: GPL-3.0-or-later
"""What only a newer Blender than that of the other tests says."""

from __future__ import annotations

import warnings

import bpy
import pytest

from radiance_twin.addon.studio.volume import glow_material, volume_material
from radiance_twin.addon.viewport.compare.stale import describe


def test_nothing_is_asked_that_the_next_blender_takes_away() -> None:
    bpy.ops.wm.read_factory_settings()
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        described = describe(bpy.context.scene, bpy.context.evaluated_depsgraph_get())
        made = glow_material("Glow", "Col"), volume_material("Volume")
    assert {"Cube", "Light"} <= described.keys()
    assert all(len(material.node_tree.nodes) > 2 for material in made)
    with pytest.warns(DeprecationWarning, match="Blender 6"):
        assert bpy.data.lights["Light"].use_nodes is not None, "this Blender says so"
