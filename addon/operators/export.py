# SPDX-License-Identifier: GPL-3.0-or-later
"""A twin leaves for other programs: as a volume, a mesh, points or splats, which stand where the twin stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy_extras.io_utils import ExportHelper
from mathutils import Matrix

from ...core.arguments import EXPORT_ENDINGS, EXPORT_RESOLUTIONS
from ...core.reporting import format_bytes
from ...core.words import decibels
from .. import compat
from ..jobs import worker
from ..paths import paths_of_open_file
from ..properties import settings_of
from ..studio.volume import glow_material, new_volume, show_as_points
from ..viewport.twin import is_twin, path_of, relative_path, twins_of
from . import can_run, run, why_no_job
from .render import this_blender
from .train import viewport_context

FORMAT_ITEMS = (
    ("vdb", "Volume", "OpenVDB: the closest to the twin. Any engine renders it, colours are the same from all sides"),
    ("mesh", "Mesh", "glTF: a textured surface that glows, for any program. As PLY its vertices have the colours"),
    ("points", "Points", "PLY: points of the surface with normals and colours"),
    ("splats", "Splats", "PLY: flat 3D Gaussians on the surface, for splat viewers. Blender shows them from 5.3 on"),
)
EEVEE_STEPS = 256
RESOLUTION_ITEMS = tuple((str(n), f"{n}³", f"{n} voxels along the twin's cube") for n in EXPORT_RESOLUTIONS)


class RADIANCE_TWIN_OT_export(bpy.types.Operator, ExportHelper):
    """Make a volume, a mesh, points or splats of the twin, for Blender without this extension and for other programs, \
