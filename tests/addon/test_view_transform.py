# SPDX-License-Identifier: GPL-3.0-or-later
"""The baked view transform, against what Blender itself saves."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from numpy.typing import NDArray

import radiance_twin
from radiance_twin.addon import view_transform
from radiance_twin.addon.view_transform import bake_table, bake_view_transform, displayed, view_transform_key
from radiance_twin.core.colour import linear_to_srgb, matrix_stage
from radiance_twin.core.ocio import UnknownConfiguration

ROOT = Path(radiance_twin.__file__).parent


@pytest.fixture
def scene() -> Any:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    return bpy.context.scene


def random_colours(exposure: float = 0.0, side: int = 200) -> NDArray[np.float32]:
    """[side, side, 3]: a quarter of any colours there can be, negative ones and zeros among them; a quarter greyish;
    a half in the range of renders. From 12 stops below white to 10 above."""
    rng = np.random.default_rng(7)
    colours = np.exp2(rng.uniform(-12.0, 10.0, (side, side, 3)))
    any_sign = rng.choice([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, -1.0, 0.0], colours.shape)
    colours[: side // 4] *= any_sign[: side // 4]
    greyish = slice(side // 4, side // 2)
    colours[greyish] = colours[greyish, :, :1] * rng.uniform(0.2, 1.0, colours[greyish].shape)
    colours[side // 2 :] = np.exp2(rng.uniform(-8.0, 4.0, colours[side // 2 :].shape))
    return (colours * 2.0**-exposure).astype(np.float32)


def errors_in_bytes(scene: Any, colours: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    if colours is None:
        colours = random_colours(scene.view_settings.exposure)
    return np.abs(bake_view_transform(scene).apply(colours) - displayed(scene, colours)).max(axis=-1) * 255.0


def choose(scene: Any, view: str, look: str = "None", exposure: float = 0.0, gamma: float = 1.0) -> None:
    settings = scene.view_settings
    settings.view_transform, settings.look, settings.exposure, settings.gamma = view, look, exposure, gamma


def looks_of(view: str) -> list[str]:
    """Those that go with a view of Blender's own configuration, and make sense with it."""
    if view == "Raw":
        return ["None"]
    contrasts = ["Very High", "High", "Medium High", "Medium Low", "Low", "Very Low"]
    if view not in ("AgX", "False Color"):
        return ["None", *(f"{contrast} Contrast" for contrast in contrasts)]
    return [
        "None",
        *(f"{view} - {name}" for name in [*(f"{one} Contrast" for one in contrasts), "Punchy", "Greyscale"]),
    ]


@pytest.mark.parametrize("view", ["Standard", "Filmic", "Filmic Log", "AgX", "Khronos PBR Neutral", "Raw"])
def test_every_look_is_shown_as_blender_shows_it(scene, view):
    for index, look in enumerate(looks_of(view)):
        choose(scene, view, look, [0.0, 1.5, -2.0][index % 3], [1.0, 1.7, 0.8][index % 3])
        assert errors_in_bytes(scene).max() < 0.2, look


def test_false_color_is_shown_but_for_its_cliffs(scene):
    """Its curve jumps from colour to colour: rounding decides which one is met where it jumps."""
    for look in looks_of("False Color"):
        choose(scene, "False Color", look)
        errors = errors_in_bytes(scene)
        assert np.percentile(errors, 99.5) < 0.5, look
        assert errors.mean() < 0.02, look


@pytest.mark.parametrize("display", ["Display P3", "Rec.1886", "Rec.2020"])
@pytest.mark.parametrize("view", ["Standard", "AgX"])
def test_other_displays_are_shown_as_blender_saves_for_them(scene, display, view):
    scene.display_settings.display_device = display
    choose(scene, view, exposure=0.5)
    assert errors_in_bytes(scene).max() < 0.2


@pytest.mark.parametrize("view", ["Standard", "AgX"])
@pytest.mark.parametrize(("temperature", "tint"), [(4000.0, 10.0), (12000.0, -40.0)])
def test_the_white_balance_is_blenders(scene, view, temperature, tint):
    choose(scene, view, exposure=0.5)
    settings = scene.view_settings
    settings.use_white_balance = True
    settings.white_balance_temperature, settings.white_balance_tint = temperature, tint
    # huge components of opposite signs cancel but for their rounding, which is another one
    errors = errors_in_bytes(scene)
    assert np.percentile(errors, 99.9) < 0.1
    assert errors.max() < 2.0


