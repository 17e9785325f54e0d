# SPDX-License-Identifier: GPL-3.0-or-later
"""Surfaces, meshes and points out of depth pictures that numpy ray-traces exactly: a striped ball over a slab."""

from __future__ import annotations

import io
import json
import runpy
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import trimesh
from PIL import Image

from radiance_twin.core.cameras import Camera, look_at, pixel_grid, world_from_field_of_bounds
from radiance_twin.core.colour import linear_to_srgb
from radiance_twin.core.errors import Cancelled, UserError
from radiance_twin.core.export.any_lens import through_any_lens
from radiance_twin.core.export.mesh import TexturedMesh, coloured_mesh, glb_of, textured_mesh
from radiance_twin.core.export.mesh import ply_of as mesh_ply
from radiance_twin.core.export.points import SpreadPoints, spread_points
from radiance_twin.core.export.raster import discs, draw_mesh, textured_picture
from radiance_twin.core.export.shots import Shot
from radiance_twin.core.export.splats import Splats, splats_of
from radiance_twin.core.export.splats import ply_of as splats_ply
from radiance_twin.core.export.surface import Surface, colours_at, fused_surface, without_crumbs
from radiance_twin.core.lenses import CameraModel
from radiance_twin.core.ply import points_ply
from radiance_twin.core.rendering.covers import fibonacci
from radiance_twin.core.reporting import QuietReporter

SCENE: Any = runpy.run_path(str(Path(__file__).with_name("analytic_scene.py")))
BALL, RADIUS = SCENE["CENTRE"], SCENE["RADIUS"]
BOX = np.stack([BALL - RADIUS - 0.02, BALL + RADIUS + 0.02])
WORLD = world_from_field_of_bounds(BOX)
RESOLUTION = 64
RED, BLUE = np.array([0.8, 0.2, 0.1]), np.array([0.1, 0.3, 1.6])


def colour_of(points: np.ndarray) -> np.ndarray:
    """Scene-linear: red above, a blue brighter than a screen's below."""
    return np.where(points[:, 2:] > BALL[2], RED, BLUE)


