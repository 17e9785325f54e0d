# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads from an OpenColorIO configuration of which stages a display's view consists.

Only as much of OpenColorIO as Blender's own configurations use, with numpy alone. Whatever else a configuration holds
is refused; and who uses the stages checks them against what Blender shows.
Source: OpenColorIO's guide, "Transforms" and "Syntax", https://opencolorio.readthedocs.io.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .colour import MOST_SAMPLES, MOST_STAGES, Stage, stages_of
from .colour_steps import NOTHING, Matrix, Step, inverse, matrix_step, simplified
from .yaml_subset import parse

# the lines of a .cube before its numbers
HEADER = re.compile(r"(?:[^-.\d\n].*\n|\n)*")
SIZE = re.compile(r"^LUT_3D_SIZE\s+(\d+)", re.MULTILINE)
OTHER_DOMAIN = re.compile(
    r"^DOMAIN_(?:MIN(?! +0[.0]* +0[.0]* +0[.0]*\s)|MAX(?! +1[.0]* +1[.0]* +1[.0]*\s))", re.MULTILINE
)
# OpenColorIO's luma of the saturation of GradingPrimaryTransform and CDLTransform
LUMA = np.array([0.2126, 0.7152, 0.0722])
AP0 = ((0.7347, 0.2653), (0.0, 1.0), (0.0001, -0.077), (0.32168, 0.33767))
AP1 = ((0.713, 0.293), (0.165, 0.83), (0.128, 0.044), (0.32168, 0.33767))
D65 = (0.3127, 0.329)
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


class UnknownConfiguration(Exception):
    """A configuration cannot be read, or holds something that is not known here."""


@contextmanager
def _reading(path: Path) -> Iterator[_Configuration]:
    try:
        yield _configuration(path, path.stat().st_mtime_ns)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UnknownConfiguration(f"{path}: {error}") from error


def view_stages(
    path: Path,
    *,
    display: str,
    view: str,
    look: str,
    gamma: float,
    scene_linear: str = "scene_linear",
    first: Sequence[Step] = (),
) -> tuple[Stage, ...]:
    """The stages that turn scene-linear light into what a display shows.

    Args:
        path: of the configuration.
        display, view, look, gamma: as Blender has them.
        scene_linear: name or role of the colour space to start from.
        first: steps before all others (exposure, curves).

    Raises:
        UnknownConfiguration: it cannot be read, or holds something that has no stage.
    """
    with _reading(path) as configuration:
        steps = [*first, *configuration.look_and_view(scene_linear, display, view, look)]
        if gamma != 1.0:
            steps.append(("power", np.array([1.0 / max(gamma, 1e-7)])))
        stages = stages_of(simplified(steps))
        if len(stages) > MOST_STAGES:
            raise ValueError(f"{len(stages)} stages are too many")
        return stages


def white_balance(path: Path, scene_linear: str, white: ArrayLike) -> Matrix:
    """[3, 3]: makes the scene-linear colour `white` white (Bradford, as Blender does it).

    Args:
        path: of the configuration.
        scene_linear: name or role of the colour space.

    Raises:
        UnknownConfiguration: it cannot be read, or the space is not linear.
    """
    xyz = np.eye(3)
    with _reading(path) as configuration:
        for kind, values in configuration.conversion(scene_linear, "cie_xyz_d65_interchange"):
            if kind != "matrix":
                raise ValueError(f"{scene_linear} is not linear")
            xyz = values[:, :3] @ xyz
    return np.linalg.inv(xyz) @ _adaptation(xyz @ np.asarray(white, np.float64), xyz @ np.ones(3)) @ xyz


