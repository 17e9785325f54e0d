# SPDX-License-Identifier: GPL-3.0-or-later
"""F12 by the engine Radiance Twin: pixel for pixel what `radiance-twin view` writes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from mathutils import Matrix, Vector

import radiance_twin
from radiance_twin.addon import compat, engine
from radiance_twin.addon.jobs import viewer
from radiance_twin.addon.jobs.frames import View
from radiance_twin.addon.studio.cameras import intrinsics_of, lens_of, pose_of
from radiance_twin.addon.view_transform import bake_view_transform
from radiance_twin.addon.viewport.twin import settings_of
from radiance_twin.core.cameras import look_at
from radiance_twin.core.errors import Cancelled
from radiance_twin.core.processes import BOOTSTRAP

SIZE = (48, 36)


@pytest.fixture(scope="module")
def extension() -> Iterator[None]:
    """Registered once: the server that one test has started serves the others."""
    bpy.ops.wm.read_factory_settings()
    radiance_twin.register()
    yield
    radiance_twin.unregister()
    assert viewer.process_id() is None


@pytest.fixture
def scene(extension: None, tiny_twin: Path, worker_python: str, monkeypatch: pytest.MonkeyPatch) -> bpy.types.Scene:
    """The twin at home, seen by a camera that looks down at it."""
    monkeypatch.setenv("RADIANCE_TWIN_PYTHON", worker_python)
    # unlike factory settings this leaves Blender's temporary folder, and the frames in it
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    scene = bpy.context.scene
    scene.render.engine = engine.ENGINE
    scene.render.resolution_x, scene.render.resolution_y = SIZE
    scene.radiance_twin.device = "cpu"
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    camera.matrix_world = Matrix(look_at((2.0, -2.2, 1.6), (0.0, 0.0, 0.35)).tolist())
    scene.collection.objects.link(camera)
    scene.camera = camera
    add(scene, tiny_twin)
    return scene


def add(scene: bpy.types.Scene, tiny_twin: Path, matrix: Any = None) -> bpy.types.Object:
    thing = bpy.data.objects.new("Twin", None)
    settings_of(thing).filepath = str(tiny_twin)
    thing.matrix_world = Matrix.Identity(4) if matrix is None else Matrix(np.asarray(matrix).tolist())
    scene.collection.objects.link(thing)
    bpy.context.view_layer.update()
    return thing


def render(scene: bpy.types.Scene, path: Path) -> dict[str, np.ndarray]:
    """The scene's F12 by name of pass, [H, W, channels], through an EXR that another reader opens."""
    bpy.utils.expose_bundled_modules()
    import OpenImageIO

    compat.use_multilayer_exr(scene.render.image_settings)
    scene.render.image_settings.color_depth = "32"
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    return read(OpenImageIO, path)


def read(oiio: Any, path: Path) -> dict[str, np.ndarray]:
    source = oiio.ImageInput.open(str(path))
    assert source is not None, path
    found: dict[str, list[Any]] = {}
    part = 0
    while source.seek_subimage(part, 0):
        spec = source.spec()
        pixels = source.read_image(part, 0, 0, spec.nchannels, oiio.FLOAT)
        for index, name in enumerate(spec.channelnames):
            *layer, letter = name.split(".")
            found.setdefault(layer[-1] if layer else "plain", []).append(("RGBAZ".find(letter), pixels[..., index]))
        part += 1
    source.close()
    return {
        name: np.stack([one for _, one in sorted(channels, key=lambda c: c[0])], -1) for name, channels in found.items()
    }


