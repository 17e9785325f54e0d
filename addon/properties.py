# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of the four steps. They are saved with the scene; nothing else is."""

import math
from typing import Any

import bpy
import numpy as np

from ..core.arguments import TURNTABLE_FRAMES
from ..core.passes import ASKED_PASSES, PASSES
from ..core.presets import BAKES, PRESETS
from ..core.rendering.configuration import CYCLES_DEVICES, DEFAULTS, FIELDS, without_meaning
from ..core.rendering.rigs import PLACED_RIGS
from ..core.reporting import format_seconds
from .random_rules import RadianceTwinRule, sentence, table_of, take_table

# the words of the command line are the values here, so that both say the same
RIG_ITEMS = (
    ("hemisphere", "Hemisphere", "Cameras all around and above the target, evenly spread", "MESH_UVSPHERE", 0),
    ("sphere", "Sphere", "Cameras all around, above and below the target, evenly spread", "SPHERE", 1),
    ("orbit", "Orbit", "Cameras on a circle around the target", "MESH_CIRCLE", 2),
    ("cover", "Part of a Sphere", "Evenly spread between two elevations and two azimuths", "SURFACE_NSPHERE", 4),
    ("random", "Random", "Anywhere on a part of the sphere, by the seed", "STICKY_UVS_DISABLE", 5),
    ("rings", "Rings", "Rings one above the other", "ALIGN_JUSTIFY", 6),
    ("spiral", "Spiral", "One line that climbs around the target", "FORCE_VORTEX", 7),
    (
        "walk",
        "Random Walk",
        "Through the free space around the scene's camera: for rooms and other places",
        "CON_FOLLOWPATH",
        8,
    ),
    (
        "animated",
        "Animated Camera",
        "The scene's camera along its frames; all else stays as it is now",
        "CAMERA_DATA",
        3,
    ),
    ("poses", "Poses of a File", "Where cameras of nerfstudio, instant-ngp, NeRF-Synthetic or COLMAP stood", "FILE", 9),
)
TARGET_ITEMS = (
    ("SCENE", "Everything", "All that renders"),
    ("OBJECT", "Object", "One object; the cameras look at it"),
    ("COLLECTION", "Collection", "One collection; the cameras look at it"),
)
CAMERA_MODEL_ITEMS = (
    ("scene", "Scene Camera", "The lens of the scene's camera, whatever it is"),
    ("perspective", "Perspective", "Straight lines stay straight"),
    ("fisheye", "Fisheye", "Equidistant: the angle from the middle grows evenly"),
    ("equirectangular", "Equirectangular", "All around: longitude across, latitude down"),
)
FILM_ITEMS = (
    ("auto", "Automatic", "Transparent around a target, the world's background inside a place"),
    ("transparent", "Transparent", "Nothing behind the scene: the twin can stand among other objects"),
    ("world", "World", "The world's background is part of the twin"),
)
DEVICE_ITEMS = (
    ("auto", "Automatic", "The GPU when there is one that can, else the processor"),
    ("cuda", "CUDA", "An NVIDIA GPU"),
    ("cpu", "CPU", "The processor"),
)
PASS_ITEMS = tuple(
    (
        word,
        word.replace("_", " ").title(),
        "; ".join(f"{name}: {PASSES[name].meaning}" for name in passes),
        "NONE",
        1 << number,
    )
    for number, (word, passes) in enumerate(ASKED_PASSES.items())
)
PRESET_ITEMS = (
    *(
        (
            name,
            name.capitalize(),
            f"{format_seconds(preset.seconds)} on a processor, {format_seconds(preset.seconds_on_cuda)} with CUDA: "
            f"{preset.description}",
            number,
        )
        for number, (name, preset) in enumerate(PRESETS.items())
    ),
    ("custom", "Custom", "A time of your own", len(PRESETS)),
)
BAKE_ITEMS = tuple((name, name.capitalize(), what[0].upper() + what[1:]) for name, what in BAKES.items())
CYCLES_DEVICE_NAMES = {"auto": "Automatic", "optix": "OptiX", "metal": "Metal", "oneapi": "oneAPI"}
CYCLES_DEVICE_ITEMS = tuple(
    (
        word,
        CYCLES_DEVICE_NAMES.get(word, word.upper()),
        "The fastest that Cycles has" if word == "auto" else f"Render by {CYCLES_DEVICE_NAMES.get(word, word.upper())}",
    )
    for word in CYCLES_DEVICES
)


