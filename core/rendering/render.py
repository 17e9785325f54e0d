# SPDX-License-Identifier: GPL-3.0-or-later
"""The first stage: a .blend becomes a dataset. Starts Blender's part, survives its crashes, packs what it rendered."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..dataset import staging
from ..dataset.contents import MOST_PIXELS
from ..dataset.packing import pack
from ..dataset.staging import Plan
from ..errors import Cancelled, UsageError, UserError, reason_of
from ..files import require_ending, require_writable_file, require_writable_folder
from ..lenses import complaint
from ..locks import locked
from ..processes import blender_command, find_blender
from ..reporting import Reporter
from ..worker.child import Child, ChildCrashed
from .configuration import BELONGS_TO, Configuration, check_configuration, without_meaning
from .rigs import frames_in_words, rig_shape

# plain, zstd-compressed (since 3.0), gzip-compressed (before)
BLEND_MAGICS = (b"BLENDER", b"\x28\xb5\x2f\xfd", b"\x1f\x8b")
ATTEMPTS_A_VIEW = 2
# a Blender that crashes at every view is not a matter of single views
MOST_FAILED_IN_A_ROW = 2


@dataclass(frozen=True, kw_only=True)
class RenderSettings(Configuration):
    """What to render, and how.

    Attributes:
        scene: the .blend. output: the .h5 to write.
        blender: executable; see processes.find_blender.
        allow_newer: render a .blend that a newer Blender saved, with what is lost by that.
        add: cameras, as `poses` names them, that are rendered as the dataset was and join it; see render_more.py.
    """

    scene: str | os.PathLike[str]
    output: str | os.PathLike[str]
    blender: str | None = None
    allow_newer: bool = False
    add: str | None = None


def render_dataset(settings: RenderSettings, reporter: Reporter) -> dict[str, Any]:
    """Render the views of a scene and pack them into a dataset; whatever is rendered already is kept.

    Returns:
        output, views, rendered, kept, seconds, seconds_per_view, device, bytes.

    Raises:
        UsageError: a setting makes no sense.
        UserError: the scene cannot be rendered, Blender crashed at a view twice, a file cannot be written, or another
            process is rendering into it.
        Cancelled: stopped; the same call goes on where it was.
    """
    started = time.monotonic()
    check_settings(settings)
    output = Path(settings.output).absolute()
    with locked(output):
        folder, plan, answer = stage_views(settings, reporter)
        pack(folder, plan, output, reporter)
        staging.remove_staging(folder)
    return {
        "output": str(output),
        "views": len(plan.views),
        "rendered": answer["rendered"],
        "kept": answer["kept"],
        "seconds": time.monotonic() - started,
        "seconds_per_view": answer["seconds"] / max(answer["rendered"], 1),
        "device": plan.device,
        "bytes": output.stat().st_size,
    }


def stage_views(
    settings: RenderSettings, reporter: Reporter, only: Sequence[str] | None = None
) -> tuple[Path, Plan, dict[str, Any]]:
    """Render the views of a scene into the staging folder beside its dataset; whatever is rendered already is kept.

    Args:
        only: names of the views to render, when not all of them.

    Returns:
        The folder, what is in it, and what Blender's part answers (rendered, kept, seconds, device).

    Raises:
        UsageError, UserError, Cancelled: as `render_dataset`.
    """
    check_settings(settings)
    scene, output = Path(settings.scene).absolute(), Path(settings.output).absolute()
    check_blend(scene)
    if output.is_dir():
        raise UserError(f"{output} is a folder; name the .h5 file to write")
    require_writable_file(output)
    blender = find_blender(settings.blender)
    folder = require_writable_folder(staging.staging_folder(output))
    answer = _render_all(settings, scene, folder, blender, reporter, only)
    return folder, staging.read_plan(folder), answer


def ask_blender(settings: RenderSettings, request: str, folder: Path, reporter: Reporter) -> dict[str, Any]:
    """Have Blender's part answer something else about a scene than its views; `folder` is empty and for it alone.

    Raises:
        UsageError: a setting makes no sense.
        UserError: the scene cannot be rendered at all.
        Cancelled: the user stopped it.
    """
    check_settings(settings)
    scene = Path(settings.scene).absolute()
    check_blend(scene)
    command = blender_command(find_blender(settings.blender), "addon.studio")
    child = Child(command, request, request_arguments(settings, scene, folder), folder / "blender.log")
    try:
        return child.run(reporter)
    except ChildCrashed as crash:
        raise UserError(f"Blender crashes at this scene (exit code {crash.returncode}); open it in Blender") from crash


def check_settings(settings: RenderSettings) -> None:
    """Refuse what makes no sense before anything is started.

    Raises:
        UsageError: which setting, and what it may be.
    """
    check_configuration(settings)
    if math.prod(settings.resolution) > MOST_PIXELS:
        raise UsageError(f"--resolution {'x'.join(map(str, settings.resolution))} has more than {MOST_PIXELS:,} pixels")
    rig_shape(vars(settings)).check()
    for name in without_meaning(vars(settings)):
        other, choices = BELONGS_TO[name]
        flag, other_flag = (f"--{one.replace('_', '-')}" for one in (name, other))
        raise UsageError(
            f"{flag} has no meaning with {other_flag} {getattr(settings, other)}; "
            f"it belongs to {other_flag} {' or '.join(choices)}"
        )
    if settings.rig != "poses" and not all(settings.resolution):
        raise UsageError("--resolution is 0x0, which has a meaning with --rig poses alone; write it like 200x200")
    if settings.rig == "poses" and settings.poses is None:
        raise UsageError(
            "--rig poses needs --poses: a transforms.json, or a folder with transforms_*.json or a COLMAP model"
        )
    if "flow" in settings.passes and settings.rig == "animated" and not settings.moving:
        raise UsageError("--passes flow needs --moving with --rig animated: it leads to where things are next")
    if settings.frames is not None:
        frames_in_words(settings.frames)
    if settings.film == "transparent" and any(rule["what"] == "background" for rule in settings.randomise):
        raise UsageError("a background of randomise is not seen with --film transparent; take auto or world")
    wrong = complaint(settings.camera_model, settings.distortion)
    if wrong:
        raise UsageError(f"--distortion {wrong}")
    if any(settings.intrinsics) and min(settings.intrinsics[:2]) <= 0.0:
        raise UsageError("--intrinsics has a focal length that is not above 0; write them like 500 500 320 240")
    require_ending(settings.output, ".h5")


def check_blend(path: Path) -> None:
    """Refuse what is no .blend at all; Blender's part judges the rest when it loads it.

    Raises:
        UserError: missing, a folder, empty, unreadable, or another kind of file.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder; name the .blend file in it")
    try:
        with open(path, "rb") as file:
            head = file.read(7)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; check the path of the .blend") from None
    except OSError as error:
        raise UserError(f"cannot read {path} ({reason_of(error)}); check its permissions") from error
    if not head:
        raise UserError(f"{path} is empty; save the scene again")
    if not head.startswith(BLEND_MAGICS):
        raise UserError(f"{path} is not a Blender file; name a .blend")


