# SPDX-License-Identifier: GPL-3.0-or-later
"""The render engine "Radiance Twin": F12 and animations of the scene's twins, by their fields, not their bakes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
from bpy.app.handlers import persistent
from numpy.typing import NDArray

from ..core.errors import Cancelled, UserError
from ..core.layers import composite_layers
from .jobs import viewer
from .jobs.frames import View
from .properties import settings_of
from .studio.cameras import intrinsics_of, is_flat, is_perspective, lens_of, parallel_intrinsics_of, pose_of
from .viewport.compare.settings import OWN_ENGINE
from .viewport.instances import standing_in
from .viewport.twin import path_of

ENGINE = OWN_ENGINE
# what Blender's own engines put into the depth of a pixel that nothing was hit in
NOTHING = 1e10

Array = NDArray[np.float64]
F4 = NDArray[np.float32]


@dataclass(frozen=True)
class Standing:
    """A twin, and where its object stands.

    Attributes:
        path: absolute, of the .twin.
        world_from_object: [4, 4].
    """

    path: str
    world_from_object: Array


@dataclass(frozen=True)
class Window:
    """What is rendered of a picture: `size` pixels whose upper left one is at (`left`, `top`) of the whole."""

    left: int
    top: int
    size: tuple[int, int]


# when not None, this is rendered instead of the scene's twins
instead: list[Standing] | None = None


class RadianceTwinEngine(bpy.types.RenderEngine):
    """Renders what Blender asks for: one view layer of one frame at a time."""

    bl_idname = ENGINE
    bl_label = "Radiance Twin"
    bl_use_preview = False
    bl_use_eevee_viewport = True

    def update_render_passes(self, scene: bpy.types.Scene = None, renderlayer: bpy.types.ViewLayer = None) -> None:
        self.register_pass(scene, renderlayer, "Combined", 4, "RGBA", "COLOR")
        if renderlayer.use_pass_z:
            self.register_pass(scene, renderlayer, "Depth", 1, "Z", "VALUE")

    def render(self, depsgraph: bpy.types.Depsgraph) -> None:
        scene, layer = depsgraph.scene, depsgraph.view_layer
        window = window_of(scene.render)
        # begun in any case: Blender crashes when it saves a frame that no engine has begun
        result = self.begin_result(0, 0, *window.size, layer=layer.name)
        try:
            rgba, depth = self._frame(depsgraph, window)
            _fill(result, "Combined", rgba)
            _fill(result, "Depth", np.where(depth > 0.0, depth, np.float32(NOTHING)))
        except Cancelled:
            pass
        except UserError as error:
            # an error that is reported ends the render, an animation too, and nothing is written
            self.report({"ERROR"}, f"Radiance Twin: {error}")
        self.end_result(result)

    def view_update(self, context: bpy.types.Context, depsgraph: bpy.types.Depsgraph) -> None:
        """The viewport's own drawing of twins lies over whatever engine draws there; nothing is to be prepared."""

    def view_draw(self, context: bpy.types.Context, depsgraph: bpy.types.Depsgraph) -> None:
        """As `view_update`."""

    def _frame(self, depsgraph: bpy.types.Depsgraph, window: Window) -> tuple[F4, F4]:
        """Pixels [h, w, 4] scene-linear, premultiplied, and planar depth [h, w] of the window."""
        if depsgraph.scene.render.use_multiview:
            # the other eye's picture would be black
            raise UserError("twins are rendered for one eye; switch off Stereoscopy in the output properties")
        twins = rendered_twins(depsgraph) if instead is None else instead
        layers, distances = [], []
        for number, twin in enumerate(twins):
            self.update_progress(number / len(twins))
            self.update_stats("", f"Twin {number + 1} of {len(twins)}")
            view = view_of(twin, depsgraph, window)
            answer = viewer.wait(view, self.test_break)
            assert answer.rgba is not None and answer.depth is not None
            layers.append((answer.rgba, answer.depth))
            pose = view.camera_to_world
            distances.append(float((twin.world_from_object[:3, 3] - pose[:3, 3]) @ -pose[:3, 2]))
        self.update_progress(1.0)
        if not layers:
            width, height = window.size
            return np.zeros((height, width, 4), np.float32), np.zeros((height, width), np.float32)
        return composite_layers(layers, distances)


