# SPDX-License-Identifier: GPL-3.0-or-later
"""Making the managed runtime: a new environment beside the old one, looked at, and only then switched to."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..errors import UserError
from ..processes import BOOTSTRAP
from ..reporting import Reporter
from . import lock
from .accelerator import Build, choose_build
from .pip_settings import no_index, read_pip_settings, wheel_folders
from .places import (
    IN_USE,
    VARIABLE,
    Environment,
    home,
    nearest_folder,
    new_name,
    python_in,
    remove_tree,
    remove_unused,
    require_home,
    switch_to,
)
from .process_lock import Lock
from .progress import Progress
from .steps import NOT_REACHED, run_step
from .tools import (
    CACHE,
    PYTHON,
    find_uv,
    has_venv_and_pip,
    installer_environment,
    look_at,
    pythons_that_are_there,
    uv_is_there,
)

GB = 1_000_000_000
# measured on Linux with the locked versions: what is downloaded, and what lies on the disk then (the cache shares it)
BYTES = {"cpu": (0.5 * GB, 1.7 * GB), "cuda": (2.9 * GB, 5.8 * GB)}
SPARE = 0.5 * GB

Word = str | Path  # of a command
Run = Callable[[list[Word]], None]


@dataclass(frozen=True)
class InstallSettings:
    """How the runtime is installed.

    Attributes:
        backend: auto | cpu | cuda.
        wheels: a folder of wheels to install from instead of the network.
        python: a Python to make the environment of; when not given, uv brings one, or one that is there is taken.
        online: whether the network may be used.
    """

    backend: str = "auto"
    wheels: str | None = None
    python: str | None = None
    online: bool = True


@dataclass(frozen=True)
class Plan:
    """What an installation takes.

    Attributes:
        build: of PyTorch.
        download, disk: about how many bytes.
        free: bytes on that disk now.
        folder: where it goes.
    """

    build: Build
    download: float
    disk: float
    free: float
    folder: Path

    @property
    def fits(self) -> bool:
        return self.free > self.disk + SPARE


def plan(settings: InstallSettings) -> Plan:
    """What installing would take, to be confirmed before it begins. Asks no network.

    Raises:
        UserError: wrong settings.
    """
    build = choose_build(settings.backend, _folders(settings), uv_is_there(os.environ))
    download, disk = BYTES[build.backend]
    return Plan(build, 0.0 if settings.wheels else download, disk, free_bytes(home()), home())


def install(settings: InstallSettings, reporter: Reporter) -> Environment:
    """Make a new environment and let all Blenders use it. Whatever happens, the old one stays until that moment.

    Raises:
        UserError: it cannot be done; one line says why and what to do.
        Cancelled: the user asked to stop.
    """
    if not settings.online and not settings.wheels:
        raise UserError(
            "Blender may not use the network; allow it in Preferences, System (without a window: by --online-mode), "
            "or name a folder of wheels"
        )
    wanted = plan(settings)
    if not wanted.fits:
        raise UserError(
            f"the runtime needs {(wanted.disk + SPARE) / GB:.1f} GB and {wanted.free / GB:.1f} GB are free; "
            f"free some space, or set {VARIABLE} to a folder on another disk"
        )
    fetched = f"about {wanted.download / GB:.1f} GB to download, " if wanted.download else ""
    reporter.log(f"{fetched}{wanted.disk / GB:.1f} GB in {wanted.folder}, where {wanted.free / GB:.1f} GB are free")
    with alone():
        remove_unused()
        folder = home() / new_name(wanted.build.backend)
        try:
            _make(folder, settings, wanted, reporter)
            environment = _look_at(folder, wanted.build, reporter)
            if environment.backend == "cuda" and not environment.cuda:
                reporter.log(
                    "This PyTorch has no CUDA, as the driver is too old or uv does not see it: it must train on the CPU"
                )
            switch_to(environment)
        except BaseException:
            remove_tree(folder)
            raise
        # hard links keep the files where there are such; elsewhere it would double what lies on the disk
        remove_tree(home() / CACHE)
        if remove_unused():
            reporter.log("The old runtime is at work; the next installation removes it.")
    reporter.progress("check", 1, 1)
    return environment


def _make(folder: Path, settings: InstallSettings, wanted: Plan, reporter: Reporter) -> None:
    """An environment at `folder` with all packages in it."""
    pip_settings = read_pip_settings(os.environ)
    environment = installer_environment(os.environ, pip_settings)
    named = settings.python or os.environ.get("UV_PYTHON")
    interpreter = look_at(named) if named else None
    uv = find_uv(environment)
    progress = Progress(reporter, wanted.disk, Path(environment["UV_CACHE_DIR"]) if uv else folder)
    run = partial(run_step, environment=environment, reporter=reporter, look=progress)
    source: list[Word] = ["--only-binary", ":all:"]
    if settings.wheels:
        # uv parts a list of folders at commas
        source += ["--find-links", Path(settings.wheels).resolve().as_uri()]
        environment["UV_OFFLINE"] = "1"  # nor is a Python fetched
    if settings.wheels or no_index(pip_settings):
        source.append("--no-index")
    if uv is not None:
        _make_venv(uv, folder, interpreter, run, reporter)
        _fill_by_uv(uv, folder, source, wanted.build, run)
    else:
        reporter.log("There is no uv: venv and pip make the runtime, which takes longer")
        _make_by_pip(folder, interpreter, source, wanted.build, run)
    (folder / IN_USE).touch()


def _make_venv(uv: str, folder: Path, interpreter: str | None, run: Run, reporter: Reporter) -> None:
    """An empty environment: of the Python that is named, else of one that uv fetches, else of one that is there.

    Raises:
        UserError: there is none. Cancelled: the user asked to stop.
    """
    make: list[Word] = [uv, "venv", "--no-project", "--python"]
    if interpreter is not None:
        run([*make, interpreter, folder])
        return
    try:
        run([*make, PYTHON, "--managed-python", folder])
    except UserError as error:
        there = next(pythons_that_are_there(), None)
        if there is None:
            raise UserError(f"no Python could be fetched: {error}; name a Python 3.11, 3.12 or 3.13") from error
        reporter.log(f"No Python could be fetched ({error}): {there} takes its place, and is not changed")
        run([*make, there, folder])


def _fill_by_uv(uv: str, folder: Path, source: Sequence[Word], build: Build, run: Run) -> None:
    torch: list[Word] = ["-r", lock.torch()] if build.hashed else [f"torch=={lock.version_of('torch')}"]
    if build.asked_of_uv:
        torch += ["--torch-backend", build.asked_of_uv]
    try:
        run([uv, "pip", "install", "--python", python_in(folder), *source, "-r", lock.packages(), *torch])
    except UserError as error:
        other = "cuda" if build.backend == "cpu" else "cpu"
        if build.asked_of_uv and str(error).startswith(NOT_REACHED) and choose_build(other, []).hashed:
            raise UserError(
                f"{error}; PyTorch for {build.backend} is on an index of its own, that for {other} where all else is"
            ) from error
        raise


def _make_by_pip(folder: Path, interpreter: str | None, source: Sequence[Word], build: Build, run: Run) -> None:
    interpreter = interpreter or next(filter(has_venv_and_pip, pythons_that_are_there()), None)
    if interpreter is None:
        raise UserError("neither uv nor a Python 3.11, 3.12 or 3.13 was found; install uv or name a Python")
    run([interpreter, "-I", "-m", "venv", folder])
    pip = [python_in(folder), "-I", "-m", "pip", "install", "--no-deps", *source]
    run([*pip, "--require-hashes", "-r", lock.packages()])
    if build.hashed:
        run([*pip, "--require-hashes", "-r", lock.torch()])
    else:
        run([*pip, f"torch=={lock.version_of('torch')}"])


def _look_at(folder: Path, build: Build, reporter: Reporter) -> Environment:
    """Ask the new environment what it has.

    Raises:
        UserError: it does not work.
        Cancelled: the user asked to stop.
    """
    reporter.progress("check", 0, 1, text="starting PyTorch for the first time")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    lines: list[str] = []
    command: list[Word] = [python_in(folder), "-s", "-u", BOOTSTRAP, "core.runtime.versions"]
    try:
        run_step(command, environment, reporter, lines.append)
        told = json.loads(next(line for line in lines if line.startswith("{")))
    except (UserError, ValueError, StopIteration):
        last = next((line for line in reversed(lines) if line), "it said nothing")
        raise UserError(f"what was installed does not work: {last[:200]}; the old runtime stays") from None
    return Environment(folder.name, lock.digest(), build.backend, told["python"], told["torch"], told["cuda"])


@contextmanager
def alone() -> Iterator[Lock]:
    """One installation at a time, by the lock that is given.

    Raises:
        UserError: another one is running, or the folder cannot be written.
    """
    alone_here = Lock(require_home() / "install.lock")
    try:
        taken = alone_here.take()
    except OSError as error:
        raise UserError(f"cannot write into {home()}: {error.strerror}; name another by {VARIABLE}") from error
    if not taken:
        raise UserError("another installation is running; wait until it has ended")
    try:
        yield alone_here
    finally:
        alone_here.release()


def _folders(settings: InstallSettings) -> list[Path]:
    """The folders of wheels that are looked through.

    Raises:
        UserError: the one that was named is none.
    """
    if settings.wheels is None:
        return wheel_folders(read_pip_settings(os.environ))
    folder = Path(settings.wheels)
    if not any(folder.glob("*.whl")):
        raise UserError(f"no wheels in {folder}; pip download -r {lock.packages()} -r {lock.torch()} fetches them")
    return [folder]


def free_bytes(folder: Path) -> int:
    """What is free on the disk that `folder` is on, or will be."""
    return shutil.disk_usage(nearest_folder(folder)).free
