# SPDX-License-Identifier: GPL-3.0-or-later
"""How a scene is rendered, as a TOML file: mistakes are told with their place, settings are explained. Numpy alone."""

from __future__ import annotations

import difflib
import json
import os
import re
import textwrap
import tomllib
from collections.abc import Mapping
from dataclasses import Field
from pathlib import Path
from typing import Any

from ..errors import UsageError, UserError, reason_of
from .configuration import DEFAULTS, FIELDS, SECTIONS, WITH_POSES, complaint_of
from .rigs import rig_shape
from .rules import WHAT, keys_of, mistake

VERSION = 1
LARGEST_FILE = 1 << 20


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
        # some editors on Windows put a mark before the text
        text = path.read_text(encoding="utf-8-sig")
        content = tomllib.loads(text)
    except OSError as error:
        raise UserError(f"cannot read {path}: {reason_of(error)}; check the path") from error
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
            otherwise = f"is {_said(value)}; {_expected(FIELDS[key])}"
            complaint = otherwise if taken is None else complaint_of(key, taken)
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


def with_place(complaint: str, path: str | os.PathLike[str], used: Mapping[str, Any]) -> str:
    """A complaint about a flag, as one about the line of the file at `path` that says the same.

    Args:
        used: settings; what a flag says otherwise than the file is the flag's fault.
    """
    flag, _, rest = complaint.partition(" ")
    name, said = flag.removeprefix("--").replace("-", "_"), read_configuration(path)
    if name == flag or name not in said or name not in FIELDS or used.get(name) != said[name]:
        return complaint
    text = Path(path).read_text(encoding="utf-8-sig")
    return f"{_place(Path(path), text, FIELDS[name].metadata['section'], name)}: {name} {rest}"


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
        # either a key at the top, or a heading with one bracket
        place = _place(path, text, "randomise", "") if isinstance(tables, dict) else _place(path, text, "", "randomise")
        raise UserError(f"{place}: randomise is a rule each; write [[randomise]] above it")
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
