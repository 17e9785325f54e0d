# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws the twins into the 3D views, over whatever Blender shows there: Solid, EEVEE or a live Cycles."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import bpy
import gpu
import numpy as np
from bpy.app.handlers import persistent
from gpu_extras.batch import batch_for_shader
from numpy.typing import ArrayLike, NDArray

from ...core.colour import ViewTransform, standard_view_transform
from ...core.errors import UserError
from ..view_transform import bake_view_transform, view_transform_key
from .badge import draw_badge
from .bakes import is_reading
from .compare.settings import OWN_ENGINE, is_compared
from .depth import depth_texture, read_depth
from .exact import forget_wishes, wish_of, wishes_of
from .instances import instances_in
from .march import CUBE, PlacedTwin, march, new_picture, screen_rectangle, show
from .march import free as free_shaders
from .pictures import Pictures, march_what_is_due
from .redraw import redraw, redraw_after
from .textures import ViewTransformTextures, view_transform_textures
from .twin import bake_of, crop_of, loaded_part_of, path_of, twins_of

MOST_REGIONS = 8
MOST_VIEW_TRANSFORMS = 4
# what a redraw may cost while a file is uploaded, seconds: three times the pause until the next one, and on a GPU that
# draws the rest of the window slowly more, so that the upload takes three quarters of the time
LOADING = 0.03
MOST_LOADING = 0.5


@dataclass
class _Shown:
    view_transform: ViewTransform
    textures: ViewTransformTextures | None = None


@dataclass
class _State:
    """Of the running Blender; nothing of it is saved."""

    handles: list[Any] = field(default_factory=list)
    pictures: dict[int, Pictures] = field(default_factory=dict)
    view_transforms: dict[Hashable, _Shown] = field(default_factory=dict)
    unbaked: str = ""
    left: float = 0.0
    failure: str = ""


_state = _State()


def draw(
    view_matrix: ArrayLike,
    projection_matrix: ArrayLike,
    size: tuple[int, int],
    placed: Sequence[PlacedTwin],
    view_transform: ViewTransform,
    *,
    scene_depth: NDArray[np.float32] | None = None,
    overlay: bool = False,
) -> None:
    """Draw twins into the bound framebuffer of `size`, at full resolution and at once.

    Args:
        view_matrix, projection_matrix: [4, 4] each, as OpenGL has them.
        size: width and height of the framebuffer in pixels.
        placed: the twins.
        view_transform: what turns their scene-linear light into what is shown.
        scene_depth: [height, width] depth-buffer values, row 0 at the bottom, at which rays end.
        overlay: whether the framebuffer is that of a viewport's overlays, which Blender has yet to encode.
    """
    rectangle = screen_rectangle(placed, view_matrix, projection_matrix, size)
    if rectangle is None:
        return
    left, bottom, width, height = rectangle
    picture = new_picture((width, height))
    depth = None
    if scene_depth is not None:
        depth = depth_texture(scene_depth[bottom : bottom + height, left : left + width])
    march(placed, view_matrix, projection_matrix, size, rectangle, picture, depth)
    show(picture, rectangle, size, view_transform_textures(view_transform), overlay)


def failure() -> str:
    """Why nothing is drawn in any viewport any more; empty when all is well."""
    return _state.failure


def prepare_view_transform(scene: bpy.types.Scene) -> None:
    """Bake the scene's view transform now, so that the very first redraw shows the right colours."""
    key = view_transform_key(scene)
    if key not in _state.view_transforms:
        _keep(key, bake_view_transform(scene))


def place(
    thing: bpy.types.Object,
    seconds: float = float("inf"),
    at_home: bool = False,
    instance: NDArray[np.float64] | None = None,
) -> PlacedTwin | None:
    """A twin where its object stands; None when there is nothing to draw. Needs a GPU context.

    Args:
        thing: its object.
        seconds: how long to upload what is not on the GPU yet; the next call goes on.
        at_home: all of it where its original stood, wherever the object is and whatever it is cropped to.
        instance: [4, 4] what stands for the object's own matrix where an instance of it is shown.
    """
    bake = bake_of(thing)
    textures = None if bake is None else bake.on_gpu(seconds)
    if bake is not None and textures is None and bake.before is not None:
        bake, textures = bake.before, bake.before.textures
    if bake is None or textures is None:
        return None
    if at_home:
        return PlacedTwin(textures, bake.world_from_field)
    matrix = np.array(thing.matrix_world, np.float64) if instance is None else instance
    world_from_field, crop = matrix @ bake.world_from_field, crop_of(thing)
    world_from_crop = None if crop is None else matrix @ crop
    # scaled to nothing along an axis, or cropped to nothing: flat things have no inside to march through
    if any(abs(np.linalg.det(one[:3, :3])) < 1e-18 for one in (world_from_field, world_from_crop) if one is not None):
        return None
    return PlacedTwin(textures, world_from_field, world_from_crop=world_from_crop)


