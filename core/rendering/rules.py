# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be drawn at random about a scene: the rules of [[randomise]], every key once, with its limits and words.

The checks, the printed examples and the panel are made from the fields of these classes. Numpy alone.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from typing import Any

from ..errors import UsageError

Range = tuple[float, float]
Box = tuple[Range, Range, Range]

PER = ("view", "scene")
WRITE = {
    "range": "two rising numbers",
    "whole range": "two rising whole numbers",
    "box": "three pairs of rising numbers",
    "number": "a number",
    "whole": "a whole number",
    "switch": "true or false",
    "choice": "one of the choices",
}


def key(
    kind: str,
    help: str,
    example: Any,
    default: Any = None,
    least: float = -math.inf,
    most: float = math.inf,
    choices: tuple[str, ...] = (),
) -> Any:
    """A field of a rule. None: that is left as it is.

    Args:
        kind: one of WRITE, or text: "words", or the name of an "object", a "collection", a "folder".
        help: what it means, for people. example: a value, which the panel begins with.
        least, most: limits of each number.
    """
    about = {"kind": kind, "help": help, "example": example, "least": least, "most": most, "choices": choices}
    return field(default=default, metadata=about)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What every rule says."""

    per: str = key("choice", "drawn anew for each view, or once for the whole scene", "view", "view", choices=PER)
    seed: int | None = key("whole", "of this rule; else the one of all", 0, least=0)


@dataclass(frozen=True, kw_only=True)
class Selection(Rule):
    """Which objects: those to which all that is said applies."""

    select: str | None = key("words", "names of objects, with * and ?", "Chair*")
    collection: str | None = key("collection", "in which they are", "Props")
    property: str | None = key("words", "a custom property that they have", "movable")


@dataclass(frozen=True, kw_only=True)
class Movement(Selection):
    """Where things go; children go with their parents."""

    move: tuple[Range, Range, Range] | None = key(
        "box", "along x, y and z, in scene units", ((-1.0, 1.0), (-1.0, 1.0), (0.0, 0.0))
    )
    inside: str | None = key("object", "in whose box their origins are put, instead of moving them", "Room")
    turn: tuple[Range, Range, Range] | None = key(
        "box", "degrees around x, y and z", ((0.0, 0.0), (0.0, 0.0), (0.0, 360.0))
    )


@dataclass(frozen=True, kw_only=True)
class Placement(Movement):
    """Where things that can be touched go."""

    on: str | None = key("object", "on whose upper side they are stood, instead of moving them", "Table")
    scale: tuple[float, float] | None = key("range", "factor", (0.8, 1.2), least=1e-3, most=1e3)
    apart: bool = key("switch", "reject places where they would touch other things", True, False)
    tries: int = key("whole", "how many places are tried, before a thing is left out of the view", 100, 100, 1, 10_000)
    settle: bool = key("switch", "let them fall until they rest, by rigid bodies of the shapes' hulls", True, False)


@dataclass(frozen=True, kw_only=True)
class Pose(Placement):
    """place, rotation and scale of objects"""


@dataclass(frozen=True, kw_only=True)
class Distractor(Placement):
    """some of the selected objects are shown, hidden as they may be, and placed; the others are not"""

    count: tuple[int, int] = key("whole range", "how many are shown", (1, 3), (1, 3), 0, 100_000)


@dataclass(frozen=True, kw_only=True)
class Visibility(Selection):
    """which of the selected objects are there"""

    chance: float | None = key("number", "of each to be there", 0.5, least=0.0, most=1.0)
    count: tuple[int, int] | None = key("whole range", "how many are there", (1, 3), least=0, most=100_000)


@dataclass(frozen=True, kw_only=True)
class Light(Movement):
    """place, colour and strength of lights"""

    colour: tuple[Range, Range, Range] | None = key(
        "box", "red, green and blue", ((0.8, 1.0), (0.7, 1.0), (0.6, 1.0)), least=0.0
    )
    strength: tuple[float, float] | None = key("range", "factor", (0.5, 2.0), least=0.0)


@dataclass(frozen=True, kw_only=True)
class World(Rule):
    """what shines from all around"""

    folder: str | None = key("folder", "of HDRIs, of which one is taken", "hdris")
    sun: tuple[float, float] | None = key(
        "range", "degrees of the sun above the horizon of a clear sky", (10.0, 60.0), None, -5, 90
    )
    colour: tuple[Range, Range, Range] | None = key(
        "box", "red, green and blue", ((0.2, 1.0), (0.2, 1.0), (0.2, 1.0)), least=0.0
    )
    angle: tuple[float, float] | None = key("range", "degrees by which the HDRI or the sun is turned", (0.0, 360.0))
    strength: tuple[float, float] | None = key("range", "factor", (0.5, 1.5), least=0.0)


@dataclass(frozen=True, kw_only=True)
class Background(Rule):
    """what is seen behind everything, and does not shine; the film auto is then world"""

    folder: str | None = key("folder", "of pictures, of which one is taken", "photos")
    colour: tuple[Range, Range, Range] | None = key(
        "box", "red, green and blue", ((0.0, 1.0), (0.0, 1.0), (0.0, 1.0)), least=0.0
    )


@dataclass(frozen=True, kw_only=True)
class Material(Selection):
    """parameters of the Principled BSDF, of all that share the material; or another material for each object"""

    materials: str | None = key("words", "names of materials, with * and ?", "Paint*")
    colour: tuple[Range, Range, Range] | None = key(
        "box", "red, green and blue", ((0.0, 1.0), (0.0, 1.0), (0.0, 1.0)), None, 0.0, 1.0
    )
    metallic: tuple[float, float] | None = key("range", "of the Principled BSDF", (0.0, 1.0), None, 0.0, 1.0)
    roughness: tuple[float, float] | None = key("range", "of the Principled BSDF", (0.1, 0.9), None, 0.0, 1.0)
    ior: tuple[float, float] | None = key("range", "of the Principled BSDF", (1.3, 1.6), None, 1.0, 1000.0)
    alpha: tuple[float, float] | None = key("range", "of the Principled BSDF", (0.5, 1.0), None, 0.0, 1.0)
    transmission: tuple[float, float] | None = key("range", "weight of it", (0.0, 1.0), None, 0.0, 1.0)
    coat: tuple[float, float] | None = key("range", "weight of it", (0.0, 1.0), None, 0.0, 1.0)
    sheen: tuple[float, float] | None = key("range", "weight of it", (0.0, 1.0), None, 0.0, 1.0)
    emission: tuple[float, float] | None = key("range", "strength of it", (0.0, 5.0), least=0.0)
    swap: str | None = key("words", "names of materials, with * and ?, of which each object gets one", "Wood*")


@dataclass(frozen=True, kw_only=True)
class Texture(Selection):
    """the picture that colours a material; box-mapped where it has none"""

    materials: str | None = key("words", "names of materials, with * and ?", "Paint*")
    folder: str | None = key("folder", "of pictures, of which each material gets one", "textures")


@dataclass(frozen=True, kw_only=True)
class Camera(Rule):
    """a jitter of the cameras"""

    move: tuple[Range, Range, Range] | None = key(
        "box", "right, up and back, in scene units", ((-0.1, 0.1), (-0.1, 0.1), (-0.1, 0.1))
    )
    look_at: float | None = key("number", "turn to within so many scene units of the target", 0.1, least=0.0)
    roll: tuple[float, float] | None = key("range", "degrees around the viewing axis", (-5.0, 5.0))


@dataclass(frozen=True, kw_only=True)
class Time(Rule):
    """the frame of the animation in which everything stands"""

    frames: tuple[int, int] | None = key("whole range", "first and last", (1, 250), None, -1_048_574, 1_048_574)


WHAT: dict[str, type[Rule]] = {
    kind.__name__.lower(): kind
    for kind in (Pose, Distractor, Visibility, Light, World, Background, Material, Texture, Camera, Time)
}
# of these one alone can be meant
EITHER = {
    "pose": ("move", "inside", "on"),
    "distractor": ("move", "inside", "on"),
    "light": ("move", "inside"),
    "visibility": ("chance", "count"),
    "world": ("folder", "sun", "colour"),
    "background": ("folder", "colour"),
}


def keys_of(what: str) -> dict[str, Field[Any]]:
    """The keys of a rule by their names."""
    return {one.name: one for one in fields(WHAT[what])}


def selecting_keys(what: str) -> list[str]:
    """Those of its keys that say what it is about."""
    return [name for name in keys_of(what) if name in ("select", "collection", "property", "materials")]


def said_keys(what: str) -> list[str]:
    """Those of its keys that say what is drawn."""
    aside = {*selecting_keys(what), *(one.name for one in fields(Rule)), "apart", "tries"}
    return [name for name in keys_of(what) if name not in aside]


def read_rule(table: Mapping[str, Any]) -> Rule:
    """The rule that a table without mistakes says.

    Raises:
        UsageError: it has one.
    """
    found = mistake(table)
    if found is not None:
        raise UsageError(found[1])
    known = keys_of(table["what"])
    return WHAT[table["what"]](**{name: _taken(known[name], table[name]) for name in table if name != "what"})


def read_rules(tables: Sequence[Mapping[str, Any]]) -> list[Rule]:
    """All rules of a configuration.

    Raises:
        UsageError: which of them is wrong, and what it may be.
    """
    rules = []
    for number, table in enumerate(tables, 1):
        try:
            rules.append(read_rule(table))
        except UsageError as error:
            raise UsageError(f"--randomise, rule {number}: {error}") from error
    return rules


def mistake(table: Mapping[str, Any]) -> tuple[str, str] | None:
    """What is wrong with a rule: its key ("" for all of it) and a complaint that names it; None when nothing is."""
    what = table.get("what")
    if not isinstance(what, str) or what not in WHAT:
        said = "a rule needs a what" if what is None else f"what is {what}"
        return "what", f"{said}; choose one of {', '.join(WHAT)}{_near(str(what), list(WHAT))}"
    known = keys_of(what)
    for name, value in table.items():
        if name == "what":
            continue
        if name not in known:
            near = _near(name, list(known)) or f"; there is {', '.join(known)}"
            return name, f"{what} has no {name}{near}"
        complaint = _complaint(known[name], value)
        if complaint:
            return name, f"{name} {complaint}"
    selecting = selecting_keys(what)
    if selecting and not any(name in table for name in selecting):
        return "", f"{what} does not say of what; write {', '.join(selecting[:-1])} or {selecting[-1]}"
    either = [name for name in EITHER.get(what, ()) if name in table]
    if len(either) > 1:
        return either[1], f"{either[0]} and {either[1]} contradict each other; leave one out"
    drawn = said_keys(what)
    if what != "distractor" and not any(table.get(name, False) is not False for name in drawn):
        return "", f"{what} does not say what to draw; write {' or '.join(drawn)}"
    return None


def scene_changes(tables: Sequence[Mapping[str, Any]]) -> bool:
    """Whether views of a dataset show different scenes, by the rules that it was rendered with."""
    return any(table.get("per", "view") == "view" and table.get("what") != "camera" for table in tables)


def _taken(one: Field[Any], value: Any) -> Any:
    """A value without mistakes as the field holds it."""
    match one.metadata["kind"]:
        case "range":
            return tuple(float(number) for number in value)
        case "whole range":
            return tuple(value)
        case "box":
            return tuple((float(low), float(high)) for low, high in value)
        case "number":
            return float(value)
        case _:
            return value


def _complaint(one: Field[Any], value: Any) -> str:
    """What is wrong with a value, in words that follow its name; empty when nothing is."""
    about = one.metadata
    kind = about["kind"]
    if kind == "choice":
        return "" if value in about["choices"] else f"is {value}; choose one of {', '.join(about['choices'])}"
    if kind == "switch":
        return "" if isinstance(value, bool) else f"is {value}; write true or false"
    if kind not in WRITE:
        return "" if isinstance(value, str) and value else f"is {value}; write a name in quotes"
    pairs = {"box": value, "range": [value], "whole range": [value]}.get(kind, [[value, value]])
    numbers = int if kind.startswith("whole") else (int, float)
    if (
        not isinstance(pairs, list | tuple)
        or len(pairs) != (3 if kind == "box" else 1)
        or not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs)
        or not all(isinstance(end, numbers) and not isinstance(end, bool) for pair in pairs for end in pair)
        or not all(math.isfinite(end) for pair in pairs for end in pair)
        or not all(low <= high for low, high in pairs)
    ):
        return f"is {_said(value)}; write {WRITE[kind]}, like {_said(about['example'])}"
    for end in (end for pair in pairs for end in pair):
        if not about["least"] <= end <= about["most"]:
            limits = (("at least", about["least"]), ("at most", about["most"]))
            allowed = " and ".join(f"{word} {limit:g}" for word, limit in limits if math.isfinite(limit))
            return f"has {end:g} in it; it must be {allowed}"
    return ""


def _near(name: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(name, known, 1, 0.5)
    return f"; did you mean {nearest[0]}?" if nearest else ""


def _said(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_said, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)
