# SPDX-License-Identifier: GPL-3.0-or-later
"""Parent and child: an answer, progress, a cancel, a crash, a lost parent."""

import io
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from radiance_twin.core.errors import Cancelled, UsageError, UserError
from radiance_twin.core.processes import ROOT, blender_command, is_python, worker_command
from radiance_twin.core.reporting import QuietReporter
from radiance_twin.core.worker import child as child_module
from radiance_twin.core.worker import protocol
from radiance_twin.core.worker.child import Child, ChildCrashed
from radiance_twin.core.worker.protocol import ChildReporter, Requests

CHILD = f"""
import os, runpy, signal, subprocess, sys, time
from pathlib import Path
sys.dont_write_bytecode = True
runpy.run_path({str(ROOT / "core" / "bootstrap.py")!r})["register"](Path({str(ROOT)!r}))
from radiance_twin.core.errors import Cancelled, UsageError, UserError
from radiance_twin.core.worker.protocol import interrupt, leave, serve

def add(arguments, reporter):
    print("a library prints")
    os.write(1, b"even to the file descriptor\\n")
    reporter.log("adding")
    reporter.progress("add", 1, 1, psnr=30.0)
    return {{"sum": arguments["a"] + arguments["b"]}}

def refuse(arguments, reporter):
    raise UsageError("no views: ask for at least one")

def ignore(arguments, reporter):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    reporter.log("ignoring")
    while True:
        time.sleep(1)

def toil(arguments, reporter):
    reporter.log("toiling")
    try:
        while True:
            time.sleep(60)
    finally:
        reporter.log("tidied up")

def compute(arguments, reporter):
    import numba
    # a kernel that asks nobody, as the worker's are compiled
    forever = numba.njit("i8(i8)", nogil=True)(endless)
    reporter.log("computing")
    return {{"sum": forever(1)}}

def endless(n):
    while n:
        n = n * 3 + 1 | 1
    return n

def wait(arguments, reporter):
    reporter.log("waiting")
    while not reporter.cancelled():
        time.sleep(0.01)
    raise Cancelled("stopped; what is done is kept")

def die(arguments, reporter):
    print("last words", file=sys.stderr, flush=True)
    os.kill(os.getpid(), 9)

def exhaust(arguments, reporter):
    raise MemoryError

def start_another(arguments, reporter):
    reader = [sys.executable, "-c", "input()"]
    return {{"code": subprocess.run(reader, stderr=subprocess.DEVNULL).returncode}}

def ramble(arguments, reporter):
    raise UserError("no views;\\n  ask for at least one\\n")

handlers = {{"add": add, "refuse": refuse, "wait": wait, "ignore": ignore, "compute": compute, "die": die}}
handlers |= {{"exhaust": exhaust, "ramble": ramble, "start_another": start_another}}
serve({{**handlers, "toil": toil, "fail": lambda a, r: 1 / 0}}, "test", unheeded=interrupt)
"""


# starts a child and then does nothing but wait for its own end
PARENT = f"""
import runpy, sys, time
from pathlib import Path
runpy.run_path({str(ROOT / "core" / "bootstrap.py")!r})["register"](Path({str(ROOT)!r}))
from radiance_twin.core.worker.child import Child
child = Child([sys.executable, "-c", sys.argv[1]], sys.argv[2], {{}})
while not any(event["event"] == "log" for event in child.events()):
    time.sleep(0.01)
print(child.pid, flush=True)
time.sleep(60)
"""


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has asked about yet does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def child(request: str, **arguments: object) -> Child:
    return Child([sys.executable, "-c", CHILD], request, arguments)


def test_an_answer_though_libraries_print() -> None:
    reporter = QuietReporter()
    process = child("add", a=2, b=3)
    assert process.run(reporter) == {"sum": 5}
    assert reporter.lines == ["adding"] and reporter.stages == ["add"]
    assert process.finished and process.returncode == 0 and not process.log_path.exists()


def test_what_the_work_starts_has_no_part_in_the_conversation() -> None:
    process, heard = child("start_another"), []
    until(lambda: heard.extend(process.events()) or process.finished, "it found nothing to read, and did not wait")
    heard += process.events()
    assert heard[-1]["result"] == {"code": 1}
    process.close()


