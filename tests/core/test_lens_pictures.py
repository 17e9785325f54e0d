# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures through lenses: made from rendered ones, trained on, and compared."""

from __future__ import annotations

import json
import runpy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from radiance_twin.core.cameras import Camera, look_at, pixel_grid
from radiance_twin.core.comparison.compare import CompareSettings, compare
from radiance_twin.core.dataset.contents import ViewPixels
from radiance_twin.core.dataset.resampling import through_the_lens
from radiance_twin.core.dataset.staging import PlannedView
from radiance_twin.core.dataset.store import open_dataset
from radiance_twin.core.errors import UserError
from radiance_twin.core.export.shots import pinholes_of
from radiance_twin.core.lenses import CameraModel
from radiance_twin.core.reporting import QuietReporter
from radiance_twin.core.stand_in import stand_in
from radiance_twin.core.training.recipe import Recipe
from radiance_twin.core.training.sampler import load_pixels
from radiance_twin.core.training.trainer import TrainSettings, train

SCENE = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("analytic_scene.py"))))
POSE = look_at((1.6, -1.2, 1.2), (0.0, 0.0, 0.25))
SIZE = (96, 72)
LENSES = {
    "distorted": Camera(
        POSE, np.array([90.0, 94.0, 50.0, 35.0]), SIZE, model=CameraModel("opencv", (-0.3, 0.1, 0.004, -0.003, 0, 0.02))
    ),
    "fisheye": Camera(
        POSE, np.array([60.0, 60.0, 47.0, 36.0]), SIZE, model=CameraModel("fisheye", (0.05, -0.02, 0, 0, 0, 0))
    ),
}


def seen(camera: Camera) -> ViewPixels:
    """All passes of the scene; the surfaces' normals and which of the two objects they belong to are simple."""
    view = SCENE.view(camera, "transparent", True)
    points = camera.unproject(np.where(camera.draws(pixel_grid(*camera.size)), view.depth, 0.0))
    on_ball = np.abs(np.linalg.norm(points - SCENE.CENTRE, axis=-1) - SCENE.RADIUS) < 1e-5
    top = np.abs(points[..., 2] - SCENE.SLAB[1][2]) < 1e-5
    normal = np.where(
        on_ball[..., None], (points - SCENE.CENTRE) / SCENE.RADIUS, np.where(top[..., None], [0, 0, 1], 0)
    )
    hit = view.depth > 0
    index = np.where(hit, np.where(on_ball, 1, 2), 0).astype(np.uint16)
    normal = np.where(hit[..., None], normal, 0.0).astype(np.float32)
    return replace(view, normal=normal, object_index=index, further={"position": points.astype(np.float32)})


def planned(camera: Camera, rendered: Camera) -> PlannedView:
    """A view through a lens, in whose place another one is rendered."""
    return PlannedView(
        "view_000000",
        1,
        POSE.tolist(),
        camera.intrinsics.tolist(),
        {},
        16,
        False,
        0,
        kind=camera.model.kind,
        distortion=list(camera.model.distortion),
        stand_in={"intrinsics": rendered.intrinsics.tolist(), "size": list(rendered.size), "samples": 4},
    )


@pytest.mark.parametrize("name", LENSES)
def test_depth_at_edges_is_that_of_the_plane_that_the_nearest_pixel_shows(name: str) -> None:
    camera = LENSES[name]
    rendered = stand_in(camera)
    normal = np.array([0.3, -0.4, 0.866])

    def on_plane(camera: Camera) -> np.ndarray:
        """Depth of a tilted plane through the origin; 0 beyond its horizon."""
        pixels = pixel_grid(*camera.size)
        along = -(POSE[:3, 3] @ normal) / (camera.ray_directions(pixels) @ normal)
        return np.where(along > 0.0, along, 0.0) / camera.distance_over_depth(pixels)

    depth = on_plane(rendered)
    # no four neighbours are of one thing, so that nothing lies between pixels of one
    index = np.indices(depth.shape).sum(axis=0).astype(np.uint16) % 2 + 1
    normals = np.broadcast_to(normal.astype(np.float32), (*depth.shape, 3))
    light = np.ones((*depth.shape, 4), np.float32)
    pixels = ViewPixels(light, depth.astype(np.float32), normals, np.where(depth > 0, index, 0).astype(np.uint16))
    made, truth = through_the_lens(pixels, planned(camera, rendered), SIZE), on_plane(camera)
    near = (truth > 0.0) & (truth < 20.0)
    assert made.depth is not None and near.mean() > 0.6
    assert np.abs(made.depth / np.where(near, truth, 1.0) - 1.0)[near].max() < 1e-5


