# SPDX-License-Identifier: GPL-3.0-or-later
"""The shader that marches through a twin, against what is known exactly and against the marcher in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from radiance_twin.addon.viewport.atlas import upload
from radiance_twin.addon.viewport.march import PlacedTwin, Rectangle, march, new_picture, screen_rectangle
from radiance_twin.addon.viewport.shell import shell_corners
from radiance_twin.core.bake.bricks import FEW, MANY, bricks_of_grid
from radiance_twin.core.bake.march import inside_box, march_rays, render_bake
from radiance_twin.core.cameras import (
    Camera,
    look_at,
    pixel_grid,
    ray_directions,
    rays_in_field,
    world_from_field_of_bounds,
)

SIZE = (96, 64)
INTRINSICS = np.array([110.0, 110.0, 48.0, 32.0])
# the cube [-1, 1]³ of the world
WORLD_FROM_FIELD = np.array([[2.0, 0, 0, -1], [0, 2.0, 0, -1], [0, 0, 2.0, -1], [0, 0, 0, 1]])


def psnr(a: Any, b: Any) -> float:
    return float(-10 * np.log10(np.mean((np.asarray(a, np.float64) - b) ** 2)))


def distance_of_rays_from_origin(camera_to_world: Any) -> Any:
    directions = ray_directions(camera_to_world, INTRINSICS, pixel_grid(*SIZE))
    eye = camera_to_world[:3, 3]
    return np.linalg.norm(np.cross(np.broadcast_to(eye, directions.shape), directions), axis=-1)


def test_a_gaussian_cloud_is_as_opaque_as_its_integral_says(gpu, blob, marched, projection_of):
    camera = look_at((3.0, -4.0, 2.0), (0.0, 0.0, 0.0))
    twin = PlacedTwin(upload(blob.bricks()), WORLD_FROM_FIELD)
    rgba = marched([twin], np.linalg.inv(camera), projection_of(INTRINSICS, SIZE), SIZE)
    expected = blob.opacity(distance_of_rays_from_origin(camera) / 2.0)
    assert expected.max() > 0.99
    assert np.abs(rgba[..., 3] - expected).max() < 4e-3
    # one colour everywhere: premultiplied light is that colour times alpha
    assert np.abs(rgba[..., :3] - rgba[..., 3:] * blob.colour).max() < 2e-3


@pytest.mark.parametrize(("features", "width"), [(FEW, 24), (MANY, 32), (MANY, 64), (0, 0)])
def test_the_shader_equals_the_marcher_in_numpy_for_a_camera_with_shift(
    gpu, marched, projection_of, random_bricks, features, width
):
    bricks = random_bricks(3, 128, 0.1, features, width)
    world_from_field = world_from_field_of_bounds([[-2.0, -1.0, 0.0], [1.0, 2.0, 2.0]])
    camera = look_at((4.0, -3.0, 3.5), (-0.3, 0.2, 1.0))
    intrinsics = np.array([90.0, 96.0, 41.0, 37.0])
    twin = PlacedTwin(upload(bricks), world_from_field)
    rgba = marched([twin], np.linalg.inv(camera), projection_of(intrinsics, SIZE), SIZE)
    expected = render_bake(bricks, world_from_field, Camera(camera, intrinsics, SIZE))
    assert 0.1 < (expected[..., 3] > 0.5).mean() < 0.9
    assert_equal(rgba, expected)


def assert_equal(rgba: Any, expected: Any) -> None:
    """But for half precision, and for pixels whose rays end a sample earlier or later at a wall between bricks."""
    light = np.maximum(np.abs(expected), 1.0)
    difference = np.abs(rgba - expected) / light
    assert np.percentile(difference, 98) < 4e-3
    assert difference.max() < 0.05
    assert psnr(rgba / light, expected / light) > 60.0


def orthographic_rays(view: Any, half_size: tuple[float, float], world_from_field: Any) -> tuple[Any, Any, Any]:
    """Origins on the plane of the eye and directions [R, 3] in the field; length of a world unit along them there."""
    grid = (pixel_grid(*SIZE) / SIZE * 2.0 - 1.0).reshape(-1, 2) * (half_size[0], -half_size[1])
    field_from_view = np.linalg.inv(view @ world_from_field)
    starts = np.concatenate([grid, np.zeros((len(grid), 1)), np.ones((len(grid), 1))], axis=1)
    along = field_from_view[:3, :3] @ (0.0, 0.0, -1.0)
    return (starts @ field_from_view.T)[:, :3], np.broadcast_to(along, (len(grid), 3)), np.linalg.norm(along)


def test_orthographic_views_of_a_turned_and_squeezed_twin_equal_the_marcher_in_numpy(gpu, marched, random_bricks):
    bricks = random_bricks(4, 64, 0.3)
    view = np.linalg.inv(look_at((4.0, -2.0, 2.5), (1.0, 2.0, 0.5)))
    placed = look_at((1.0, 2.0, 0.5), (0.0, 0.0, 0.0)) @ np.diag([1.5, 0.4, 0.8, 1.0]) @ WORLD_FROM_FIELD
    half_size, near, far = (1.8, 1.2), -50.0, 50.0
    projection = np.diag([1 / half_size[0], 1 / half_size[1], -2 / (far - near), 1.0])
    projection[2, 3] = -(far + near) / (far - near)
    rgba = marched([PlacedTwin(upload(bricks), placed)], view, projection, SIZE)
    origins, directions, unit = orthographic_rays(view, half_size, placed)
    # the eye's plane is before the twin: from there on all is seen
    assert (np.abs(np.linalg.inv(view @ placed)[:3, 3]) > 1.0).any()
    expected = march_rays(bricks, origins, directions).reshape(*SIZE[::-1], 4)
    assert 0.1 < (expected[..., 3] > 0.5).mean() < 0.9
    assert_equal(rgba, expected)
    # something solid through the twin's middle
    clip = projection @ (0.0, 0.0, -5.3, 1.0)
    depth = np.full(SIZE[::-1], clip[2] * 0.5 + 0.5)
    cut = marched([PlacedTwin(upload(bricks), placed)], view, projection, SIZE, depth)
    expected = march_rays(bricks, origins, directions, last=5.3 * unit).reshape(*SIZE[::-1], 4)
    assert np.abs(cut - rgba).max() > 0.5
    # the depth buffer has 24 bits for a hundred units
    assert np.percentile(np.abs(cut - expected), 95) < 5e-3


def test_outside_of_the_crop_box_nothing_is_drawn(gpu, marched, projection_of, random_bricks):
    """The box turns and scales with the object; here it is turned against the field, too."""
    bricks = random_bricks(5, 64, 0.6)
    camera = look_at((3.0, -4.0, 2.0), (0.0, 0.0, 0.0))
    box = look_at((0.3, 0.1, 0.2), (0.0, 0.5, -0.1)) @ np.diag([1.1, 0.9, 1.3, 1.0])
    twin = PlacedTwin(upload(bricks), WORLD_FROM_FIELD, world_from_crop=box)
    rgba = marched([twin], np.linalg.inv(camera), projection_of(INTRINSICS, SIZE), SIZE)
    rays = Camera(camera, INTRINSICS, SIZE), pixel_grid(*SIZE).reshape(-1, 2)
    in_box, in_cube = rays_in_field(*rays, box), rays_in_field(*rays, WORLD_FROM_FIELD)
    ways = ray_directions(camera, INTRINSICS, rays[1])
    # of one ray in three lengths: of the world, of the box, of the field
    per_box = np.linalg.norm(ways @ np.linalg.inv(box)[:3, :3].T, axis=1)
    entry, leave = inside_box(np.broadcast_to(in_box[0], ways.shape), in_box[1])
    first, last = entry / per_box * 0.5, leave / per_box * 0.5
    expected = march_rays(bricks, np.broadcast_to(in_cube[0], ways.shape), in_cube[1], first, last)
    expected = expected.reshape(*SIZE[::-1], 4)
    assert 0.03 < (expected[..., 3] > 0.5).mean() < 0.5
    assert_equal(rgba, expected)


def test_the_eye_may_be_inside(gpu, blob, marched, projection_of):
    camera = look_at((0.3, 0.0, 0.0), (-1.0, 0.1, 0.0))
    twin = PlacedTwin(upload(blob.bricks()), WORLD_FROM_FIELD)
    near = 1e-3
    rgba = marched([twin], np.linalg.inv(camera), projection_of(INTRINSICS, SIZE, near), SIZE)
    expected = render_bake(blob.bricks(), WORLD_FROM_FIELD, Camera(camera, INTRINSICS, SIZE))
    assert np.abs(rgba - expected).max() < 5e-3


def test_what_is_empty_is_skipped_and_what_is_read_is_counted(gpu, blob, marched, projection_of):
    """A thin solid wall in a large empty cube: the index a few times, then a few samples in the wall."""
    density = np.zeros((256, 256, 256), np.float16)
    density[:, 128:131] = 5000.0
    bricks = bricks_of_grid(density, np.ones((*density.shape, 3), np.float16))
    twin = PlacedTwin(upload(bricks), WORLD_FROM_FIELD)
    view = np.linalg.inv(look_at((0.0, -4.0, 0.0), (0.0, 0.0, 0.0)))
    projection = projection_of(INTRINSICS, SIZE)
    assert marched([twin], view, projection, SIZE)[32, 48] == pytest.approx((1.0, 1.0, 1.0, 1.0), abs=2e-3)
    read = marched([twin], view, projection, SIZE, count_fetches=True)[..., 0]
    assert 4 <= read[32, 48] <= 12
    assert read[0, 0] == 0 or read[0, 0] == read[32, 48]


def test_a_shell_is_the_faces_between_something_and_nothing():
    seen = np.zeros((4, 4, 4), bool)
    seen[1, 2, 3] = seen[2, 2, 3] = True  # two neighbours, at the end of the cube
    triangles = shell_corners(seen).reshape(-1, 3, 3)
    areas = np.linalg.norm(np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]), axis=1) / 2
    assert areas.sum() == pytest.approx(10 / 16)
    assert (triangles.min(axis=(0, 1)) == (0.25, 0.5, 0.75)).all() and (
        triangles.max(axis=(0, 1)) == (0.75, 0.75, 1)
    ).all()
    # none within: at x = 0.5 the two touch
    assert not (triangles[..., 0] == 0.5).all(axis=1).any()
    assert not len(shell_corners(np.zeros((2, 2, 2), bool)))


def test_pixels_that_no_brick_covers_are_not_marched_at_all(gpu, marched, projection_of):
    density = np.zeros((64, 64, 64), np.float16)
    density[4:60, 4:60, 25:31] = 5000.0
    twin = PlacedTwin(upload(bricks_of_grid(density, np.ones((*density.shape, 3), np.float16))), WORLD_FROM_FIELD)
    view = np.linalg.inv(look_at((0.0, -4.0, 0.0), (0.0, 0.0, 0.0)))
    projection = projection_of(INTRINSICS, SIZE)
    # what counts is opaque wherever it has counted
    marched_there = marched([twin], view, projection, SIZE, count_fetches=True)[..., 3] > 0.0
    seen = marched([twin], view, projection, SIZE)[..., 3] > 0.0
    assert (marched_there >= seen).all()
    # the layer of bricks that the slab is in, a fifth of the cube's height, and a little in perspective
    assert 0.02 < seen.mean() < marched_there.mean() < 0.2


def test_nothing_before_the_near_plane_is_drawn(gpu, blob, marched, projection_of):
    camera = look_at((0.0, -4.0, 0.0), (0.0, 0.0, 0.0))
    twin = PlacedTwin(upload(blob.bricks()), WORLD_FROM_FIELD)
    # the near plane cuts the cloud in two: half of the optical thickness is left
    rgba = marched([twin], np.linalg.inv(camera), projection_of(INTRINSICS, SIZE, near=4.0), SIZE)
    half = 1.0 - np.sqrt(1.0 - blob.opacity(0.0))
    assert rgba[32, 48, 3] == pytest.approx(half, abs=5e-3)


def test_a_turned_and_unevenly_scaled_twin_looks_the_same_to_a_camera_moved_with_it(gpu, blob, marched, projection_of):
    """Density belongs to the field: stretching a twin makes it wider, not thicker."""
    camera = look_at((3.0, -4.0, 2.0), (0.0, 0.0, 0.0))
    textures = upload(blob.bricks())
    turn = look_at((1.0, 2.0, 0.5), (0.0, 0.0, 0.0))
    placed = turn @ np.diag([1.5, 0.4, 0.8, 1.0])
    projection = projection_of(INTRINSICS, SIZE)
    expected = marched([PlacedTwin(textures, WORLD_FROM_FIELD)], np.linalg.inv(camera), projection, SIZE)
    moved = PlacedTwin(textures, placed @ WORLD_FROM_FIELD)
    rgba = marched([moved], np.linalg.inv(placed @ camera), projection, SIZE)
    assert np.abs(rgba - expected).max() < 1e-3


def test_orthographic_rays_are_parallel(gpu, blob, marched):
    camera = look_at((3.0, -4.0, 2.0), (0.0, 0.0, 0.0))
    half_width, near, far = 1.2, -50.0, 50.0  # Blender's orthographic views begin behind the eye
    half_height = half_width * SIZE[1] / SIZE[0]
    projection = np.diag([1 / half_width, 1 / half_height, -2 / (far - near), 1.0])
    projection[2, 3] = -(far + near) / (far - near)
    twin = PlacedTwin(upload(blob.bricks()), WORLD_FROM_FIELD)
    rgba = marched([twin], np.linalg.inv(camera), projection, SIZE)
    grid = (pixel_grid(*SIZE) / SIZE * 2.0 - 1.0) * (half_width, half_height)
    assert np.abs(rgba[..., 3] - blob.opacity(np.linalg.norm(grid, axis=-1) / 2.0)).max() < 4e-3


@pytest.mark.parametrize("orthographic", [False, True])
def test_rays_end_where_the_scene_begins(gpu, blob, marched, projection_of, orthographic):
    """A wall in front hides the twin, one behind does not, and one through its middle leaves half of it."""
    camera = look_at((0.0, -4.0, 0.0), (0.0, 0.0, 0.0))
    projection = projection_of(INTRINSICS, SIZE, near=0.5, far=20.0)
    if orthographic:
        projection = np.diag([0.5, 0.75, -2 / 19.5, 1.0])
        projection[2, 3] = -20.5 / 19.5
    twin = PlacedTwin(upload(blob.bricks()), WORLD_FROM_FIELD)

    def seen(distance: float) -> float:
        clip = projection @ (0.0, 0.0, -distance, 1.0)
        depth = np.full(SIZE[::-1], clip[2] / clip[3] * 0.5 + 0.5)
        return float(marched([twin], np.linalg.inv(camera), projection, SIZE, depth)[32, 48, 3])

    whole = blob.opacity(0.0)
    assert seen(2.0) == 0.0
    assert seen(4.0) == pytest.approx(1.0 - np.sqrt(1.0 - whole), abs=5e-3)
    assert seen(6.0) == pytest.approx(whole, abs=5e-3)


@pytest.mark.parametrize("orthographic", [False, True])
def test_the_lines_of_the_floor_grid_do_not_cut_a_twin(gpu, marched, projection_of, orthographic):
    """In the depth buffer grid lines lie on z = 0; a real floor there is wide and hides, a wire above it hides, too."""
    n = 16
    solid = upload(bricks_of_grid(np.full((n, n, n), 500.0), np.ones((n, n, n, 3))))
    world_from_field = np.diag([40.0, 40.0, 40.0, 1.0])
    world_from_field[:3, 3] = -20.0, -20.0, -41.0  # below the floor, and wide enough to fill the view
    view = np.linalg.inv(look_at((4.0, -6.0, 9.0), (0.0, 0.0, 0.0)))
    projection = projection_of(INTRINSICS, SIZE)
    if orthographic:
        projection = np.diag([0.3, 0.45, -0.02, 1.0])
    clip_from_world = projection @ view
    world_from_clip = np.linalg.inv(clip_from_world)
    ndc = (pixel_grid(*SIZE) / SIZE * 2.0 - 1.0) * (1.0, -1.0)
    ends = []
    for z in (-1.0, 1.0):
        point = np.concatenate([ndc, np.full_like(ndc, (z, 1.0))], axis=-1) @ world_from_clip.T
        ends.append(point[..., :3] / point[..., 3:])
    near, far = ends
    floor = near + (far - near) * (near[..., 2:] / (near[..., 2:] - far[..., 2:]))
    clip = np.concatenate([floor, np.ones_like(floor[..., :1])], axis=-1) @ clip_from_world.T
    floor_depth = clip[..., 2] / clip[..., 3] * 0.5 + 0.5
    nothing = np.ones(SIZE[::-1])
    lines, patch, wire = nothing.copy(), nothing.copy(), nothing.copy()
    for where in (np.s_[20, :], np.s_[:, 50:52], np.s_[range(64), range(64)]):
        lines[where] = floor_depth[where]
    patch[20:40, 30:60] = floor_depth[20:40, 30:60]
    wire[20, :] = floor_depth.min() * 0.9

    def alpha(depth: Any) -> Any:
        twin = PlacedTwin(solid, world_from_field)
        return marched([twin], view, projection, SIZE, depth, grid_line_width=2)[..., 3]

    assert alpha(nothing).min() > 0.99
    assert alpha(lines).min() > 0.99
    assert ((alpha(patch) < 0.01) == (patch < 1.0)).all()
    assert ((alpha(wire) < 0.01) == (wire < 1.0)).all()


def test_of_two_twins_the_nearer_hides_the_farther(gpu, marched, projection_of):
    n = 16
    solid = np.zeros((n, n, n))
    solid[1:-1, 1:-1, 1:-1] = 500.0
    red, green = (upload(bricks_of_grid(solid, np.full((n, n, n, 3), c))) for c in ((1, 0, 0), (0, 1, 0)))
    unit = np.diag([1.0, 1.0, 1.0, 1.0])
    near, far = unit.copy(), unit.copy()
    near[:3, 3], far[:3, 3] = (-0.5, -2.0, -0.5), (-0.5, 1.0, -0.5)
    view = np.linalg.inv(look_at((0.0, -6.0, 0.0), (0.0, 0.0, 0.0)))
    projection = projection_of(INTRINSICS, SIZE)
    for order in ([(red, near), (green, far)], [(green, far), (red, near)]):
        rgba = marched([PlacedTwin(*one) for one in order], view, projection, SIZE)
        assert rgba[32, 48] == pytest.approx((1.0, 0.0, 0.0, 1.0), abs=2e-3)


def test_bands_and_a_rectangle_give_the_same_pixels_as_the_whole(gpu, blob, marched, projection_of, pixels_of):
    camera = look_at((3.0, -4.0, 2.0), (0.5, 0.0, 0.4))
    view, projection = np.linalg.inv(camera), projection_of(INTRINSICS, SIZE)
    twin = PlacedTwin(upload(blob.bricks()), WORLD_FROM_FIELD)
    whole = marched([twin], view, projection, SIZE)
    rectangle = screen_rectangle([twin], view, projection, SIZE)
    assert rectangle is not None
    left, bottom, width, height = rectangle
    assert width * height < SIZE[0] * SIZE[1]
    picture = new_picture((width, height))
    for first, last in ((0.0, 0.3), (0.3, 0.77), (0.77, 1.0)):
        march([twin], view, projection, SIZE, rectangle, picture, rows=(first, last))
    part = pixels_of(picture.framebuffer, (width, height))
    top = SIZE[1] - bottom - height
    assert np.abs(part - whole[top : top + height, left : left + width]).max() < 2e-3
    whole[top : top + height, left : left + width] = 0.0
    assert whole.max() == 0.0


def test_a_twin_behind_the_eye_or_beside_the_view_is_nowhere(gpu, blob, projection_of):
    twin = PlacedTwin(upload(blob.bricks(16)), WORLD_FROM_FIELD)
    projection = projection_of(INTRINSICS, SIZE)
    behind = np.linalg.inv(look_at((0.0, -4.0, 0.0), (0.0, -8.0, 0.0)))
    beside = np.linalg.inv(look_at((0.0, -4.0, 0.0), (8.0, -4.0, 0.0)))
    assert screen_rectangle([twin], behind, projection, SIZE) is None
    assert screen_rectangle([twin], beside, projection, SIZE) is None
    inside = np.linalg.inv(look_at((0.0, 0.0, 0.0), (8.0, 0.0, 0.0)))
    assert screen_rectangle([twin], inside, projection, SIZE) == Rectangle(0, 0, *SIZE)
