# SPDX-License-Identifier: GPL-3.0-or-later
"""The extension as people get it: its zip installed into an empty Blender, then the four steps with the real worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import bpy
import pytest

BUILDER = Path(bpy.utils.resource_path("LOCAL"), "scripts/addons_core/bl_pkg/cli/blender_ext.py")

STEPS = """
import json
import sys

import bpy

archive, blend, python = sys.argv[1:]
bpy.ops.extensions.package_install_files(filepath=archive, repo="user_default", enable_on_install=True)
preferences = bpy.context.preferences.addons["bl_ext.user_default.radiance_twin"].preferences
preferences.worker_python = python

bpy.context.scene.render.engine = "CYCLES"
bpy.ops.wm.save_as_mainfile(filepath=blend)
settings = bpy.context.scene.radiance_twin
settings.views, settings.val_views, settings.test_views = 3, 1, 1
settings.width, settings.height = 24, 24
settings.samples, settings.reference_samples, settings.denoise = 1, 2, False
settings.preset, settings.seconds, settings.device = "custom", 1.0, "cpu"
assert bpy.ops.radiance_twin.render_views() == {"FINISHED"}
assert bpy.ops.radiance_twin.train() == {"FINISHED"}
assert bpy.ops.radiance_twin.compare() == {"FINISHED"}
bpy.ops.wm.save_mainfile()
twin = bpy.data.objects["cube"]
found = {
    "twin": [twin.name, twin.type, twin.radiance_twin.filepath, list(twin.location)],
    "images": sorted(image.filepath for image in bpy.data.images if image.source == "FILE"),
}
bpy.ops.preferences.addon_disable(module="bl_ext.user_default.radiance_twin")
found["left_behind"] = [name for name in dir(bpy.types) if "radiance" in name.lower()]
print("FOUND", json.dumps(found))
"""


@pytest.fixture(scope="module")
def archive(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The extension's zip, by Blender's own builder."""
    path = tmp_path_factory.mktemp("zip") / "radiance_twin.zip"
    build = [sys.executable, str(BUILDER), "build", "--source-dir", str(root), "--output-filepath", str(path)]
    subprocess.run(build, check=True, capture_output=True, timeout=60)
    return path


def test_installed_extension_goes_the_whole_way(archive: Path, worker_python: str, tmp_path: Path) -> None:
    found = run_steps(archive, tmp_path / "project" / "cube.blend", worker_python, tmp_path / "resources")
    name, kind, path, location = found["twin"]
    assert (name, kind) == ("cube", "EMPTY")
    assert path == "//radiance_twin/cube.twin"
    assert sum(value**2 for value in location) > 1.0, "it stands beside the cube, which is two metres wide"
    assert sorted(Path(image).name.split("_")[0] for image in found["images"]) == ["classic", "flip", "neural"]
    assert found["left_behind"] == []
    files = {each.name for each in (tmp_path / "project" / "radiance_twin").iterdir()}
    assert files == {"cube.h5", "cube.twin", "cube_report"}
    metrics = json.loads((tmp_path / "project/radiance_twin/cube_report/metrics.json").read_text("utf-8"))
    assert len(metrics["views"]) == 1 and metrics["mean"]["psnr"] > 5.0


def run_steps(archive: Path, blend: Path, worker_python: str, resources: Path) -> Any:
    """Run the steps in a Blender of their own, which knows nothing but the zip."""
    blend.parent.mkdir()
    resources.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "RADIANCE_TWIN_PYTHON"}
    done = subprocess.run(
        [sys.executable, "-c", STEPS, str(archive), str(blend), worker_python],
        env={**environment, "BLENDER_USER_RESOURCES": str(resources)},
        cwd=resources,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.rpartition("FOUND ")[2].splitlines()[0])
