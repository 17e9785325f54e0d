# SPDX-License-Identifier: GPL-3.0-or-later
"""Parent and child: an answer, progress, a cancel, a crash, a lost parent."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from radiance_twin.core.errors import Cancelled, UsageError, UserError
from radiance_twin.core.processes import ROOT, blender_command, is_python, worker_command
from radiance_twin.core.reporting import QuietReporter
from radiance_twin.core.worker.child import Child, ChildCrashed

CHILD = f"""
import os, runpy, sys, time
from pathlib import Path
sys.dont_write_bytecode = True
runpy.run_path({str(ROOT / "core" / "bootstrap.py")!r})["register"](Path({str(ROOT)!r}))
from radiance_twin.core.errors import Cancelled, UsageError, UserError
from radiance_twin.core.worker.protocol import serve

def add(arguments, reporter):
    print("a library prints")
    os.write(1, b"even to the file descriptor\\n")
    reporter.log("adding")
    reporter.progress("add", 1, 1, psnr=30.0)
    return {{"sum": arguments["a"] + arguments["b"]}}

def refuse(arguments, reporter):
    raise UsageError("no views: ask for at least one")

def wait(arguments, reporter):
    while not reporter.cancelled():
        time.sleep(0.01)
    raise Cancelled("stopped; what is done is kept")

def die(arguments, reporter):
    print("last words", file=sys.stderr, flush=True)
    os.kill(os.getpid(), 9)

serve({{"add": add, "refuse": refuse, "wait": wait, "die": die, "fail": lambda a, r: 1 / 0}}, "test")
"""


def child(request: str, **arguments: object) -> Child:
    return Child([sys.executable, "-c", CHILD], request, arguments)


def test_an_answer_though_libraries_print() -> None:
    reporter = QuietReporter()
    process = child("add", a=2, b=3)
    assert process.run(reporter) == {"sum": 5}
    assert reporter.lines == ["adding"] and reporter.stages == ["add"]
    assert process.finished and process.returncode == 0 and not process.log_path.exists()


def test_errors_come_back_as_what_they_are() -> None:
    with pytest.raises(UsageError, match="at least one"):
        child("refuse").run(QuietReporter())
    with pytest.raises(UserError, match="ZeroDivisionError"):
        child("fail").run(QuietReporter())
    with pytest.raises(UserError, match="KeyError"):
        child("unknown request").run(QuietReporter())


def test_cancel_reaches_the_child() -> None:
    reporter = QuietReporter()
    reporter.cancel_requested = True
    with pytest.raises(Cancelled, match="what is done is kept"):
        child("wait").run(reporter)


def test_a_crash_is_told_with_the_last_lines(tmp_path: Path) -> None:
    with pytest.raises(ChildCrashed) as crash:
        child("die").run(QuietReporter())
    assert crash.value.returncode == -9 and "last words" in crash.value.log


def test_a_child_outlives_its_parent_by_two_seconds_at_most() -> None:
    process = child("wait")
    process.hang_up()
    began = time.monotonic()
    while not process.finished:
        assert time.monotonic() - began < 10, "it must end by itself"
        time.sleep(0.05)


def test_silence_is_a_crash() -> None:
    with pytest.raises(ChildCrashed, match="ended unexpectedly"):
        child("wait").run(QuietReporter(), silence_seconds=1.0)


def test_a_program_that_does_not_exist() -> None:
    with pytest.raises(UserError, match="cannot start"):
        Child(["/nowhere/blender"], "render_views", {})


def test_commands() -> None:
    assert is_python("/usr/bin/python3.11") and is_python("python.exe")
    assert not is_python("/opt/blender-5.2/blender")
    assert blender_command("/opt/blender", "addon.studio")[1] == "--background"
    assert blender_command(sys.executable, "addon.studio")[-1] == "addon.studio"


def test_the_worker_refuses_a_setting_that_it_does_not_know() -> None:
    with subprocess.Popen(
        worker_command(sys.executable), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin and process.stdout
        process.stdin.write(json.dumps({"id": 7, "request": "compare", "arguments": {"datset": "x"}}) + "\n")
        process.stdin.flush()
        # the parent stays on the line until it has the answer: a worker that is left alone gives up after a while
        hello, error = (json.loads(line) for line in process.stdout)
    assert hello["event"] == "hello" and hello["protocol"] == 1
    assert error == {"event": "error", "id": 7, "kind": "usage", "message": error["message"]}
    assert "datset" in error["message"] and process.returncode == 2