@pytest.fixture
def looked_at(tiny_twin: Path, worker_python: str, tmp_path: Path) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """What the command line renders of the twin from a camera: rgba and depth."""

    def look(camera_to_world: Any, intrinsics: Any, size: Any) -> tuple[np.ndarray, np.ndarray]:
        bpy.utils.expose_bundled_modules()
        import OpenImageIO

        words = {"camera_to_world": np.asarray(camera_to_world).tolist(), "intrinsics": list(intrinsics), "size": size}
        camera, picture = tmp_path / "camera.json", tmp_path / "expected.exr"
        camera.write_text(json.dumps(words))
        command = [worker_python, "-s", str(BOOTSTRAP), "core.cli", "view", str(tiny_twin), "--camera", str(camera)]
        subprocess.run([*command, "-o", str(picture), "--device", "cpu"], check=True, capture_output=True)
        pixels = read(OpenImageIO, picture)["plain"]
        return pixels[..., :4], pixels[..., 4]

    return look


def of_the_scenes_camera(scene: bpy.types.Scene, size: Any) -> tuple[Any, Any, Any]:
    return pose_of(scene.camera), intrinsics_of(lens_of(scene.camera), scene, size), size


def test_f12_is_what_the_field_shows(scene, looked_at, tmp_path):
    # a sensor that is fitted, shifted and has pixels that are not square
    data = scene.camera.data
    data.sensor_fit, data.shift_x, data.shift_y, data.lens = "VERTICAL", 0.05, -0.03, 35.0
    scene.render.pixel_aspect_x = 1.25
    scene.render.resolution_percentage = 150
    bpy.context.view_layer.use_pass_z = True
    passes = render(scene, tmp_path / "f12.exr")
    size = (72, 54)
    rgba, depth = looked_at(*of_the_scenes_camera(scene, size))
    combined = passes["Combined"]
    assert combined.shape == (54, 72, 4)
    shown = [bake_view_transform(scene).apply(one[..., :3]) for one in (combined, rgba)]
    assert np.abs(shown[0] - shown[1]).max() < 1 / 255
    assert np.abs(combined - rgba).max() < 1e-3
    assert 0.1 < (rgba[..., 3] > 0.5).mean() < 0.9
    z = passes["Depth"][..., 0]
    assert ((z > 1e9) == (depth == 0.0)).all()
    assert np.abs(z - depth)[depth > 0].max() < 1e-3


def test_a_region_is_the_same_part_of_the_picture(scene, tmp_path):
    whole = render(scene, tmp_path / "whole.exr")["Combined"]
    scene.render.use_border = scene.render.use_crop_to_border = True
    scene.render.border_min_x, scene.render.border_max_x = 0.25, 0.8
    scene.render.border_min_y, scene.render.border_max_y = 0.4, 0.9
    part = render(scene, tmp_path / "part.exr")["Combined"]
    left, top = int(0.25 * 48), 36 - int(np.float32(0.9) * 36)
    height, width = part.shape[:2]
    assert (width, height) == (int(np.float32(0.8) * 48) - left, int(np.float32(0.9) * 36) - int(np.float32(0.4) * 36))
    assert np.abs(part - whole[top : top + height, left : left + width]).max() < 2e-3
    # without cropping the same pixels stand in a whole picture that is empty elsewhere
    scene.render.use_crop_to_border = False
    framed = render(scene, tmp_path / "framed.exr")["Combined"]
    assert framed.shape == whole.shape
    assert np.abs(framed[top : top + height, left : left + width] - part).max() < 1e-6
    framed[top : top + height, left : left + width] = 0.0
    assert framed.max() == 0.0


def test_two_twins_hide_each_other_by_depth(scene, tiny_twin, tmp_path):
    one = render(scene, tmp_path / "one.exr")["Combined"]
    away = pose_of(scene.camera)[:3, 2] * -3.0 + pose_of(scene.camera)[:3, 0] * 0.8
    behind = np.eye(4)
    behind[:3, 3] = away
    far = add(scene, tiny_twin, behind)
    both = render(scene, tmp_path / "both.exr")["Combined"]
    solid = one[..., 3] > 0.999
    assert np.abs(both - one)[solid].max() < 0.01, "the one behind does not show through"
    assert both[..., 3].sum() > one[..., 3].sum() + 5
    # the same when they change their order in the scene
    scene.collection.objects.unlink(far)
    first = next(thing for thing in scene.objects if thing.type == "EMPTY")
    scene.collection.objects.unlink(first)
    for thing in (far, first):
        scene.collection.objects.link(thing)
    assert np.abs(render(scene, tmp_path / "again.exr")["Combined"] - both).max() < 1e-5
    far.hide_render = True
    assert np.abs(render(scene, tmp_path / "hidden.exr")["Combined"] - one).max() < 1e-5


