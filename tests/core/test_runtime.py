# SPDX-License-Identifier: GPL-3.0-or-later
"""The managed runtime, made for real by uv and by pip, of wheels that are a few bytes each."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from radiance_twin.core.errors import Cancelled, UserError
from radiance_twin.core.processes import BOOTSTRAP
from radiance_twin.core.reporting import QuietReporter
from radiance_twin.core.runtime import accelerator, lock, process_lock, steps, tools
from radiance_twin.core.runtime import install as install_module
from radiance_twin.core.runtime.install import GB, InstallSettings, alone, install, plan
from radiance_twin.core.runtime.manage import manage, remove, status, update
from radiance_twin.core.runtime.places import (
    IN_USE,
    current,
    find_managed_python,
    hold,
    home,
    nearest_folder,
    remove_tree,
)
from radiance_twin.core.runtime.process_lock import Lock
from radiance_twin.core.runtime.steps import run_step

from .runtime_wheels import archive_this_python, fake_uv, folder_of_uv, make_wheel, make_wheels, run_python, write_lock

Settings = Callable[..., InstallSettings]


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    return make_wheels(tmp_path / "wheels")


@pytest.fixture
def settings(tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of an installation without a network, on a machine with uv, a lock and an empty home."""
    monkeypatch.setenv("RADIANCE_TWIN_HOME", str(tmp_path / "Jürgen's home, 100%"))
    monkeypatch.setenv("PATH", folder_of_uv() + os.pathsep + os.environ["PATH"])
    monkeypatch.delenv("UV_PYTHON", raising=False)
    monkeypatch.setattr(tools, "WHEELS", tmp_path / "no uv in here")
    monkeypatch.setattr(accelerator, "cuda_of_driver", lambda: None)
    relock(tmp_path, wheels, monkeypatch)

    def make(**changes: str) -> InstallSettings:
        return InstallSettings(**{"wheels": str(wheels), "python": sys.executable, **changes})

    return make


def relock(folder: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch, name: str = "lock") -> None:
    write_lock(folder / name, wheels)
    monkeypatch.setattr(lock, "FOLDER", folder / name)


def environments() -> list[str]:
    return sorted(path.name for path in home().glob("*env-*"))


def test_a_runtime_is_made_and_found(settings: Settings) -> None:
    python, reason = find_managed_python()
    assert python == "" and "press Install, or run the command runtime install" in reason
    reporter = QuietReporter()
    made = install(settings(), reporter)
    python, reason = find_managed_python()
    assert reason == "" and Path(python).is_relative_to(home())
    assert (made.torch, made.cuda) == ("9.9", "")
    assert run_python(python, "import torch, numba; print(torch.__version__)") == "9.9"
    # nothing of the Python that it was made of
    assert run_python(python, "import importlib.util as u; print(u.find_spec('pytest'))") == "None"
    assert reporter.stages == ["install", "check"] and not (home() / "uv-cache").exists() and status()["bytes"] > 0


