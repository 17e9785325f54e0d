# SPDX-License-Identifier: GPL-3.0-or-later
"""How a scene is rendered: every setting once, with its limits and words.

The command line, the file (configuration_file.py) and the checks are made from the fields of `Configuration`. Numpy
alone: Blender's part reads it too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from typing import Any

from ..classes import class_complaint
from ..errors import UsageError
from ..lenses import COEFFICIENTS, NO_DISTORTION
from ..passes import ASKED_PASSES
from .rigs import PLACED_RIGS, RIGS, SHAPED_RIGS, RigShape
from .rules import read_rules

CAMERA_MODELS = ("scene", "perspective", "fisheye", "equirectangular")
FILMS = ("auto", "transparent", "world")
# what goes without saying when poses are named
WITH_POSES: dict[str, Any] = {"rig": "poses", "resolution": (0, 0)}
CYCLES_DEVICES = ("auto", "cpu", "cuda", "optix", "hip", "metal", "oneapi")
LARGEST_SIDE = 65536
MOST_SAMPLES = 1 << 24
SHAPED = ", ".join(SHAPED_RIGS)


def option(
    default: Any,
    section: str,
    help: str,
    words: str | tuple[str, ...] | None = None,
    choices: tuple[str, ...] = (),
    least: float | None = None,
    most: float | None = None,
    many: bool = False,
) -> Any:
    """A field of `Configuration`.

    Args:
        section: of the file, "" for its top. help: what it means, for people. words: what stands for its value in help.
        choices: all that it may be. least, most: limits of a number, or of each number.
        many: whether it is any number of texts; then choices are of each.
    """
    about = {"section": section, "help": help, "words": words, "choices": choices, "least": least, "most": most}
    return field(default=default, metadata={**about, "many": many})


@dataclass(frozen=True)
class Configuration:
    """How a scene is rendered. `None` and 0 mean what each help says.

    Attributes:
        randomise: rules (see rules.py) as tables, in which lists may stand for tuples.
    """

    seed: int = option(0, "", "of everything random", "N", least=0)
    rig: str = option("hemisphere", "cameras", "how cameras are placed", choices=RIGS)
    views: int = option(60, "cameras", "training views: more make a better twin and a longer render", "N", least=1)
    val_views: int = option(4, "cameras", "views that show progress in training", "N", least=0)
    test_views: int = option(12, "cameras", "held-out views for the comparison", "N", least=0)
    resolution: tuple[int, int] = option(
        (200, 200),
        "cameras",
        "pixels of a view; 0 and 0: of the rig poses, as many as its file says",
        "WxH",
        least=0,
        most=LARGEST_SIDE,
    )
    target: str | None = option(None, "cameras", "object or collection that the cameras look at, else all", "NAME")
    least_target: float = option(
        0.02,
        "cameras",
        "share of a picture that the target has to fill; cameras that see less of it are moved",
        "SHARE",
        least=0.0,
        most=1.0,
    )
    elevation: tuple[float, float] = option(
        RigShape.elevation, "cameras", f"degrees above the horizon, of {SHAPED}", ("FROM", "TO")
    )
    azimuth: tuple[float, float] = option(
        RigShape.azimuth, "cameras", f"degrees around the vertical, of {SHAPED}", ("FROM", "TO")
    )
    distance: tuple[float, float] = option(
        RigShape.distance,
        "cameras",
        "nearest and farthest camera, in units of the distance at which the target just fits",
        ("NEAR", "FAR"),
    )
    stretch: tuple[float, float, float] = option(
        RigShape.stretch,
        "cameras",
        "of the sphere on which the cameras stand, which makes it an ellipsoid",
        ("X", "Y", "Z"),
    )
    rings: int = option(RigShape.rings, "cameras", "how many, of the rig rings", "N")
    turns: float = option(RigShape.turns, "cameras", "how often the spiral goes around", "N")
    stereo: float = option(
        RigShape.stereo,
        "cameras",
        "give each camera a partner this far to its right, in scene units; 0 gives it none",
        "DISTANCE",
    )
    moving: bool = option(
        False, "cameras", "of the rig animated: everything else moves along its frames, too; no twin comes of that"
    )
    frames: str | None = option(
        None, "cameras", "of the rig animated: some frames, like 1-100:5,120, else the scene's own", "FRAMES"
    )
    train_camera: str | None = option(
        None, "cameras", "of the rig animated: the views lie along this camera, else along the scene's own", "NAME"
    )
    test_camera: str | None = option(
        None, "cameras", "of the rig animated: the held-out views lie along this camera instead", "NAME"
    )
    poses: str | None = option(
        None,
        "cameras",
        "of the rig poses: a transforms.json, a folder with transforms_*.json or a COLMAP model, or a list of ours",
        "FILE_OR_FOLDER",
    )
    camera_model: str = option(
        "scene", "cameras", "the kind of lens; scene: that of the scene's camera", choices=CAMERA_MODELS
    )
    intrinsics: tuple[float, float, float, float] = option(
        (0.0, 0.0, 0.0, 0.0),
        "cameras",
        "fx, fy, cx and cy of the lens in pixels, as in a K matrix, the first pixel's centre being at 0.5; "
        "0 0 0 0: those of the scene's camera",
        ("FX", "FY", "CX", "CY"),
    )
    distortion: tuple[float, float, float, float, float, float] = option(
        NO_DISTORTION,
        "cameras",
        "k1 k2 p1 p2 k3 k4 of the lens as OpenCV means them; of a fisheye k1 k2 k3 k4 alone",
        tuple(name.upper() for name in COEFFICIENTS),
    )
    fisheye_fov: float = option(
        180.0, "cameras", "of the camera model fisheye: degrees across its image circle", "DEGREES", least=1, most=360
    )
    samples: int = option(16, "render", "samples per pixel of a training view", "N", least=1, most=MOST_SAMPLES)
    reference_samples: int = option(
        128, "render", "samples per pixel of val and test views", "N", least=1, most=MOST_SAMPLES
    )
    denoise: bool = option(True, "render", "Open Image Denoise, guided by albedo and normal")
    motion_blur: bool = option(
        False, "render", "blur what moves while the scene's shutter is open; depth, normals and indices stay sharp"
    )
    film: str = option("auto", "render", "what stands behind the scene", choices=FILMS)
    cycles_device: str = option("auto", "render", "what Cycles renders on", choices=CYCLES_DEVICES)
    passes: tuple[str, ...] = option(
        (),
        "render",
        "more than light, depth, normals and object index",
        "PASS",
        tuple(ASKED_PASSES),
        many=True,
    )
    labels: bool = option(True, "labels", "boxes, poses, visibility and keypoints of every object in every view")
    classes: tuple[str, ...] = option(
        (),
        "labels",
        'rules like "chair = Chair*", "plant = collection:Plants" or "glass = material:Glass*", the first that fits '
        "wins; an object's custom property class wins over all, and without a rule its name is its class",
        "RULE",
        many=True,
    )
    keypoints: tuple[str, ...] = option(
        (), "labels", "names of empties, vertex groups and bones, with * for any text", "NAME", many=True
    )

    randomise: Sequence[Mapping[str, Any]] = ()


SETTINGS = tuple(one.name for one in fields(Configuration))
# those that are one value each
FIELDS: dict[str, Field[Any]] = {one.name: one for one in fields(Configuration) if one.metadata}
DEFAULTS: dict[str, Any] = {name: one.default for name, one in FIELDS.items()}
SECTIONS = tuple(dict.fromkeys(one.metadata["section"] for one in FIELDS.values()))
# what has a meaning with some choices of another setting alone
BELONGS_TO: dict[str, tuple[str, tuple[str, ...]]] = {
    **dict.fromkeys(("elevation", "azimuth"), ("rig", SHAPED_RIGS)),
    **dict.fromkeys(("distance", "stretch", "stereo", "target"), ("rig", PLACED_RIGS)),
    "rings": ("rig", ("rings",)),
    "turns": ("rig", ("spiral",)),
    **dict.fromkeys(("moving", "frames", "train_camera", "test_camera"), ("rig", ("animated",))),
    "poses": ("rig", ("poses",)),
    # given cameras have lenses of their own
    **dict.fromkeys(("camera_model", "intrinsics", "distortion"), ("rig", (*PLACED_RIGS, "walk", "animated"))),
    "fisheye_fov": ("camera_model", ("fisheye",)),
}


def check_configuration(settings: Any) -> None:
    """Refuse numbers beyond their limits and words that are none of the choices.

    Args:
        settings: has the fields of `Configuration`.

    Raises:
        UsageError: which setting, and what it may be.
    """
    for name in FIELDS:
        complaint = complaint_of(name, getattr(settings, name))
        if complaint:
            raise UsageError(f"--{name.replace('_', '-')} {complaint}")
    read_rules(settings.randomise)


def without_meaning(settings: Mapping[str, Any]) -> list[str]:
    """Names of the settings that are not as usual, although what they belong to is none of theirs.

    Args:
        settings: any of those of `Configuration`, in which lists may stand for tuples.
    """
    values = DEFAULTS | {name: tuple(one) if isinstance(one, list) else one for name, one in settings.items()}
    return [
        name
        for name, (other, choices) in BELONGS_TO.items()
        if values[name] != DEFAULTS[name] and values[other] not in choices
    ]


def complaint_of(name: str, value: Any) -> str:
    """What is wrong with a value of the right kind; empty when nothing is."""
    about = FIELDS[name].metadata
    if name == "classes":
        return class_complaint(value)
    if about["choices"]:
        for word in value if about["many"] else [value]:
            if word not in about["choices"]:
                return f"{word} is unknown; choose one of {', '.join(about['choices'])}"
        return ""
    least = -math.inf if about["least"] is None else about["least"]
    if name == "resolution" and any(value):
        least = 1
    most = math.inf if about["most"] is None else about["most"]
    for number in value if isinstance(value, tuple | list) else [value]:
        if isinstance(number, bool) or not isinstance(number, int | float):
            continue
        if not math.isfinite(number):
            return f"is {number:g}; it must be finite"
        if not least <= number <= most:
            allowed = f"at least {least}" if most == math.inf else f"between {least} and {most}"
            return f"is {number}; it must be {allowed}"
    return ""