def _draw_region() -> None:
    """Blender's draw handler, with the scene's depth and in the view's own space."""
    guarded(_draw_context)


def _draw_badge() -> None:
    """Blender's draw handler, in pixels."""
    guarded(draw_badge)


def guarded(draw_into: Callable[[bpy.types.Context], None]) -> None:
    """Draw, and after an error never again until another file is opened: `failure` says why."""
    if _state.failure:
        return
    try:
        draw_into(bpy.context)
    except Exception as error:
        # raised again with each redraw it would fill the console and help nobody
        _state.failure = f"The viewport stopped showing twins: {error}"
        traceback.print_exc()


def _draw_context(context: bpy.types.Context) -> None:
    space, region, view = context.space_data, context.region, context.region_data
    if not isinstance(space, bpy.types.SpaceView3D) or region is None or view is None or is_compared(context):
        return
    things = [thing for thing in twins_of(context.view_layer.objects) if thing.visible_get(viewport=space)]
    instances = instances_in(context)
    forget_wishes(region.as_pointer(), but=things)
    if not things and not instances:
        _state.pictures.pop(region.as_pointer(), None)
        return
    size = (region.width, region.height)
    view_matrix, projection_matrix = np.array(view.view_matrix), np.array(view.window_matrix)
    placed = []
    for thing, twin in ((thing, place(thing, time_to_upload())) for thing in things):
        if twin is not None:
            wish = wish_of(thing, twin, region.as_pointer(), view_matrix, projection_matrix, size)
            placed.append(replace(twin, layer=None if wish is None else wish.layer()))
    # by their bakes: a frame of the field for each of many would keep the worker busy for long
    copies = [place(thing, time_to_upload(), instance=matrix) for thing, matrix in instances]
    placed += [twin for twin in copies if twin is not None]
    if any(loaded_part_of(thing) < 1.0 for thing in (*things, *(thing for thing, _ in instances))):
        go_on_uploading()
    rectangle = screen_rectangle(placed, view_matrix, projection_matrix, size) if placed else None
    if rectangle is not None:
        textures = view_transform_of(context.scene)
        pictures = pictures_of(region)
        depth = read_depth(rectangle)
        if shows_twins_alone(space, context.scene):
            depth = np.ones_like(depth)
        overlay, line_width = space.overlay, 0
        if overlay.show_overlays and (overlay.show_floor or overlay.show_axis_x or overlay.show_axis_y):
            line_width = int(np.ceil(context.preferences.system.pixel_size)) + 1
        wait = march_what_is_due(pictures, placed, view_matrix, projection_matrix, size, rectangle, depth, line_width)
        if wait is not None:
            redraw_after(wait)
        show(pictures.best, rectangle, size, textures, overlay=True)
    if space.overlay.show_overlays:
        _draw_boxes(things, context)


def shows_twins_alone(space: bpy.types.SpaceView3D, scene: bpy.types.Scene) -> bool:
    """Whether a 3D view shows what our own engine renders. It draws no other objects, and Blender's depth has them all
    the same: they would hide twins without being seen."""
    return space.shading.type == "RENDERED" and scene.render.engine == OWN_ENGINE


def time_to_upload() -> float:
    """How long a redraw may upload, seconds: three times as long as Blender did other things since the last one."""
    return min(max(3.0 * (time.monotonic() - _state.left), LOADING), MOST_LOADING)


def go_on_uploading() -> None:
    """Draw again soon, for a twin that is not all on the GPU yet, but not while its file is read: drawing the window by
    software would take the processor from it."""
    _state.left = time.monotonic()
    if not is_reading():
        redraw_after(LOADING / 3)
    elif not bpy.app.timers.is_registered(_redraw_when_read):
        bpy.app.timers.register(_redraw_when_read)


def _redraw_when_read() -> float | None:
    if is_reading():
        return LOADING / 3
    redraw()
    return None