def trace_ball(camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Colour and alpha [H, W, 4], and planar depth [H, W], of the ball alone."""
    directions = np.nan_to_num(camera.ray_directions(pixel_grid(*camera.size)).reshape(-1, 3))
    to_ball = camera.camera_to_world[:3, 3] - BALL
    middle = directions @ to_ball
    discriminant = middle**2 - to_ball @ to_ball + RADIUS**2
    distance = np.where(discriminant > 0, -middle - np.sqrt(np.maximum(discriminant, 0)), 0.0)
    points = camera.camera_to_world[:3, 3] + distance[:, None] * directions
    hit = distance > 0
    rgba = np.concatenate([np.where(hit[:, None], colour_of(points), 0.0), hit[:, None]], axis=1)
    depth = distance * (directions @ -camera.camera_to_world[:3, 2])
    width, height = camera.size
    return rgba.reshape(height, width, 4).astype(np.float32), depth.reshape(height, width).astype(np.float32)


def camera_at(direction: np.ndarray, size: int = 96) -> Camera:
    intrinsics = np.array([1.2 * size, 1.2 * size, 0.5 * size, 0.5 * size])
    return Camera(look_at(BALL + 2.0 * direction, BALL), intrinsics, (size, size))


@pytest.fixture(scope="module")
def shots() -> list[Shot]:
    return [Shot(camera, *trace_ball(camera)) for camera in map(camera_at, fibonacci(24))]


@pytest.fixture(scope="module")
def pool() -> Any:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture(scope="module")
def surface(shots: list[Shot], pool: Any) -> Surface:
    return fused_surface(shots, BOX, WORLD, RESOLUTION, pool, QuietReporter())


@pytest.fixture(scope="module")
def mesh(surface: Surface, shots: list[Shot], pool: Any) -> TexturedMesh:
    return textured_mesh(surface, shots, pool, QuietReporter())


@pytest.fixture(scope="module")
def points(surface: Surface, shots: list[Shot], pool: Any) -> SpreadPoints:
    return spread_points(surface, shots, pool, QuietReporter(), count=5000)


def decibels(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((a - b) ** 2)))


def test_the_fused_surface_is_the_ball(surface: Surface) -> None:
    outwards = surface.vertices - BALL
    assert np.abs(np.linalg.norm(outwards, axis=1) - RADIUS).max() < surface.voxel
    assert np.abs(np.linalg.norm(outwards, axis=1) - RADIUS).mean() < 0.2 * surface.voxel
    assert ((outwards / RADIUS) * surface.normals).sum(axis=1).min() > 0.9
    made = trimesh.Trimesh(surface.vertices, surface.faces, process=False)
    assert made.is_watertight and made.body_count == 1
    # positive: the faces look outwards
    assert made.volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.03)


def test_what_nobody_sees_is_closed_at_the_walls_of_the_box(pool: Any) -> None:
    above = [Shot(camera, *trace_ball(camera)) for camera in map(camera_at, fibonacci(24, (0.0, 1.0)))]
    box = BOX.copy()
    box[0, 2] = BALL[2]
    half = fused_surface(above, box, WORLD, RESOLUTION, pool, QuietReporter())
    made = trimesh.Trimesh(half.vertices, half.faces, process=False)
    assert made.is_watertight
    assert made.volume == pytest.approx(2 / 3 * np.pi * RADIUS**3, rel=0.1)
    assert half.vertices[:, 2].min() == pytest.approx(BALL[2], abs=half.voxel)


def test_crumbs_go_and_cavities_are_filled() -> None:
    away = np.ones((24, 24, 24), np.float32)
    away[3:14, 3:14, 3:14] = -1.0  # a block
    away[7:9, 7:9, 7:9] = 1.0  # with a hole inside
    away[18:20, 18:20, 18:20] = -1.0  # and a crumb beside it
    solid = without_crumbs(away) < 0
    assert solid[3:14, 3:14, 3:14].all() and solid.sum() == 11**3


def test_nothing_dense_is_an_error_that_says_what_to_do(pool: Any) -> None:
    camera = camera_at(np.array([1.0, 0, 0]))
    empty = Shot(camera, np.zeros((96, 96, 4), np.float32), np.zeros((96, 96), np.float32))
    around = [Shot(camera_at(way), empty.rgba, empty.depth) for way in fibonacci(24)]
    with pytest.raises(UserError, match="nothing dense enough to be a surface; train longer"):
        fused_surface(around, BOX, WORLD, 16, pool, QuietReporter())


def test_cancelling_stops_every_stage(shots: list[Shot], surface: Surface, pool: Any) -> None:
    reporter = QuietReporter()
    reporter.cancel_requested = True
    with pytest.raises(Cancelled):
        fused_surface(shots, BOX, WORLD, 16, pool, reporter)
    with pytest.raises(Cancelled):
        colours_at(surface.vertices, surface.normals, shots, surface.voxel, pool, reporter)


def test_colours_are_those_that_the_views_show(surface: Surface, shots: list[Shot], pool: Any) -> None:
    colours = colours_at(surface.vertices, surface.normals, shots, surface.voxel, pool, QuietReporter())
    inside = np.abs(surface.vertices[:, 2] - BALL[2]) > 2 * surface.voxel
    np.testing.assert_allclose(colours[inside], colour_of(surface.vertices)[inside], atol=0.02)


def test_unseen_points_have_the_colour_of_the_nearest_seen_one(surface: Surface, pool: Any) -> None:
    camera = camera_at(np.array([0.0, 0, 1]))
    from_above = [Shot(camera, *trace_ball(camera))]
    colours = colours_at(surface.vertices, surface.normals, from_above, surface.voxel, pool, QuietReporter())
    np.testing.assert_allclose(colours, np.broadcast_to(RED, colours.shape), atol=0.02)


def test_the_mesh_looks_like_the_ball_from_a_new_side(mesh: TexturedMesh) -> None:
    assert mesh.strength == pytest.approx(1.6, rel=0.02)  # brighter than 1 is kept
    camera = camera_at(np.array([0.6, 0.5, 0.62]) / np.linalg.norm([0.6, 0.5, 0.62]))
    truth, _ = trace_ball(camera)
    picture = mesh.picture(camera)
    inside = (truth[..., 3] == 1) & (picture[..., 3] == 1)
    assert decibels(picture[..., 3], truth[..., 3]) > 20
    assert decibels(picture[inside], truth[inside]) > 22


def test_the_glb_read_by_another_library_is_the_ball_y_up(mesh: TexturedMesh) -> None:
    data = glb_of(mesh)
    read = trimesh.load(io.BytesIO(data), file_type="glb", force="mesh")
    # glTF's y is the world's z, its z the world's -y
    expected = [BALL[0], BALL[2], -BALL[1]]
    assert np.abs(np.linalg.norm(read.vertices - expected, axis=1) - RADIUS).max() < 1.5 * 2 * RADIUS / RESOLUTION
    length = struct.unpack("<I", data[12:16])[0]
    material = json.loads(data[20 : 20 + length])["materials"][0]
    assert material["pbrMetallicRoughness"]["baseColorFactor"][:3] == [0, 0, 0]
    assert material["extensions"]["KHR_materials_emissive_strength"]["emissiveStrength"] == pytest.approx(mesh.strength)
    # the texture, read where another program reads it
    texture = np.asarray(read.visual.material.emissiveTexture.convert("RGB"), np.float64) / 255
    seen = trimesh.visual.color.uv_to_color(read.visual.uv, Image.fromarray(np.uint8(texture * 255)))[:, :3] / 255
    world = read.vertices @ np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    away = np.abs(world[:, 2] - BALL[2]) > 0.05
    expected_colour = linear_to_srgb(np.clip(colour_of(world) / mesh.strength, 0, 1))
    # all but the corners of charts smaller than a texel
    assert (np.abs(seen - expected_colour)[away].max(axis=1) < 0.02).mean() > 0.995


def test_the_ply_of_a_mesh_has_coloured_vertices(surface: Surface, shots: list[Shot], pool: Any) -> None:
    mesh = coloured_mesh(surface, shots, pool, QuietReporter())
    read = trimesh.load(io.BytesIO(mesh_ply(mesh)), file_type="ply")
    assert read.is_watertight and read.volume > 0
    assert np.abs(np.linalg.norm(read.vertices - BALL, axis=1) - RADIUS).max() < 1.5 * 2 * RADIUS / RESOLUTION
    away = np.abs(read.vertices[:, 2] - BALL[2]) > 0.05
    expected = linear_to_srgb(np.clip(colour_of(read.vertices), 0, 1)) * 255
    assert np.abs(read.visual.vertex_colors[away, :3] - expected[away]).max() < 5


def test_points_lie_on_the_ball_with_its_normals_and_colours(points: SpreadPoints) -> None:
    read = trimesh.load(io.BytesIO(points_ply(points.positions, points.normals, points.colours)), file_type="ply")
    assert len(read.vertices) == 5000
    outwards = read.vertices - BALL
    assert np.abs(np.linalg.norm(outwards, axis=1) - RADIUS).max() < 2 * RADIUS / RESOLUTION
    assert ((outwards / RADIUS) * points.normals).sum(axis=1).min() > 0.9
    away = np.abs(outwards[:, 2]) > 0.05
    expected = linear_to_srgb(np.clip(colour_of(read.vertices), 0, 1)) * 255
    assert np.abs(read.colors[away, :3] - expected[away]).max() < 4


def test_points_drawn_as_discs_cover_the_ball(points: SpreadPoints) -> None:
    camera = camera_at(np.array([0.0, -1.0, 0.0]))
    truth, _ = trace_ball(camera)
    picture = points.picture(camera)
    assert picture[..., 3][truth[..., 3] == 1].mean() > 0.97
    assert decibels(picture, truth) > 18


def test_splats_cover_the_ball(points: SpreadPoints) -> None:
    camera = camera_at(np.array([0.0, -1.0, 0.0]))
    truth, _ = trace_ball(camera)
    picture = splats_of(points).picture(camera)
    assert picture[..., 3][truth[..., 3] == 1].mean() > 0.97
    # a file of splats holds no light above 1
    assert decibels(picture, np.minimum(truth, 1.0)) > 20


def test_a_splat_is_a_gaussian_and_the_nearer_one_hides_the_other() -> None:
    camera = Camera(look_at([0.0, 0, 3], [0, 0, 0], up=[0, 1, 0]), np.array([60.0, 60, 16, 16]), (32, 32))
    behind_and_before = np.array([[0.1, -0.2, -1.0], [0.0, 0.0, 0.0]])
    colours = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], np.float32)
    deviations = np.full((2, 3), 0.1)
    splats = Splats(behind_and_before, np.tile(np.eye(3), (2, 1, 1)), deviations, colours, 0.8)
    x, y = np.meshgrid(np.arange(32) + 0.5 - 16.0, 16.0 - (np.arange(32) + 0.5))
    near = 0.8 * np.exp(-0.5 * (x**2 + y**2) / ((60.0 * 0.1 / 3.0) ** 2 + 0.3))
    # off the axis a footprint leans a little: too little to be seen here
    u, v = 60.0 * 0.1 / 4.0, 60.0 * -0.2 / 4.0
    far = 0.8 * np.exp(-0.5 * ((x - u) ** 2 + (y - v) ** 2) / ((60.0 * 0.1 / 4.0) ** 2 + 0.3))
    picture = splats.picture(camera)
    assert np.abs(picture[..., 0] - near).max() < 0.01
    assert np.abs(picture[..., 1] - (1.0 - near) * far).max() < 0.015
    np.testing.assert_allclose(picture[..., 3], picture[..., :3].sum(axis=2), atol=1e-6)


def test_another_reader_finds_the_same_gaussians_in_the_file(points: SpreadPoints) -> None:
    splats = splats_of(points)
    read = trimesh.load(io.BytesIO(splats_ply(splats)), file_type="ply").metadata["_ply_raw"]["vertex"]["data"]
    column = {name: np.asarray(read[name], np.float64).ravel() for name in read.dtype.names}
    stack = {name: np.stack([column[f"{name}_{i}"] for i in range(n)], 1) for name, n in SPLAT_VECTORS.items()}
    assert np.abs(np.stack([column[axis] for axis in "xyz"], 1) - points.positions).max() < 1e-6
    np.testing.assert_allclose(1.0 / (1.0 + np.exp(-column["opacity"])), splats.opacity, rtol=1e-5)
    # what the field's viewers compute: R S S^T R^T with R of the quaternion w x y z, and 0.5 + SH_0 * f_dc
    w, x, y, z = stack["rot"].T
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    ).transpose(2, 0, 1)
    shape = rotation * np.exp(stack["scale"])[:, None]
    ours = splats.axes * splats.deviations[:, None]
    difference = shape @ shape.transpose(0, 2, 1) - ours @ ours.transpose(0, 2, 1)
    assert np.abs(difference).max() < 1e-5 * splats.deviations.max() ** 2
    away = np.abs(points.positions[:, 2] - BALL[2]) > 0.05
    expected = linear_to_srgb(np.clip(colour_of(points.positions), 0, 1))
    assert np.abs(0.5 + 0.28209479 * stack["f_dc"] - expected)[away].max() < 4 / 255


SPLAT_VECTORS = {"rot": 4, "scale": 3, "f_dc": 3}


def test_a_triangle_covers_the_pixels_that_its_plane_and_edges_say() -> None:
    camera = Camera(look_at([0.0, 0, 3], [0, 0, 0], up=[0, 1, 0]), np.array([30.0, 30, 16, 16]), (32, 32))
    vertices = np.array([[-1.0, -1, 0], [1, -1, 0.5], [0, 1, -0.5]])
    drawn = draw_mesh(vertices, np.array([[0, 1, 2]]), camera, samples=1)
    there, positions = drawn.interpolate(vertices[None])
    directions = camera.ray_directions(pixel_grid(32, 32))
    normal = np.cross(vertices[1] - vertices[0], vertices[2] - vertices[0])
    distance = ((vertices[0] - [0, 0, 3]) @ normal) / (directions @ normal)
    hits = np.array([0, 0, 3]) + distance[..., None] * directions
    sides = [np.cross(vertices[(k + 1) % 3] - vertices[k], hits - vertices[k]) @ normal for k in range(3)]
    off_the_edges = np.abs(sides).min(axis=0) > 1e-9
    assert (there == (np.min(sides, axis=0) > 0))[off_the_edges].all() and there.sum() > 50
    np.testing.assert_allclose(positions, hits[there], atol=1e-9)
    np.testing.assert_allclose(drawn.depth[there], 3 - hits[there][:, 2], atol=1e-9)


def test_a_floor_that_reaches_behind_the_camera_is_drawn_to_the_horizon() -> None:
    # looking level along +x from one unit above a floor: the picture's lower half is floor
    camera = Camera(look_at([0.0, 0, 1], [1, 0, 1]), np.array([16.0, 16, 16, 16]), (32, 32))
    far = 1e4
    vertices = np.array([[-far, -far, 0], [far, -far, 0], [far, far, 0], [-far, far, 0]])
    drawn = draw_mesh(vertices, np.array([[0, 1, 2], [0, 2, 3]]), camera, samples=1)
    assert (drawn.face[16:] >= 0).all() and (drawn.face[:16] < 0).all()


def test_a_texture_stands_upright() -> None:
    camera = Camera(look_at([0.0, 0, 2], [0, 0, 0], up=[0, 1, 0]), np.array([16.0, 16, 8, 8]), (16, 16))
    vertices, faces = discs(np.zeros((1, 3)), np.array([[0.0, 0, 1]]), 2 / np.sqrt(np.pi))
    uv = vertices[:, :2] / 2 + 0.5
    texture = np.zeros((2, 2, 3), np.float32)
    texture[0, 0], texture[1, 1] = [1, 0, 0], [0, 1, 0]  # red above on the left, green below on the right
    picture = textured_picture(vertices, faces, uv, texture, camera)
    assert picture[2, 2, 0] > 0.9 and picture[13, 13, 1] > 0.9 and picture[2, 13].max() == 1 == picture[2, 13, 3]


@pytest.mark.parametrize(
    ("model", "focal"),
    [
        (CameraModel("opencv", (-0.2, 0.05, 0.01, -0.01, 0.0, 0.0)), 60.0),
        (CameraModel("fisheye"), 30.0),
        (CameraModel("equirectangular"), 80 / (2 * np.pi)),
    ],
)
def test_what_knows_pinholes_alone_is_seen_through_any_lens(model: CameraModel, focal: float) -> None:
    # beside the axis, where one face of the cube ends and the next begins
    pose = look_at(BALL + RADIUS * np.array([2.0, 0.0, 0.3]), BALL + RADIUS * np.array([0.0, 1.2, 0.0]))
    camera = Camera(pose, np.array([focal, focal, 40.0, 30.0]), (80, 60), model=model)
    drawn, exact = through_any_lens(lambda seen: trace_ball(seen)[0])(camera), trace_ball(camera)[0]
    assert exact[..., 3].sum() > 100
    # a mean over the pixel beside its middle: they differ at the outline
    inside = scipy.ndimage.binary_erosion(exact[..., 3] > 0, iterations=2)
    assert (
        drawn[inside, 3].min() > 0.99
        and drawn[~scipy.ndimage.binary_dilation(exact[..., 3] > 0, iterations=2)].max() == 0.0
    )
    assert abs(drawn[..., 3].sum() / exact[..., 3].sum() - 1.0) < 0.02
    for axis in (0, 1):
        middles = [np.average(np.indices(drawn.shape[:2])[axis], weights=alpha[..., 3]) for alpha in (drawn, exact)]
        assert abs(middles[0] - middles[1]) < 0.1