def test_errors_come_back_as_what_they_are() -> None:
    with pytest.raises(UsageError, match="at least one"):
        child("refuse").run(QuietReporter())
    with pytest.raises(UserError, match="ZeroDivisionError"):
        child("fail").run(QuietReporter())
    with pytest.raises(UserError, match="KeyError"):
        child("unknown request").run(QuietReporter())
    with pytest.raises(UserError, match="^out of memory; use fewer or smaller views$"):
        child("exhaust").run(QuietReporter())
    with pytest.raises(UserError, match="^no views; ask for at least one$"):
        child("ramble").run(QuietReporter())


def test_progress_is_told_five_times_a_second_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    said, clock = io.StringIO(), itertools.count(step=0.01)
    monkeypatch.setattr(protocol, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    reporter = ChildReporter(said, 1)
    for done in range(301):
        reporter.progress("work", done, 300)
    told = [json.loads(line)["done"] for line in said.getvalue().splitlines()]
    assert 14 <= len(told) <= 17 and (told[0], told[-1]) == (0, 300), "three seconds"


def test_cancel_reaches_the_child() -> None:
    reporter = QuietReporter()
    reporter.cancel_requested = True
    with pytest.raises(Cancelled, match="what is done is kept"):
        child("wait").run(reporter)


def test_a_crash_is_told_with_the_last_lines(tmp_path: Path) -> None:
    with pytest.raises(ChildCrashed) as crash:
        child("die").run(QuietReporter())
    assert crash.value.returncode == -9 and "last words" in crash.value.log


def test_the_conversations_of_the_documentation() -> None:
    blocks = (ROOT / "docs" / "protocol.md").read_text("utf-8").split("```")[1::2]
    assert len(blocks) == 2
    for block in blocks:
        process = subprocess.Popen(
            [sys.executable, "-c", CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdin and process.stdout and process.stderr
        for line in block.strip().splitlines():
            said = json.loads(line[2:])
            if line.startswith(">"):
                print(line[2:], file=process.stdin, flush=True)
                continue
            heard = json.loads(process.stdout.readline())
            assert heard.keys() == said.keys()
            if heard["event"] != "hello":
                assert heard == said
            else:
                assert heard["protocol"] == said["protocol"] and heard["process"] == process.pid
        assert process.stdout.read() == "", "the child has said all that is documented"
        process.communicate()
        assert process.returncode == (130 if '"cancel"' in block else 0)


@pytest.mark.parametrize(
    ("unheeded", "request_", "logs"),
    [("interrupt", "toil", ["toiling", "tidied up"]), ("leave", "compute", ["computing"])],
)
def test_work_that_does_not_ask_is_cancelled_all_the_same(unheeded: str, request_: str, logs: list[str]) -> None:
    source = CHILD.replace("unheeded=interrupt", f"unheeded={unheeded}")
    process, heard = Child([sys.executable, "-c", source], request_, {}), []
    until(lambda: heard.extend(process.events()) or len(heard) == 2, "it is at work")
    process.cancel()
    until(lambda: process.finished, "it ends long before it would be terminated")
    heard += process.events()
    assert [event["text"] for event in heard if event["event"] == "log"] == logs
    assert (heard[-1]["event"], heard[-1]["kind"], process.returncode) == ("error", "cancelled", 130)
    process.close()


@pytest.mark.parametrize("deafness", ["stopped", "ignores"])
def test_a_child_that_ignores_a_cancel_is_terminated_and_killed(deafness: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "SECONDS_UNTIL_TERMINATE", 0.5)
    monkeypatch.setattr(child_module, "SECONDS_UNTIL_KILL", 1.0)
    process = child("ignore")
    until(lambda: any(event["event"] == "log" for event in process.events()), "it ignores everything")
    if deafness == "stopped":
        os.kill(process.pid, signal.SIGSTOP)
    process.cancel()
    asked = time.monotonic()
    until(lambda: not process.events() and process.finished, "it is killed")
    assert process.returncode == -signal.SIGKILL and time.monotonic() - asked > 1.0, "after both waits"
    process.close()


def test_a_child_that_does_not_heed_is_terminated_before_it_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "SECONDS_UNTIL_TERMINATE", 0.1)
    source = CHILD.replace("unheeded=interrupt", "unheeded=None")
    process = Child([sys.executable, "-c", source], "compute", {})
    until(lambda: any(event["event"] == "log" for event in process.events()), "it computes")
    process.cancel()
    until(lambda: not process.events() and process.finished, "it is terminated")
    assert process.returncode == -signal.SIGTERM
    process.close()


def test_a_cancel_that_ends_in_a_kill_is_a_cancel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "SECONDS_UNTIL_KILL", 0.1)
    reporter = QuietReporter()
    reporter.cancel_requested = True
    with pytest.raises(Cancelled, match="stopped"):
        child("ignore").run(reporter)


def test_a_child_that_does_not_leave_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "SECONDS_UNTIL_TERMINATE", 0.2)
    process = child("wait")
    os.kill(process.pid, signal.SIGSTOP)
    process.close()
    assert process.returncode == -signal.SIGKILL


