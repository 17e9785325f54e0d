# SPDX-License-Identifier: GPL-3.0-or-later
"""The scene's own view transform (display, view, look, exposure, gamma, curves, white balance) for numpy and GLSL.

Its stages are read from Blender's OpenColorIO configuration, which follows every crease of AgX, and are believed only
when they show what Blender shows: a picture of random colours is saved the way that a render is saved. Where they do
not, or a configuration holds what we cannot read, Blender saves a picture of the nodes of one large table instead.
(PyOpenColorIO would do as well, but its import can hang Blender at exit.)
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..core.colour import LUT_SIZE, Stage, ViewTransform, lattice, table_stages
from ..core.colour_steps import Step, matrix_step
from ..core.errors import UserError
from ..core.ocio import UnknownConfiguration, view_stages, white_balance
from .compat import working_space

# stops around middle exposure; with 65 nodes the white point, where Standard has its kink, falls on a node
STOPS_BELOW_WHITE = 10.0
STOPS_ABOVE_WHITE = 6.0
# a picture of so many random colours must be as Blender shows it, but for a few: False Color has cliffs
CHECKED = (96, 128)
LARGEST_ERROR = 0.5 / 255.0
FEW = 0.005
# in the table that Blender makes of a curve
CURVE_CELLS = 256


def view_transform_key(scene: bpy.types.Scene) -> tuple[Hashable, ...]:
    """A value that changes when the scene's view transform does; baking again is needed only then. Cheap."""
    view = scene.view_settings
    key: list[Hashable] = [working_space(), *_simple_values(scene.display_settings), *_simple_values(view)]
    mapping = view.curve_mapping if view.use_curve_mapping else None
    if mapping is not None:
        key += [
            tuple(mapping.black_level[:]),
            tuple(mapping.white_level[:]),
            mapping.extend,
            mapping.tone,
        ]
        for curve in mapping.curves:
            key.append(tuple((*point.location, point.handle_type) for point in curve.points))
    return tuple(key)


def bake_view_transform(scene: bpy.types.Scene) -> ViewTransform:
    """The scene's view transform: read and checked, or baked into a table of 65³ nodes. Less than half a second.

    The scene is as before when this returns. Must run on the main thread, not in a draw handler.

    Raises:
        UserError: the temporary folder cannot be written, or the scene is linked from another file.
    """
    read = _read(scene)
    if read is not None:
        colours = _random_colours(scene.view_settings.exposure)
        errors = np.abs(read.apply(colours) - displayed(scene, colours)).max(axis=-1)
        # so that NaN counts as an error
        if np.mean(errors <= LARGEST_ERROR) >= 1.0 - FEW:
            return read
    return bake_table(scene)


def bake_table(scene: bpy.types.Scene) -> ViewTransform:
    """The scene's view transform in one table of 65³ nodes; raises what `bake_view_transform` does."""
    exposure = scene.view_settings.exposure
    low, high = -STOPS_BELOW_WHITE - exposure, STOPS_ABOVE_WHITE - exposure
    lut = displayed(scene, lattice(low, high).reshape(-1, LUT_SIZE, 3)).reshape(LUT_SIZE, LUT_SIZE, LUT_SIZE, 3)
    return _named(scene, tuple(table_stages(lut, low, high)))


def _read(scene: bpy.types.Scene) -> ViewTransform | None:
    """The stages that Blender's configuration describes, unchecked; None where it holds what we cannot read."""
    view = scene.view_settings
    try:
        stages = view_stages(
            _configuration(),
            display=scene.display_settings.display_device,
            view=view.view_transform,
            look=view.look,
            gamma=view.gamma,
            scene_linear=working_space(),
            first=_first_steps(scene),
        )
    except UnknownConfiguration:
        return None
    return _named(scene, stages)


def _named(scene: bpy.types.Scene, stages: tuple[Stage, ...]) -> ViewTransform:
    view = scene.view_settings
    display = scene.display_settings.display_device
    return ViewTransform(stages, display, view.view_transform, view.look, view.exposure, view.gamma)


def _configuration() -> Path:
    """The OpenColorIO configuration that Blender was started with."""
    chosen = os.environ.get("BLENDER_OCIO") or os.environ.get("OCIO")
    places = [
        Path(bpy.utils.resource_path(kind), "datafiles", "colormanagement") for kind in ("USER", "LOCAL", "SYSTEM")
    ]
    files = [Path(chosen)] if chosen else []
    files += [place / "config.ocio" for place in places]
    return next((file for file in files if file.is_file()), files[-1])


