# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws the comparison into rendered 3D views: the twin where its original stands, held against the live render.

The neural side is the twin alone, over the background of the render: nothing of the scene hides it, for the scene is
what it is compared with. The classic side is the render without any twin in it.
"""

from __future__ import annotations

import time
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from typing import Any

import bpy
import gpu
import numpy as np
from bpy.app.handlers import persistent
from numpy.typing import NDArray

from ..depth import depth_texture, read_depth
from ..draw import go_on_uploading, guarded, pictures_of, place, time_to_upload, view_transform_of
from ..exact import forget_wishes, wish_of
from ..march import Picture, Rectangle, screen_rectangle
from ..pictures import march_what_is_due
from ..redraw import redraw_after
from ..textures import ViewTransformTextures
from ..twin import bake_of, loaded_part_of
from .flip import FlipWish, flip_wish_of, forget_flip_wishes
from .settings import Shown, compared_twin, comparison_of, is_compared, shown_in, wipe_of
from .sides import (
    Sides,
    compose,
    display_images,
    flip_texture,
    free,
    new_sides,
    on_ground,
    read_pixels,
    show_difference,
    show_sides,
)
from .split import settle_soon
from .words import draw_words

MOST_REGIONS = 8
# while Cycles adds samples, the figures follow this often
SECONDS_BETWEEN_FIGURES = 0.5


@dataclass
class Compared:
    """Of one region.

    Attributes:
        light: the framebuffer that the render engine draws its scene-linear light into.
        sides: both pictures.
        shown: what the region shows.
        psnr: of all that is visible, as the screen shows it, decibels; infinite when no pixel differs, None as long as
            the view does not rest.
        flip: what is wished of the worker, None when FLIP is not shown.
    """

    light: Any = None
    sides: Sides | None = None
    shown: Shown = "CLASSIC"
    psnr: float | None = None
    flip: FlipWish | None = None
    images: tuple[NDArray[np.uint8], NDArray[np.uint8]] | None = None
    subject: Hashable = None
    measured: float = -SECONDS_BETWEEN_FIGURES
    flip_shown: tuple[NDArray[np.float32], gpu.types.GPUTexture] | None = None


@dataclass
class _State:
    """Of the running Blender; nothing of it is saved."""

    handles: list[Any] = field(default_factory=list)
    regions: dict[int, Compared] = field(default_factory=dict)


_state = _State()


def _before_view() -> None:
    """Blender's draw handler before the engine draws: the framebuffer bound now is the one that it draws into."""
    guarded(_keep_framebuffer)


def _after_view() -> None:
    """Blender's draw handler when engine and overlays have drawn."""
    guarded(_draw_view)


def _in_pixels() -> None:
    """Blender's draw handler, in pixels."""
    guarded(_draw_words)


def _keep_framebuffer(context: bpy.types.Context) -> None:
    settle_soon(context)
    if not is_compared(context):
        _state.regions.pop(context.region.as_pointer(), None)
        return
    key = context.region.as_pointer()
    compared = _state.regions.pop(key, None) or Compared()
    compared.light = gpu.state.active_framebuffer_get()
    # most recently drawn last
    _state.regions[key] = compared
    while len(_state.regions) > MOST_REGIONS:
        del _state.regions[next(iter(_state.regions))]


def _draw_view(context: bpy.types.Context) -> None:
    compared = _state.regions.get(context.region.as_pointer())
    if compared is None or not is_compared(context):
        return
    settings = comparison_of(context.workspace)
    compared.shown = shown_in(context)
    size = (context.region.width, context.region.height)
    whole = Rectangle(0, 0, *size)
    depth = read_depth(whole)
    pixels = read_pixels(compared.light, whole)
    # also before there is a first sample, and while EEVEE makes its shaders
    transparent = bool(pixels[..., 3].min() < 0.99)
    compared.sides = sides = new_sides(on_ground(pixels) if transparent else pixels, compared.sides)
    view_transform = view_transform_of(context.scene)
    if settings.mode == "SPLIT" and compared.shown == "CLASSIC" and not settings.loupe:
        compared.psnr = None
        forget_wishes(context.region.as_pointer())
    else:
        marched, rectangle, subject = _march(context, size)
        compose(sides, marched, rectangle, depth_texture(depth))
        _measure(compared, subject, view_transform)
    if transparent:
        gpu.state.active_framebuffer_get().clear(color=(0.0, 0.0, 0.0, 0.0))
    if compared.shown == "DIFFERENCE":
        _draw_difference(context, compared, view_transform)
        return
    compared.flip = None
    with compared.light.bind():
        wipe = wipe_of(settings, context.region)
        show_sides(sides, wipe if compared.shown == "WIPE" else compared.shown, transparent)