def _fill(result: bpy.types.RenderResult, name: str, pixels: F4) -> None:
    """Put pixels, row 0 at the top, into a pass if it is there."""
    passes = result.layers[0].passes
    if name in passes:
        # Blender's rows run from the bottom to the top
        values: Any = np.ascontiguousarray(pixels[::-1]).ravel()
        passes[name].rect.foreach_set(values)


def rendered_twins(depsgraph: bpy.types.Depsgraph) -> list[Standing]:
    """The twins that a render of this depsgraph shows, instances included."""
    return [
        Standing(path_of(thing), matrix)
        for thing, parent, matrix in standing_in(depsgraph)
        if parent is not None or not thing.hide_render
    ]


def view_of(twin: Standing, depsgraph: bpy.types.Depsgraph, window: Window) -> View:
    """What the scene's camera sees of a twin.

    Raises:
        UserError: there is no camera, or its picture is no plane.
    """
    scene = depsgraph.scene_eval
    camera = scene.camera
    if not is_flat(camera):
        raise UserError(
            f"the scene {scene.name} has no perspective or orthographic camera; add one, or change its type"
        )
    camera = camera.evaluated_get(depsgraph)
    orthographic, resolution = not is_perspective(camera), resolution_of(scene.render)
    if orthographic:
        intrinsics = parallel_intrinsics_of(camera, scene, resolution)
    else:
        intrinsics = intrinsics_of(lens_of(camera), scene, resolution)
    intrinsics[2:] -= (window.left, window.top)
    return View(
        twin.path,
        pose_of(camera),
        intrinsics,
        window.size,
        twin.world_from_object,
        device=settings_of(depsgraph.scene).device,
        orthographic=orthographic,
    )


def resolution_of(render: bpy.types.RenderSettings) -> tuple[int, int]:
    """Width and height of the whole picture in pixels."""
    share = render.resolution_percentage
    return render.resolution_x * share // 100, render.resolution_y * share // 100


def window_of(render: bpy.types.RenderSettings) -> Window:
    """What is rendered of the picture: all of it, or the region that the user has drawn."""
    width, height = resolution_of(render)
    if not render.use_border:
        return Window(0, 0, (width, height))
    left, right = int(render.border_min_x * width), int(render.border_max_x * width)
    bottom, top = int(render.border_min_y * height), int(render.border_max_y * height)
    return Window(left, height - top, (right - left, top - bottom))


def _panels() -> list[Any]:
    """Blender's own panels that make sense for any engine: output, camera, view layer …"""
    found: list[Any] = []
    for panel in bpy.types.Panel.__subclasses__():
        engines = getattr(panel, "COMPAT_ENGINES", set())
        if "BLENDER_RENDER" in engines:
            found.append(panel)
    return found


class VIEWLAYER_PT_radiance_twin_passes(bpy.types.Panel):
    bl_label = "Passes"
    bl_space_type = "PROPERTIES"
    bl_region_type = "WINDOW"
    bl_context = "view_layer"
    COMPAT_ENGINES = {ENGINE}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return context.engine == ENGINE

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(context.view_layer, "use_pass_combined")
        layout.prop(context.view_layer, "use_pass_z", text="Depth")


CLASSES = (RadianceTwinEngine, VIEWLAYER_PT_radiance_twin_passes)


@persistent
def _before_rendering(scene: bpy.types.Scene, *_: Any) -> None:
    """Other engines may need the memory that the fields lie in; ours needs the fields."""
    if scene is not None and scene.render.engine != ENGINE:
        viewer.stop()


def register() -> None:
    bpy.app.handlers.render_init.append(_before_rendering)
    for each in CLASSES:
        bpy.utils.register_class(each)
    for panel in _panels():
        panel.COMPAT_ENGINES.add(ENGINE)


def unregister() -> None:
    for panel in _panels():
        panel.COMPAT_ENGINES.discard(ENGINE)
    for each in reversed(CLASSES):
        bpy.utils.unregister_class(each)
    bpy.app.handlers.render_init.remove(_before_rendering)