def like_flag(name: str, **more: Any) -> dict[str, Any]:
    """What a property shares with the setting of the command line: words, default, limits; `more` goes before them."""
    about = FIELDS[name].metadata
    # what is many is a text of its own kind here
    if about["many"]:
        return {"description": sentence(about["help"]), **more}
    shared = {"description": sentence(about["help"]), "default": DEFAULTS[name]}
    shared |= {"min": about["least"], "max": about["most"]}
    return {word: value for word, value in {**shared, **more}.items() if value is not None}


class RadianceTwinSettings(bpy.types.PropertyGroup):
    """Of one scene: `scene.radiance_twin`."""

    rig: bpy.props.EnumProperty(name="Rig", items=RIG_ITEMS, **like_flag("rig"))
    target: bpy.props.EnumProperty(name="Target", description="What the cameras look at", items=TARGET_ITEMS)
    target_object: bpy.props.PointerProperty(
        name="Object", description="What the cameras look at", type=bpy.types.Object
    )
    target_collection: bpy.props.PointerProperty(
        name="Collection", description="What the cameras look at", type=bpy.types.Collection
    )
    elevation: bpy.props.FloatVectorProperty(
        name="Elevation",
        description="Lowest and highest camera above the horizon",
        size=2,
        default=tuple(np.radians(DEFAULTS["elevation"])),
        min=-math.pi / 2,
        max=math.pi / 2,
        subtype="EULER",
    )
    azimuth: bpy.props.FloatVectorProperty(
        name="Azimuth",
        description="First and last camera around the vertical, counted from x",
        size=2,
        default=tuple(np.radians(DEFAULTS["azimuth"])),
        min=-2 * math.pi,
        max=4 * math.pi,
        subtype="EULER",
    )
    distance: bpy.props.FloatVectorProperty(name="Distance", size=2, **like_flag("distance", min=0.01, soft_max=10.0))
    stretch: bpy.props.FloatVectorProperty(
        name="Stretch", size=3, subtype="XYZ", **like_flag("stretch", min=0.01, soft_max=10.0)
    )
    rings: bpy.props.IntProperty(name="Rings", **like_flag("rings", min=1, soft_max=20, max=1000))
    turns: bpy.props.FloatProperty(name="Turns", **like_flag("turns", min=0.1, soft_max=20.0, max=1000.0))
    stereo: bpy.props.FloatProperty(name="Stereo", subtype="DISTANCE", **like_flag("stereo", min=0.0, soft_max=1.0))
    least_target: bpy.props.FloatProperty(name="Least Target", subtype="FACTOR", **like_flag("least_target"))
    frames: bpy.props.StringProperty(name="Frames", **like_flag("frames"))
    train_camera: bpy.props.PointerProperty(
        name="Train Camera",
        description="Another camera than the scene's, along which the views lie",
        type=bpy.types.Object,
        poll=lambda settings, thing: thing.type == "CAMERA",
    )
    test_camera: bpy.props.PointerProperty(
        name="Test Camera",
        description="Another camera, along which the held-out views lie",
        type=bpy.types.Object,
        poll=lambda settings, thing: thing.type == "CAMERA",
    )
    poses: bpy.props.StringProperty(
        name="Poses", subtype="FILE_PATH", options={"PATH_SUPPORTS_BLEND_RELATIVE"}, **like_flag("poses")
    )
    size_of_poses: bpy.props.BoolProperty(
        name="Resolution of the File", description="Views are as large as the file of poses says", default=True
    )
    moving: bpy.props.BoolProperty(name="Everything Moves", **like_flag("moving"))
    views: bpy.props.IntProperty(name="Views", **like_flag("views", soft_max=500))
    val_views: bpy.props.IntProperty(name="Validation", **like_flag("val_views", min=1, soft_max=50))
    test_views: bpy.props.IntProperty(name="Test", **like_flag("test_views", min=1, soft_max=100))
    width: bpy.props.IntProperty(
        name="Resolution X",
        description="Width of a view",
        default=DEFAULTS["resolution"][0],
        min=4,
        soft_max=2048,
        subtype="PIXEL",
    )
    height: bpy.props.IntProperty(
        name="Y",
        description="Height of a view",
        default=DEFAULTS["resolution"][1],
        min=4,
        soft_max=2048,
        subtype="PIXEL",
    )
    camera_model: bpy.props.EnumProperty(name="Lens", items=CAMERA_MODEL_ITEMS, **like_flag("camera_model"))
    fisheye_fov: bpy.props.FloatProperty(
        name="Image Circle",
        description="Angle across the image circle of the fisheye",
        default=math.radians(DEFAULTS["fisheye_fov"]),
        min=math.radians(1.0),
        max=2.0 * math.pi,
        subtype="ANGLE",
    )
    intrinsics: bpy.props.FloatVectorProperty(name="Intrinsics", size=4, **like_flag("intrinsics"))
    distortion: bpy.props.FloatVectorProperty(name="Distortion", size=6, precision=4, **like_flag("distortion"))
    film: bpy.props.EnumProperty(name="Film", items=FILM_ITEMS, **like_flag("film"))
    samples: bpy.props.IntProperty(name="Samples", **like_flag("samples", soft_max=1024))
    reference_samples: bpy.props.IntProperty(name="Reference", **like_flag("reference_samples", soft_max=4096))
    denoise: bpy.props.BoolProperty(name="Denoise", **like_flag("denoise"))
    motion_blur: bpy.props.BoolProperty(name="Motion Blur", **like_flag("motion_blur"))
    cycles_device: bpy.props.EnumProperty(name="Device", items=CYCLES_DEVICE_ITEMS, **like_flag("cycles_device"))
    passes: bpy.props.EnumProperty(
        name="Passes", items=PASS_ITEMS, options={"ENUM_FLAG"}, **like_flag("passes", default=set())
    )
    labels: bpy.props.BoolProperty(name="Label Objects", **like_flag("labels"))
    classes: bpy.props.StringProperty(name="Classes", **like_flag("classes"))
    keypoints: bpy.props.StringProperty(name="Keypoints", **like_flag("keypoints"))
    preset: bpy.props.EnumProperty(
        name="Quality", description="How long to train", items=PRESET_ITEMS, default="preview"
    )
    seconds: bpy.props.FloatProperty(
        name="Time",
        description="How long to train. It can be stopped earlier, and the twin is as good as it is then",
        default=120.0,
        min=1.0,
        soft_max=3600.0,
        precision=0,
        step=1000,
        subtype="TIME_ABSOLUTE",
        unit="TIME_ABSOLUTE",
    )
    stop_at_psnr: bpy.props.BoolProperty(
        name="Stop at PSNR", description="Stop as soon as the val views look as much like the classic render as asked"
    )
    until_psnr: bpy.props.FloatProperty(
        name="PSNR", description="In decibels, over the val views", default=30.0, min=5.0, max=60.0, precision=1
    )
    bake: bpy.props.EnumProperty(
        name="Viewport", description="How large what the viewport draws may be", items=BAKE_ITEMS, default="normal"
    )
    go_on: bpy.props.BoolProperty(
        name="Go On", description="Train the twin that is there further, instead of a new one"
    )
    device: bpy.props.EnumProperty(name="Device", description="What trains and compares the twin", items=DEVICE_ITEMS)
    load_after: bpy.props.BoolProperty(
        name="Load When Done", description="Stand the twin beside the original when it is trained", default=True
    )
    fix_it_views: bpy.props.IntProperty(
        name="Cameras", description="How many new cameras are proposed, at most", default=8, min=1, soft_max=50
    )
    turntable: bpy.props.BoolProperty(
        name="Turntable",
        description=f"Add a film to the report: {TURNTABLE_FRAMES} frames around the scene by Cycles and by the twin. "
        "Cycles has to render them first",
    )
    seed: bpy.props.IntProperty(name="Seed", **like_flag("seed"))
    randomise: bpy.props.CollectionProperty(
        name="Randomise", description="Rules of what differs from view to view", type=RadianceTwinRule
    )
    randomise_index: bpy.props.IntProperty(name="Rule", description="The rule that is shown", options={"HIDDEN"})


