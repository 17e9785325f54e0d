# SPDX-License-Identifier: GPL-3.0-or-later
"""USD: cameras.usda with one animated camera a split, and the pictures, numbered by their time codes.

A view's time code is its index in the dataset. Blender's world stays the world: z up, metersPerUnit as in the scene.
Focal length and apertures are in tenths of a scene unit, as UsdGeomCamera has it; aperture offsets hold the lens shift,
and the two apertures what shape pixels have. A render product says each camera's resolution, which cannot be animated.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pxr import Gf, Usd, UsdGeom, UsdRender

from ...cameras import Camera
from .cameras import require_pinholes
from .posed import Task, Written

# what the sensor counts as wide, millimetres: only its ratio to the focal length can be seen
SENSOR = 36.0
# scene units; USD's own would cut off what is nearer than one unit
CLIPPING = (0.001, 1_000_000.0)


def write(task: Task) -> Written:
    """Write the folder.

    Raises:
        UserError: the lenses bend straight lines.
    """
    require_pinholes(task.dataset, "usd")
    dataset, written = task.dataset, Written()
    stage = Usd.Stage.CreateNew(str(task.new_file("cameras.usda")))
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.z)
    UsdGeom.SetStageMetersPerUnit(stage, dataset.unit_scale)
    stage.SetDefaultPrim(UsdGeom.Xform.Define(stage, "/cameras").GetPrim())
    stage.SetStartTimeCode(0)
    stage.SetEndTimeCode(dataset.count - 1)
    sensor = SENSOR / (100.0 * dataset.unit_scale)
    cameras: dict[tuple[str, int, int], UsdGeom.Camera] = {}
    for split, index in task.each_view():
        written.names[index] = f"{index:06d}"
        task.picture(index, f"images/{index:06d}{task.ending}")
        view = dataset.camera(index)
        if (split, *view.size) not in cameras:
            cameras[split, *view.size] = _camera(stage, split, len(cameras), view.size)
        _sample(cameras[split, *view.size], index, view, sensor)
    stage.GetRootLayer().Save()
    written.remarks.append("A view's time code is its number; between two of them cameras stand nowhere.")
    return written


def _camera(stage: Usd.Stage, split: str, number: int, size: tuple[int, int]) -> UsdGeom.Camera:
    camera = UsdGeom.Camera.Define(stage, f"/cameras/{split}_{number}")
    camera.CreateClippingRangeAttr(Gf.Vec2f(*CLIPPING))
    camera.AddTransformOp()
    product = UsdRender.Product.Define(stage, f"/render/{split}_{number}")
    product.CreateCameraRel().SetTargets([camera.GetPath()])
    product.CreateResolutionAttr(Gf.Vec2i(*size))
    return camera


def _sample(camera: UsdGeom.Camera, code: int, view: Camera, sensor: float) -> None:
    width, height = view.size
    fx, fy, cx, cy = (float(value) for value in view.intrinsics)
    focal = sensor * fx / width
    tall = focal * height / fy
    camera.GetOrderedXformOps()[0].Set(_matrix(view.camera_to_world), code)
    camera.CreateFocalLengthAttr().Set(focal, code)
    camera.CreateHorizontalApertureAttr().Set(sensor, code)
    camera.CreateVerticalApertureAttr().Set(tall, code)
    camera.CreateHorizontalApertureOffsetAttr().Set(sensor * (0.5 - cx / width), code)
    camera.CreateVerticalApertureOffsetAttr().Set(tall * (cy / height - 0.5), code)


def _matrix(matrix: NDArray[np.float64]) -> Gf.Matrix4d:
    # USD multiplies rows from the left
    return Gf.Matrix4d(*matrix.T.ravel().tolist())
