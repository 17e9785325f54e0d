# SPDX-License-Identifier: GPL-3.0-or-later
"""What is rendered of a view: one picture of light, and one clean sample of depth, normal and object index.

Further passes join the one or the other: what is an average over a pixel goes with the light, what must not be one with
the clean sample.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import bpy

from ...core.errors import UserError
from ...core.passes import COVERAGE_DEPTH
from .. import compat
from .scene import rendered_layer

# Cycles looks the pixel filter up in a table whose middle is 4e-4 pixels off at the usual width of 1.5
WIDTH_OF_TRUTH = 0.01
CRYPTOMATTE = "use_pass_cryptomatte_object"
# what switches a pass on, in the layer's settings or in Cycles' settings of the layer
SWITCHES_OF_LIGHT = {
    **{
        f"{kind}_{part}": f"use_pass_{kind}_{part}"
        for kind in ("diffuse", "glossy", "transmission", "volume")
        for part in ("direct", "indirect", "color")
    },
    "albedo": "use_pass_diffuse_color",
    "emission": "use_pass_emit",
    "environment": "use_pass_environment",
    "ambient_occlusion": "use_pass_ambient_occlusion",
    "shadow": "use_pass_shadow_catcher",
    "coverage": CRYPTOMATTE,
}
SWITCHES_OF_TRUTH = {
    "depth": "use_pass_z",
    "normal": "use_pass_normal",
    "object_index": "use_pass_object_index",
    "material_index": "use_pass_material_index",
    "position": "use_pass_position",
    "flow_forward": "use_pass_vector",
}
ALWAYS = ("depth", "normal", "object_index")


class Passes:
    """Sets the scene up for the one or the other, and renders it."""

    def __init__(self, scene: bpy.types.Scene, further: Iterable[str], motion_blur: bool = False) -> None:
        """Passes, file format, and the sampling that is the same for every view.

        Args:
            further: names of passes of core/passes.py that are rendered besides those that every view has.
            motion_blur: whether light is blurred by what moves while the scene's shutter is open; truth never is.
        """
        self._motion_blur = motion_blur
        wanted = (*ALWAYS, *further)
        self._of_light = {switch for name, switch in SWITCHES_OF_LIGHT.items() if name in wanted}
        self._of_truth = {switch for name, switch in SWITCHES_OF_TRUTH.items() if name in wanted}
        # Cycles that keeps the scene writes other passes' numbers into the indices once Cryptomatte is switched off
        self._of_truth |= self._of_light & {CRYPTOMATTE}
        self._scene = scene
        self._layer = layer = rendered_layer(scene)
        if "flow_forward" in wanted:
            # Cycles that keeps objects with their motion crashes once labels have been asked of them in between (4.5)
            scene.render.use_persistent_data = False
        for owner in (layer, compat.cycles_of(layer)):
            for name in owner.bl_rna.properties.keys():  # noqa: SIM118
                if name.startswith("use_pass_") or name == "denoising_store_passes":
                    setattr(owner, name, False)
        layer.use_pass_combined = True
        layer.pass_cryptomatte_depth = COVERAGE_DEPTH
        layer.samples = 0  # a layer's own number of samples would win over ours
        compat.use_multilayer_exr(scene.render.image_settings)
        cycles = compat.cycles_of(scene)
        # exactly the samples that were asked for, from the seed that was asked for
        cycles.use_adaptive_sampling = cycles.use_animated_seed = cycles.use_sample_subset = False
        cycles.sample_offset, cycles.time_limit = 0, 0.0
        self._filter = cycles.pixel_filter_type, cycles.filter_width

    def set_for_light(self, samples: int, seed: int, denoise: bool) -> None:
        """Sample the light, and denoise it with Open Image Denoise guided by albedo and normal."""
        cycles = compat.cycles_of(self._scene)
        cycles.samples, cycles.seed, cycles.use_denoising = samples, seed, denoise
        cycles.pixel_filter_type, cycles.filter_width = self._filter
        self._scene.render.use_motion_blur = self._motion_blur
        self._render_passes(self._of_light, self._of_truth)
        # light is held as half floats anyway
        self._scene.render.image_settings.color_depth = "16"
        if denoise:
            cycles.denoiser = "OPENIMAGEDENOISE"
            cycles.denoising_input_passes = "RGB_ALBEDO_NORMAL"
            cycles.denoising_prefilter = "ACCURATE"
            cycles.denoising_quality = "HIGH"
            compat.cycles_of(self._layer).use_denoising = True

    def set_for_truth(self) -> None:
        """One sample at the pixel's centre: nothing is averaged over an edge."""
        cycles = compat.cycles_of(self._scene)
        cycles.samples, cycles.seed, cycles.use_denoising = 1, 0, False
        cycles.pixel_filter_type, cycles.filter_width = "BLACKMAN_HARRIS", WIDTH_OF_TRUTH
        self._scene.render.use_motion_blur = False
        self._render_passes(self._of_truth, self._of_light)
        self._scene.render.image_settings.color_depth = "32"

    def _render_passes(self, these: set[str], not_those: set[str]) -> None:
        for owner in (self._layer, compat.cycles_of(self._layer)):
            for switch in these | not_those:
                if hasattr(owner, switch):
                    setattr(owner, switch, switch in these)

    def render_to(self, path: Path) -> None:
        """Render into an EXR that is complete or absent.

        Raises:
            UserError: Cycles failed, or the file could not be written (disk full).
        """
        part = path.with_name(f".{path.stem}.{os.getpid()}.part.exr")
        # what stands in braces would be a variable to Blender
        self._scene.render.filepath = str(part).replace("{", "{{").replace("}", "}}")
        try:
            bpy.ops.render.render(write_still=True, scene=self._scene.name)
            _require_complete(part)
            part.replace(path)
        except RuntimeError as error:
            reason = " ".join(str(error).removeprefix("Error: ").split())
            raise UserError(f"Blender could not render {path.stem} ({reason}); what is rendered is kept") from error
        except OSError as error:
            raise UserError(
                f"cannot write {path} ({error.strerror or error}); free some space, then the same command goes on"
            ) from error
        finally:
            part.unlink(missing_ok=True)


def _require_complete(path: Path) -> None:
    """Blender does not always say that a file was cut short by a full disk, so it is read back.

    Raises:
        OSError: it cannot be read to its end.
    """
    if not path.exists():
        raise OSError("Blender wrote no file; is the disk full?")
    bpy.utils.expose_bundled_modules()
    try:
        import OpenImageIO
    except ImportError:
        return  # a Blender built without it: the parent will read the file before it is packed
    source = OpenImageIO.ImageInput.open(str(path))
    if source is None:
        raise OSError("the file is cut short; is the disk full?")
    try:
        part = 0
        while source.seek_subimage(part, 0):
            if source.read_image(part, 0, 0, source.spec().nchannels, OpenImageIO.FLOAT) is None:
                raise OSError("the file is cut short; is the disk full?")
            part += 1
    finally:
        source.close()
