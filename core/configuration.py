# SPDX-License-Identifier: GPL-3.0-or-later
"""How a scene is rendered: every setting once, with its limits and words, and as a TOML file.

The command line, the file and the checks are made from the fields of `Configuration`. Numpy alone: Blender's part reads
it too.
"""

from __future__ import annotations

import difflib
import json
import math
import os
import re
import textwrap
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from .classes import class_complaint
from .errors import UsageError, UserError
from .lenses import COEFFICIENTS, NO_DISTORTION
from .passes import ASKED_PASSES
from .rigs import RIGS, SHAPED_RIGS, RigShape, rig_shape
from .rules import WHAT, keys_of, mistake, read_rules

VERSION = 1
CAMERA_MODELS = ("scene", "perspective", "fisheye", "equirectangular")
FILMS = ("auto", "transparent", "world")
# what goes without saying when poses are named
WITH_POSES: dict[str, Any] = {"rig": "poses", "resolution": (0, 0)}
CYCLES_DEVICES = ("auto", "cpu", "cuda", "optix", "hip", "metal", "oneapi")
LARGEST_SIDE = 65536
MOST_SAMPLES = 1 << 24
LARGEST_FILE = 1 << 20
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


def check_configuration(settings: Any) -> None:
    """Refuse numbers beyond their limits and words that are none of the choices.

    Args:
        settings: has the fields of `Configuration`.

    Raises:
        UsageError: which setting, and what it may be.
    """
    for name in FIELDS:
        complaint = _complaint(name, getattr(settings, name))
        if complaint:
            raise UsageError(f"--{name.replace('_', '-')} {complaint}")
    read_rules(settings.randomise)


