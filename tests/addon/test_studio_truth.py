# SPDX-License-Identifier: GPL-3.0-or-later
"""Rendered depth, normals, indices and places of light against what can be computed by hand."""

from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest

from radiance_twin.addon import compat
from radiance_twin.addon.studio.render import render_views
from radiance_twin.core import cameras
from radiance_twin.core.dataset import staging
from radiance_twin.core.dataset.staging import Plan
from radiance_twin.core.reporting import QuietReporter

from .scenes import (
    add_ball,
    add_box,
    add_camera,
    add_object,
    animate,
    light_world,
    make_emitter,
    new_scene,
    read_exr,
    request,
    save,
)

# a ball above a slope through the origin
CENTRE, RADIUS = np.array([0.4, 0.0, 1.2]), 1.0
SLOPE = np.array([-0.2, 0.0, 1.0]) / np.linalg.norm([-0.2, 0.0, 1.0])


def render(tmp_path: Path, **settings: Any) -> tuple[Plan, list[dict[str, np.ndarray]], list[dict[str, np.ndarray]]]:
    """Save the scene and render it: the plan, the pictures of light, and the truth of each view."""
    scene = save(tmp_path / "scene.blend")
    render_views(request(scene, tmp_path / "views", **settings), QuietReporter())
    plan = staging.read_plan(tmp_path / "views")
    beauty, truth = (
        [read_exr(tmp_path / "views" / f"{view.name}.{part}.exr") for view in plan.views]
        for part in ("beauty", "truth")
    )
    return plan, beauty, truth