def test_instances_are_rendered_where_blender_has_them(scene, tmp_path):
    """A collection instance and a linked duplicate each show what the object itself would show there."""
    (twin,) = (thing for thing in scene.objects if thing.type == "EMPTY")
    place = Matrix(look_at((0.3, -0.2, 0.1), (0.0, 0.5, 0.2)).tolist())
    at_home = render(scene, tmp_path / "home.exr")["Combined"]
    twin.matrix_world = place
    expected = render(scene, tmp_path / "moved.exr")["Combined"]
    assert np.abs(expected - at_home).max() > 0.1
    twin.matrix_world = Matrix.Identity(4)
    hidden = bpy.data.collections.new("Kept")
    hidden.objects.link(twin)
    scene.collection.objects.unlink(twin)
    instancer = bpy.data.objects.new("Instance", None)
    instancer.instance_type, instancer.instance_collection, instancer.matrix_world = "COLLECTION", hidden, place
    scene.collection.objects.link(instancer)
    assert np.abs(render(scene, tmp_path / "instance.exr")["Combined"] - expected).max() < 1e-3
    bpy.data.objects.remove(instancer)
    duplicate = twin.copy()
    scene.collection.objects.link(duplicate)
    duplicate.matrix_world = place
    assert np.abs(render(scene, tmp_path / "duplicate.exr")["Combined"] - expected).max() < 1e-3


def test_an_animation_moves_the_twin_and_the_camera(scene, tmp_path):
    bpy.utils.expose_bundled_modules()
    import OpenImageIO

    thing = next(thing for thing in scene.objects if thing.type == "EMPTY")
    for frame, x in ((1, 0.0), (2, 0.4)):
        for moved in (thing, scene.camera):
            moved.location.x = x + (2.0 if moved is scene.camera else 0.0)
            moved.keyframe_insert("location", frame=frame)
    scene.frame_start, scene.frame_end = 1, 2
    compat.use_multilayer_exr(scene.render.image_settings)
    scene.render.filepath = str(tmp_path / "frame_")
    bpy.ops.render.render(animation=True)
    first, second = (read(OpenImageIO, tmp_path / f"frame_000{n}.exr")["Combined"] for n in (1, 2))
    # both moved alike: the same picture
    assert first[..., 3].sum() > 100
    assert np.abs(first - second).mean() < 2e-3
    # and the twin alone: another one
    scene.camera.animation_data_clear()
    scene.frame_set(2)
    assert np.abs(render(scene, tmp_path / "moved.exr")["Combined"] - first).mean() > 2e-2


def test_an_orthographic_camera_from_near_and_far_renders_the_same(scene, tmp_path):
    """Parallel rays: only depth tells how far away it stands. From very far a long lens sees the same."""
    camera = scene.camera
    camera.data.type, camera.data.ortho_scale = "ORTHO", 2.4
    bpy.context.view_layer.use_pass_z = True
    near = render(scene, tmp_path / "near.exr")
    assert (near["Combined"][..., 3] > 0.5).mean() > 0.05
    backward = camera.matrix_world.to_3x3() @ Vector((0.0, 0.0, 1.0))
    camera.location += 2.0 * backward
    bpy.context.view_layer.update()
    far = render(scene, tmp_path / "far.exr")
    assert np.abs(far["Combined"] - near["Combined"]).mean() < 1e-3
    seen = (near["Depth"] < 1e9) & (far["Depth"] < 1e9)
    assert np.median(far["Depth"][seen] - near["Depth"][seen]) == pytest.approx(2.0, abs=1e-2)
    distance = (camera.matrix_world.translation - Vector((0.0, 0.0, 0.35))).length
    camera.location += 398.0 * backward
    camera.data.type, camera.data.clip_end = "PERSP", 2000.0
    camera.data.lens = camera.data.sensor_width * (distance + 398.0) / 2.4
    bpy.context.view_layer.update()
    long_lens = render(scene, tmp_path / "long.exr")
    assert np.abs(long_lens["Combined"] - near["Combined"]).mean() < 1e-2