def read_configuration(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The settings in a TOML file, by the names of `Configuration`; what the file does not say is not in it.

    Raises:
        UserError: missing, too large, no TOML, of a newer version, or with a key or value that makes no sense: in one
            line, with its place.
    """
    path = Path(path)
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise UserError(f"{path} is larger than a configuration can be; check the path")
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except OSError as error:
        raise UserError(f"cannot read {path}: {(error.strerror or str(error)).lower()}; check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{path} is no TOML ({error}); radiance-twin config prints an example") from error
    version = content.pop("version", VERSION)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise UserError(f"{_place(path, text, '', 'version')}: version is {_said(version)}; write version = {VERSION}")
    if version > VERSION:
        raise UserError(f"{path} is for a newer Radiance Twin (version {version}); update yours")
    found: dict[str, Any] = {}
    if "randomise" in content:
        found["randomise"] = _rules(content.pop("randomise"), path, text)
    for section, values in _sections(content, path, text):
        known = [name for name, one in FIELDS.items() if one.metadata["section"] == section]
        for key, value in values.items():
            place = _place(path, text, section, key)
            if key not in known:
                raise UserError(f"{place}: {_unknown(key, _name_of(section), known)}")
            taken = _converted(FIELDS[key], value)
            complaint = _complaint(key, taken) if taken is not None else f"is {_said(value)}; {_expected(FIELDS[key])}"
            if complaint:
                raise UserError(f"{place}: {key} {complaint}")
            found[key] = taken
    if "poses" in found:
        found = {**WITH_POSES, **found, "poses": _beside(path, found["poses"])}
    try:
        rig_shape(DEFAULTS | found).check()
    except UsageError as error:
        name, _, complaint = str(error).removeprefix("--").partition(" ")
        raise UserError(f"{_place(path, text, 'cameras', name)}: {name} {complaint}") from error
    return found


def configuration_text(values: Mapping[str, Any], explained: bool = True) -> str:
    """A TOML file with these settings; usual values for those that are not there.

    Args:
        explained: whether each setting is told what it means.
    """
    lines = ["# How Radiance Twin renders a scene: radiance-twin render SCENE.blend --config THIS -o SCENE.h5"]
    lines += [f"version = {VERSION}"]
    for section in SECTIONS:
        lines += ["", f"[{section}]"] if section else []
        for name, one in FIELDS.items():
            if one.metadata["section"] != section:
                continue
            if explained:
                allowed = f" ({', '.join(one.metadata['choices'])})" if one.metadata["choices"] else ""
                lines += [f"# {line}" for line in textwrap.wrap(f"{one.metadata['help']}{allowed}", 100)]
            value = values.get(name, one.default)
            # TOML has no word for nothing: what is not said is what is usual
            lines.append(f"{name} = {_toml(value)}" if value is not None else f'# {name} = ""')
    for table in values.get("randomise", ()):
        lines += ["", "[[randomise]]", *(f"{name} = {_toml(value)}" for name, value in table.items())]
    return "\n".join([*lines, *(_rules_explained() if explained else [])]) + "\n"


def rule_from_text(text: str) -> dict[str, Any]:
    """One rule as a flag says it: what = "pose", select = "Chair*", turn = [[0, 0], [0, 0], [0, 360]].

    Raises:
        ValueError: it is no TOML.
    """
    table: dict[str, Any] = tomllib.loads(f"rule = {{ {text} }}")["rule"]
    return table


def _rules(tables: Any, path: Path, text: str) -> list[dict[str, Any]]:
    """The rules of a file; folders in them are found from where the file is."""
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise UserError(
            f"{_place(path, text, 'randomise', '')}: randomise is a rule each; write [[randomise]] above it"
        )
    rules = []
    for number, table in enumerate(tables, 1):
        found = mistake(table)
        if found is not None:
            raise UserError(f"{_place(path, text, 'randomise', found[0], number)}: {found[1]}")
        folder = table.get("folder")
        rules.append(table if folder is None else {**table, "folder": _beside(path, folder)})
    return rules


def _beside(path: Path, name: str) -> str:
    """A file or folder that the configuration at `path` names: found from where that is."""
    # Blender's // is where the .blend is
    return name if name.startswith("//") else str((path.absolute().parent / name).resolve())


def _rules_explained() -> list[str]:
    """An example of each rule with all its keys, as comments."""
    lines = ["", "# What differs from view to view, as many rules as you like; each says what it needs of:"]
    told: dict[str, Any] = {}
    for what, kind in WHAT.items():
        lines += ["#", f"# {kind.__doc__}", "# [[randomise]]", f'# what = "{what}"']
        again = []
        for name, one in keys_of(what).items():
            about = one.metadata
            if told.get(name) == about:
                again.append(name)
                continue
            told[name] = about
            example = about["example"] if one.default is None else one.default
            allowed = f" ({', '.join(about['choices'])})" if about["choices"] else ""
            lines.append(f"# {name} = {_toml(example)}  # {about['help']}{allowed}")
        if again:
            lines += [f"# {line}" for line in textwrap.wrap(f"and as above: {', '.join(again)}", 100)]
    return lines


def _sections(content: dict[str, Any], path: Path, text: str) -> list[tuple[str, dict[str, Any]]]:
    top = {key: value for key, value in content.items() if not isinstance(value, dict)}
    found = [("", top)]
    for section, values in content.items():
        if isinstance(values, dict):
            if section not in SECTIONS:
                names = [name for name in SECTIONS if name]
                raise UserError(f"{_place(path, text, section, '')}: {_unknown(section, 'the file', names)}")
            found.append((section, values))
    return found


def _unknown(key: str, where: str, known: list[str]) -> str:
    """Nothing there is called `key`: where it belongs, or the nearest right name."""
    if key in FIELDS:
        home = FIELDS[key].metadata["section"]
        return f"{key} stands in {where}; it belongs to {_name_of(home)}"
    nearest = difflib.get_close_matches(key, known, 1, 0.5) or difflib.get_close_matches(key, FIELDS, 1, 0.5)
    return f"{where} has no {key}; " + (f"did you mean {nearest[0]}?" if nearest else f"there is {', '.join(known)}")


def _name_of(section: str) -> str:
    return f"[{section}]" if section else "the top of the file"


def _converted(one: Field[Any], value: Any) -> Any:
    """The value as the field holds it; None when it is of another kind."""
    default = one.default
    if one.metadata["many"]:
        texts = isinstance(value, list) and all(isinstance(text, str) and text for text in value)
        return tuple(value) if texts else None
    if isinstance(default, tuple):
        if not isinstance(value, list) or len(value) != len(default):
            return None
        parts = [_number(part, type(kind)) for part, kind in zip(value, default, strict=True)]
        return None if None in parts else tuple(parts)
    if isinstance(default, bool):
        return value if isinstance(value, bool) else None
    if isinstance(default, int | float):
        return _number(value, type(default))
    return value if isinstance(value, str) and value else None


def _number(value: Any, kind: type) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if kind is float else value if isinstance(value, int) else None


def _expected(one: Field[Any]) -> str:
    default = one.default
    if one.metadata["many"]:
        return 'write a list of texts, like ["..."]'
    if isinstance(default, tuple):
        kind = "whole numbers" if isinstance(default[0], int) else "numbers"
        return f"write {len(default)} {kind}, like {_toml(default)}"
    if isinstance(default, bool):
        return "write true or false"
    if isinstance(default, int | float):
        return f"write a {'whole ' if isinstance(default, int) else ''}number, like {_toml(default)}"
    return "write a name in quotes"


def _complaint(name: str, value: Any) -> str:
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


def _place(path: Path, text: str, section: str, key: str, which: int = 1) -> str:
    """File and line of a key, or of a section's heading when no key is named or it is not there.

    Args:
        which: of the sections of that name, counted from 1.
    """
    current, seen, place = "", 0, str(path)
    for number, line in enumerate(text.splitlines(), 1):
        heading = re.match(r"\s*\[+\s*([^\]]+?)\s*\]", line)
        if heading:
            current = heading[1].strip("\"'")
            seen += current == section
            if current == section and seen == which:
                place = f"{path}, line {number}"
        elif (
            key
            and current == section
            and seen in (0, which)
            and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line)
        ):
            return f"{path}, line {number}"
    return place


def _toml(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, float):
        return repr(value)
    # a JSON string, number or boolean is one of TOML too, but for this one character
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _said(value: Any) -> str:
    try:
        return json.dumps(value)
    except TypeError:
        return str(value)