def test_curves_are_those_of_blender(scene):
    choose(scene, "Standard")
    settings = scene.view_settings
    plain = bake_view_transform(scene)
    settings.use_curve_mapping = True
    mapping = settings.curve_mapping
    mapping.curves[3].points.new(0.3, 0.6)
    mapping.update()
    curved = bake_view_transform(scene)
    assert curved.apply([0.3, 0.3, 0.3])[0] > plain.apply([0.3, 0.3, 0.3])[0] + 0.1
    assert errors_in_bytes(scene).max() < 0.1
    choose(scene, "AgX", "AgX - Punchy")
    mapping.curves[0].points.new(0.4, 0.2)
    mapping.curves[2].points[1].location = (0.9, 1.0)
    mapping.black_level, mapping.white_level = (0.02, 0.0, 0.01), (0.9, 1.0, 1.5)
    mapping.update()
    assert np.percentile(errors_in_bytes(scene), 99.9) < 0.1
    mapping.extend = "HORIZONTAL"
    mapping.update()
    assert np.percentile(errors_in_bytes(scene), 99.9) < 0.1


@pytest.mark.skipif(not hasattr(bpy.data, "colorspace"), reason="working spaces came with Blender 5.0")
@pytest.mark.parametrize("space", ["ACEScg", "Linear Rec.2020"])
def test_a_file_may_have_another_working_space(scene, space):
    bpy.ops.wm.set_working_color_space(working_space=space)
    scene = bpy.context.scene
    scene.view_settings.use_white_balance = True
    scene.view_settings.white_balance_temperature = 5000.0
    for view in ("AgX", "Standard"):
        choose(scene, view)
        assert np.percentile(errors_in_bytes(scene), 99.9) < 0.1
    bpy.ops.wm.read_factory_settings(use_empty=True)


def test_what_cannot_be_read_becomes_a_table_that_blender_makes(scene, monkeypatch):
    def unknown(*_arguments: Any, **_options: Any) -> Any:
        raise UnknownConfiguration

    monkeypatch.setattr(view_transform, "view_stages", unknown)
    assert_is_the_table(scene)


def test_what_is_read_wrongly_becomes_a_table_that_blender_makes(scene, monkeypatch):
    """For example from a configuration in which the same words mean something else."""
    monkeypatch.setattr(view_transform, "view_stages", lambda *_arguments, **_options: (matrix_stage(0.5),))
    assert_is_the_table(scene)


def assert_is_the_table(scene: Any) -> None:
    renders = random_colours()[100:]
    for view, limit in (("Standard", 0.5), ("Filmic", 2.0), ("AgX", 8.0)):
        choose(scene, view, exposure=0.3)
        baked = bake_view_transform(scene)
        assert baked.to_metadata() == bake_table(scene).to_metadata()
        assert len(baked.stages[-1].values) == 65
        assert errors_in_bytes(scene, renders).max() < limit
        assert np.percentile(errors_in_bytes(scene, renders), 98) < 1.5


ALLOCATION = "<AllocationTransform> {allocation: lg2, vars: [-12.47393, 12.5260688117]}"
CUSTOM = """
import bpy, numpy as np, pathlib, runpy, sys
root = pathlib.Path(sys.argv[1])
runpy.run_path(str(root / "core" / "bootstrap.py"))["register"](root)
from radiance_twin.addon.view_transform import bake_view_transform, displayed
scene = bpy.context.scene
scene.view_settings.view_transform = "AgX"
colours = np.exp2(np.random.default_rng(0).uniform(-8, 4, (100, 100, 3))).astype(np.float32)
baked = bake_view_transform(scene)
errors = np.abs(baked.apply(colours) - displayed(scene, colours)) * 255
print("found", baked.stages[-1].kind, np.percentile(errors, 98), errors.max(), flush=True)
"""


@pytest.mark.parametrize(
    ("change", "last", "largest"),
    [
        # the same steps with other numbers are read
        (("[-12.47393, 12.5260688117]", "[-11.0, 13.0]"), "", 0.2),
        # and steps that we do not know are not
        ((ALLOCATION, "<LogAffineTransform> {base: 2, log_side_slope: 0.04, log_side_offset: 0.4989572}"), "table", 9),
    ],
)
def test_another_configuration_may_be_used(tmp_path, change, last, largest):
    own = Path(bpy.utils.resource_path("LOCAL"), "datafiles", "colormanagement")
    shutil.copytree(own, tmp_path / "other")
    path = tmp_path / "other" / "config.ocio"
    path.write_text(path.read_text("utf-8").replace(*change), "utf-8")
    environment = {**os.environ, "OCIO": str(path), "BLENDER_OCIO": str(path)}
    words = [sys.executable, "-c", CUSTOM, str(ROOT)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = next(line.split() for line in done.stdout.splitlines() if line.startswith("found"))
    assert (found[1] == "table") == (last == "table"), done.stdout
    assert float(found[2]) < 1.5
    assert float(found[3]) < largest


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
