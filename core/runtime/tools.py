# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes an environment: uv, or where there is none, the venv and pip of a Python that is there."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from ..errors import UserError
from ..files import atomic_path
from ..processes import ROOT
from .pip_settings import for_pip, for_uv
from .places import home

PYTHON = "3.11"  # of our own: what this tree is tested with most
OLDEST, NEWEST = (3, 11), (3, 13)
CACHE = "uv-cache"  # of uv: kept when an installation fails or is cancelled, so that the next one is quick
WHEELS = ROOT / "wheels"

# what would send an installation into somebody else's environment, or make it read somebody else's settings
OTHERS = ("PYTHON", "CONDA", "_CE_", "VIRTUAL_ENV", "PIP_", "PIPX_", "__PYVENV_LAUNCHER__", "POETRY_", "PDM_", "PYENV_")
# what uv may be told by this machine; everything else it could be told is ours to say
OF_UV = (
    *("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS"),
    *("UV_INDEX_STRATEGY", "UV_INSECURE_HOST", "UV_KEYRING_PROVIDER", "UV_NATIVE_TLS", "UV_SYSTEM_CERTS"),
    *("UV_HTTP_TIMEOUT", "UV_HTTP_CONNECT_TIMEOUT", "UV_HTTP_RETRIES"),
    *("UV_PYTHON_INSTALL_MIRROR", "UV_PYTHON_DOWNLOADS_JSON_URL", "UV_ASTRAL_MIRROR_URL", "UV_CUDA_DRIVER_VERSION"),
    *("UV_CACHE_DIR", "UV_LINK_MODE", "UV_OFFLINE", "UV_CONCURRENT_DOWNLOADS"),
)
# of an index that has a name
CREDENTIALS = re.compile(r"UV_INDEX_\w+_(USERNAME|PASSWORD)")

ABOUT = """
import json, sys
print(json.dumps([list(sys.version_info[:2]), sys.version.split()[0], sys.base_prefix, sys.maxsize > 2**32]))
"""


def installer_environment(environment: Mapping[str, str], settings: Mapping[str, str]) -> dict[str, str]:
    """What an installer is started with: this machine's own package settings, and nobody's environment."""
    kept = {name: value for name, value in environment.items() if not name.startswith((*OTHERS, "UV_"))}
    told = {name: value for name, value in environment.items() if name in OF_UV or CREDENTIALS.fullmatch(name)}
    ours = {
        "UV_CACHE_DIR": str(home() / CACHE),
        "UV_PYTHON_INSTALL_DIR": str(home() / "uv-python"),
        "UV_PYTHON_INSTALL_BIN": "0",
        "UV_PYTHON_INSTALL_REGISTRY": "0",
        "UV_NO_CONFIG": "1",
        "UV_NO_PROGRESS": "1",
        "PYTHONNOUSERSITE": "1",
        "PYTHONUNBUFFERED": "1",
    }
    return {**kept, **for_pip(settings), **ours, **for_uv(settings), **told}


def find_uv(environment: Mapping[str, str]) -> str | None:
    """uv: the one in the extension, unpacked once, else the one on the PATH."""
    wheels = sorted(WHEELS.glob("uv-*.whl"))
    return _unpack_uv(wheels[-1]) if wheels else shutil.which("uv", path=environment.get("PATH"))


def uv_is_there(environment: Mapping[str, str]) -> bool:
    """Whether `find_uv` will find it."""
    return any(WHEELS.glob("uv-*.whl")) or shutil.which("uv", path=environment.get("PATH")) is not None


def _unpack_uv(wheel: Path) -> str:
    name = "uv.exe" if sys.platform == "win32" else "uv"
    version = wheel.name.split("-")[1]
    program = home() / f"uv-{version}" / name
    if not program.exists():
        try:
            program.parent.mkdir(parents=True, exist_ok=True)
            with zipfile.ZipFile(wheel) as archive, atomic_path(program) as path:
                path.write_bytes(archive.read(f"uv-{version}.data/scripts/{name}"))
                path.chmod(path.stat().st_mode | stat.S_IXUSR)
        except (KeyError, zipfile.BadZipFile) as error:
            raise UserError("the uv in this extension is damaged or of another platform; install it anew") from error
        except OSError as error:
            raise UserError(f"cannot write {program.parent}: {error.strerror}; free some space") from error
    return str(program)


def look_at(python: str) -> str:
    """The absolute path of a Python that was named, if an environment can be made of it.

    Raises:
        UserError: it is not there, too old or new, or Blender's own.
    """
    found = shutil.which(os.path.expanduser(python))
    if found is None:
        raise UserError(f"{python} is no program; name the executable of a Python 3.11, 3.12 or 3.13")
    path = os.path.abspath(found)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OTHERS)}
    try:
        told = subprocess.run(
            [path, "-I", "-c", ABOUT], capture_output=True, text=True, timeout=30, env=environment, check=True
        ).stdout
        pair, version, prefix, wide = json.loads(told)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise UserError(f"{python} does not answer as a Python does; name another one") from error
    if not OLDEST <= tuple(pair) <= NEWEST or not wide:
        raise UserError(f"{python} is Python {version}; the runtime needs 3.11, 3.12 or 3.13 (64 bit)")
    if (Path(prefix).parent / "scripts" / "addons_core").is_dir():
        raise UserError(f"{python} belongs to Blender, whose own Python is left alone; name another one")
    return path


def pythons_that_are_there() -> Iterator[str]:
    """The Pythons of this machine that environments can be made of, for when none can be fetched."""
    for name in ("python3.11", "python3.12", "python3.13", "python3", "python", sys.executable):
        with suppress(UserError):
            yield look_at(name)


def has_venv_and_pip(python: str) -> bool:
    """Whether a Python can make environments by itself; some systems keep that in a package of its own."""
    asked = subprocess.run([python, "-I", "-c", "import ensurepip, venv"], capture_output=True, check=False)
    return asked.returncode == 0