ANGLES = ("elevation", "azimuth")
CAMERAS = ("train_camera", "test_camera")
# settings that are several texts, and one text with commas here
LISTS = ("classes", "keypoints")


def settings_of(scene: bpy.types.Scene) -> RadianceTwinSettings:
    """The settings of `scene`."""
    return scene.radiance_twin  # type: ignore[attr-defined]


def target_name(settings: RadianceTwinSettings) -> str | None:
    """Name of what the cameras look at, None for all that renders or for rigs that go their own way."""
    if settings.rig not in PLACED_RIGS:
        return None
    chosen = {"OBJECT": settings.target_object, "COLLECTION": settings.target_collection}.get(settings.target)
    return _name_of(chosen)


def _name_of(thing: bpy.types.ID | None) -> str | None:
    return None if thing is None else thing.name


def render_arguments(settings: RadianceTwinSettings) -> dict[str, Any]:
    """What the stage `render` is asked for, less the scene, the output and the Blender."""
    same = ("rig", "views", "val_views", "test_views", "samples", "reference_samples", "denoise", "film", "seed")
    degrees = {name: [round(math.degrees(angle), 4) for angle in getattr(settings, name)] for name in ANGLES}
    lengths = {name: [round(value, 6) for value in getattr(settings, name)] for name in ("distance", "stretch")}
    given = settings.rig == "poses"
    lists = {name: [text.strip() for text in getattr(settings, name).split(",") if text.strip()] for name in LISTS}
    found = {
        **{name: getattr(settings, name) for name in (*same, "cycles_device", "rings", "camera_model")},
        **degrees,
        **lengths,
        **lists,
        "passes": [word for word in ASKED_PASSES if word in settings.passes],
        "labels": settings.labels,
        "motion_blur": settings.motion_blur,
        "moving": settings.moving,
        "turns": round(settings.turns, 6),
        "stereo": round(settings.stereo, 6),
        "least_target": round(settings.least_target, 6),
        "fisheye_fov": round(math.degrees(settings.fisheye_fov), 4),
        "intrinsics": [round(value, 4) for value in settings.intrinsics],
        "distortion": [round(value, 7) for value in settings.distortion],
        "frames": settings.frames or None,
        **{name: _name_of(getattr(settings, name)) for name in CAMERAS},
        "poses": bpy.path.abspath(settings.poses) if settings.poses else None,
        "resolution": [0, 0] if given and settings.size_of_poses else [settings.width, settings.height],
        "target": target_name(settings),
        "randomise": [table_of(rule) for rule in settings.randomise],
    }
    # what the panel does not show now, and keeps for when it is chosen again
    return found | {name: DEFAULTS[name] for name in without_meaning(found)}


