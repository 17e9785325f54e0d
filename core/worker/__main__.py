# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker: the process that holds torch and h5py, and renders, trains and compares for Blender."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any, TypeVar

from ... import __version__
from ..errors import UsageError
from ..reporting import Reporter
from ..runtime.places import hold
from .protocol import ChildReporter, Requests, interrupt, serve

Settings = TypeVar("Settings")


def settings_from(kind: type[Settings], arguments: dict[str, Any]) -> Settings:
    """Fill a dataclass of settings from JSON.

    Raises:
        UsageError: a setting is unknown or missing.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(arguments) - set(fields))
    if unknown:
        raise UsageError(f"unknown setting {unknown[0]!r}; install the same version of Radiance Twin on both sides")
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in arguments.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise UsageError(f"incomplete request: {error}") from error


# the stages are imported when they are asked for: rendering must not wait for torch


def _render(arguments: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    from ..rendering.render import RenderSettings, render_dataset
    from ..rendering.render_more import add_views

    settings = settings_from(RenderSettings, arguments)
    return (add_views if settings.add else render_dataset)(settings, reporter)


def _check(arguments: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    from ..rendering.check import check
    from ..rendering.render import RenderSettings

    return check(settings_from(RenderSettings, arguments), reporter)


def _look(arguments: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    from ..dataset_pictures import PicturesSettings, write_pictures

    return write_pictures(settings_from(PicturesSettings, arguments), reporter)


def _fix_it(arguments: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    from ..rendering.fix_it import FixItSettings, fix_it

    return fix_it(settings_from(FixItSettings, arguments), reporter)


def _train(arguments: dict[str, Any], reporter: ChildReporter, requests: Requests) -> dict[str, Any]:
    from ..training.trainer import TrainSettings, train
    from .previews import Previews

    previews = Previews(reporter, requests)
    result = train(settings_from(TrainSettings, arguments), reporter, onlooker=previews)
    return {**result, "previews": {"frames": previews.frames, "seconds": round(previews.seconds, 3)}}


def _compare(arguments: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    from ..comparison.compare import CompareSettings, compare

    return compare(settings_from(CompareSettings, arguments), reporter)


def _export(arguments: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    from ..export.twin import ExportSettings, export_twin

    return export_twin(settings_from(ExportSettings, arguments), reporter)


def _measure_frame(arguments: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    from ..comparison.frame import FrameSettings, measure_frame

    return measure_frame(settings_from(FrameSettings, arguments), reporter)


def _doctor(arguments: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    from ..doctor.examine import examine

    return examine(reporter, **arguments)


def _serve_frames(arguments: dict[str, Any], reporter: ChildReporter, requests: Requests) -> dict[str, Any]:
    from .viewer import serve_frames

    serve_frames(arguments, requests)
    return {}


if __name__ == "__main__":
    # for as long as we live nobody removes the environment that we import from
    holding = hold(sys.prefix)
    serve(
        {
            "render": _render,
            "check": _check,
            "compare": _compare,
            "export": _export,
            "fix_it": _fix_it,
            "look": _look,
            "measure_frame": _measure_frame,
            "doctor": _doctor,
        },
        __version__,
        {"train": _train, "serve_frames": _serve_frames},
        interrupt,
    )