def _random_colours(exposure: float) -> NDArray[np.float32]:
    """[height, width, 3] scene-linear: any, greyish, some components zero or negative."""
    rng = np.random.default_rng(1)
    height, width = CHECKED
    colours = np.exp2(rng.uniform(-12.0, 10.0, (height, width, 3)) - exposure)
    colours *= rng.choice([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, -1.0, 0.0], colours.shape)
    greyish = np.exp2(rng.uniform(-12.0, 8.0, (height // 2, width, 1)) - exposure)
    colours[: height // 2] = greyish * rng.uniform(0.2, 1.0, (height // 2, width, 3))
    return colours.astype(np.float32)


def _first_steps(scene: bpy.types.Scene) -> list[Step]:
    """What Blender does to scene-linear colours before the configuration's own steps."""
    view = scene.view_settings
    balance = np.eye(3)
    if view.use_white_balance:
        white = np.array(view.white_balance_whitepoint[:], np.float64)
        balance = white_balance(_configuration(), working_space(), white)
    return [*_curve_steps(view), matrix_step(2.0**view.exposure * balance)]


def _curve_steps(view: bpy.types.ColorManagedViewSettings) -> list[Step]:
    """The curves: each channel's own, then the one for all.

    Raises:
        UnknownConfiguration: film-like curves, which keep the hue.
    """
    if not view.use_curve_mapping:
        return []
    mapping = view.curve_mapping
    if mapping.tone != "STANDARD":
        raise UnknownConfiguration("film-like curves")
    mapping.initialize()
    red, green, blue, combined = mapping.curves
    black, white = np.array(mapping.black_level[:], np.float64), np.array(mapping.white_level[:], np.float64)
    scale = 1.0 / np.maximum(white - black, 1e-5)
    levels = matrix_step(np.diag(scale), -black * scale)
    own, all_alike = _curves(mapping, [red, green, blue]), _curves(mapping, [combined] * 3)
    return [levels, *own, *all_alike]


def _curves(mapping: bpy.types.CurveMapping, curves: Sequence[bpy.types.CurveMap]) -> list[Step]:
    """A curve for each channel, with the cells of Blender's own table and one more at each end for what lies beyond."""
    starts, lengths, samples = np.zeros(3), np.zeros(3), np.zeros((CURVE_CELLS + 3, 3))
    for channel, curve in enumerate(curves):
        low, high = curve.points[0].location[0], curve.points[-1].location[0]
        cell = max(high - low, 1e-6) / CURVE_CELLS
        x = low + cell * np.arange(-1, CURVE_CELLS + 2)
        samples[:, channel] = [mapping.evaluate(curve, float(one)) for one in x]
        starts[channel], lengths[channel] = x[0], x[-1] - x[0]
    return [matrix_step(np.diag(1.0 / lengths), -starts / lengths), ("curve", samples)]


def displayed(scene: bpy.types.Scene, linear: NDArray[np.float32]) -> NDArray[np.float32]:
    """What Blender shows for scene-linear colours [height, width, 3]: display-referred [height, width, 3] in 0..1.

    Raises:
        UserError: the temporary folder cannot be written, or the scene is linked from another file.
    """
    if scene.library is not None:
        raise UserError(f"the scene {scene.name} is linked from another file; make it local first")
    height, width = linear.shape[:2]
    with tempfile.TemporaryDirectory(prefix="radiance_twin_") as folder:
        path = Path(folder) / "nodes.png"
        source = bpy.data.images.new("Radiance Twin view transform", width, height, float_buffer=True, alpha=False)
        pixels: Any = np.dstack([linear, np.ones((height, width), np.float32)]).astype(np.float32).ravel()
        try:
            source.pixels.foreach_set(pixels)
            with _png_settings(scene):
                try:
                    source.save_render(str(path), scene=scene)
                except RuntimeError as error:
                    raise UserError(f"cannot write to the temporary folder {folder} ({error})") from error
        finally:
            bpy.data.images.remove(source)
        if not path.exists():
            raise UserError(f"Blender wrote no picture into the temporary folder {folder}; is the disk full?")
        return _raw_pixels(path, height, width)


def _raw_pixels(path: Path, height: int, width: int) -> NDArray[np.float32]:
    image = bpy.data.images.load(str(path))
    try:
        image.colorspace_settings.is_data = True
        pixels = np.empty(height * width * 4, np.float32)
        image.pixels.foreach_get(pixels)
    finally:
        bpy.data.images.remove(image)
    return pixels.reshape(height, width, 4)[..., :3]


@contextmanager
def _png_settings(scene: bpy.types.Scene) -> Iterator[None]:
    """The scene's output settings are 16-bit PNG inside, and what they were before outside."""
    settings = scene.render.image_settings
    # media_type (since 5.0) and file_format decide which of the others exist: they go first, in this order
    wanted = {
        "media_type": "IMAGE",
        "file_format": "PNG",
        "color_mode": "RGB",
        "color_depth": "16",
        "compression": 0,
        "color_management": "FOLLOW_SCENE",
    }
    wanted = {name: value for name, value in wanted.items() if hasattr(settings, name)}
    before = {name: getattr(settings, name) for name in wanted}
    try:
        for name, value in wanted.items():
            setattr(settings, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(settings, name, value)


def _simple_values(settings: Any) -> Iterator[tuple[str, Any]]:
    for name, prop in settings.bl_rna.properties.items():
        if prop.type in {"BOOLEAN", "INT", "FLOAT", "ENUM", "STRING"}:
            value = getattr(settings, name)
            yield name, tuple(value) if getattr(prop, "is_array", False) else value
