# SPDX-License-Identifier: GPL-3.0-or-later
"""The sample scenes: small files that need nothing else, and that their scripts make again."""

from __future__ import annotations

import importlib
import itertools
from collections import Counter
from pathlib import Path

import bpy
import numpy as np
import pytest

from radiance_twin.core.classes import class_of

SCENES = Path(__file__).resolve().parents[2] / "sample_scenes"
NAMES = ("still_life", "glass_and_metal", "courtyard")


def open_sample(name: str) -> bpy.types.Scene:
    bpy.ops.wm.open_mainfile(filepath=str(SCENES / f"{name}.blend"))
    return bpy.context.scene


def described() -> dict[str, tuple[str, str, int, str]]:
    """What stands in the open file: every object's kind, collection, number of points and class by its name."""
    return {
        thing.name: (thing.type, thing.users_collection[0].name, points(thing), thing.get("class", ""))
        for thing in bpy.data.objects
    }


def points(thing: bpy.types.Object) -> int:
    if thing.type == "MESH":
        return len(thing.data.vertices)
    return sum(len(spline.points) for spline in thing.data.splines) if thing.type == "CURVE" else 0


@pytest.mark.parametrize("name", NAMES)
def test_is_a_small_file_that_stands_alone_and_renders(name: str) -> None:
    assert (SCENES / f"{name}.blend").stat().st_size < 2_000_000
    scene = open_sample(name)
    assert bpy.data.version[:2] == (4, 5)  # the oldest Blender that is to open it has saved it
    assert scene.camera is not None and scene.camera.type == "CAMERA"
    assert scene.render.engine == "CYCLES"
    assert scene.view_settings.view_transform == "AgX"
    assert [thing for thing in scene.objects if thing.type in ("MESH", "CURVE") and not thing.hide_render]
    assert not bpy.data.libraries and not bpy.data.texts and not bpy.data.fonts
    assert not [image for image in bpy.data.images if image.source == "FILE"]
    drivers = [thing for thing in bpy.data.objects if thing.animation_data and thing.animation_data.drivers]
    assert not drivers
    lamps = [thing for thing in scene.objects if thing.type == "LIGHT" and thing.data.type == "AREA"]
    assert not any(lamp.visible_camera for lamp in lamps)  # cameras stand all around: none may see a lamp


@pytest.mark.parametrize("name", NAMES)
def test_the_script_makes_the_same_objects_again(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    open_sample(name)
    saved = described()
    monkeypatch.syspath_prepend(str(SCENES))
    importlib.import_module(f"build_{name}").build()
    assert described() == saved


@pytest.mark.parametrize(
    ("name", "some"),
    [
        ("still_life", {"Orange": 3, "Book": 12, "Vase": 1}),
        ("glass_and_metal", {"Marble": 6, "Pot": 4, "Goblet": 1}),
        ("courtyard", {"Column": 32, "Shutter": 24, "Orange tree": 12}),
    ],
)
def test_what_is_there_more_than_once_is_one_class(name: str, some: dict[str, int]) -> None:
    scene = open_sample(name)
    seen = [thing for thing in scene.objects if thing.type in ("MESH", "CURVE")]
    classes = Counter(class_of([], thing.name, thing.get("class", "")) for thing in seen)
    assert {one: classes[one] for one in some} == some
    assert not [one for one in classes if one[-1].isdigit()]  # "Orange 2" would be a class of its own


def test_the_courtyards_camera_walks_inside() -> None:
    scene = open_sample("courtyard")
    steps = []
    for frame in range(scene.frame_start, scene.frame_end + 1):
        scene.frame_set(frame)
        steps.append(scene.camera.matrix_world.translation.copy())
    assert len(steps) == 48
    lengths = [(b - a).length for a, b in itertools.pairwise(steps)]
    assert 3 < sum(lengths) < 12 and max(lengths) < 0.3  # metres: a walk without a jump
    assert all(max(abs(step.x), abs(step.y)) < 4 and 1.4 < step.z < 2 for step in steps)


def test_still_life_is_bright_on_a_transparent_film(tmp_path: Path) -> None:
    scene = open_sample("still_life")
    scene.render.film_transparent = True
    scene.render.resolution_x = scene.render.resolution_y = 32
    scene.cycles.samples = 1
    scene.cycles.use_denoising = False
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_mode = "RGBA"
    scene.render.filepath = str(tmp_path / "view.png")
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(scene.render.filepath)
    rgba = np.empty(32 * 32 * 4, np.float32)
    image.pixels.foreach_get(rgba)
    rgba = rgba.reshape(32, 32, 4)
    assert rgba[[0, 0, -1, -1], [0, -1, 0, -1], 3].max() == 0
    seen = rgba[..., 3] > 0.5
    assert 0.2 < seen.mean() < 0.8  # the composition fills the picture
    assert 0.25 < rgba[seen][:, :3].mean() < 0.75