@dataclass(frozen=True)
class _Configuration:
    """A configuration; every method gives steps."""

    folder: Path
    data: dict[str, Any]
    spaces: dict[str, dict[str, Any]]

    def look_and_view(self, source: str, display: str, view: str, look: str) -> list[Step]:
        steps: list[Step] = []
        if look not in ("", "None"):
            found = _of_name(self.data["looks"], look)
            steps += self.conversion(source, found["process_space"]) + self.transform(found["transform"])
            source = found["process_space"]
        entry = _of_name(self.data["displays"][display], view)
        if entry.get("looks"):
            raise ValueError(f"{view} has looks of its own")
        if "view_transform" not in entry:
            return steps + self.conversion(source, entry["colorspace"])
        target = self.space(entry["display_colorspace"])
        steps += self.to_reference(source)
        if self.is_display(source):
            raise ValueError("a view of a display's colours")
        return steps + self.view_transform(entry["view_transform"]) + self.from_reference(target["name"])

    def space(self, name: str) -> dict[str, Any]:
        role = self.data["roles"].get(name, name)
        return self.spaces[str(role).lower()]

    def is_display(self, name: str) -> bool:
        return any(self.space(name) is one for one in self.data.get("display_colorspaces") or ())

    def conversion(self, source: str, target: str) -> list[Step]:
        if self.space(source) is self.space(target) or any(
            self.space(n).get("isdata") == "true" for n in (source, target)
        ):
            return []
        steps = self.to_reference(source)
        if self.is_display(source) != self.is_display(target):
            between = self.view_transform(self.data["default_view_transform"])
            steps += inverse(between) if self.is_display(source) else between
        return steps + self.from_reference(target)

    def view_transform(self, name: str) -> list[Step]:
        found = _of_name(self.data["view_transforms"], name)
        if "from_scene_reference" in found:
            return self.transform(found["from_scene_reference"])
        return inverse(self.transform(found["to_scene_reference"]))

    def to_reference(self, name: str) -> list[Step]:
        return self.described(name, "to", "from")

    def from_reference(self, name: str) -> list[Step]:
        return self.described(name, "from", "to")

    def described(self, name: str, direction: str, opposite: str) -> list[Step]:
        space = self.space(name)
        references = ("scene_reference", "reference", "display_reference")
        for one in references:
            if f"{direction}_{one}" in space:
                return self.transform(space[f"{direction}_{one}"])
        for one in references:
            if f"{opposite}_{one}" in space:
                return inverse(self.transform(space[f"{opposite}_{one}"]))
        return []

    def transform(self, node: dict[str, Any]) -> list[Step]:
        steps = self.forward(node)
        return inverse(steps) if node.get("direction") == "inverse" else steps

    def forward(self, node: dict[str, Any]) -> list[Step]:
        kind = node["!"]
        if kind == "GroupTransform":
            return [step for child in node.get("children") or () for step in self.transform(child)]
        if kind == "ColorSpaceTransform":
            return self.conversion(node["src"], node["dst"])
        if kind == "FileTransform":
            return self.file(node["src"], node.get("interpolation", "linear"))
        if kind == "MatrixTransform":
            matrix = _numbers(node["matrix"]).reshape(4, 4)[:3, :3]
            return [matrix_step(matrix, _numbers(node.get("offset", [0.0] * 4))[:3])]
        if kind == "AllocationTransform":
            low, high, *offset = _numbers(node["vars"])
            if offset:
                raise ValueError("an allocation with an offset")
            step = matrix_step(np.eye(3) / (high - low), -low / (high - low))
            if node["allocation"] not in ("lg2", "uniform"):
                raise ValueError("an allocation that is not known")
            return [("log2", NOTHING), step] if node["allocation"] == "lg2" else [step]
        if kind == "ExponentTransform":
            return [("power", np.array([_same(node["value"])]))]
        if kind == "ExponentWithLinearTransform":
            return [("decode", np.array([_same(node["gamma"]), _same(node["offset"])]))]
        if kind == "RangeTransform":
            if any(node.get(f"{end}_in_value") != node.get(f"{end}_out_value") for end in ("min", "max")):
                raise ValueError("a range that scales")
            return [
                ("clamp", np.array([float(node.get("min_in_value", -1e30)), float(node.get("max_in_value", 1e30))]))
            ]
        if kind == "CDLTransform":
            return _colour_decision_list(node)
        if kind == "GradingPrimaryTransform":
            return _grading_primary(node)
        if kind == "GradingToneTransform":
            return _grading_tone(node)
        if kind == "BuiltinTransform":
            return _builtin(node["style"])
        raise ValueError(f"{kind} has no stage")

    def file(self, name: str, interpolation: str) -> list[Step]:
        folders = str(self.data.get("search_path", ".")).split(":")
        places = [self.folder / folder / name for folder in folders]
        path = next((place for place in places if place.exists()), places[0])
        if path.suffix == ".spimtx":
            values = np.array(path.read_text("utf-8").split(), np.float64).reshape(3, 4)
            return [matrix_step(values[:, :3], values[:, 3] / 65535.0)]
        if path.suffix == ".spi1d" and interpolation == "linear":
            return [("clamp", np.array([0.0, 1.0])), ("curve", _spi1d(path))]
        if path.suffix == ".cube" and interpolation == "tetrahedral":
            return [("table", _cube(path))]
        raise ValueError(f"{name} ({interpolation}) has no stage")


