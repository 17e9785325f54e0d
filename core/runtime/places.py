# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the managed runtime lies, which of its environments is the one in use, and whether it is the right one.

In the folder lie `current.json`, which names the environment that all Blenders use and is replaced by one rename;
environments, `env-…`, which are never changed once they are named there; and what uv keeps, `uv-…`. Nothing else in it
is ours, and nothing else is ever removed.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import UserError
from ..files import write_json
from . import lock
from .process_lock import Lock

VARIABLE = "RADIANCE_TWIN_HOME"
FORMAT = 1
IN_USE = "in_use.lock"
OURS = re.compile(
    r"(gone-)?env-[0-9a-f]{12}-(cpu|cuda)-[0-9a-f]{6}|uv-.*|current\.json|\.current\.json\..*\.part|install\.lock"
)


@dataclass(frozen=True)
class Environment:
    """What current.json says of an environment.

    Attributes:
        name: of its folder.
        lock: digest of the locked versions that it was made from.
        backend: cpu | cuda.
        python, torch, cuda: versions; cuda is empty where PyTorch has none.
    """

    name: str
    lock: str
    backend: str
    python: str
    torch: str
    cuda: str

    @property
    def folder(self) -> Path:
        return home() / Path(self.name).name

    @property
    def executable(self) -> Path:
        return python_in(self.folder)

    @property
    def stale(self) -> bool:
        """Whether it was made for another version of Radiance Twin, with other packages."""
        return self.lock != lock.digest()


def home() -> Path:
    """The folder of all that is managed: in RADIANCE_TWIN_HOME, or where this user's programs keep data."""
    named = os.environ.get(VARIABLE)
    if named:
        root = Path(named).expanduser()
    elif sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "radiance_twin"
    elif sys.platform == "darwin":
        root = Path.home() / "Library" / "Application Support" / "radiance_twin"
    else:
        root = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "radiance_twin"
    return Path(os.path.abspath(root)) / "runtime"


def python_in(folder: Path) -> Path:
    """The Python of the virtual environment at `folder`."""
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def current() -> Environment | None:
    """The environment in use, None when there is none or it has been taken away by hand."""
    environment = _named()
    if environment is not None and not environment.executable.exists():
        environment = _named()  # it was replaced just now
    return environment if environment is not None and environment.executable.exists() else None


def _named() -> Environment | None:
    try:
        said = json.loads((home() / "current.json").read_text("utf-8"))
        return Environment(**said["environment"]) if said["format"] == FORMAT else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def find_managed_python() -> tuple[str, str]:
    """The managed runtime's Python, and what to do where there is none that fits: one of the two is empty."""
    environment = current()
    if environment is None:
        return "", "Training needs a Python with PyTorch: press Install, or run the command runtime install"
    if environment.stale:
        return "", "The training runtime is of another version: press Update, or run the command runtime update"
    return str(environment.executable), ""


def switch_to(environment: Environment) -> None:
    """Let all Blenders use `environment` from now on.

    Raises:
        UserError: current.json cannot be written; nothing has changed then.
    """
    write_json(home() / "current.json", {"format": FORMAT, "environment": asdict(environment)})


def new_name(backend: str) -> str:
    """Of an environment that is still to be made."""
    return f"env-{lock.digest()}-{backend}-{secrets.token_hex(3)}"


def ours(beginning: str = "") -> list[Path]:
    """What lies in the folder and was made by us."""
    return [path for path in sorted(home().glob(f"{beginning}*")) if OURS.fullmatch(path.name)]


def remove_unused() -> list[str]:
    """Remove all environments but the current one and those at work; gives the names of the latter."""
    for folder in ours("gone-"):
        remove_tree(folder)
    kept = current()
    others = [folder for folder in ours("env-") if kept is None or folder.name != kept.name]
    return [folder.name for folder in others if not remove_environment(folder)]


def remove_environment(folder: Path) -> bool:
    """Remove one; False when somebody works with it, and then nothing has changed."""
    marked = Lock(folder / IN_USE)
    try:
        if not marked.take():
            return False
        marked.release()
        # out of sight in one step, so that nobody starts to use the half of it; Windows renames nothing that is open
        gone = folder.with_name(f"gone-{folder.name}")
        folder.replace(gone)
    except OSError:
        return not folder.exists()
    remove_tree(gone)
    return True


def hold(prefix: str) -> Lock | None:
    """Mark the environment at `prefix`, if it is a managed one, as in use for as long as this process lives."""
    folder = Path(prefix)
    if not folder.name.startswith("env-") or not (folder / IN_USE).exists():
        return None
    marked = Lock(folder / IN_USE, shared=True)
    return marked if marked.take() else None


def remove_tree(folder: Path) -> None:
    """Remove a folder with all that is in it, as far as that goes."""
    name = os.path.abspath(folder)
    # some of PyTorch's files have longer paths than Windows takes without this
    shutil.rmtree(f"\\\\?\\{name}" if sys.platform == "win32" else name, ignore_errors=True)


def nearest_folder(path: Path) -> Path:
    """The folder itself, or the first above it that is there.

    Raises:
        UserError: there is none, as of a drive that Windows has lost.
    """
    for folder in (path, *path.parents):
        if folder.is_dir():
            return folder
    raise UserError(f"{path} is on no disk that is there; name another folder by {VARIABLE}")


def require_home() -> Path:
    """The folder, made when it is missing.

    Raises:
        UserError: it cannot be made.
    """
    folder = home()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make {folder}: {error.strerror}; name another folder by {VARIABLE}") from error
    return folder
