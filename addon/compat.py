# SPDX-License-Identifier: GPL-3.0-or-later
"""All differences between the Blender versions that we support (4.5 LTS and every 5.x), in one place."""

from __future__ import annotations

from typing import Any

import bpy

OLDEST = (4, 5, 0)


def use_multilayer_exr(settings: bpy.types.ImageFormatSettings) -> None:
    """Make these output settings multilayer EXR, losslessly compressed."""
    if hasattr(settings, "media_type"):  # since 5.0 it decides which file formats exist
        settings.media_type = "MULTI_LAYER_IMAGE"
    settings.file_format = "OPEN_EXR_MULTILAYER"
    settings.exr_codec = "ZIP"


def use_float_exr(settings: bpy.types.ImageFormatSettings) -> None:
    """Make these output settings an EXR of one picture, 32 bits a channel, with alpha."""
    if hasattr(settings, "media_type"):
        settings.media_type = "IMAGE"
    settings.file_format = "OPEN_EXR"
    settings.color_mode, settings.color_depth = "RGBA", "32"


def cycles_of(owner: bpy.types.Scene | bpy.types.ViewLayer) -> Any:
    """Cycles' own settings of a scene or view layer. Cycles is an add-on: type stubs do not know it."""
    settings: Any = owner
    return settings.cycles


def pass_names() -> dict[str, str]:
    """Our name of each pass to its name in a multilayer EXR."""
    return {
        "rgba": "Combined",
        "depth": "Depth",
        "normal": "Normal",
        "object_index": "Object Index" if bpy.app.version >= (5, 0, 0) else "IndexOB",
    }


def has_open_image_denoise() -> bool:
    """Whether this Blender's Cycles was built with Open Image Denoise (some distributions leave it out)."""
    try:
        import _cycles
    except ImportError:
        return False
    return bool(getattr(_cycles, "with_openimagedenoise", False))


def working_space() -> str:
    """The colour space of scene-linear colours: since 5.0 every file has its own, before it was a role."""
    colorspace: Any = getattr(bpy.data, "colorspace", None)
    return "scene_linear" if colorspace is None else str(colorspace.working_space)


def volumes_are_shifted() -> bool:
    """Whether this Blender renders OpenVDB grids half a voxel off along each axis, in Cycles and in EEVEE.

    Measured against a numpy ray-marcher: 4.5 does (26 dB as it is, 53 dB when moved back), 5.0 and 5.2 do not.
    """
    return bpy.app.version < (5, 0, 0)


def shows_splats() -> bool:
    """Whether this Blender has 3D Gaussian splats of its own (5.3 and newer): a kind of point cloud."""
    return "type" in bpy.types.PointCloud.bl_rna.properties