def _of_name(entries: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    found = next((entry for entry in entries if entry.get("name") == name), None)
    if found is None:
        raise KeyError(name)
    return found


@lru_cache(maxsize=4)
def _configuration(path: Path, _changed: int) -> _Configuration:
    data = parse(path.read_text("utf-8"))
    spaces = {}
    for space in [*(data.get("display_colorspaces") or ()), *data["colorspaces"]]:
        for name in [space["name"], *(space.get("aliases") or ())]:
            spaces[name.lower()] = space
    return _Configuration(path.parent, data, spaces)


@lru_cache(maxsize=4)
def _cube(path: Path) -> NDArray[np.float32]:
    text = path.read_text("utf-8")
    header = HEADER.match(text)
    size = SIZE.search(header[0]) if header else None
    if header is None or size is None or OTHER_DOMAIN.search(header[0]):
        raise ValueError(f"{path.name} is no table from 0 to 1")
    n = int(size[1])
    values = np.fromstring(text[header.end() :], np.float32, sep=" ")
    # the file's red runs fastest
    return np.ascontiguousarray(values.reshape(n, n, n, 3).transpose(2, 1, 0, 3))


@lru_cache(maxsize=16)
def _spi1d(path: Path) -> Matrix:
    header, _, body = path.read_text("utf-8").partition("{")
    words = header.split()
    if _numbers(words[words.index("From") + 1 : words.index("From") + 3]).tolist() != [0.0, 1.0]:
        raise ValueError("a curve that is not from 0 to 1")
    values = np.array(body.partition("}")[0].split(), np.float64)
    values = values.reshape(int(words[words.index("Length") + 1]), int(words[words.index("Components") + 1]))
    return np.broadcast_to(values, (len(values), 3)).copy()


def _grading_primary(node: dict[str, Any]) -> list[Step]:
    """Contrast about a pivot, then saturation; in the style "log" the pivot counts from the middle grey of 0.5."""
    unknown = set(node) - {"!", "style", "contrast", "saturation", "pivot", "direction"}
    if node["style"] != "log" or unknown:
        raise ValueError(f"a grading that is not known ({', '.join(sorted(unknown))})")
    contrast = _numbers(node["contrast"]["rgb"]) * float(node["contrast"].get("master", 1.0))
    pivot = 0.5 + 0.5 * float(node["pivot"]["contrast"])
    return [matrix_step(np.diag(contrast), pivot * (1.0 - contrast)), *_saturation(float(node.get("saturation", 1.0)))]


def _colour_decision_list(node: dict[str, Any]) -> list[Step]:
    steps = [matrix_step(np.diag(_numbers(node.get("slope", [1.0] * 3))), _numbers(node.get("offset", [0.0] * 3)))]
    steps.append(("power", np.array([_same(node.get("power", [1.0]))])))
    return steps + _saturation(float(node.get("sat", node.get("saturation", 1.0))))


def _grading_tone(node: dict[str, Any]) -> list[Step]:
    """Shadows alone: below `start` two parabolas bend the line to the slope `rgb`, then `master`, at `pivot`.

    Below the pivot it stays a straight line. Found by measuring what OpenColorIO does with it.
    """
    shadows = node["shadows"]
    if set(node) - {"!", "shadows", "style"} or node.get("style", "log") != "log":
        raise ValueError("a tone grading that is not known")
    start, pivot = float(shadows["start"]), float(shadows["pivot"])
    slopes = _same(shadows["rgb"]), float(shadows["master"])
    if not (0.0 < pivot < start < 1.0 and all(0.0 < slope <= 1.0 for slope in slopes)):
        raise ValueError("shadows that are not known")
    x = np.linspace(0.0, 1.0, MOST_SAMPLES)
    middle, half = 0.5 * (start + pivot), 0.5 * (start - pivot)
    for slope in slopes:
        middle_y = middle - 0.25 * (1.0 - slope) * half
        middle_slope = 2.0 * (middle_y - pivot) / half - slope
        lower, upper = x - pivot, x - middle
        lower_y = pivot + slope * lower + 0.5 * (middle_slope - slope) / half * np.clip(lower, 0.0, half) ** 2
        upper_y = middle_y + middle_slope * upper + 0.5 * (1.0 - middle_slope) / half * upper**2
        x = np.where(x >= start, x, np.where(x >= middle, upper_y, lower_y))
    return [("curve", np.repeat(x[:, None], 3, axis=1))]


def _saturation(saturation: float) -> list[Step]:
    return [matrix_step(saturation * np.eye(3) + (1.0 - saturation) * LUMA)]


def _builtin(style: str) -> list[Step]:
    if style == "UTILITY - ACES-AP0_to_CIE-XYZ-D65_BFD":
        return [matrix_step(_to_d65() @ _xyz_from(AP0))]
    if style == "UTILITY - ACES-AP1_to_CIE-XYZ-D65_BFD":
        return [matrix_step(_to_d65() @ _xyz_from(AP1))]
    if style == "ACEScg_to_ACES2065-1":
        return [matrix_step(np.linalg.inv(_xyz_from(AP0)) @ _xyz_from(AP1))]
    raise ValueError(f"{style} has no stage")


def _xyz_of(xy: Sequence[float]) -> Matrix:
    return np.array([xy[0] / xy[1], 1.0, (1.0 - xy[0] - xy[1]) / xy[1]])


def _xyz_from(primaries: Sequence[Sequence[float]]) -> Matrix:
    """CIE XYZ from the RGB of these chromaticities: red, green, blue, white (SMPTE RP 177)."""
    columns = np.stack([_xyz_of(xy) for xy in primaries[:3]], axis=1)
    return columns * np.linalg.solve(columns, _xyz_of(primaries[3]))


def _to_d65() -> Matrix:
    """From the white point of ACES."""
    return _adaptation(_xyz_of(AP0[3]), _xyz_of(D65))


def _adaptation(white: Matrix, target: Matrix) -> Matrix:
    """Chromatic adaptation of CIE XYZ after Bradford (Lam 1985; brucelindbloom.com, "Chromatic Adaptation")."""
    return np.linalg.inv(BRADFORD) @ np.diag((BRADFORD @ target) / (BRADFORD @ white)) @ BRADFORD


def _numbers(values: ArrayLike) -> Matrix:
    return np.array(values, np.float64)


def _same(value: Any) -> float:
    """The one value for all channels."""
    values = _numbers(np.atleast_1d(np.array(value, np.float64)))[:3]
    if np.ptp(values) > 0.0:
        raise ValueError("another exponent for each channel")
    return float(values[0])