def take_configuration(settings: RadianceTwinSettings, values: dict[str, Any]) -> list[str]:
    """Set what a file says, by the names of `Configuration`; the names of objects that this file does not have."""
    missing = []
    for name, value in values.items():
        if name == "resolution":
            settings.size_of_poses = not any(value)
            if any(value):
                settings.width, settings.height = value
        elif name in ANGLES:
            setattr(settings, name, [math.radians(angle) for angle in value])
        elif name == "fisheye_fov":
            settings.fisheye_fov = math.radians(value)
        elif name in LISTS:
            setattr(settings, name, ", ".join(value))
        elif name == "randomise":
            settings.randomise.clear()
            for table in value:
                missing += take_table(settings.randomise.add(), table)
        elif name == "passes":
            settings.passes = set(value)
        elif name == "target":
            thing, group = bpy.data.objects.get(value), bpy.data.collections.get(value)
            if thing is None and group is None:
                missing.append(value)
            else:
                settings.target = "OBJECT" if thing is not None else "COLLECTION"
                settings.target_object, settings.target_collection = thing, None if thing is not None else group
        elif name in CAMERAS:
            setattr(settings, name, bpy.data.objects.get(value))
            missing += [value] if getattr(settings, name) is None else []
        else:
            setattr(settings, name, value)
    return missing


def register() -> None:
    bpy.utils.register_class(RadianceTwinSettings)
    bpy.types.Scene.radiance_twin = bpy.props.PointerProperty(type=RadianceTwinSettings)  # type: ignore[attr-defined]


def unregister() -> None:
    del bpy.types.Scene.radiance_twin  # type: ignore[attr-defined]
    bpy.utils.unregister_class(RadianceTwinSettings)
