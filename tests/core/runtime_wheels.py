# SPDX-License-Identifier: GPL-3.0-or-later
"""A tiny stand-in for what the runtime is made of: wheels of some bytes each, and the lock that names their hashes."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import uv

from radiance_twin.core.runtime.versions import NEEDED

TORCH = """
__version__ = "{version}"
class version:
    cuda = None
"""


def make_wheel(folder: Path, name: str, version: str, modules: dict[str, str]) -> Path:
    """A wheel that any installer takes (the binary distribution format of the Python packaging guide)."""
    info = f"{name}-{version}.dist-info"
    files = {f"{module}.py": text for module, text in modules.items()}
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inside, text in files.items():
            archive.writestr(zipfile.ZipInfo(inside), text)
    return path


def make_wheels(folder: Path, torch: str = TORCH, version: str = "9.9") -> Path:
    """A folder with PyTorch, its CUDA, and one package that has all else."""
    folder.mkdir(parents=True)
    make_wheel(folder, "torch", version, {"torch": torch.format(version=version)})
    make_wheel(folder, "cuda_toolkit", "13.0", {"cuda_toolkit": ""})
    make_wheel(folder, "everything", "1.0", dict.fromkeys(NEEDED, ""))
    return folder


def write_lock(folder: Path, wheels: Path) -> None:
    """packages.txt and torch.txt, as tools/lock.sh writes them."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = {"packages.txt": "", "torch.txt": ""}
    for wheel in sorted(wheels.glob("*.whl")):
        name, version = wheel.name.split("-")[:2]
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        entry = f"{name.replace('_', '-')}=={version} \\\n    --hash=sha256:{digest}\n"
        lines["packages.txt" if name == "everything" else "torch.txt"] += entry
    for name, text in lines.items():
        (folder / name).write_text(text, "utf-8")


def archive_this_python(folder: Path) -> Path:
    """A Python as uv fetches them, made of this one's standard library, and the file that tells uv of it."""
    folder.mkdir()
    library, name = sysconfig.get_path("stdlib"), f"python{sys.version_info.major}.{sys.version_info.minor}"
    archive = folder / "python.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=1, dereference=True) as tar:
        tar.add(os.path.realpath(sys.executable), f"python/bin/{name}")
        tar.add(library, f"python/lib/{name}", filter=_needed)
    words = {"name": "cpython", "os": "linux", "libc": "gnu", "prerelease": "", "variant": None, "build": None}
    arch = {"family": platform.machine(), "variant": None}
    version = dict(zip(("major", "minor", "patch"), sys.version_info, strict=False))
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    described = folder / "downloads.json"
    told = {**words, **version, "arch": arch, "url": archive.as_uri(), "sha256": digest}
    described.write_text(json.dumps({f"cpython-linux-{platform.machine()}-gnu": told}), "utf-8")
    return described


def _needed(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    left_out = ("-packages", "test", "__pycache__", "idlelib", "tkinter", "ensurepip", "lib2to3")
    return (
        None if any(part.endswith(left_out) or part.startswith("config-") for part in Path(entry.name).parts) else entry
    )


def folder_of_uv() -> str:
    """Where this Python's environment has its uv."""
    return os.path.dirname(uv.find_uv_bin())


def fake_uv(folder: Path, *lines: str) -> str:
    """A folder with a program called uv that makes an empty environment, and does `lines` of shell to install."""
    folder.mkdir(parents=True)
    program = folder / "uv"
    venv = f'for folder; do :; done; exec {sys.executable} -m venv --without-pip "$folder"'
    program.write_text("\n".join(["#!/bin/sh", f'if [ "$1" = venv ]; then {venv}; fi', *lines]), "utf-8")
    program.chmod(0o755)
    return str(folder)


def run_python(python: str, program: str) -> str:
    """What a program prints in another Python."""
    return subprocess.run([python, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
