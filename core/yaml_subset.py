# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads as much YAML as OpenColorIO configurations are written in. Blender's Python has no YAML library."""

from __future__ import annotations

from typing import Any

Line = tuple[int, str]


def parse(text: str) -> Any:
    """Nested dictionaries, lists and strings. A tagged mapping has its tag, without "!<" and ">", under the key "!".

    Raises:
        ValueError: something else than block mappings, block lists, one-line flow collections and plain scalars.
    """
    lines = []
    for raw in text.splitlines():
        content = _without_comment(raw).rstrip()
        if content.strip():
            lines.append((len(content) - len(content.lstrip(" ")), content.strip()))
    value, end = _block(lines, 0)
    if end != len(lines):
        raise ValueError(f"cannot read {lines[end][1]!r}")
    return value


def _without_comment(line: str) -> str:
    if "#" not in line or line.lstrip().startswith("#"):
        return "" if line.lstrip().startswith("#") else line
    quoted = ""
    for i, character in enumerate(line):
        if quoted:
            quoted = "" if character == quoted else quoted
        elif character in "\"'" and line[:i].rstrip()[-1:] in set("[{,:-"):
            quoted = character
        elif character == "#" and line[i - 1] == " ":
            return line[:i]
    return line


def _block(lines: list[Line], at: int) -> tuple[Any, int]:
    """The block that begins at a line, and the line after it."""
    indent = lines[at][0]
    if lines[at][1].startswith("- "):
        items = []
        while at < len(lines) and lines[at][0] == indent and lines[at][1].startswith("- "):
            item, at = _value(lines[at][1][2:].strip(), lines, at + 1, indent)
            items.append(item)
        return items, at
    mapping = {}
    while at < len(lines) and lines[at][0] == indent and not lines[at][1].startswith("- "):
        key, separator, rest = lines[at][1].partition(":")
        if not separator:
            raise ValueError(f"cannot read {lines[at][1]!r}")
        mapping[_scalar(key)], at = _value(rest.strip(), lines, at + 1, indent)
    return mapping, at


def _value(text: str, lines: list[Line], at: int, indent: int) -> tuple[Any, int]:
    """What stands behind a key or a dash, and the line after it."""
    tag = ""
    if text.startswith("!<"):
        tag, _, text = text[2:].partition(">")
        text = text.strip()
    if text in ("|", ">", "|-", ">-"):
        while at < len(lines) and lines[at][0] > indent:
            at += 1
        return "", at
    if text:
        value, rest = _flow(text) if text[0] in "{[" else (_scalar(text), "")
        if rest.strip():
            raise ValueError(f"cannot read {text!r}")
    elif at < len(lines) and (lines[at][0] > indent or (lines[at][0] == indent and lines[at][1].startswith("- "))):
        # a list may stand as far left as its key
        if lines[at][0] == indent and not tag and lines[at - 1][1].startswith("- "):
            return None, at
        value, at = _block(lines, at)
    else:
        value = None
    if tag:
        value = {"!": tag, **value} if isinstance(value, dict) else {"!": tag}
    return value, at


def _flow(text: str) -> tuple[Any, str]:
    """A collection in braces or brackets or a scalar within one, and the text behind it."""
    text = text.lstrip()
    if text[:1] in "\"'" and text:
        end = text.index(text[0], 1)
        return text[1:end], text[end + 1 :]
    if text[:1] not in ("{", "["):
        end = min((i for i, character in enumerate(text) if character in ",]}"), default=len(text))
        return text[:end].strip(), text[end:]
    closing = "}" if text[0] == "{" else "]"
    items: list[Any] = []
    mapping: dict[str, Any] = {}
    rest = text[1:].lstrip()
    while rest and rest[0] != closing:
        if closing == "}":
            key, _, rest = rest.partition(":")
            mapping[_scalar(key)], rest = _flow(rest)
        else:
            item, rest = _flow(rest)
            items.append(item)
        rest = rest.lstrip()
        if rest[:1] == ",":
            rest = rest[1:].lstrip()
        elif rest[:1] != closing:
            raise ValueError(f"cannot read {text!r}")
    if not rest:
        raise ValueError(f"cannot read {text!r}")
    return (mapping if closing == "}" else items), rest[1:]


def _scalar(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] in "\"'" and text[-1] == text[0] else text