and measure what that loses"""

    bl_idname = "radiance_twin.export"
    bl_label = "Export Twin"

    filename_ext = ".vdb"
    check_extension = None  # by the format, see `check`
    filepath: bpy.props.StringProperty(
        name="File Path", description="Where to write it", subtype="FILE_PATH", options={"SKIP_SAVE"}
    )
    filter_glob: bpy.props.StringProperty(default="*.vdb;*.glb;*.ply", options={"HIDDEN"})
    format: bpy.props.EnumProperty(name="Format", description="What is made of the twin", items=FORMAT_ITEMS)
    resolution: bpy.props.EnumProperty(
        name="Resolution", description="How fine it is", items=RESOLUTION_ITEMS, default="256"
    )
    add: bpy.props.BoolProperty(
        name="Add to Scene", description="Stand what was made where the twin stands", default=True
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return can_run(cls, why_not_export(context))

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if not self.filepath:
            self.filepath = str(default_output(context, self.format))
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def check(self, _context: bpy.types.Context) -> bool:
        """Let the file's ending follow the format."""
        path = Path(self.filepath)
        if not path.name or fits(path, self.format):
            return False
        self.filepath = str(path.with_suffix(EXPORT_ENDINGS[self.format][0]))
        return True

    def draw(self, _context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(self, "format")
        layout.prop(self, "resolution")
        layout.prop(self, "add")

    def execute(self, context: bpy.types.Context) -> set[str]:
        twin = twin_to_export(context)
        assert twin is not None, "poll has asked for a twin"
        path, place = twin
        output = Path(bpy.path.abspath(self.filepath)) if self.filepath else default_output(context, self.format)
        arguments = {"format": self.format, "resolution": int(self.resolution)}
        arguments["device"] = settings_of(context.scene).device
        return run(self, lambda: start_export(arguments, path, output, place if self.add else None))


def why_not_export(context: bpy.types.Context) -> str:
    """Why nothing can be exported now; empty when it can."""
    if twin_to_export(context) is None:
        return "Train or load a twin first"
    return why_no_job()


def twin_to_export(context: bpy.types.Context) -> tuple[Path, Matrix] | None:
    """The selected twin's file and place, else those of the open file's twin, which is at home when no object shows
    it; None when there is none."""
    thing = context.object
    if is_twin(thing):
        path = Path(path_of(thing))
        return (path, thing.matrix_world.copy()) if path.is_file() else None
    paths = paths_of_open_file()
    if paths is None or not paths.twin.is_file():
        return None
    standing = (one for one in twins_of(context.scene.objects) if Path(path_of(one)) == paths.twin)
    return paths.twin, next((one.matrix_world.copy() for one in standing), Matrix.Identity(4))


def default_output(context: bpy.types.Context, format: str) -> Path:
    """Beside the twin, and named like it; also by the format where others have the same ending."""
    twin, ending = twin_to_export(context), EXPORT_ENDINGS[format][0]
    shared = [endings[0] for endings in EXPORT_ENDINGS.values()].count(ending) > 1
    path = twin[0] if twin else Path("twin")
    return path.with_name(f"{path.stem}{f'_{format}' if shared else ''}{ending}")


def fits(path: Path, format: str) -> bool:
    """Whether a file of this name can hold the format."""
    return path.suffix.lower() in EXPORT_ENDINGS[format]


def start_export(arguments: dict[str, Any], twin: Path, output: Path, place: Matrix | None) -> worker.Job:
    """Export `twin` into `output`; at `place`, if any, what came of it then stands.

    The dataset beside the twin, when there is one of its name, says from where colours are seen and what is lost.

    Raises:
        UserError: a job is running, or there is no worker.
    """

    def exported(job: worker.Job, result: dict[str, Any] | None) -> str:
        if result is None:
            return ""
        note = ""
        # another file may have been opened meanwhile: nothing of ours goes into that one
        if place is not None and bpy.data.filepath == job.blend:
            note = add_to_scene(output, arguments["format"], place)
        return f"{output.name}, {in_words(result)}{note}"

    dataset = twin.with_suffix(".h5")
    asked = {**arguments, "twin": str(twin), "output": str(output), "blender": this_blender()}
    if dataset.is_file():
        asked["dataset"] = str(dataset)
    return worker.start("export", asked, exported)


def in_words(result: dict[str, Any]) -> str:
    """How large an export is and what it loses, in a line."""
    size, loss = format_bytes(result["bytes"]), result["loss"]
    if loss is None or loss["loss_db"] is None:
        return f"{size}; loss not measured"
    apart = "less" if loss["loss_db"] >= 0.0 else "more"
    return f"{size}: {decibels(loss['export_psnr'])}, {abs(loss['loss_db']):.1f} dB {apart} than the twin"


def add_to_scene(path: Path, format: str, place: Matrix) -> str:
    """Stand an export where its twin stands, selected and active.

    Returns what else was done or why that could not be done, to be added to a message; empty when there is nothing.
    """
    with bpy.context.temp_override(**viewport_context()):
        context = bpy.context
        for other in context.selected_objects:
            other.select_set(False)
        try:
            made = _load(context, path, format)
        except RuntimeError as error:
            return f". It is not added to the scene: {worker.sentence(str(error))}"
        for thing in made:
            thing.matrix_world = place @ thing.matrix_world
            thing.select_set(True)
            context.view_layer.objects.active = thing
        note = show_fine_volumes(context.scene) if format == "vdb" else ""
        if not bpy.app.background:
            bpy.ops.ed.undo_push(message="Export Twin")
    return note


def show_fine_volumes(scene: bpy.types.Scene) -> str:
    """Have EEVEE render volumes finely: as it comes, a twin is a blur (19.7 dB on still_life, then 28.7 dB).

    Returns what was changed, to be added to a message.
    """
    settings = scene.eevee
    if settings.volumetric_tile_size == "1" and settings.volumetric_samples >= EEVEE_STEPS:
        return ""
    settings.volumetric_tile_size = "1"
    settings.volumetric_samples = max(settings.volumetric_samples, EEVEE_STEPS)
    return f". EEVEE's volumes are set to Resolution 1:1 and {EEVEE_STEPS} steps, which it needs for this"


def _load(context: bpy.types.Context, path: Path, format: str) -> list[bpy.types.Object]:
    if format == "vdb":
        use_relative = context.preferences.filepaths.use_relative_paths
        return [new_volume(context, relative_path(str(path), bpy.data.filepath if use_relative else ""), path.stem)]
    if format == "splats" and not compat.shows_splats():
        raise RuntimeError("this Blender does not show splats; 5.3 and newer do")
    before = set(bpy.data.objects)
    if path.suffix.lower() == ".glb":
        if "io_scene_gltf2" not in context.preferences.addons:
            raise RuntimeError("enable the add-on glTF 2.0 format to load it")
        bpy.ops.import_scene.gltf(filepath=str(path))
    else:
        bpy.ops.wm.ply_import(filepath=str(path))
    made = [thing for thing in bpy.data.objects if thing not in before]
    for thing in made:
        if path.suffix.lower() == ".ply" and format != "splats":
            thing.data.materials.append(glow_material(path.stem, "Col"))
            if format == "points":
                show_as_points(thing)
    return [thing for thing in made if thing.parent is None]


register, unregister = bpy.utils.register_classes_factory((RADIANCE_TWIN_OT_export,))
