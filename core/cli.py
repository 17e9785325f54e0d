# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `radiance-twin`."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any

from .arguments import parse, settings_of
from .comparison.words import ssim_in_words
from .coverage import shares_in_words
from .doctor.checks import doctor_in_words
from .errors import Cancelled, UserError
from .reporting import Reporter, TerminalReporter, format_seconds
from .stopping import interrupt_main_thread


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code: 0 done, 1 failed, 2 wrong use, 130 stopped."""
    try:
        words = parse(sys.argv[1:] if arguments is None else arguments, "radiance-twin")
        with TerminalReporter(interrupt_main_thread) as reporter:
            _stop_on_interrupt(reporter)
            result = _run(words.command, settings_of(words), reporter)
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
            from .render import RenderSettings, render_dataset
            from .render_more import add_views

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
            from .fix_it import FixItSettings, fix_it

            return fix_it(FixItSettings(**settings), reporter)
        case "view":
            from .view import ViewSettings, view

            return view(ViewSettings(**settings), reporter)
        case "export":
            return _export(settings, reporter)
        case "check":
            from .check import check
            from .render import RenderSettings

            return check(RenderSettings(**settings, output="checked.h5"), reporter)
        case "bench":
            from .bench import bench_render
            from .render import RenderSettings

            del settings["what"]  # there is one kind so far
            return bench_render(RenderSettings(**settings, output="measured.h5"), reporter)
        case "verify":
            from .verify import VerifySettings, verify

            return verify(VerifySettings(**settings), reporter)
        case "config":
            from .configuration_file import configuration_text
            from .info import configuration_of

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


def in_words(command: str, result: dict[str, Any]) -> str:
    """What a command says to people when it is done."""
    match command:
        case "demo" | "compare":
            return f"{metrics_in_words(result)}\nReport: {result['report']}"
        case "render":
            return f"{result['output']}: {result['views']} views in {format_seconds(result['seconds'])}"
        case "import":
            return imported_in_words(result)
        case "train":
            return (
                f"{result['output']}: {result['steps']} steps in {format_seconds(result['seconds'])}, "
                f"{decibels(result['psnr'])} on held-out views"
            )
        case "fix-it":
            return proposed_in_words(result)
        case "view":
            width, height = result["size"]
            return f"{result['output']}: {width} x {height} pixels in {result['seconds']:.2f} s"
        case "export":
            return exported_in_words(result)
        case "check":
            return checked_in_words(result)
        case "bench":
            from .bench import bench_in_words

            return bench_in_words(result)
        case "verify":
            return f"{result['dataset']}: {result['views']} views rendered again, bit for bit the same"
        case "config":
            return str(result["configuration"]).rstrip()
        case "runtime":
            return runtime_in_words(result)
        case "doctor":
            return doctor_in_words(result)
        case "sheet":
            return "\n".join([*result["remarks"], result["page"]])
        case _:
            return "\n".join(f"{name}: {value}" for name, value in result.items())


def imported_in_words(result: dict[str, Any]) -> str:
    """How many views of an imported dataset are there for what, and how many problems were named."""
    views = ", ".join(f"{count} {name}" for name, count in result["views"].items())
    count = len(result["problems"])
    problems = f"; {count} {'problem' if count == 1 else 'problems'}, named above" if count else ""
    return f"{result['output']}: {views} views from {result['format']}, film {result['film']}{problems}"


def proposed_in_words(result: dict[str, Any]) -> str:
    """Each proposed camera with its reason."""
    if not result["cameras"]:
        return "Nothing to fix: no new camera would see what the held-out views show to be wrong"
    lines = [f"{number}. {camera['reason']}" for number, camera in enumerate(result["cameras"], 1)]
    return "\n".join([*lines, *([result["output"]] if result["output"] else [])])


def checked_in_words(result: dict[str, Any]) -> str:
    """What was found in a scene, and what rendering it will cost."""
    lines = [f"- {one['what']}" + (f"; {one['remedy']}" if one["remedy"] else "") for one in result["findings"]]
    size, beside = result["bytes"] / 1e6, result["staging_bytes"] / 1e6
    cost = f"{result['views']} views: about {format_seconds(result['seconds'])} and {size:.1f} MB"
    lines = [*(lines or ["Nothing to mend."]), shares_in_words(result["coverage"])]
    return "\n".join([*lines, f"{cost}, with {beside:.1f} MB beside it meanwhile"])


def runtime_in_words(result: dict[str, Any]) -> str:
    """The managed runtime as it is now."""
    if not result["installed"]:
        return f"No runtime is installed in {result['folder']}"
    accelerator = f"CUDA {result['cuda']}" if result["cuda"] else "CPU"
    stale = "; of another version of Radiance Twin, update it" if result["stale"] else ""
    size = f"{result['bytes'] / 1e9:.1f} GB"
    return (
        f"PyTorch {result['torch']} for {accelerator} in Python {result['python']}, {size}{stale}\n{result['folder']}"
    )


def exported_in_words(result: dict[str, Any]) -> str:
    """What an export holds, and what it loses against the field."""
    kinds = ("views", "voxels", "vertices", "faces", "points", "splats")
    counts = [f"{result[name]:,} {name}" for name in kinds if result.get(name)]
    size, seconds = f"{result['bytes'] / 1e6:.1f} MB", format_seconds(result["seconds"])
    made = f"{result['output']}: {', '.join(counts)}, {size} in {seconds}"
    if "worst_error" in result:
        worst = result["worst_error"]
        return made if worst is None else f"{made}\nRead back: points are at most {worst:.2g} pixels off"
    loss = result["loss"]
    if loss is None or loss["loss_db"] is None:
        return f"{made}; loss not measured"
    return (
        f"{made}\nPSNR {decibels(loss['export_psnr'])}, the field's {decibels(loss['field_psnr'])}: "
        f"{loss['loss_db']:.2f} dB lost over {loss['views']} held-out views"
    )


def metrics_in_words(metrics: dict[str, Any]) -> str:
    """One line of figures: the mean over the held-out views."""
    mean = metrics["mean"]
    protocol = metrics.get("protocol", "radiance-twin")
    measured = "" if protocol == "radiance-twin" else f", measured as {protocol} does"
    return (
        f"PSNR {decibels(mean['psnr'])} (foreground {decibels(mean['psnr_foreground'])}), "
        f"SSIM {ssim_in_words(mean['ssim'])}, FLIP {mean['flip']:.3f}, "
        f"over {len(metrics['views'])} held-out views{measured}"
    )


def decibels(value: float | None) -> str:
    """PSNR as people read it; None is a perfect match, or nothing to measure."""
    return "–" if value is None else f"{value:.2f} dB"


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
