# SPDX-License-Identifier: GPL-3.0-or-later
"""Our intrinsics are those of Blender itself, for every sensor fit, shift, pixel aspect and orientation."""

from itertools import product

import bpy
import numpy as np
import pytest

from radiance_twin.addon.studio.cameras import Lens, StudioCamera, intrinsics_of, parallel_intrinsics_of
from radiance_twin.core import cameras

from .scenes import new_scene

SHAPES = [(800, 600), (600, 800), (500, 500)]
FITS = ["AUTO", "HORIZONTAL", "VERTICAL"]
SHIFTS = [(0.0, 0.0), (0.13, -0.07)]
ASPECTS = [(1.0, 1.0), (2.0, 1.0), (1.0, 1.5)]


def through_blender(camera: StudioCamera, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Points in front of a camera at the origin, and their pixels with v down, by Blender's own matrix."""
    projection = camera.projection(shape)
    points = np.array([[0.0, 0.0, -1.0], [0.3, 0.0, -1.0], [0.0, 0.3, -1.0], [-0.2, 0.1, -3.0]])
    clip = np.concatenate([points, np.ones((4, 1))], axis=1) @ projection.T
    ndc = clip[:, :2] / clip[:, 3:]
    return points, np.stack([(ndc[:, 0] + 1) * shape[0] / 2, (1 - ndc[:, 1]) * shape[1] / 2], axis=1)


@pytest.mark.parametrize(("shape", "fit", "shift", "aspect"), list(product(SHAPES, FITS, SHIFTS, ASPECTS)))
def test_intrinsics_are_those_of_calc_matrix_camera(
    shape: tuple[int, int], fit: str, shift: tuple[float, float], aspect: tuple[float, float]
) -> None:
    scene = new_scene()
    scene.render.pixel_aspect_x, scene.render.pixel_aspect_y = aspect
    lens = Lens(lens=45.0, sensor_width=36.0, sensor_height=20.0, sensor_fit=fit, shift_x=shift[0], shift_y=shift[1])
    camera = StudioCamera(scene)
    camera.put(np.eye(4), lens)
    points, blender = through_blender(camera, shape)
    pixels, _ = cameras.project(points, np.eye(4), intrinsics_of(lens, scene, shape))
    assert np.abs(pixels - blender).max() / max(shape) < 1e-6


@pytest.mark.parametrize(("shape", "shift", "aspect"), list(product(SHAPES, SHIFTS, ASPECTS)))
def test_a_lens_can_be_found_for_any_intrinsics(
    shape: tuple[int, int], shift: tuple[float, float], aspect: tuple[float, float]
) -> None:
    wanted = cameras.intrinsics_from_lens(45.0, 36.0, 20.0, "AUTO", *shift, *shape, *aspect)
    fitted = cameras.lens_from_intrinsics(wanted, *shape)
    assert fitted.pixel_aspect == pytest.approx(aspect)
    scene = new_scene()
    scene.render.pixel_aspect_x, scene.render.pixel_aspect_y = fitted.pixel_aspect
    camera = StudioCamera(scene)
    lens = Lens(fitted.lens, fitted.sensor_width, 24.0, "HORIZONTAL", fitted.shift_x, fitted.shift_y)
    camera.put(np.eye(4), lens)
    points, blender = through_blender(camera, shape)
    assert np.abs(cameras.project(points, np.eye(4), wanted)[0] - blender).max() / max(shape) < 1e-6


@pytest.mark.parametrize(("shape", "fit", "shift", "aspect"), list(product(SHAPES, FITS, SHIFTS, ASPECTS)))
def test_intrinsics_of_an_orthographic_camera_are_those_of_calc_matrix_camera(
    shape: tuple[int, int], fit: str, shift: tuple[float, float], aspect: tuple[float, float]
) -> None:
    scene = new_scene()
    scene.render.pixel_aspect_x, scene.render.pixel_aspect_y = aspect
    data = bpy.data.cameras.new("Flat")
    data.type, data.ortho_scale, data.sensor_fit, data.sensor_height = "ORTHO", 3.3, fit, 20.0
    data.shift_x, data.shift_y = shift
    camera = bpy.data.objects.new("Flat", data)
    scene.collection.objects.link(camera)
    projection = np.array(
        camera.calc_matrix_camera(
            bpy.context.evaluated_depsgraph_get(), x=shape[0], y=shape[1], scale_x=aspect[0], scale_y=aspect[1]
        )
    )
    points = np.array([[0.0, 0.0, -1.0], [0.3, 0.0, -1.0], [0.0, 0.3, -1.0], [-0.2, 0.1, -3.0]])
    ndc = np.concatenate([points, np.ones((4, 1))], axis=1) @ projection.T
    blender = np.stack([(ndc[:, 0] + 1) * shape[0] / 2, (1 - ndc[:, 1]) * shape[1] / 2], axis=1)
    fx, fy, cx, cy = parallel_intrinsics_of(camera, scene, shape)
    pixels = np.stack([cx + fx * points[:, 0], cy - fy * points[:, 1]], axis=1)
    assert np.abs(pixels - blender).max() / max(shape) < 1e-6
