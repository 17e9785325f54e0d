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


def cycles_of(owner: bpy.types.Scene | bpy.types.ViewLayer | bpy.types.World) -> Any:
    """Cycles' own settings of a scene, view layer or world. Cycles is an add-on: type stubs do not know it."""
    settings: Any = owner
    return settings.cycles


def panorama_of(camera: Any) -> Any:
    """The settings of a camera's (`bpy.types.Camera`) panorama: its own since 5.0, Cycles' before."""
    return camera if hasattr(camera, "panorama_type") else camera.cycles


def pass_names() -> dict[str, str]:
    """The dataset's name of each pass that Cycles renders to its name in a multilayer EXR.

    `flow_forward` and `flow_backward` are two channels each of one pass; `coverage` and `coverage_index` come from
    several, whose names go on with a number.
    """
    new = bpy.app.version >= (5, 0, 0)
    kinds = {"diffuse": "Diff", "glossy": "Gloss", "transmission": "Trans", "volume": "Volume"}
    parts = {"direct": "Dir", "indirect": "Ind", "color": "Col"}
    light = {
        f"{kind}_{part}": f"{kind.capitalize()} {part.capitalize()}" if new else f"{short}{end}"
        for kind, short in kinds.items()
        for part, end in parts.items()
    }
    return {
        **light,
        "rgba": "Combined",
        "depth": "Depth",
        "normal": "Normal",
        "object_index": "Object Index" if new else "IndexOB",
        "material_index": "Material Index" if new else "IndexMA",
        "position": "Position",
        "flow_forward": "Vector",
        "flow_backward": "Vector",
        "albedo": light["diffuse_color"],
        "emission": "Emission" if new else "Emit",
        "environment": "Environment" if new else "Env",
        "ambient_occlusion": "Ambient Occlusion" if new else "AO",
        "shadow": "Shadow Catcher",
        "coverage": "CryptoObject",
        "coverage_index": "CryptoObject",
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


def tree_of(owner: Any) -> Any:
    """The node tree of a material, light or world, which since 5.0 has one from the start."""
    if not has_nodes(owner):
        owner.use_nodes = True
    return owner.node_tree


def has_nodes(owner: Any) -> bool:
    """Whether a material, light or world is made of nodes, as all are since 5.0."""
    return owner.node_tree is not None and (bpy.app.version >= (5, 0, 0) or owner.use_nodes)


def clear_sky() -> str:
    """The kind of sky texture that is computed from the sun's place."""
    return "MULTIPLE_SCATTERING" if bpy.app.version >= (5, 0, 0) else "NISHITA"
