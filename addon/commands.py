# SPDX-License-Identifier: GPL-3.0-or-later
"""`blender -b SCENE.blend --command radiance_twin render|train|compare|runtime|doctor`: the command line's words.

The open file is the scene, and the files' names follow from its own unless -o says otherwise.
"""

import json
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import bpy

from ..core.arguments import parse, settings_of
from ..core.cli import exit_code
from ..core.errors import UsageError, UserError
from ..core.words import in_words
from .jobs import pump, worker
from .operators.compare import start_compare
from .operators.doctor import start_doctor
from .operators.render import rendered, start_render, this_blender
from .operators.runtime import start_runtime
from .operators.train import start_train
from .paths import paths_of_open_file

NAME = "radiance_twin"

_handle: object = None


def main(arguments: list[str]) -> int:
    """Run one command; returns its exit code: 0 done, 1 failed, 2 wrong use, 130 stopped."""
    try:
        words = parse(arguments, f"blender -b SCENE.blend --command {NAME}", inside_blender=True)
        job = start(words.command, settings_of(words))
    except SystemExit as told:  # --help
        return int(told.code or 0)
    except (UserError, RuntimeError) as error:
        return _complain(error)
    with Interrupt() as interrupt:
        pump.wait(job, interrupt.asked)
    if job.error is not None:
        return _complain(job.error, job.outcome)
    assert job.result is not None, "a job without an error has a result"
    print(json.dumps(job.result, indent=1) if words.json else in_words(words.command, job.result))
    return exit_code(job.result)


def start(command: str, settings: dict[str, Any]) -> worker.Job:
    """Start a stage with the settings of its command line.

    Raises:
        UserError: there is no worker.
        UsageError: the file has no name to derive an output from.
    """
    if command == "runtime":
        return start_runtime({**settings, "online": bpy.app.online_access})
    if command == "doctor":
        return start_doctor()
    output = settings.pop("output")
    paths = paths_of_open_file()
    if paths is None:
        raise UsageError("no file is open: name one, as in blender -b SCENE.blend --command radiance_twin")
    if output is not None:
        output = Path(bpy.path.abspath(output)).absolute()
    for name in ("poses", "add"):
        if settings.get(name) is not None:
            settings[name] = str(Path(bpy.path.abspath(settings[name])).absolute())
    match command:
        case "render" if not scripts_ran():
            # the file itself, not a copy: a killed render then goes on where it was
            asked = {**settings, "scene": bpy.data.filepath, "output": str(output or paths.dataset)}
            return worker.start("render", {**asked, "blender": this_blender()}, rendered)
        case "render":
            return start_render(settings, output or paths.dataset)
        case "train":
            if settings["resume"] is not None:
                settings["resume"] = str(Path(bpy.path.abspath(settings["resume"])).absolute())
            return start_train(settings, paths.dataset, output or paths.twin, load_after=False)
        case _:
            scene = None if scripts_ran() else bpy.data.filepath
            return start_compare(settings, paths.dataset, paths.twin, output or paths.report, scene)


def scripts_ran() -> bool:
    """Whether Blender's command line names scripts, which may have changed the scene since it was read."""
    return any(word in ("-P", "--python", "--python-expr", "--python-text") for word in sys.argv)


class Interrupt:
    """While this is open, Ctrl-C asks to stop at a good point instead of killing Blender; a second one, at once."""

    def __init__(self) -> None:
        self._heard = 0
        self._told = 0

    def asked(self) -> bool:
        """Whether there was another one since the last time."""
        heard, told, self._told = self._heard, self._told, self._heard
        return heard > told

    def __enter__(self) -> "Interrupt":
        self._before = {number: signal.signal(number, self._interrupted) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        self._heard += 1


def _complain(error: Exception, text: str = "") -> int:
    print(f"radiance-twin: {' '.join((text or str(error)).split())}", file=sys.stderr)
    return int(getattr(error, "exit_code", 1))


def register() -> None:
    global _handle
    _handle = bpy.utils.register_cli_command(NAME, main)


def unregister() -> None:
    global _handle
    if _handle is not None:
        bpy.utils.unregister_cli_command(_handle)
    _handle = None
