# SPDX-License-Identifier: GPL-3.0-or-later
"""The scene's own view transform (display, view, look, exposure, gamma, curves) as a table for numpy and GLSL.

Blender itself does the conversion: a picture of the table's nodes is saved the way that a render is saved, so that
whatever the scene asks for is in the table. (PyOpenColorIO would do as well, but its import can hang Blender at exit.)
"""

from __future__ import annotations

import tempfile
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..core.colour import LUT_SIZE, ViewTransform, lattice
from ..core.errors import UserError

# stops around middle exposure; with 65 nodes the white point, where Standard has its kink, falls on a node
STOPS_BELOW_WHITE = 10.0
STOPS_ABOVE_WHITE = 6.0


def view_transform_key(scene: bpy.types.Scene) -> tuple[Hashable, ...]:
    """A value that changes when the scene's view transform does; baking again is needed only then. Cheap."""
    view = scene.view_settings
    key: list[Hashable] = [*_simple_values(scene.display_settings), *_simple_values(view)]
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
    """Bake the scene's view transform into a table of 65³ nodes, about a third of a second.

    The scene is as before when this returns. Must run on the main thread, not in a draw handler.

    Raises:
        UserError: the temporary folder cannot be written, or the scene is linked from another file.
    """
    view = scene.view_settings
    low, high = -STOPS_BELOW_WHITE - view.exposure, STOPS_ABOVE_WHITE - view.exposure
    lut = displayed(scene, lattice(low, high).reshape(-1, LUT_SIZE, 3))
    return ViewTransform(
        np.clip(lut, 0.0, 1.0).reshape(LUT_SIZE, LUT_SIZE, LUT_SIZE, 3),
        low,
        high,
        scene.display_settings.display_device,
        view.view_transform,
        view.look,
        view.exposure,
        view.gamma,
    )


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