def _render_all(
    settings: RenderSettings,
    scene: Path,
    folder: Path,
    blender: str,
    reporter: Reporter,
    only: Sequence[str] | None,
) -> dict[str, Any]:
    """Run Blender's part until every view is done, again after a crash, without the views that crash it twice."""
    crashes: dict[str, int] = {}
    failed: list[str] = []
    log = folder / "render.log"
    while True:
        (folder / "plan.json").unlink(missing_ok=True)  # so that a crash before planning is known as one
        arguments = request_arguments(settings, scene, folder, failed, only)
        child = Child(blender_command(blender, "addon.studio"), "render_views", arguments, log)
        try:
            answer = child.run(reporter)
            break
        except (UserError, Cancelled) as stop:
            if not staging.anything_done(folder):
                staging.remove_staging(folder)
            elif isinstance(stop, Cancelled):
                raise Cancelled("stopped; what is rendered is kept, the same command goes on") from None
            raise
        except ChildCrashed as crash:
            culprit = _crashed_at(folder, failed, only)
            crashes[culprit] = crashes.get(culprit, 0) + 1
            where = culprit or "loading the scene"
            reporter.log(f"Blender crashed at {where} (exit code {crash.returncode})")
            if crashes[culprit] >= ATTEMPTS_A_VIEW:
                failed.append(culprit)
                if not culprit:
                    raise UserError(f"Blender crashes at {where}; see {log}, and open the scene in Blender") from crash
                if len(failed) >= MOST_FAILED_IN_A_ROW and _none_done_since(folder, failed):
                    raise UserError(f"Blender crashes at every view; see {log}; what is rendered is kept") from crash
    if failed:
        raise UserError(
            f"Blender crashed twice at {', '.join(failed)}; all other views are rendered and kept; "
            f"see {log}, then run the same command again"
        )
    return answer


def _crashed_at(folder: Path, failed: list[str], only: Sequence[str] | None) -> str:
    """The view that was being rendered: views are rendered in order, so the first one missing. Empty: none yet."""
    if not (folder / "plan.json").exists():
        return ""
    missing = staging.missing_views(folder, staging.read_plan(folder))
    asked = [view.name for view in missing if view.name not in failed and (only is None or view.name in only)]
    return asked[0] if asked else ""


def _none_done_since(folder: Path, failed: list[str]) -> bool:
    """Whether the views that failed last follow each other without a good one between them."""
    plan: Plan = staging.read_plan(folder)
    names = [view.name for view in plan.work]
    places = [names.index(name) for name in failed[-MOST_FAILED_IN_A_ROW:] if name in names]
    return places == list(range(places[0], places[0] + MOST_FAILED_IN_A_ROW))


def request_arguments(
    settings: RenderSettings,
    scene: Path,
    folder: Path,
    skip: Sequence[str] = (),
    only: Sequence[str] | None = None,
) -> dict[str, Any]:
    """What Blender's part is asked: its scene, where it writes, how, and which views (by their names)."""
    as_json = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(settings).items()}
    if settings.poses is not None and not settings.poses.startswith("//"):  # which is where the .blend is
        as_json["poses"] = str(Path(settings.poses).absolute())
    return {
        "scene": str(scene),
        "staging": str(folder),
        "settings": {**as_json, "scene": str(settings.scene), "output": str(settings.output)},
        "skip": list(skip),
        "only": None if only is None else list(only),
    }