def rays_of(plan: Plan, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Origin [3], unit directions [H, W, 3] through the pixels' centres, and their cosine with the viewing axis."""
    view = plan.views[index]
    pose = np.array(view.camera_to_world)
    ways = cameras.ray_directions(pose, view.intrinsics, cameras.pixel_grid(*plan.resolution))
    return pose[:3, 3], ways, -ways @ pose[:3, 2]


def ball_and_slope(origin: np.ndarray, ways: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distance along each ray (infinite: a miss), normal, and object (1 ball, 2 slope) of the scene below."""
    b = ways @ (origin - CENTRE)
    inside = b**2 - (((origin - CENTRE) ** 2).sum() - RADIUS**2)
    ball = np.where(inside > 0, -b - np.sqrt(np.maximum(inside, 0)), np.inf)
    slope = -(origin @ SLOPE) / (ways @ SLOPE)
    at = origin + slope[..., None] * ways
    slope = np.where((slope > 0) & (np.abs(at[..., :2]) < 3).all(axis=-1), slope, np.inf)
    distance = np.minimum(ball, slope)
    with np.errstate(invalid="ignore"):
        on_ball = (origin + ball[..., None] * ways - CENTRE) / RADIUS
    normal = np.where((ball < slope)[..., None], on_ball, SLOPE)
    return distance, normal, np.where(ball < slope, 1, 2)


@pytest.mark.parametrize(
    ("resolution", "lens"),
    [
        ([40, 30], {"lens": 35.0}),
        ([30, 44], {"lens": 30.0, "sensor_fit": "HORIZONTAL", "shift_x": 0.1, "shift_y": -0.15}),
    ],
    ids=["landscape", "portrait with lens shift"],
)
def test_depth_normal_and_index_are_those_at_the_pixels_centres(
    tmp_path: Path, resolution: list[int], lens: dict[str, Any]
) -> None:
    scene = new_scene()
    add_ball("Ball", RADIUS, CENTRE, segments=128).pass_index = 1
    corners = [(x, y, 0.2 * x) for x, y in ((-3, -3), (3, -3), (3, 3), (-3, 3))]
    add_object("Slope", corners, [(0, 1, 2, 3)]).pass_index = 2
    camera = add_camera((4.0, -5.0, 4.0), (0.95, 0.05, 0.7), **lens)
    animate(camera, "location", (4.0, -5.0, 4.0), (3.0, -6.0, 3.0))
    # whatever blurs the picture must not blur the truth
    camera.data.dof.use_dof, camera.data.dof.focus_distance, camera.data.dof.aperture_fstop = True, 2.0, 0.1
    scene.render.use_motion_blur = True
    plan, beauty, truth = render(tmp_path, rig="animated", resolution=resolution, samples=4)
    names = compat.pass_names()
    for index, layers in enumerate(truth):
        origin, ways, cosine = rays_of(plan, index)
        distance, normal, number = ball_and_slope(origin, ways)
        depth = layers[names["depth"]][..., 0]
        hit = np.isfinite(distance)
        # at a silhouette rounding decides which side a ray passes: leave out pixels beside one
        edge = np.zeros_like(hit)
        for axis in (0, 1):
            for step in (-1, 1):
                edge |= np.roll(number * hit, step, axis) != number * hit
        assert ((depth < 1e9) == hit)[~edge].all()
        sure = hit & ~edge
        assert sure.sum() > 100
        # how far from the true surface the point lies that the depth stands for
        points = origin + (depth / cosine)[..., None] * ways
        off_ball = np.linalg.norm(points - CENTRE, axis=-1) - RADIUS
        off_slope = points @ SLOPE
        assert np.abs(np.where(number == 1, off_ball, off_slope))[sure].max() < 1e-4
        cosine_of_error = (layers[names["normal"]] * normal).sum(axis=-1)[sure]
        assert np.degrees(np.arccos(np.clip(cosine_of_error, -1, 1))).max() < 0.1
        assert (layers[names["object_index"]][..., 0] == number)[sure].all()
        # the depth of field is in the picture itself
        assert beauty[index]["Combined"].std() > 0


@pytest.mark.parametrize(
    ("resolution", "lens", "aspect"),
    [
        ([64, 48], {}, (1.0, 1.0)),
        ([40, 60], {"shift_x": 0.12, "shift_y": 0.08}, (1.0, 1.0)),
        ([48, 48], {"sensor_fit": "VERTICAL", "sensor_height": 30.0, "shift_x": -0.1}, (1.5, 1.0)),
    ],
    ids=["landscape", "portrait with lens shift", "pixels that are not square"],
)
def test_a_light_is_seen_where_its_pose_and_intrinsics_say(
    tmp_path: Path, resolution: list[int], lens: dict[str, Any], aspect: tuple[float, float]
) -> None:
    scene = new_scene()
    scene.render.pixel_aspect_x, scene.render.pixel_aspect_y = aspect
    places = np.array([[0.5, 0.2, 0.3], [-0.4, -0.5, 0.1], [0.1, 0.3, -0.6]])
    for place in places:
        make_emitter(add_ball("Lamp", 0.06, place, segments=8), 10.0)
    add_camera((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), **lens)
    plan, beauty, _ = render(tmp_path, rig="orbit", resolution=resolution, samples=256)
    grid = cameras.pixel_grid(*resolution)
    for index, layers in enumerate(beauty):
        pixels, _ = cameras.project(places, plan.views[index].camera_to_world, plan.views[index].intrinsics)
        light = layers["Combined"][..., 0]
        nearest = np.argmin(np.linalg.norm(grid[..., None, :] - pixels, axis=-1), axis=-1)
        for lamp, place in enumerate(pixels):
            share = np.where(nearest == lamp, light, 0.0)
            centroid = (grid * share[..., None]).sum(axis=(0, 1)) / share.sum()
            assert np.abs(centroid - place).max() < 0.02


def test_motion_blurs_the_light_and_nothing_else(tmp_path: Path) -> None:
    """A glowing plate that moves to the right: its light is spread over its way while the shutter is open."""
    scene = new_scene()
    plate = add_object("Plate", [(-0.5, -0.5, 0), (0.5, -0.5, 0), (0.5, 0.5, 0), (-0.5, 0.5, 0)], [(0, 1, 2, 3)])
    make_emitter(plate, 10.0)
    for frame in range(1, 10):  # one unit a frame; in the middle of the picture in frame 5
        plate.location.x = frame - 5.0
        plate.keyframe_insert("location", frame=frame)
    camera = add_camera((0.0, 0.0, 8.0), (0.0, 0.0, 0.0), lens=72.0)
    animate(camera, "location", (0.0, 0.0, 8.0), (0.0, 0.0, 8.1))
    scene.render.motion_blur_shutter = 0.5
    scene.frame_set(5)
    settings = {"rig": "animated", "film": "transparent", "resolution": [64, 32], "samples": 256, "views": 1}
    plan, beauty, truth = render(tmp_path, motion_blur=True, **settings)
    names, view = compat.pass_names(), plan.views[0]
    pixel = 8.0 / view.intrinsics[0]
    across = beauty[0]["Combined"][16, :, 0] * pixel / 10.0
    assert across.sum() == pytest.approx(1.0, abs=0.02), "no light is lost"
    x = (np.arange(64) + 0.5 - 32.0) * pixel
    spread = (across * x**2).sum() / across.sum() - (across * x).sum() ** 2
    # a plate's own variance, and that of its way: a width of 1 and one of 0.5
    assert spread == pytest.approx((1.0 + 0.25) / 12.0, rel=0.03)
    hit = truth[0][names["depth"]][16, :, 0] < 1e9
    assert np.array_equal(hit, np.abs(x) < 0.5), "where it is in the frame itself"
    _, sharp, _ = render(tmp_path, **settings)
    assert np.abs(sharp[0]["Combined"][16, :, 3] - hit).max() < 0.51, "without it the light is as sharp"


def test_the_light_of_an_even_world_is_exact(tmp_path: Path) -> None:
    new_scene()
    light_world((0.25, 0.5, 0.75))
    make_emitter(add_box("Glowing box"), 3.0)
    _, beauty, truth = render(tmp_path, rig="hemisphere", film="world", samples=2)
    for light, clean in zip(beauty, truth, strict=True):
        hit = clean[compat.pass_names()["depth"]][..., 0] < 1e9
        rgba = light["Combined"]
        assert (rgba[..., 3] == 1).all()
        assert rgba[hit].max() == pytest.approx(3.0)
        assert rgba[0, 0] == pytest.approx([0.25, 0.5, 0.75, 1.0])


def test_a_transparent_film_is_premultiplied(tmp_path: Path) -> None:
    new_scene()
    make_emitter(add_box("Glowing box"), 3.0)
    _, beauty, _ = render(tmp_path, rig="sphere", samples=64)
    for light in beauty:
        rgba = light["Combined"]
        partly = (rgba[..., 3] > 0.05) & (rgba[..., 3] < 0.95)
        assert partly.sum() > 5
        assert rgba[partly][:, 0] == pytest.approx(3.0 * rgba[partly][:, 3], abs=1e-4)
        assert not rgba[rgba[..., 3] == 0].any()


def test_what_a_texture_makes_transparent_belongs_to_what_is_behind(tmp_path: Path) -> None:
    new_scene()
    card, wall = add_box("Card", (4.0, 4.0, 0.01), (0.0, 0.0, 1.0)), add_box("Wall", (9.0, 9.0, 0.01))
    make_emitter(card, 1.0)
    make_emitter(wall, 1.0)
    # the card is there where its own x is above 0, as leaves on a textured plane are
    tree = card.data.materials[0].node_tree
    place, apart, there, mix, clear = (
        tree.nodes.new(f"ShaderNode{kind}")
        for kind in ("TexCoord", "SeparateXYZ", "Math", "MixShader", "BsdfTransparent")
    )
    there.operation, there.inputs[1].default_value = "GREATER_THAN", 0.0
    glow, output = tree.nodes["Emission"], tree.nodes["Material Output"]
    for start, end in (
        (place.outputs["Object"], apart.inputs[0]),
        (apart.outputs["X"], there.inputs[0]),
        (there.outputs[0], mix.inputs[0]),
        (clear.outputs[0], mix.inputs[1]),
        (glow.outputs[0], mix.inputs[2]),
        (mix.outputs[0], output.inputs["Surface"]),
    ):
        tree.links.new(start, end)
    animate(add_camera((0.0, 0.0, 5.0), (0.0, 0.0, 0.0), lens=40.0), "location", (0.0, 0.0, 5.0), (0.2, 0.0, 5.0))
    plan, _, truth = render(tmp_path, rig="animated", resolution=[64, 64])
    names = {entry["index"]: entry["name"] for entry in plan.objects}
    for index, clean in enumerate(truth):
        origin, ways, _ = rays_of(plan, index)
        on_card = origin + ways * ((1.005 - origin[2]) / ways[..., 2])[..., None]
        opaque = (on_card[..., 0] > 0.0) & (np.abs(on_card[..., :2]) < 2.0).all(axis=-1)
        sure = (np.abs(on_card[..., 0]) > 0.03) & (np.abs(np.abs(on_card[..., :2]) - 2.0) > 0.03).all(axis=-1)
        seen = np.vectorize(names.get)(clean[compat.pass_names()["object_index"]][..., 0].astype(int))
        assert (seen == np.where(opaque, "Card", "Wall"))[sure].all()
        depth = clean[compat.pass_names()["depth"]][..., 0]
        far = np.where(opaque, origin[2] - 1.005, origin[2] - 0.005)
        assert np.abs(depth - far)[sure].max() < 1e-3


def test_nothing_in_the_saved_scene_changes(tmp_path: Path) -> None:
    new_scene()
    add_box("Box")
    scene = save(tmp_path / "scene.blend")
    before = scene.read_bytes()
    render_views(request(scene, tmp_path / "views"), QuietReporter())
    assert scene.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"scene.blend", "views"}
    assert bpy.data.filepath == str(scene)
