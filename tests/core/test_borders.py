# SPDX-License-Identifier: GPL-3.0-or-later
"""The borders of the house: who may import whom. Read from the sources: an import inside a function counts too."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]

BLENDER = {
    "bpy",
    "bpy_extras",
    "bmesh",
    "bl_ext",
    "bl_ui",
    "blf",
    "freestyle",
    "gpu",
    "gpu_extras",
    "imbuf",
    "mathutils",
}
BUNDLED_WITH_BLENDER = {"OpenImageIO", "PyOpenColorIO", "addon_utils", "numpy", "openvdb", "_cycles"}

# A room imports from rooms with a smaller number, and from itself. A module that is not named belongs to its folder;
# what lies directly in addon/ has to be named.
FLOORS = {
    "addon": 14,  # the front door: registers everything
    "addon.panels": 13,
    "addon.commands": 13,
    "addon.operators": 12,
    "addon.wishes": 12,
    "addon.engine": 11,
    "addon.exact_frames": 11,
    "addon.flip_maps": 11,
    "addon.rig_preview": 11,
    "addon.view_flips": 11,
    "addon.jobs": 10,
    "addon.studio": 10,
    "addon.viewport": 10,
    "addon.properties": 9,
    "addon.random_rules": 8,
    "addon.preferences": 9,
    "addon.paths": 9,
    "addon.compat": 8,
    "addon.view_transform": 9,
    "core.cli": 7,
    "core.words": 6,
    "core.runtime.__main__": 6,
    "core.doctor.checks": 1,
    "core.doctor": 5,
    "core.worker.__main__": 6,
    "core.worker.previews": 5,
    "core.worker.viewer": 4,
    "core.demo": 5,
    "core.info": 5,
    "core.view": 5,
    "core.dataset_pictures": 5,
    "core.rendering.verify": 5,
    "core.rendering.check": 5,
    "core.rendering.bench": 5,
    "core.rendering.render_more": 5,
    "core.rendering.fix_it": 4,
    "core.training": 4,
    "core.importing": 4,
    "core.foreign_cameras": 2,
    "core.export": 4,
    "core.sheet": 4,
    "core.comparison": 3,
    "core.bake": 3,
    "core.field": 2,
    "core.rendering.render": 2,
    "core.rendering.coverage": 2,
    "core.dataset": 1,
    "core.runtime": 2,  # runs in Blender's Python too: standard library alone
    "core.worker": 1,  # the protocol and the child's handle, which Blender's side uses too
    "core": 0,
}


class Import(NamedTuple):
    """One imported module, as seen from the tree: "core.files" for ours, "numpy" for others."""

    module: str
    relative: bool
    line: int


def module_name(path: Path) -> str:
    """core/field/march.py -> core.field.march; a package's __init__.py is the package."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules(folder: str) -> dict[str, Path]:
    return {module_name(path): path for path in sorted((ROOT / folder).rglob("*.py"))}


MODULES = modules("core") | modules("addon")


def imports_of(path: Path) -> Iterator[Import]:
    """Every import statement, wherever it stands, but for those that only a type checker follows."""
    package = path.relative_to(ROOT).parent.parts
    for node in walk_without_type_checking(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, False, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield Import(node.module or "", False, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            above = ".".join((*package[: len(package) - node.level + 1], *(node.module or "").split("."))).strip(".")
            for alias in node.names:
                deeper = f"{above}.{alias.name}".strip(".")
                yield Import(deeper if deeper in MODULES else above, True, node.lineno)


def walk_without_type_checking(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            continue
        yield from walk_without_type_checking(child)


def room_of(module: str) -> str:
    """The most precise name in FLOORS that the module lies under."""
    room = max((name for name in FLOORS if f"{module}.".startswith(f"{name}.")), key=len)
    assert room != "addon" or module == "addon", f"{module} has no floor yet: give it one in FLOORS"
    return room


def test_the_house_is_not_empty() -> None:
    # guards the tests below against a moved folder, which they would find free of wrong imports
    assert {"core.files", "core.worker.protocol", "addon"} <= set(MODULES)


@pytest.mark.parametrize("name", modules("core"))
def test_core_never_imports_blender(name: str) -> None:
    assert [one for one in imports_of(MODULES[name]) if one.module.split(".")[0] in BLENDER] == []


@pytest.mark.parametrize("name", modules("addon"))
def test_addon_imports_only_what_blender_brings(name: str) -> None:
    # torch, numba, h5py, cv2, rich … never enter Blender's process
    allowed = BLENDER | BUNDLED_WITH_BLENDER | set(sys.stdlib_module_names)
    foreign = [one for one in imports_of(MODULES[name]) if not one.relative and one.module.split(".")[0] not in allowed]
    assert foreign == []


def test_core_imports_only_what_pyproject_declares() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    declared = {normalised(one) for one in project["dependencies"]}
    distributions = packages_distributions()
    undeclared = {
        (name, one.module)
        for name, path in modules("core").items()
        for one in imports_of(path)
        if not one.relative and one.module.split(".")[0] not in sys.stdlib_module_names
        if not declared & {normalised(d) for d in distributions.get(one.module.split(".")[0], [one.module])}
    }
    assert undeclared == set()


def normalised(requirement: str) -> str:
    """ "OpenEXR>=3; python_version …" -> "openexr"."""
    name = requirement
    for mark in "<>=!~;[ ":
        name = name.split(mark)[0]
    return name.lower().replace("_", "-")


@pytest.mark.parametrize("name", MODULES)
def test_imports_inside_the_tree_are_relative(name: str) -> None:
    # the same files run as radiance_twin, as bl_ext.<repository>.radiance_twin and in the worker
    absolute = {"radiance_twin", "core", "addon"}
    assert [one for one in imports_of(MODULES[name]) if not one.relative and one.module.split(".")[0] in absolute] == []


@pytest.mark.parametrize("name", MODULES)
def test_rooms_import_downwards(name: str) -> None:
    here = room_of(name)
    wrong = [
        f"{name}:{one.line} imports {one.module}"
        for one in imports_of(MODULES[name])
        if one.relative and one.module
        if room_of(one.module) != here and FLOORS[room_of(one.module)] >= FLOORS[here]
    ]
    assert wrong == []


ONLY_NUMPY = """
import importlib, runpy, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        if top not in sys.stdlib_module_names and top not in ALLOWED:
            raise ModuleNotFoundError(f"{name} does not exist here", name=name)

ALLOWED = set(sys.argv[2].split(","))
sys.meta_path.insert(0, Blocked())
runpy.run_path(sys.argv[1] + "/core/bootstrap.py")["register"](__import__("pathlib").Path(sys.argv[1]))
for module in sys.argv[3:]:
    importlib.import_module(module)
    print(module)
"""


def import_where_only(allowed: str, names: list[str]) -> list[str]:
    """Import modules in a new Python where nothing but the standard library and `allowed` can be found."""
    command = [sys.executable, "-c", ONLY_NUMPY, str(ROOT), allowed, *names]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_what_addon_imports_of_core_needs_numpy_alone() -> None:
    wanted = sorted(
        {
            f"radiance_twin.{one.module}"
            for path in modules("addon").values()
            for one in imports_of(path)
            if one.relative and one.module.split(".")[0] == "core"
        }
    )
    assert wanted
    assert import_where_only("numpy,radiance_twin", wanted) == wanted


def test_the_front_door_opens_without_blender() -> None:
    # pytest, pip and the worker import the root; Blender alone calls register()
    assert import_where_only("radiance_twin", ["radiance_twin"]) == ["radiance_twin"]
