# SPDX-License-Identifier: GPL-3.0-or-later
"""From an empty machine to a trained twin, in a real Blender with its window: the extension's Install is pressed.

The runtime is made for real, from wherever pip takes packages on this machine. The screenshots stay in the folder that
the test prints: look at them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(600)

DRIVE = Path(__file__).with_name("drive_install.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("install")


@pytest.fixture(scope="module")
def environment(folder: Path) -> dict[str, str]:
    """A user who has nothing of ours yet; packages come from where pip takes them."""
    kept = {name: value for name, value in os.environ.items() if name != "RADIANCE_TWIN_PYTHON"}
    # Blender may be run with another root: what pip trusts has to be within its sight
    certificates = os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE")
    if certificates:
        kept["PIP_CERT"] = shutil.copy(certificates, folder / "certificates.pem")
    return {
        **kept,
        "RADIANCE_TWIN_HOME": str(folder / "home"),
        # a Python that is there: not every machine can fetch one
        "UV_PYTHON": base_python(),
        "BLENDER_USER_RESOURCES": str(folder / "resources"),
        "MESA_SHADER_CACHE_DIR": str(folder),
    }


def base_python() -> str:
    """The Python that this one's virtual environment was made of."""
    return str(Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}")


@pytest.fixture(scope="module")
def extension(root: Path, folder: Path, environment: dict[str, str]) -> None:
    """The zip as `make zip` builds it: with uv in it."""
    tree = folder / "tree"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        check=True,
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (root / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, tree / name)
    fetch = ["-m", "pip", "download", "--quiet", "--require-hashes", "--only-binary", ":all:", "--no-deps"]
    command = [sys.executable, *fetch, "--dest", tree / "wheels", "-r", tree / "tools/uv.txt"]
    subprocess.run(command, check=True, timeout=120)
    archive = folder / "radiance_twin.zip"
    blender(["--command", "extension", "build", "--source-dir", tree, "--output-filepath", archive], environment)
    blender(["--command", "extension", "install-file", "--repo", "user_default", "--enable", archive], environment)


@pytest.fixture(scope="module")
def found(folder: Path, environment: dict[str, str], extension: None) -> Any:
    """What drive_install.py found."""
    blender(["--online-mode", "--python", DRIVE, "--", folder], environment)
    print(f"\nscreenshots: {folder}")
    result = json.loads((folder / "found.json").read_text("utf-8"))
    assert "failed" not in result, result["failed"]
    return result


def blender(arguments: list[Any], environment: dict[str, str], code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [os.environ["BLENDER"], *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=540, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_one_click_from_nothing_to_a_twin(found: dict[str, Any], folder: Path) -> None:
    python, reason = found["before"]["python"]
    assert python == "" and "press Install" in reason and not found["before"]["can_render"]
    python, reason = found["after"]["python"]
    assert reason == "" and Path(python).is_relative_to(folder / "home") and found["after"]["can_render"]
    assert found["render"]["outcome"].startswith("14 views in ") and " dB" in found["train"]["outcome"]
    assert found["twins"] == ["still_life"]


def test_progress_was_shown_and_only_grew(found: dict[str, Any]) -> None:
    fractions = found["install"]["progress"]
    assert len(fractions) > 3 and fractions == sorted(fractions)


def test_no_address_is_written_down(found: dict[str, Any], folder: Path) -> None:
    said = json.dumps(found)
    assert "://" not in said and "://" not in (folder / "home/runtime/current.json").read_text("utf-8")


def test_the_doctor_finds_what_is_missing_and_then_that_all_is_well(found: dict[str, Any], folder: Path) -> None:
    assert found["examined_before"]["outcome"].endswith("checks failed: Worker")
    assert found["examined"]["outcome"].startswith("All of ")
    assert str(folder) not in found["report"]
    report = found["report"].splitlines()
    for name in ("Blender", "Graphics card", "Colour management", "Depth", "PyTorch", "Kernels", "Training"):
        assert any(line.startswith(f"✓ {name}: ") for line in report), report


def test_a_headless_blender_tells_and_removes_it(
    found: dict[str, Any], folder: Path, environment: dict[str, str]
) -> None:
    words = ["--background", "--command", "radiance_twin", "runtime"]
    told = blender([*words, "status", "--json"], environment).stdout
    status, _ = json.JSONDecoder().raw_decode(told[told.index("{") :])
    assert status["installed"] and not status["stale"] and status["bytes"] > 500_000_000
    blender([*words, "remove"], environment)
    assert not (folder / "home/runtime").exists()
    offline = blender([*words, "install"], environment, code=1)
    assert "may not use the network" in offline.stderr