def _march(context: bpy.types.Context, size: tuple[int, int]) -> tuple[Picture | None, Rectangle | None, Hashable]:
    """The twin's picture, what part of the view it is of, and all that it depends on; None while it is not complete."""
    thing = compared_twin(context)
    forget_wishes(context.region.as_pointer(), but=[] if thing is None else [thing])
    twin = None if thing is None else place(thing, time_to_upload(), at_home=True)
    if thing is not None and loaded_part_of(thing) < 1.0:
        go_on_uploading()
    if thing is None or twin is None:
        return None, None, None
    region, view = context.region, context.region_data
    view_matrix, projection_matrix = np.array(view.view_matrix), np.array(view.window_matrix)
    wish = wish_of(thing, twin, region.as_pointer(), view_matrix, projection_matrix, size, at_home=True)
    twin = replace(twin, layer=None if wish is None else wish.layer())
    bake = bake_of(thing)
    rectangle = screen_rectangle([twin], view_matrix, projection_matrix, size)
    if twin.layer is not None and bake is not None and bake.behind:
        rectangle = twin.layer.rectangle
    if rectangle is None:
        return None, None, (view_matrix.tobytes(), projection_matrix.tobytes())
    pictures = pictures_of(region)
    # nothing of the scene hides it
    free_way = np.ones((rectangle.height, rectangle.width), np.float32)
    wait = march_what_is_due(pictures, [twin], view_matrix, projection_matrix, size, rectangle, free_way)
    if wait is not None:
        redraw_after(wait)
    return pictures.best, rectangle, pictures.subject if pictures.done >= 1.0 else None


def _measure(compared: Compared, subject: Hashable, view_transform: ViewTransformTextures) -> None:
    """Bring the figures up to date, when the view rests and not too often."""
    sides = compared.sides
    assert sides is not None
    if subject is None:
        compared.psnr = compared.images = compared.subject = None
        return
    # the pixels are kept as they are for as long as the render does not change
    subject = (subject, id(sides.pixels), id(view_transform))
    if subject == compared.subject:
        return
    wait = SECONDS_BETWEEN_FIGURES - (time.monotonic() - compared.measured)
    if wait > 0.0:
        redraw_after(wait)
        return
    compared.subject, compared.measured = subject, time.monotonic()
    compared.images = display_images(sides, view_transform)
    compared.psnr = psnr(*compared.images)


def psnr(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Of two 8-bit pictures, decibels; infinite when no pixel differs."""
    squared = float(np.mean((first.astype(np.float32) - second.astype(np.float32)) ** 2))
    return float("inf") if squared == 0.0 else float(10.0 * np.log10(255.0**2 / squared))


def _draw_difference(context: bpy.types.Context, compared: Compared, view_transform: ViewTransformTextures) -> None:
    settings = comparison_of(context.workspace)
    assert compared.sides is not None
    kind, amplification, texture = settings.difference, settings.amplification, None
    if kind == "FLIP":
        compared.flip = flip_wish_of(context.region.as_pointer(), compared.images)
        texture = _flip_map(compared)
        # until it is there, something that looks like it
        kind, amplification = ("FLIP", 1.0) if texture is not None else ("ABSOLUTE", 1.0)
    else:
        compared.flip = None
    show_difference(compared.sides, kind, amplification, view_transform, flip=texture, overlay=True)


def _flip_map(compared: Compared) -> gpu.types.GPUTexture | None:
    """On the GPU; None when there is none of what is seen now."""
    wish = compared.flip
    if wish is None or wish.error is None:
        return None
    if compared.flip_shown is None or compared.flip_shown[0] is not wish.error:
        compared.flip_shown = wish.error, flip_texture(wish.error)
    return compared.flip_shown[1]


def _draw_words(context: bpy.types.Context) -> None:
    compared = _state.regions.get(context.region.as_pointer())
    if compared is not None and is_compared(context):
        draw_words(context, compared, view_transform_of(context.scene))


@persistent
def _file_loaded(*_: Any) -> None:
    _forget()


def _forget() -> None:
    _state.regions.clear()
    forget_flip_wishes()


def register() -> None:
    bpy.app.handlers.load_post.append(_file_loaded)
    for function, kind in ((_before_view, "PRE_VIEW"), (_after_view, "POST_VIEW"), (_in_pixels, "POST_PIXEL")):
        _state.handles.append(bpy.types.SpaceView3D.draw_handler_add(function, (), "WINDOW", kind))


def unregister() -> None:
    bpy.app.handlers.load_post.remove(_file_loaded)
    for handle in _state.handles:
        bpy.types.SpaceView3D.draw_handler_remove(handle, "WINDOW")
    _state.handles.clear()
    _forget()
    free()