def test_a_child_has_nothing_of_its_parents_python(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP"):
        monkeypatch.setenv(name, "/of/somebody/else")
    monkeypatch.delenv("PYTHONNOUSERSITE", raising=False)
    tells = 'import json, os; print(json.dumps({"event": "result", "id": 1, "result": dict(os.environ)}))'
    told = Child([sys.executable, "-c", tells], "environment", {}, environment={"OURS": "1"}).run(QuietReporter())
    assert not {"PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP"} & told.keys()
    assert (told["PYTHONNOUSERSITE"], told["OURS"], told["PATH"]) == ("1", "1", os.environ["PATH"])


def test_of_the_requests_that_wait_the_newest_counts_and_a_dropped_one_is_dropped_alone() -> None:
    handlers = {"double": lambda arguments, reporter: {"is": 2 * arguments["of"]}}
    said = io.StringIO()
    requests = Requests(said)
    for dropped, answered in ((1, 2), (4, 4)):
        for number in (answered - 1, answered):
            requests.put({"id": number, "request": "double", "arguments": {"of": number}})
        requests.drop(dropped)
        requests.answer_newest(handlers)
    events = [json.loads(line) for line in said.getvalue().splitlines()]
    assert [(event["id"], event.get("message", event.get("result"))) for event in events] == [
        (1, "a newer request came"),
        (2, {"is": 4}),
        (3, "a newer request came"),
        (4, "dropped"),
    ]


@pytest.mark.parametrize("what", ["parent", "parent with a busy child"])
def test_a_child_ends_with_its_killed_parent(what: str) -> None:
    request = "wait" if what == "parent" else "compute"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD, request], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert parent.stdout
    pid = int(parent.stdout.readline())
    parent.kill()
    until(lambda: not alive(pid), "it has noticed")
    parent.communicate()


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


def test_a_machine_that_slept_is_not_a_silent_child(monkeypatch: pytest.MonkeyPatch) -> None:
    asleep = 0.0

    class Reporter(QuietReporter):
        looks = 0

        def cancelled(self) -> bool:
            nonlocal asleep
            self.looks += 1
            asleep = 3600.0 if self.looks > 1 else 0.0
            return self.looks > 3

    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + asleep, sleep=time.sleep)
    monkeypatch.setattr(child_module, "time", clock)
    with pytest.raises(Cancelled):
        child("wait").run(Reporter(), silence_seconds=600.0)


def test_who_asks_does_not_wait_for_a_child_that_does_not_read() -> None:
    process = child("wait")
    until(lambda: any(event["event"] == "log" for event in process.events()), "it waits")
    os.kill(process.pid, signal.SIGSTOP)
    asking = threading.Thread(target=lambda: [process.ask("more", {"of": "x" * 1000}) for _ in range(1000)])
    asking.start()
    asking.join(10.0)
    waits = asking.is_alive()
    process.kill()
    asking.join()
    assert not waits, "a megabyte is more than any pipe holds"
    process.close()


def test_what_a_script_starts_is_killed_with_it(tmp_path: Path) -> None:
    script = tmp_path / "blender"
    script.write_text(f'#!/bin/sh\n"{sys.executable}" -c "$1"\nexit 0\n')
    script.chmod(0o755)
    process, heard = Child([str(script), CHILD], "ignore", {}), []
    until(lambda: heard.extend(process.events()) or len(heard) == 2, "it ignores everything")
    process.kill()
    until(lambda: not alive(heard[0]["process"]), "no orphan is left")
    process.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full is Linux's")
def test_a_log_on_a_full_disk_hides_no_answer() -> None:
    with pytest.raises(UserError, match="ZeroDivisionError"):
        Child([sys.executable, "-c", CHILD], "fail", {}, log_path="/dev/full").run(QuietReporter())


def test_a_log_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot write a log: no such file"):
        Child([sys.executable, "-c", CHILD], "add", {}, log_path=tmp_path / "nowhere" / "log")


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
