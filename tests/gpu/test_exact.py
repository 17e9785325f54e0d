# SPDX-License-Identifier: GPL-3.0-or-later
"""The field itself in the viewport: what is drawn is the worker's frame, among what else is in the view."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bpy
import numpy as np
import pytest
from mathutils import Matrix

import radiance_twin
from radiance_twin.addon import exact_frames
from radiance_twin.addon.jobs import viewer
from radiance_twin.addon.jobs.frames import Answer, View
from radiance_twin.addon.viewport import badge, exact
from radiance_twin.addon.viewport import draw as drawing
from radiance_twin.addon.viewport.compare import view as comparing
from radiance_twin.addon.viewport.compare.sides import compose, new_sides, read_pixels
from radiance_twin.addon.viewport.depth import depth_texture
from radiance_twin.addon.viewport.draw import draw, place
from radiance_twin.addon.viewport.march import PlacedTwin, Rectangle, march, new_picture
from radiance_twin.addon.viewport.pictures import Pictures, march_what_is_due
from radiance_twin.addon.viewport.twin import bake_of, settings_of
from radiance_twin.core.cameras import look_at
from radiance_twin.core.colour import standard_view_transform
from radiance_twin.core.twin_file import Twin

SIZE = (160, 120)
CAMERA = look_at((2.0, -2.2, 1.6), (0.0, 0.0, 0.35))
INTRINSICS = (190.0, 190.0, 80.0, 60.0)
REGION = 1


@pytest.fixture(scope="module")
def registered(gpu: Any) -> Iterator[None]:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    radiance_twin.register()
    yield
    radiance_twin.unregister()


@pytest.fixture
def thing(registered: None, tiny_twin: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[bpy.types.Object]:
    monkeypatch.setenv("RADIANCE_TWIN_PYTHON", os.environ.get("RADIANCE_TWIN_PYTHON") or sys.executable)
    monkeypatch.setattr(exact_frames, "SECONDS_AFTER_A_CRASH", 0.0)
    bpy.context.scene.radiance_twin.device = "cpu"
    thing = bpy.data.objects.new("Twin", None)
    settings_of(thing).filepath = str(tiny_twin)
    thing.matrix_world = Matrix.Translation((0.3, 0.1, 0.0))
    bpy.context.scene.collection.objects.link(thing)
    bpy.context.view_layer.update()
    yield thing
    bpy.data.objects.remove(thing)
    exact.forget_wishes()


def wish(thing: bpy.types.Object, projection: Any, camera: Any = CAMERA) -> tuple[PlacedTwin, exact.Wish]:
    """As each redraw of a region does."""
    placed = place(thing)
    assert placed is not None
    found = exact.wish_of(thing, placed, REGION, np.linalg.inv(camera), projection, SIZE)
    assert found is not None
    return placed, found


def until_complete(one: exact.Wish) -> None:
    began = time.monotonic()
    while not one.complete:
        exact_frames.step()
        assert time.monotonic() - began < 60 and not one.problem, one.problem
        time.sleep(0.02)


def words(thing: bpy.types.Object) -> str:
    bake = bake_of(thing)
    assert bake is not None
    return badge.in_words(bake, exact.wishes_of(REGION), 1)


def test_a_view_that_rests_shows_the_workers_frame(thing, marched, projection_of):
    projection = projection_of(INTRINSICS, SIZE)
    placed, wished = wish(thing, projection)
    assert wished.layer() is None
    assert re.match(r"Bake · \d+\.\d dB, field \d+\.\d dB · ", words(thing)), words(thing)
    exact_frames.step()
    assert viewer.process_id() is None, "nothing is asked before the view rests"
    bake = marched([placed], np.linalg.inv(CAMERA), projection, SIZE)
    until_complete(wished)
    field = marched([replace(placed, layer=wished.layer())], np.linalg.inv(CAMERA), projection, SIZE)
    view = View(
        wished.twin, CAMERA, np.array(INTRINSICS), SIZE, np.array(thing.matrix_world), behind=False, device="cpu"
    )
    rgba = viewer.wait(view, lambda: False).rgba
    assert rgba is not None
    # the rectangle of the twin was asked for; rays start between the same pixels to within float32
    shown = standard_view_transform().apply(field[..., :3]), standard_view_transform().apply(rgba[..., :3])
    assert np.abs(shown[0] - shown[1]).max() < 1 / 255
    assert np.abs(field[..., 3] - rgba[..., 3]).max() < 4e-3
    assert 0.1 < (rgba[..., 3] > 0.5).mean() < 0.9
    # the bake is of the same thing, but not the same
    assert 1e-4 < np.abs(bake - field).mean() < 0.1
    assert words(thing).startswith("Field · ") and words(thing).endswith(" ms")


def test_twins_that_are_hidden_or_not_compared_wish_nothing(thing, projection_of, monkeypatch):
    other = thing.copy()
    bpy.context.scene.collection.objects.link(other)
    bpy.context.view_layer.update()
    context = view_of_both(projection_of(INTRINSICS, SIZE))
    for module in (drawing, comparing):
        monkeypatch.setattr(module, "screen_rectangle", lambda *_: None)  # nothing is marched here
    drawing._draw_context(context)
    assert len(exact.wishes_of(REGION)) == 2
    other.hide_set(True)
    drawing._draw_context(context)
    assert len(exact.wishes_of(REGION)) == 1
    other.hide_set(False)
    drawing._draw_context(context)
    comparing._march(context, SIZE)
    assert len(exact.wishes_of(REGION)) == 1
    bpy.data.objects.remove(other)


def view_of_both(projection: Any) -> Any:
    """A 3D view as a redraw finds it."""
    areas = (area for screen in bpy.data.screens for area in screen.areas)
    space: Any = next(area.spaces.active for area in areas if area.type == "VIEW_3D")
    space.overlay.show_overlays = False
    return SimpleNamespace(
        space_data=space,
        region=SimpleNamespace(as_pointer=lambda: REGION, width=SIZE[0], height=SIZE[1]),
        region_data=SimpleNamespace(view_matrix=np.linalg.inv(CAMERA), window_matrix=projection),
        view_layer=bpy.context.view_layer,
        scene=bpy.context.scene,
        workspace=bpy.data.workspaces[0],
    )


def test_moving_goes_back_to_the_bake_at_once(thing, projection_of):
    projection = projection_of(INTRINSICS, SIZE)
    _, still = wish(thing, projection)
    until_complete(still)
    assert still.layer() is not None
    _, same = wish(thing, projection)
    assert same is still
    _, moved = wish(thing, projection, look_at((2.0, -2.1, 1.6), (0.0, 0.0, 0.35)))
    assert moved.layer() is None and not moved.complete and words(thing).startswith("Bake")
    thing.location.x += 0.1
    bpy.context.view_layer.update()
    _, carried = wish(thing, projection)
    assert carried.layer() is None
    settings_of(thing).exact_frame = False
    placed = place(thing)
    assert exact.wish_of(thing, placed, REGION, np.linalg.inv(CAMERA), projection, SIZE) is None
    assert not exact.wishes_of(REGION)


def test_it_hides_and_is_hidden_as_the_bake_is(thing, marched, projection_of):
    projection = projection_of(INTRINSICS, SIZE)
    placed, wished = wish(thing, projection)
    until_complete(wished)
    exactly = replace(placed, layer=wished.layer())
    view = np.linalg.inv(CAMERA)
    whole = marched([exactly], view, projection, SIZE)
    # a wall before the twin's left half, another one behind it
    depth = np.full(SIZE[::-1], depth_value(projection, 50.0), np.float32)
    depth[:, :80] = depth_value(projection, 0.5)
    for one, tolerance in ((placed, 2e-3), (exactly, 2e-3)):
        free = marched([one], view, projection, SIZE)
        cut = marched([one], view, projection, SIZE, depth)
        assert cut[:, :79].max() == 0.0
        assert np.abs(cut[:, 82:] - free[:, 82:]).max() < tolerance
    assert whole[:, :79, 3].max() > 0.9
    # a wall through its middle hides about as much of both
    middle = np.full(SIZE[::-1], depth_value(projection, 3.2), np.float32)
    shares = [(marched([one], view, projection, SIZE, middle)[..., 3] > 0.5).mean() for one in (placed, exactly)]
    assert abs(shares[0] - shares[1]) < 0.05 * (whole[..., 3] > 0.5).mean() + 0.01


def depth_value(projection: Any, distance: float) -> float:
    """What a depth buffer holds at a distance along the axis."""
    clip = projection @ (0.0, 0.0, -distance, 1.0)
    return float(0.5 * clip[2] / clip[3] + 0.5)


@pytest.mark.parametrize("ahead", [3.0, 0.1])
def test_orthographic_views_have_exact_frames_too(thing, marched, ahead):
    """Blender's orthographic viewports begin far behind the eye, which may be in the middle of the twin."""
    camera = look_at((2.0, -2.2, 1.6), (0.0, 0.0, 0.35))
    camera[:3, 3] = (0.3, 0.1, 0.35) + ahead * camera[:3, 2]
    view = np.linalg.inv(camera)
    projection = np.diag([1.0 / 1.3, SIZE[0] / SIZE[1] / 1.3, -1.0 / 50.0, 1.0])
    projection[0, 3], projection[1, 3] = 0.1, -0.05
    placed, wished = wish(thing, projection, camera)
    until_complete(wished)
    exactly = replace(placed, layer=wished.layer())
    bake, field = (marched([one], view, projection, SIZE) for one in (placed, exactly))
    assert 0.1 < (field[..., 3] > 0.5).mean() < 0.9
    assert 1e-4 < np.abs(bake - field).mean() < 0.05
    assert ((bake[..., 3] > 0.5) == (field[..., 3] > 0.5)).mean() > 0.97
    # a wall where the twin begins hides it, one through its middle hides about as much as of the bake
    for wall, rest in ((ahead - 1.5, 0.0), (ahead, None)):
        depth = np.full(SIZE[::-1], depth_value(projection, wall), np.float32)
        shares = [(marched([one], view, projection, SIZE, depth)[..., 3] > 0.5).mean() for one in (placed, exactly)]
        assert abs(shares[0] - shares[1]) < 0.05 * (field[..., 3] > 0.5).mean() + 0.01
        assert rest is None or max(shares) == rest


