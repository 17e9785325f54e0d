# SPDX-License-Identifier: GPL-3.0-or-later
"""The two things that people install: Blender's zip, built by Blender's own builder, and pip's wheel."""

from __future__ import annotations

import ast
import importlib.util
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

SOURCES = {".py", ".glsl", ".html", ".css", ".js", ".cu", ".cuh", ".txt"}
BYTES_OF_A_SMALL_DOWNLOAD = 5_000_000


def run(*command: str | Path, folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def blender_scripts() -> Path:
    """Where the package bpy keeps Blender's scripts, found without importing it."""
    spec = importlib.util.find_spec("bpy")
    assert spec and spec.submodule_search_locations
    (scripts,) = Path(spec.submodule_search_locations[0]).glob("*/scripts")
    return scripts


@pytest.fixture(scope="module")
def tree(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what git knows or would add: building leaves its traces there, not in the checkout."""
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", folder=root)
    copy = tmp_path_factory.mktemp("tree") / "a clone of any name"
    for name in filter(None, listed.split("\0")):
        if (root / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, copy / name)
    # what lies about in a folder that is worked in must not be shipped
    for litter in (
        ".venv/bin/python",
        "core/__pycache__/files.cpython-311.pyc",
        "radiance_twin_demo/scene.h5",
        "old.zip",
    ):
        (copy / litter).parent.mkdir(parents=True, exist_ok=True)
        (copy / litter).write_bytes(b"litter")
    return copy


@pytest.fixture(scope="module")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(
        *(sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation"),
        *("--no-index", "--quiet", "--wheel-dir", folder),
        folder=tree,
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def extension_zip(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zip")
    builder = blender_scripts() / "addons_core/bl_pkg/cli/blender_ext.py"
    run(sys.executable, builder, "build", "--source-dir", tree, "--output-dir", folder, folder=tree)
    (built,) = folder.glob("*.zip")
    # the same check as the one before an upload: field by field, and only tags that Blender knows
    tags = blender_scripts() / "modules/_bpy_internal/extensions/tags.py"
    run(sys.executable, builder, "validate", "--valid-tags", tags, built, folder=folder)
    return built


def names_in(archive: Path) -> set[str]:
    with zipfile.ZipFile(archive) as file:
        return {name for name in file.namelist() if not name.endswith("/")}


def everything_that_runs(tree: Path) -> set[str]:
    """Every source below addon/ and core/, and the sample that the panel opens."""
    sources = {
        path.relative_to(tree).as_posix()
        for room in ("addon", "core")
        for path in (tree / room).rglob("*")
        if path.suffix in SOURCES
    }
    assert {"core/cli.py", "addon/panels/steps.py"} <= sources
    return sources | {"__init__.py", "blender_manifest.toml", "sample_scenes/still_life.blend"}


def test_the_zip_holds_what_runs_and_nothing_else(tree: Path, extension_zip: Path) -> None:
    assert names_in(extension_zip) == everything_that_runs(tree) | {"LICENSE"}


def test_the_zip_is_a_small_download(extension_zip: Path) -> None:
    assert extension_zip.stat().st_size < BYTES_OF_A_SMALL_DOWNLOAD


def test_the_wheel_holds_what_runs_and_nothing_else(tree: Path, wheel: Path) -> None:
    names = {name for name in names_in(wheel) if ".dist-info/" not in name}
    assert names == {f"radiance_twin/{name}" for name in everything_that_runs(tree)}


def test_the_archives_hold_shaders_kernels_and_the_report(extension_zip: Path, wheel: Path) -> None:
    for archive in (extension_zip, wheel):
        assert {".glsl", ".html", ".css", ".js", ".cu", ".cuh"} <= {Path(name).suffix for name in names_in(archive)}


def test_the_installed_wheel_answers_help(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    run(
        *(sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet", "--target", site, wheel),
        folder=tmp_path,
    )
    # -P and the empty folder keep the checkout away; the path in front wins over an installation of the checkout
    program = """
import sys
sys.path.insert(0, sys.argv[1])
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in getattr(finder, "__name__", "").lower()]
from radiance_twin.core import cli
assert cli.__file__.startswith(sys.argv[1]), cli.__file__
sys.exit(cli.main(["--help"]))
"""
    told = run(sys.executable, "-P", "-c", program, site, folder=tmp_path)
    assert all(word in told for word in ("demo", "render", "train", "compare", "info"))
    assert (site / "bin" / "radiance-twin").is_file()


@pytest.mark.parametrize(
    ("permission", "sign"), [("files", "atomic_path"), ("network", "online_access"), ("clipboard", ".clipboard")]
)
def test_the_manifest_asks_for_what_the_code_needs(root: Path, permission: str, sign: str) -> None:
    asked = tomllib.loads((root / "blender_manifest.toml").read_text("utf-8"))["permissions"]
    assert any(sign in path.read_text("utf-8") for path in (root / "addon").rglob("*.py"))
    assert permission in asked


def test_one_version_everywhere(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    manifest = tomllib.loads((root / "blender_manifest.toml").read_text("utf-8"))["version"]
    front_door = next(
        ast.literal_eval(node.value)
        for node in ast.parse((root / "__init__.py").read_text("utf-8")).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__"
    )
    changelog = (root / "CHANGELOG.md").read_text("utf-8")
    assert project == manifest == front_door
    assert f"## [{project}]" in changelog