def test_a_folder_of_wheels_may_have_any_name(
    settings: Settings, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = str(wheels.rename(tmp_path / "Groß, Jörg 100% %20"))
    assert install(settings(wheels=named), QuietReporter()).torch == "9.9"
    monkeypatch.setenv("PATH", "/nowhere")
    assert install(settings(wheels=named), QuietReporter()).torch == "9.9"


def test_packages_come_from_where_pip_is_set_to_take_them(
    settings: Settings, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = make_wheels(tmp_path / "more")
    (more / "everything-1.0-py3-none-any.whl").replace(wheels / "everything-1.0-py3-none-any.whl")
    (wheels / "torch-9.9-py3-none-any.whl").unlink()
    monkeypatch.setenv("PIP_FIND_LINKS", f"{wheels} {more}")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert install(InstallSettings(python=sys.executable), QuietReporter()).torch == "9.9"


def test_the_python_is_fetched_from_where_uv_is_told(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = archive_this_python(tmp_path / "mirror")
    monkeypatch.setattr(install_module, "PYTHON", f"{sys.version_info.major}.{sys.version_info.minor}")
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS_JSON_URL", described.as_uri())
    monkeypatch.setenv("PIP_FIND_LINKS", str(settings().wheels))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    python = install(InstallSettings(), QuietReporter()).executable
    fetched = Path(run_python(str(python), "import sys; print(sys.base_prefix)"))
    assert fetched.resolve().is_relative_to(home() / "uv-python")
    # without a network it is there already
    again = install(settings(python=None), QuietReporter()).executable
    assert run_python(str(again), "import sys; print(sys.base_prefix)") == str(fetched)


def test_where_no_python_can_be_fetched_one_that_is_there_is_taken(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    reporter = QuietReporter()
    assert install(settings(python=None), reporter).torch == "9.9"
    assert "No Python could be fetched" in reporter.lines[1] and "takes its place" in reporter.lines[1]
    monkeypatch.setattr(tools, "look_at", refuse_all)
    with pytest.raises(UserError, match=r"no Python could be fetched: .* name a Python 3\.11"):
        install(settings(python=None), QuietReporter())
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match="neither uv nor a Python"):
        install(settings(python=None), QuietReporter())
    assert environments() == [current().name]


def refuse_all(python: str) -> str:
    raise UserError(f"{python} is no program")


def test_the_index_of_one_build_may_be_out_of_reach(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    unreachable = fake_uv(tmp_path / "bin", "echo 'cause: dns error' >&2", "exit 2")
    monkeypatch.setenv("PATH", unreachable + os.pathsep + os.environ["PATH"])
    online = InstallSettings(python=sys.executable)
    with pytest.raises(UserError, match="PyTorch for cpu is on an index of its own, that for cuda where all else is"):
        install(online, QuietReporter())
    with pytest.raises(UserError, match=r"cannot be reached; [^;]*$"):
        install(replace(online, backend="cuda"), QuietReporter())


def test_a_driver_too_old_for_any_cuda_is_said(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "cuda_of_driver", lambda: (10, 2))
    reporter = QuietReporter()
    install(settings(), reporter)
    assert "has no CUDA, as the driver is too old" in reporter.lines[-1]


def test_somebody_elses_environment_is_neither_used_nor_changed(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = tmp_path / "theirs"
    (theirs / "torch").mkdir(parents=True)
    (theirs / "torch/__init__.py").write_text("raise SystemExit('theirs')")
    before = sorted(theirs.rglob("*"))
    for name in ("PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "PIP_TARGET", "PIP_PREFIX", "UV_TARGET", "VIRTUAL_ENV"):
        monkeypatch.setenv(name, str(theirs))
    monkeypatch.setenv("PIP_USER", "1")
    monkeypatch.setenv("UV_SYSTEM_PYTHON", "1")
    assert install(settings(), QuietReporter()).torch == "9.9"
    monkeypatch.setenv("PATH", "/nowhere")
    by_pip = QuietReporter()
    assert install(settings(), by_pip).torch == "9.9" and "no uv: venv and pip" in by_pip.lines[1]
    assert sorted(theirs.rglob("*")) == before


def test_an_update_is_made_beside_the_old_one_and_then_taken(
    settings: Settings, tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = install(settings(), QuietReporter())
    assert not old.stale
    update(settings(), QuietReporter())
    assert environments() == [old.name], "nothing to update"
    newer = make_wheels(tmp_path / "newer", version="10.0")
    relock(tmp_path, newer, monkeypatch, "newer lock")
    assert old.stale and "press Update" in find_managed_python()[1]
    update(settings(wheels=str(newer)), QuietReporter())
    now = current()
    assert now is not None and now.torch == "10.0" and environments() == [now.name]


def test_what_is_at_work_stays_until_it_has_ended(settings: Settings) -> None:
    old = install(settings(), QuietReporter())
    holding = hold(str(old.folder))
    assert holding is not None
    reporter = QuietReporter()
    new = install(settings(), reporter)
    assert environments() == sorted([old.name, new.name]) and "at work" in reporter.lines[-1]
    assert run_python(str(old.executable), "import torch; print(torch.__version__)") == "9.9"
    holding.release()
    holding = hold(str(new.folder))
    assert holding is not None
    with pytest.raises(UserError, match="at work"):
        remove()
    assert current() == new
    holding.release()
    (home() / "env-of-somebody").mkdir()
    remove()
    assert [path.name for path in home().iterdir()] == ["env-of-somebody"], "what is not ours stays"


def test_nobody_installs_while_the_runtime_is_removed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    install(settings(), QuietReporter())
    (home() / ".current.json.4711.part").touch()  # of one who died while he wrote it
    rmtree, refused = shutil.rmtree, []

    def try_to_install(path: Path, **words: bool) -> None:
        with pytest.raises(UserError, match="another installation is running"), alone():
            pass
        refused.append(path)
        rmtree(path, **words)

    monkeypatch.setattr(shutil, "rmtree", try_to_install)
    remove()
    assert refused and not home().exists()


def test_windows_removes_paths_that_are_longer_than_it_takes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    removed: list[str] = []
    monkeypatch.setattr(shutil, "rmtree", lambda name, ignore_errors: removed.append(name))
    monkeypatch.setattr(sys, "platform", "win32")
    remove_tree(tmp_path / "env")
    assert removed == [f"\\\\?\\{tmp_path}{os.sep}env"]


def test_a_lock_whose_file_was_removed_meanwhile_is_taken_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, lock_it, times = tmp_path / "a.lock", process_lock._lock, []

    def removed_before(descriptor: int, shared: bool) -> None:
        if not times:
            path.unlink()
        times.append(descriptor)
        lock_it(descriptor, shared)

    monkeypatch.setattr(process_lock, "_lock", removed_before)
    taken = Lock(path)
    assert taken.take() and len(times) == 2
    assert not Lock(path).take(), "it is the lock that others see"


def test_a_lock_may_be_shared_and_then_nobody_has_it_alone(tmp_path: Path) -> None:
    shared, also, alone_ = (Lock(tmp_path / "in_use.lock", shared=word) for word in (True, True, False))
    assert shared.take() and also.take() and not alone_.take()
    shared.release()
    assert not alone_.take()
    also.release()
    assert alone_.take() and not also.take()
    alone_.release()


def test_a_drive_that_is_gone_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "is_dir", lambda path: False)
    with pytest.raises(UserError, match="on no disk that is there; name another folder by RADIANCE_TWIN_HOME"):
        nearest_folder(Path("/mnt/lost/runtime"))


def changed(wheel: Path) -> None:
    """Another file under the same name: all is well with it, but it is not the locked one."""
    make_wheel(wheel.parent, "everything", "1.0", {"numpy": "print('not ours')"})


def cut_short(wheel: Path) -> None:
    wheel.write_bytes(wheel.read_bytes()[:200])


@pytest.mark.parametrize("harm", [changed, cut_short, Path.unlink])
def test_a_wheel_that_is_not_the_locked_one_is_refused_and_the_old_runtime_kept(
    settings: Settings, wheels: Path, harm: Callable[[Path], None]
) -> None:
    old = install(settings(), QuietReporter())
    harm(wheels / "everything-1.0-py3-none-any.whl")
    told = {changed: "not the file that", cut_short: "damaged|not the file that", Path.unlink: "missing"}[harm]
    with pytest.raises(UserError, match=told):
        install(settings(), QuietReporter())
    assert current() == old and environments() == [old.name]


def test_what_does_not_start_is_never_switched_to(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = install(settings(), QuietReporter())
    broken = make_wheels(tmp_path / "broken", torch="raise ImportError('libsomething.so is missing')")
    relock(tmp_path, broken, monkeypatch, "broken lock")
    with pytest.raises(UserError, match="libsomething.so is missing; the old runtime stays"):
        install(settings(wheels=str(broken)), QuietReporter())
    assert current() == old and environments() == [old.name]


def test_no_room_is_said_before_anything_is_done(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=int(1 * GB)))
    assert not plan(settings()).fits
    with pytest.raises(UserError, match=r"needs 6\.3 GB and 1\.0 GB are free; free some space"):
        install(settings(), QuietReporter())
    assert not home().exists()


def test_a_disk_that_runs_full_leaves_nothing_behind(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = fake_uv(
        tmp_path / "bin", "echo 'error: failed to write: No space left on device (os error 28)' >&2", "exit 2"
    )
    monkeypatch.setenv("PATH", full + os.pathsep + os.environ["PATH"])
    with pytest.raises(UserError, match="the disk is full; free some space"):
        install(settings(), QuietReporter())
    assert environments() == [] and current() is None


class CancelsWhen(QuietReporter):
    """Cancels as soon as a file is there."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = file

    def cancelled(self) -> bool:
        return self.file.exists()


def test_cancel_half_way_leaves_the_old_runtime_and_no_process(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = install(settings(), QuietReporter())
    begun = tmp_path / "begun"
    slow = fake_uv(tmp_path / "bin", f"echo $$ > {begun}.part; mv {begun}.part {begun}; exec sleep 60")
    monkeypatch.setenv("PATH", slow + os.pathsep + os.environ["PATH"])
    began = time.monotonic()
    with pytest.raises(Cancelled, match="nothing was changed"):
        install(settings(), CancelsWhen(begun))
    assert time.monotonic() - began < 30
    assert not Path(f"/proc/{begun.read_text().strip()}").exists()
    assert current() == old and environments() == [old.name]


def run_state(pid: int) -> str:
    """The letter that Linux has for what a process does; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def test_killed_half_way_the_next_one_clears_up_and_works(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = tmp_path / "begun"
    slow = fake_uv(tmp_path / "bin", f"echo $$ > {begun}.part; mv {begun}.part {begun}; exec sleep 60")
    program = f"""
import runpy, sys
from pathlib import Path
runpy.run_path({str(BOOTSTRAP)!r})["register"](Path({str(BOOTSTRAP)!r}).parents[1])
from radiance_twin.core.reporting import QuietReporter
from radiance_twin.core.runtime import lock, manage, tools
lock.FOLDER, tools.WHEELS = Path({str(lock.FOLDER)!r}), Path("/nowhere")
manage.manage("install", QuietReporter(), wheels={settings().wheels!r}, python=sys.executable)
"""
    path = slow + os.pathsep + os.environ["PATH"]
    child = subprocess.Popen([sys.executable, "-c", program], env={**os.environ, "PATH": path})
    while not begun.exists():
        assert child.poll() is None
        time.sleep(0.05)
    assert len(environments()) == 1
    with pytest.raises(UserError, match="another installation is running"):
        install(settings(), QuietReporter())
    child.send_signal(signal.SIGKILL)
    child.wait()
    while run_state(int(begun.read_text())) not in ("", "Z"):
        time.sleep(0.05)  # the program that it had started ends with it
    assert current() is None and len(environments()) == 1
    made = install(settings(), QuietReporter())
    assert environments() == [made.name]


@pytest.mark.parametrize(
    ("program", "ends"),
    [("trap '' TERM; {begin}; while :; do sleep 0.1; done", "killed"), ("trap '{tidy}' TERM; {begin}; {wait}", "tidy")],
)
def test_a_program_that_is_stopped_may_tidy_up_and_must_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, ends: str
) -> None:
    monkeypatch.setattr(steps, "SECONDS_TO_LEAVE", 0.5 if ends == "killed" else 20.0)
    begun, tidy = tmp_path / "begun", tmp_path / "tidy"
    begin = f"echo $$ > {begun}.part; mv {begun}.part {begun}"
    script = program.format(begin=begin, tidy=f"sleep 0.5; touch {tidy}; exit 0", wait="sleep 60 & wait")
    with pytest.raises(Cancelled):
        run_step(["sh", "-c", script], os.environ, CancelsWhen(begun), lambda line: None)
    assert tidy.exists() == (ends == "tidy")
    deadline = time.monotonic() + 10
    while run_state(int(begun.read_text())) not in ("", "Z"):
        assert time.monotonic() < deadline, "it still runs"
        time.sleep(0.05)


def test_readers_see_the_old_runtime_or_the_new_one_but_never_none(settings: Settings) -> None:
    install(settings(), QuietReporter())
    seen, done = set(), threading.Event()

    def look() -> None:
        while not done.is_set():
            environment = current()
            seen.add(environment.name if environment else None)

    looking = threading.Thread(target=look)
    looking.start()
    install(settings(), QuietReporter())
    done.set()
    looking.join()
    assert None not in seen and len(seen) == 2


def test_refusals_say_what_to_do(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"may not use the network; allow it .* or name a folder of wheels"):
        install(InstallSettings(online=False), QuietReporter())
    with pytest.raises(UserError, match="no wheels in .*; pip download"):
        install(settings(wheels=str(tmp_path)), QuietReporter())
    with pytest.raises(UserError, match="is no program; name the executable"):
        install(settings(python="/nowhere/python"), QuietReporter())
    old = tmp_path / "python3.8"
    old.write_text('#!/bin/sh\necho \'[[3, 8], "3.8.1", "/usr", true]\'\n')
    old.chmod(0o755)
    with pytest.raises(UserError, match=r"is Python 3\.8\.1; the runtime needs 3\.11"):
        install(settings(python=str(old)), QuietReporter())
    (tmp_path / "blender/5.2/scripts/addons_core").mkdir(parents=True)
    old.write_text(f'#!/bin/sh\necho \'[[3, 13], "3.13.1", "{tmp_path}/blender/5.2/python", true]\'\n')
    with pytest.raises(UserError, match="belongs to Blender"):
        install(settings(python=str(old)), QuietReporter())


def test_the_command_tells_in_words_and_in_json(settings: Settings) -> None:
    def command(*words: str) -> subprocess.CompletedProcess[str]:
        arguments = [sys.executable, str(BOOTSTRAP), "core.cli", "runtime", *words]
        return subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)

    assert command("status").stdout.startswith("No runtime is installed in")
    manage("install", QuietReporter(), wheels=settings().wheels, python=sys.executable)
    told = json.loads(command("status", "--json").stdout)
    # that process has the real lock, for which this one is too old
    assert told["installed"] and told["stale"] and told["torch"] == "9.9"
    assert command("install", "--python", "/nowhere").returncode == 1
    assert command("polish").returncode == 2
    assert command("remove").returncode == 0 and not home().exists()


def test_a_worker_holds_the_runtime_that_it_runs_in(settings: Settings) -> None:
    made = install(settings(), QuietReporter())
    worker = subprocess.Popen(
        [made.executable, "-s", str(BOOTSTRAP), "core.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert worker.stdout is not None
    assert b"hello" in worker.stdout.readline()
    assert not Lock(made.folder / IN_USE).take()
    worker.communicate(b"")
    assert Lock(made.folder / IN_USE).take()
