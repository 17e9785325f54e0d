# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `radiance-twin`."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

from .errors import Cancelled, UsageError, UserError
from .stopping import interrupt_main_thread

if TYPE_CHECKING:
    from .reporting import Reporter, TerminalReporter


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code: 0 done, 1 failed, 2 wrong use, 130 stopped."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # a name that the terminal has no letters for must not make a failure of what was done
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        # until a command begins, most time is spent on importing: Ctrl-C may come meanwhile
        from .arguments import parse, settings_of
        from .rendering.configuration_file import with_place
        from .reporting import TerminalReporter
        from .words import in_words

        words = parse(sys.argv[1:] if arguments is None else arguments, "radiance-twin")
        with TerminalReporter(interrupt_main_thread) as reporter:
            _stop_on_interrupt(reporter)
            try:
                result = _run(words.command, settings_of(words), reporter)
            except UsageError as error:
                if getattr(words, "config", None) is None:
                    raise
                raise UsageError(with_place(str(error), words.config, vars(words))) from error
        print(json.dumps(result, indent=1) if words.json else in_words(words.command, result))
        return exit_code(result)
    except Cancelled as stopped:
        _complain(str(stopped) or "stopped")
        return stopped.exit_code
    except KeyboardInterrupt:
        _complain("stopped")
        return Cancelled.exit_code
    except UserError as error:
        _complain(str(error))
        return error.exit_code
    except BrokenPipeError:
        # whoever read our output has had enough; do not fail again while flushing it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except MemoryError:
        _complain("out of memory; use fewer or smaller views")
        return 1


def exit_code(result: dict[str, Any]) -> int:
    """Of a command that gave a result: 0, but 1 when the doctor found something that has to be mended."""
    return 0 if result.get("healthy", True) else 1


def _run(command: str, settings: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    # a stage is imported when it is asked for: --help must not wait for torch
    match command:
        case "demo":
            from .demo import demo

            return demo(**settings, reporter=reporter)
        case "render":
            from .rendering.render import RenderSettings, render_dataset
            from .rendering.render_more import add_views

            return (add_views if settings["add"] else render_dataset)(RenderSettings(**settings), reporter)
        case "import":
            from .importing import ImportSettings, import_dataset

            return import_dataset(ImportSettings(**settings), reporter)
        case "train":
            from .training.trainer import TrainSettings, train

            return train(TrainSettings(**settings), reporter)
        case "compare":
            from .comparison.compare import CompareSettings, compare

            return compare(CompareSettings(**settings), reporter)
        case "fix-it":
            from .rendering.fix_it import FixItSettings, fix_it

            return fix_it(FixItSettings(**settings), reporter)
        case "view":
            from .view import ViewSettings, view

            return view(ViewSettings(**settings), reporter)
        case "export":
            return _export(settings, reporter)
        case "check":
            from .rendering.check import check
            from .rendering.render import RenderSettings

            return check(RenderSettings(**settings, output="checked.h5"), reporter)
        case "bench":
            from .rendering.bench import bench_render
            from .rendering.render import RenderSettings

            del settings["what"]  # there is one kind so far
            return bench_render(RenderSettings(**settings, output="measured.h5"), reporter)
        case "verify":
            from .rendering.verify import VerifySettings, verify

            return verify(VerifySettings(**settings), reporter)
        case "config":
            from .info import configuration_of
            from .rendering.configuration_file import configuration_text

            return {"configuration": configuration_text(configuration_of(settings["dataset"]))}
        case "runtime":
            from .runtime.manage import manage

            return manage(**settings, reporter=reporter)
        case "doctor":
            from .doctor.examine import examine

            return examine(reporter)
        case "sheet":
            from .sheet.sheet import SheetSettings, make_sheet

            return make_sheet(SheetSettings(**settings), reporter)
        case _:
            from .info import info

            return info(**settings)


def _export(words: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    source = words["source"]
    if source.lower().endswith(".twin"):
        from .export.twin import ExportSettings, export_twin

        of_twin = ("output", "format", "dataset", "resolution", "device", "blender")
        return export_twin(ExportSettings(source, **{name: words[name] for name in of_twin}), reporter)
    from .export.dataset import DatasetExportSettings, export_dataset

    of_dataset = ("output", "format", "images", "look", "points", "skip_damaged")
    return export_dataset(DatasetExportSettings(source, **{name: words[name] for name in of_dataset}), reporter)


def _stop_on_interrupt(reporter: TerminalReporter) -> None:
    """The first Ctrl-C asks to stop at a good point; the second one, or the first when nobody asks, stops at once."""

    def interrupted(number: int, frame: FrameType | None) -> None:
        if reporter.cancelled():
            raise KeyboardInterrupt
        reporter.request_cancel()
        reporter.log("Stopping; press Ctrl-C again to stop at once.")

    signal.signal(signal.SIGINT, interrupted)
    signal.signal(signal.SIGTERM, interrupted)


def _complain(text: str) -> None:
    print(f"radiance-twin: {' '.join(text.split())}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