@pytest.mark.parametrize("name", LENSES)
def test_a_finer_plain_picture_becomes_what_the_lens_draws(name: str) -> None:
    camera = LENSES[name]
    rendered = stand_in(camera)
    assert rendered.model == CameraModel(camera.model.kind)
    view = planned(camera, rendered)
    made, truth = through_the_lens(seen(rendered), view, SIZE), seen(camera)
    assert made.valid is not None and made.valid.all()
    # the picture is that of the lens, not shifted by a fiftieth of a pixel either way
    off, slopes = made.rgba[..., :3] - truth.rgba[..., :3], np.gradient(truth.rgba[..., :3], axis=(0, 1))
    assert np.abs(off).mean() < 0.05 * truth.rgba[..., :3].mean()
    assert [float((off * slope).sum() / (slope**2).sum()) for slope in slopes] == pytest.approx([0.0, 0.0], abs=0.02)
    assert made.depth is not None and made.normal is not None and made.object_index is not None
    same = made.object_index == truth.object_index
    assert same.mean() > 0.985, "the nearest of the finer pixels decides at silhouettes"
    # exact on planes seen by a perspective; on curved surfaces and at the slab's edges as good as so few pixels tell
    inside = same & (truth.object_index > 0)
    off = np.abs(made.depth - truth.depth)[inside]
    assert np.median(off) < (1e-6 if name == "distorted" else 1e-4) and np.quantile(off, 0.9) < 2e-3
    away = np.linalg.norm(made.further["position"] - truth.further["position"], axis=-1)
    assert np.quantile(away[inside], 0.9) < 2e-3
    turned = np.degrees(np.arccos(np.clip((made.normal * truth.normal).sum(axis=-1)[inside], -1.0, 1.0)))
    assert np.quantile(turned[truth.normal[inside].any(axis=-1)], 0.9) < 0.1


def test_flow_is_between_places_that_the_lens_draws() -> None:
    """Everything moves by seven pixels of the rendered picture; the lens draws both ends elsewhere."""
    camera = LENSES["distorted"]
    rendered = stand_in(camera)
    flat = np.broadcast_to(np.float32([7.0, -3.0]), (*rendered.size[::-1], 2))
    seen_by_pinhole = replace(seen(rendered), further={"flow_forward": flat})
    view = PlannedView("view", 1, POSE.tolist(), camera.intrinsics.tolist(), {}, 16, False, 0)
    view = replace(
        view,
        distortion=list(camera.model.distortion),
        stand_in={"intrinsics": rendered.intrinsics.tolist(), "size": list(rendered.size), "samples": 4},
    )
    flow = through_the_lens(seen_by_pinhole, view, SIZE).further["flow_forward"]
    grid = pixel_grid(*SIZE)
    start, _ = rendered.project(POSE[:3, 3] + camera.ray_directions(grid).reshape(-1, 3))
    points = POSE[:3, 3] + rendered.ray_directions(start + np.array([7.0, -3.0]))
    expected = camera.project(points)[0].reshape(grid.shape) - grid
    assert flow == pytest.approx(expected, abs=0.05)