def test_without_twins_the_picture_is_empty(scene, tmp_path, monkeypatch):
    monkeypatch.setattr(viewer, "ask", None)  # nobody is asked
    for thing in [thing for thing in scene.objects if thing.type == "EMPTY"]:
        thing.hide_render = True
    assert render(scene, tmp_path / "empty.exr")["Combined"].max() == 0.0


def test_what_is_missing_is_told_in_one_line(scene, tmp_path, monkeypatch):
    scene.camera.data.type = "PANO"
    with pytest.raises(RuntimeError, match="no perspective or orthographic camera"):
        render(scene, tmp_path / "x.exr")
    scene.camera.data.type = "PERSP"
    scene.render.use_multiview = True
    with pytest.raises(RuntimeError, match="rendered for one eye"):
        render(scene, tmp_path / "x.exr")
    scene.render.use_multiview = False
    thing = next(thing for thing in scene.objects if thing.type == "EMPTY")
    settings_of(thing).filepath = str(tmp_path / "none.twin")
    with pytest.raises(RuntimeError, match="is not there"):
        render(scene, tmp_path / "x.exr")
    monkeypatch.delenv("RADIANCE_TWIN_PYTHON")
    with pytest.raises(RuntimeError, match="Training needs a Python"):
        render(scene, tmp_path / "x.exr")


def test_a_render_that_is_stopped_leaves_the_server_to_the_next_one(scene):
    twin = engine.rendered_twins(bpy.context.evaluated_depsgraph_get())[0]

    def view(*size: int) -> View:
        return engine.view_of(twin, bpy.context.evaluated_depsgraph_get(), engine.Window(0, 0, size))

    assert viewer.wait(view(8, 8), lambda: False).complete
    process, until_stop = viewer.process_id(), iter([False] * 5)
    with pytest.raises(Cancelled):
        viewer.wait(view(2000, 1500), lambda: next(until_stop, True))
    assert not viewer.is_taken()
    answer = viewer.wait(view(8, 8), lambda: False)
    assert answer.complete and answer.seconds > 0.0 and viewer.process_id() == process


def test_a_server_that_dies_is_told_in_one_line_and_started_again(scene):
    window = engine.Window(0, 0, (1200, 900))
    depsgraph = bpy.context.evaluated_depsgraph_get()
    view = engine.view_of(engine.rendered_twins(depsgraph)[0], depsgraph, window)
    answer = viewer.ask(view)
    until(lambda: viewer.process_id() is not None)
    os.kill(viewer.process_id(), signal.SIGKILL)
    until(lambda: answer.ended)
    assert answer.problem.startswith("the worker ended unexpectedly (exit code -9); see ")
    assert viewer.process_id() is None
    small = engine.view_of(engine.rendered_twins(depsgraph)[0], depsgraph, engine.Window(0, 0, (8, 8)))
    assert viewer.wait(small, lambda: False).complete
    # a render by any other engine gets its memory
    bpy.utils.register_class(SomebodysEngine)
    scene.render.engine = SomebodysEngine.bl_idname
    scene.render.resolution_x = scene.render.resolution_y = 4
    bpy.ops.render.render()
    bpy.utils.unregister_class(SomebodysEngine)
    assert viewer.process_id() is None


class SomebodysEngine(bpy.types.RenderEngine):
    bl_idname = "SOMEBODYS"
    bl_label = "Somebody's"

    def render(self, depsgraph):
        result = self.begin_result(0, 0, 4, 4)
        self.end_result(result)


def until(true: Callable[[], bool]) -> None:
    began = time.monotonic()
    while not true():
        viewer.hear()
        assert time.monotonic() - began < 30
        time.sleep(0.02)