def pictures_of(region: bpy.types.Region) -> Pictures:
    """What was marched for a region."""
    key = region.as_pointer()
    pictures = _state.pictures.pop(key, None) or Pictures()
    # most recently drawn last: the views of closed windows are the first to be forgotten
    _state.pictures[key] = pictures
    while len(_state.pictures) > MOST_REGIONS:
        del _state.pictures[next(iter(_state.pictures))]
    return pictures


def _draw_boxes(things: Sequence[bpy.types.Object], context: bpy.types.Context) -> None:
    """A thin box around what is drawn of each twin that is selected, or of which nothing is drawn yet: the Empty itself
    stands where the scene's origin is."""
    theme = context.preferences.themes[0].view_3d
    shader = gpu.shader.from_builtin("UNIFORM_COLOR")
    edges = [(a, b) for a in range(8) for b in range(a + 1, 8) if (a ^ b) in (1, 2, 4)]
    gpu.state.depth_test_set("LESS_EQUAL")
    for thing in things:
        bake = bake_of(thing)
        if bake is None:
            continue
        is_shown = any(wish.is_shown and wish.shows(path_of(thing)) for wish in wishes_of(context.region.as_pointer()))
        if not thing.select_get() and (not bake.is_expected or is_shown):
            continue
        matrix = np.array(thing.matrix_world, np.float64)
        crop = crop_of(thing)
        box = bake.box if crop is None else CUBE @ crop[:3, :3].T + crop[:3, 3]
        corners = box @ matrix[:3, :3].T + matrix[:3, 3]
        batch = batch_for_shader(shader, "LINES", {"pos": corners.astype(np.float32).tolist()}, indices=edges)
        colour = theme.object_active if thing == context.view_layer.objects.active else theme.object_selected
        if not thing.select_get():
            colour = theme.space.text
        shader.bind()
        shader.uniform_float("color", (*colour[:3], 1.0))
        batch.draw(shader)
    gpu.state.depth_test_set("NONE")


def view_transform_of(scene: bpy.types.Scene) -> ViewTransformTextures:
    """Of a scene's view transform; until it is baked the one used last."""
    key: Hashable = view_transform_key(scene)
    if key not in _state.view_transforms:
        # baking makes pictures, and nothing can be made while drawing
        _state.unbaked = scene.name
        if not bpy.app.timers.is_registered(_bake_unbaked):
            bpy.app.timers.register(_bake_unbaked, first_interval=0.0)
        key = next(reversed(list(_state.view_transforms)), None)
    shown = _state.view_transforms.get(key) or _keep(None, standard_view_transform())
    if shown.textures is None:
        shown.textures = view_transform_textures(shown.view_transform)
    return shown.textures


def _bake_unbaked() -> None:
    scene = bpy.data.scenes.get(_state.unbaked)
    if scene is not None:
        try:
            prepare_view_transform(scene)
        except UserError as error:
            # not tried again until the settings change
            _keep(view_transform_key(scene), standard_view_transform())
            print(f"Radiance Twin: {error}")
        redraw()


def _keep(key: Hashable, view_transform: ViewTransform) -> _Shown:
    _state.view_transforms[key] = shown = _Shown(view_transform)
    while len(_state.view_transforms) > MOST_VIEW_TRANSFORMS:
        del _state.view_transforms[next(iter(_state.view_transforms))]
    return shown


@persistent
def _file_loaded(*_: Any) -> None:
    _state.failure = ""
    _state.pictures.clear()
    forget_wishes()


def register() -> None:
    bpy.app.handlers.load_post.append(_file_loaded)
    for function, kind in ((_draw_region, "POST_VIEW"), (_draw_badge, "POST_PIXEL")):
        _state.handles.append(bpy.types.SpaceView3D.draw_handler_add(function, (), "WINDOW", kind))


def unregister() -> None:
    bpy.app.handlers.load_post.remove(_file_loaded)
    for handle in _state.handles:
        bpy.types.SpaceView3D.draw_handler_remove(handle, "WINDOW")
    for timer in (_bake_unbaked, _redraw_when_read):
        if bpy.app.timers.is_registered(timer):
            bpy.app.timers.unregister(timer)
    _state.handles.clear()
    _state.failure = ""
    forget_wishes()
    _state.pictures.clear()
    _state.view_transforms.clear()
    free_shaders()