def test_a_distortion_that_sees_almost_sideways_is_refused() -> None:
    model = CameraModel("opencv", (0.15, 0.0, 0.0, 0.0, 0.0, 1.0))
    camera = Camera(POSE, np.array([45.0, 45.0, 48.0, 36.0]), SIZE, model=model)
    with pytest.raises(UserError, match="choose the camera model fisheye"):
        stand_in(camera)


def test_six_pinholes_stand_for_a_lens_that_sees_all_around() -> None:
    """Exports project by matrices: each direction is in the picture of one of them, as finely as the lens draws it."""
    intrinsics = np.array([100.0 / np.pi, 100.0 / np.pi, 100.0, 50.0])
    around = Camera(POSE, intrinsics, (200, 100), model=CameraModel("equirectangular"))
    faces = pinholes_of(around)
    ways = np.random.default_rng(0).normal(size=(1000, 3))
    seen = np.zeros(1000, np.int64)
    for face in faces:
        assert face.camera_to_world[:3, :3] @ face.camera_to_world[:3, :3].T == pytest.approx(np.eye(3))
        assert np.linalg.det(face.camera_to_world[:3, :3]) == pytest.approx(1.0)
        pixels, depth = face.project(POSE[:3, 3] + ways)
        seen += (depth > 0) & ((pixels >= 0) & (pixels < face.size)).all(axis=1)
    assert (seen == 1).all()
    assert faces[0].intrinsics[0] == pytest.approx(intrinsics[0], abs=0.5)
    assert pinholes_of(LENSES["distorted"])[0].model.is_pinhole


QUICK = Recipe(samples=8192, bake_steps=8)
FISHEYE = CameraModel("fisheye", (0.03, -0.01, 0.0, 0.0, 0.0, 0.0))


def test_rays_through_a_lens_pass_where_its_pixels_are(tmp_path: Path) -> None:
    path = SCENE.write(tmp_path / "scene.h5", views=3, size=40, model=CameraModel("fisheye"), focal=0.2)
    random = np.random.default_rng(0)
    with open_dataset(path) as dataset:
        pixels = load_pixels(dataset, dataset.splits["train"])
        chosen = np.flatnonzero(pixels.valid[:1600])
        chosen = chosen[random.permutation(len(chosen))[:500]]
        shifts = random.uniform(-0.5, 0.5, (500, 2)).astype(np.float32)
        rays = pixels.rays(chosen, shifts)
        camera = dataset.camera(0)
        assert 0.8 < camera.draws(pixel_grid(40, 40)).mean() < 1.0, "the corners lie beyond 180 degrees from the axis"
        at = np.stack([chosen % 40, chosen // 40], axis=-1) + 0.5 + shifts
        # between its own pixels a direction is interpolated: a tenth of a pixel is 0.008 radians here
        true = np.degrees(np.arccos(np.clip((camera.ray_directions(at) * rays.directions).sum(axis=-1), -1, 1)))
        assert np.nanmax(true) < 0.2
        hit = pixels.distances[chosen] < 1e9
        at_centres = pixels.rays(chosen[hit])
        points = at_centres.origins + at_centres.last[:, None] * at_centres.directions
        matrix = dataset.world_from_field
        _, depth = camera.project(points @ matrix[:3, :3].T + matrix[:3, 3])
        np.testing.assert_allclose(depth, dataset.depth(0).reshape(-1)[chosen[hit]], rtol=1e-5)


def test_what_a_fisheye_drew_trains_a_field_that_compares(tmp_path: Path) -> None:
    scene = SCENE.write(tmp_path / "scene.h5", views=20, size=40, model=FISHEYE)
    twin, report = tmp_path / "scene.twin", tmp_path / "report"
    train(TrainSettings(str(scene), str(twin), device="cpu", steps=200), QuietReporter(), QUICK)
    metrics = compare(CompareSettings(str(scene), str(twin), str(report), "cpu"), QuietReporter())
    assert metrics["mean"]["psnr"] > 24.0
    assert json.loads((report / "metrics.json").read_text())["views"][0]["distortion"] == list(FISHEYE.distortion)
