# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare This Frame: two slots, two images, and figures that numpy finds in those images too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from mathutils import Matrix

from radiance_twin.addon import engine
from radiance_twin.addon.compat import cycles_of, use_float_exr
from radiance_twin.addon.jobs import worker
from radiance_twin.addon.operators import compare_frame
from radiance_twin.addon.view_transform import bake_view_transform
from radiance_twin.addon.viewport.twin import settings_of
from radiance_twin.core.cameras import look_at

SIZE = (40, 30)


@pytest.fixture
def scene(extension: None, worker_python: str, monkeypatch: pytest.MonkeyPatch) -> bpy.types.Scene:
    """A cube where the twin's original stood, a camera, and settings that are not ours."""
    monkeypatch.setenv("RADIANCE_TWIN_PYTHON", worker_python)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    bpy.ops.mesh.primitive_cube_add(size=1.0, location=(0.0, 0.0, 0.35))
    cycles_of(scene).samples = 2
    cycles_of(scene).device = "CPU"
    scene.radiance_twin.device = "cpu"
    scene.render.resolution_x, scene.render.resolution_y = SIZE
    scene.view_settings.exposure = 0.5
    scene.world = bpy.data.worlds.new("World")
    scene.world.color = (0.3, 0.3, 0.3)
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    camera.matrix_world = Matrix(look_at((2.0, -2.2, 1.6), (0.0, 0.0, 0.35)).tolist())
    scene.collection.objects.link(camera)
    scene.camera = camera
    return scene


def add(scene: bpy.types.Scene, tiny_twin: Path) -> bpy.types.Object:
    thing = bpy.data.objects.new("Twin", None)
    settings_of(thing).filepath = str(tiny_twin)
    thing.location = (5.0, 0.0, 0.0)  # beside its original
    scene.collection.objects.link(thing)
    return thing


def pixels(image: bpy.types.Image) -> Any:
    values = np.empty(SIZE[0] * SIZE[1] * 4, np.float32)
    image.pixels.foreach_get(values)
    return values.reshape(SIZE[1], SIZE[0], 4)


def test_the_pair_and_its_figures(scene: bpy.types.Scene, tiny_twin: Path, tmp_path: Path) -> None:
    add(scene, tiny_twin)
    scene.render.use_multiview = scene.render.use_stamp = True
    names = ("engine", "film_transparent", "use_compositing", "use_multiview", "use_stamp")
    before = {name: getattr(scene.render, name) for name in names}
    formats = scene.render.image_settings.file_format, scene.render.image_settings.color_depth
    assert bpy.ops.radiance_twin.compare_frame() == {"FINISHED"}, compare_frame.problem()
    assert {name: getattr(scene.render, name) for name in before} == before
    assert (scene.render.image_settings.file_format, scene.render.image_settings.color_depth) == formats
    assert engine.instead is None
    classic, neural = (compare_frame.frame_image(side) for side in ("classic", "neural"))
    assert classic is not None and neural is not None and classic.packed_file and neural.packed_file
    assert [image.name for image in (classic, neural)] == ["This Frame, Classic", "This Frame, Neural"]
    light = [pixels(image) for image in (classic, neural)]
    # the twin is rendered at home, where the cube stands, on the same transparent film
    for one in light:
        assert one[15, 20, 3] > 0.9 and one[-1, 0, 3] == 0.0
    job = worker.last("measure_frame")
    assert job is not None and job.result is not None
    shown = [np.rint(bake_view_transform(scene).apply(one[..., :3]) * 255.0) for one in light]
    psnr = 10 * np.log10(255.0**2 / np.mean((shown[0] - shown[1]) ** 2))
    assert job.result["psnr"] == pytest.approx(psnr, abs=0.02)
    assert 5.0 < psnr < 25.0 and 0.0 < job.result["flip"] < 1.0 and job.result["size"] == list(SIZE)
    assert job.outcome == (
        f"This frame: {job.result['psnr']:.2f} dB, SSIM {job.result['ssim']:.3f}, FLIP {job.result['flip']:.3f}"
    )
    # J flips between the two in the Image Editor
    scene.render.use_multiview = False
    result = bpy.data.images["Render Result"]
    use_float_exr(scene.render.image_settings)
    for slot, expected in enumerate(light):
        result.render_slots.active_index = slot
        path = str(tmp_path / f"slot_{slot}.exr")
        result.save_render(path, scene=scene)
        assert np.array_equal(pixels(bpy.data.images.load(path)), expected)
    # again: the pair is replaced, not doubled
    count = len(bpy.data.images)
    assert bpy.ops.radiance_twin.compare_frame() == {"FINISHED"}
    assert len(bpy.data.images) == count


def test_what_it_lacks(scene: bpy.types.Scene, tiny_twin: Path, tmp_path: Path) -> None:
    assert compare_frame.why_not(bpy.context) == "Select the twin to compare"
    thing = add(scene, tmp_path / "none.twin")
    with pytest.raises(RuntimeError, match=r"none\.twin does not exist"):
        bpy.ops.radiance_twin.compare_frame()
    assert scene.render.engine != engine.ENGINE
    settings_of(thing).filepath = str(tiny_twin)
    scene.camera = None
    assert compare_frame.why_not(bpy.context) == "The scene has no perspective or orthographic camera"