class Training:
    """A job that trains the twin at `path`, and answers every question at once with a grey of its own."""

    stage, title, fraction, figures = "train", "Train", 0.62, {"psnr": 27.44}
    expected = Twin({"world_from_field": np.eye(4).tolist()}, {})

    def __init__(self, path: Path) -> None:
        self.arguments = {"output": str(path)}
        self.asked: list[View] = []

    def ask(self, view: View) -> Answer:
        self.asked.append(view)
        width, height = view.size
        grey = np.full((height // 4, width // 4, 4), len(self.asked), np.float32)
        return Answer(view, grey, np.ones(grey.shape[:2], np.float32), complete=False, ended=True)


def test_a_twin_that_holds_the_world_fills_the_neural_side(thing, projection_of, monkeypatch):
    """Held against the render, what lies behind the scene is the field's own; among other objects it is left out."""
    monkeypatch.setattr(bake_of(thing), "behind", True)
    view_matrix, projection, half = np.linalg.inv(CAMERA), projection_of(INTRINSICS, SIZE), SIZE[0] // 2
    _, among_others = wish(thing, projection)
    assert not among_others.behind and among_others.rectangle != Rectangle(0, 0, *SIZE)
    placed = place(thing, at_home=True)
    held = exact.wish_of(thing, placed, REGION, view_matrix, projection, SIZE, at_home=True)
    assert held is not None and held.behind and held.rectangle == Rectangle(0, 0, *SIZE)
    # red in the left half, green sky in the right one
    rgba = np.zeros((SIZE[1], SIZE[0], 4), np.float32)
    rgba[:, :half], rgba[:, half:] = (1.0, 0.0, 0.0, 1.0), (0.0, 1.0, 0.0, 1.0)
    held.fulfil(rgba, np.where(rgba[..., 0] > 0.0, 2.0, 0.0).astype(np.float32), complete=True)
    placed = replace(placed, layer=held.layer())
    marched, nothing = new_picture(SIZE), np.ones(SIZE[::-1], np.float32)
    march([placed], view_matrix, projection, SIZE, held.rectangle, marched, depth_texture(nothing))
    sides = new_sides(np.full_like(rgba, 0.5))
    compose(sides, marched, held.rectangle, depth_texture(nothing))
    shown = read_pixels(sides.neural.framebuffer, held.rectangle)
    assert (shown == rgba).all(), "nothing of the render's own background is left"


def test_a_field_that_is_trained_is_refreshed_in_place(thing, tiny_twin, marched, projection_of, monkeypatch):
    training = Training(tiny_twin)
    asked_of_the_server = viewer.ask
    monkeypatch.setattr(viewer, "ask", None)  # nobody else is asked
    monkeypatch.setattr(exact_frames.worker, "training", lambda: training)
    projection, view = projection_of(INTRINSICS, SIZE), np.linalg.inv(CAMERA)
    placed, wished = wish(thing, projection)
    exact_frames.step()
    assert words(thing) == "Training · 62% · 27.4 dB · rendering the field"
    levels = []
    for frames in (1, 2):
        began = time.monotonic()
        while not (wished.is_shown and len(training.asked) > frames):
            exact_frames.step()
            assert time.monotonic() - began < 20 and not wished.complete
            time.sleep(0.02)
        levels.append(marched([replace(placed, layer=wished.layer())], view, projection, SIZE).max())
    assert levels[1] > levels[0] >= 1.0, "a newer frame takes the older one's place"
    assert wish(thing, projection)[1] is wished
    assert words(thing).startswith("Training · 62% · 27.4 dB · ") and words(thing).endswith(" s old")
    monkeypatch.setattr(viewer, "ask", asked_of_the_server)
    monkeypatch.setattr(exact_frames.worker, "training", lambda: None)
    until_complete(wished)
    assert words(thing).startswith("Field · "), "and in the end the trained field does"


def test_a_slow_gpu_shows_a_frame_at_once(thing, projection_of):
    projection = projection_of(INTRINSICS, SIZE)
    placed, wished = wish(thing, projection)
    until_complete(wished)
    exactly = replace(placed, layer=wished.layer())
    pictures = Pictures(seconds_per_pixel=1.0)
    nothing = np.ones((wished.rectangle.height, wished.rectangle.width), np.float32)
    view = np.linalg.inv(CAMERA)
    assert march_what_is_due(pictures, [exactly], view, projection, SIZE, wished.rectangle, nothing) is None
    assert pictures.best.size == (wished.rectangle.width, wished.rectangle.height)


def test_a_server_that_dies_leaves_the_bake_and_says_so(thing, projection_of):
    projection = projection_of(INTRINSICS, SIZE)
    _, first = wish(thing, projection)
    until_complete(first)
    _, wished = wish(thing, projection, look_at((2.2, -2.0, 1.6), (0.0, 0.0, 0.35)))
    process = viewer.process_id()
    assert process is not None
    os.kill(process, signal.SIGSTOP)  # it will not answer any more
    began = time.monotonic()
    while exact_frames._state.answer is None:
        exact_frames.step()
        assert time.monotonic() - began < 10
    os.kill(process, signal.SIGKILL)
    while not wished.problem:
        exact_frames.step()
        assert time.monotonic() - began < 10
        time.sleep(0.02)
    assert wished.layer() is None
    assert words(thing).endswith(" · the worker ended unexpectedly (exit code -9)")
    # another view, another try
    _, next_one = wish(thing, projection)
    until_complete(next_one)


def test_what_cannot_be_had_is_said(thing, projection_of, monkeypatch):
    projection = projection_of(INTRINSICS, SIZE)
    thing.scale = (1.0, 2.0, 1.0)
    bpy.context.view_layer.update()
    _, uneven = wish(thing, projection)
    began = time.monotonic()
    while not uneven.problem:
        exact_frames.step()
        assert time.monotonic() - began < 30
        time.sleep(0.02)
    assert "scaled unevenly" in words(thing)
    thing.scale = (1.0, 1.0, 1.0)
    settings_of(thing).use_crop = True
    bpy.context.view_layer.update()
    wish(thing, projection)
    assert words(thing).endswith("no field of a cropped twin")
    settings_of(thing).use_crop = False
    monkeypatch.delenv("RADIANCE_TWIN_PYTHON")
    wish(thing, projection, look_at((2.3, -2.0, 1.6), (0.0, 0.0, 0.35)))
    exact_frames.step()
    assert words(thing).endswith("no worker for the field")


def test_the_field_as_a_viewport_shows_it(gpu, thing, pixels_of, projection_of):
    """The whole way: frame, layer, view transform, framebuffer. The picture is left to be looked at."""
    projection = projection_of(INTRINSICS, SIZE)
    placed, wished = wish(thing, projection)
    until_complete(wished)
    shown = []
    for one in (placed, replace(placed, layer=wished.layer())):
        texture = gpu.types.GPUTexture(SIZE, format="RGBA32F")
        framebuffer = gpu.types.GPUFrameBuffer(color_slots=texture)
        with framebuffer.bind():
            framebuffer.clear(color=(0.2, 0.2, 0.2, 1.0))
            draw(np.linalg.inv(CAMERA), projection, SIZE, [one], standard_view_transform())
        shown.append(pixels_of(framebuffer, SIZE)[..., :3])
    folder = os.environ.get("RADIANCE_TWIN_PICTURES")
    if folder:
        np.save(Path(folder) / "bake_and_field.npy", np.concatenate(shown, axis=1))
    corner = shown[1][:5, :5]
    assert corner == pytest.approx(np.full_like(corner, 0.2), abs=1e-3)
    assert np.abs(shown[1] - 0.2).max() > 0.3
