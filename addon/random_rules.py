# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of randomise as properties, made from what core/rendering/rules.py says of each key."""

from collections.abc import Mapping
from typing import Any

import bpy

from ..core.rendering.rules import WHAT, keys_of

KEYS = {name: one.metadata for what in reversed(WHAT) for name, one in keys_of(what).items()}
# of which nothing is said unless they are switched on; other keys say nothing when they are empty
OPTIONAL = {"range", "whole range", "box", "number", "whole"}
AXES = 3


def sentence(help: str) -> str:
    """The words of a setting as a tool tip begins."""
    return help[:1].upper() + help[1:]


def _property_of(name: str) -> Any:
    """The property of one key."""
    about = KEYS[name]
    words: dict[str, Any] = {"name": name.replace("_", " ").title(), "description": sentence(about["help"])}
    limits: dict[str, Any] = {"min": max(about["least"], -1e9), "max": min(about["most"], 1e9)}
    if about["kind"].startswith("whole"):
        limits = {word: int(limit) for word, limit in limits.items()}
    example = about["example"]
    match about["kind"]:
        case "range":
            return bpy.props.FloatVectorProperty(**words, **limits, size=2, default=example)
        case "whole range":
            return bpy.props.IntVectorProperty(**words, **limits, size=2, default=example)
        case "box":
            flat = tuple(end for pair in example for end in pair)
            return bpy.props.FloatVectorProperty(**words, **limits, size=2 * AXES, default=flat)
        case "number":
            return bpy.props.FloatProperty(**words, **limits, default=example)
        case "whole":
            return bpy.props.IntProperty(**words, **limits, default=example)
        case "switch":
            return bpy.props.BoolProperty(**words)
        case "choice":
            return bpy.props.EnumProperty(
                **words, items=[(one, one.title(), f"{words['description']}: {one}") for one in about["choices"]]
            )
        case "object":
            return bpy.props.PointerProperty(**words, type=bpy.types.Object)
        case "collection":
            return bpy.props.PointerProperty(**words, type=bpy.types.Collection)
        case "folder":
            return bpy.props.StringProperty(**words, subtype="DIR_PATH", options={"PATH_SUPPORTS_BLEND_RELATIVE"})
        case _:
            return bpy.props.StringProperty(**words)


class RadianceTwinRule(bpy.types.PropertyGroup):
    """One of `scene.radiance_twin.randomise`. Each key of any rule is a property, some with a switch `use_` to it."""

    what: bpy.props.EnumProperty(
        name="What",
        description="What is drawn at random",
        items=[(what, what.title(), sentence(kind.__doc__ or "")) for what, kind in WHAT.items()],
    )


for _name, _about in KEYS.items():
    RadianceTwinRule.__annotations__[_name] = _property_of(_name)
    if _about["kind"] in OPTIONAL:
        RadianceTwinRule.__annotations__[f"use_{_name}"] = bpy.props.BoolProperty(
            name=_name.replace("_", " ").title(), description=sentence(_about["help"])
        )


def table_of(rule: Any) -> dict[str, Any]:
    """A rule as the configuration has it; what is as usual is not in it."""
    table: dict[str, Any] = {"what": rule.what}
    for name, one in keys_of(rule.what).items():
        kind, value = one.metadata["kind"], getattr(rule, name)
        if kind in OPTIONAL:
            if getattr(rule, f"use_{name}"):
                table[name] = _said(kind, value)
        elif kind in ("object", "collection"):
            if value is not None:
                table[name] = value.name
        elif value and value != one.default:
            table[name] = bpy.path.abspath(value) if kind == "folder" else value
    return table


def take_table(rule: Any, table: Mapping[str, Any]) -> list[str]:
    """Set a rule that is new; the names of objects and collections that this file does not have."""
    missing = []
    for name, value in table.items():
        kind = "" if name == "what" else KEYS[name]["kind"]
        if kind in ("object", "collection"):
            things: Any = bpy.data.objects if kind == "object" else bpy.data.collections
            if value not in things:
                missing.append(value)
            value = things.get(value)
        elif kind == "box":
            value = [end for pair in value for end in pair]
        if kind in OPTIONAL:
            setattr(rule, f"use_{name}", True)
        setattr(rule, name, value)
    return missing


def _said(kind: str, value: Any) -> Any:
    match kind:
        case "box":
            return [[round(end, 6) for end in value[2 * axis : 2 * axis + 2]] for axis in range(AXES)]
        case "range":
            return [round(end, 6) for end in value]
        case "whole range":
            return list(value)
        case "number":
            return round(value, 6)
        case _:
            return value


register, unregister = bpy.utils.register_classes_factory((RadianceTwinRule,))
