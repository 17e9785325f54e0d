# SPDX-License-Identifier: GPL-3.0-or-later
"""What the panels are made of: where they stand, buttons that become progress, wrapped text."""

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...core.errors import Cancelled, Fault
from ...core.reporting import format_bytes, format_seconds
from ...core.runtime.places import current
from ...core.worker.child import ChildCrashed
from ..jobs import worker
from ..paths import Paths, paths_of_open_file
from ..preferences import ROOT, find_worker_python, named_worker_python
from ..studio import heat

Icon = Any  # the type stubs list all of Blender's icons one by one

PIXELS_PER_LETTER = 6.5
# a paragraph is not made narrower than so many letters
LEAST_LETTERS = 12
# of a sidebar at a scale of one, in which a list has no room for all its columns
NARROW = 220


class Step:
    """Where a panel stands, and settings as Blender shows them: name left, value right."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Radiance Twin"
    bl_parent_id = "VIEW3D_PT_radiance_twin"

    layout: bpy.types.UILayout

    def settings_column(self) -> bpy.types.UILayout:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        return layout.column()


def advanced_panel(layout: bpy.types.UILayout, identifier: str) -> bpy.types.UILayout | None:
    """Settings that are seldom changed, folded away at first; None while they are."""
    header, body = layout.panel(identifier, default_closed=True)
    header.label(text="Advanced")
    return body


def start_or_progress(
    layout: bpy.types.UILayout, request: str, operator: str, text: str, icon: Icon
) -> bpy.types.UILayout:
    """The button that starts a step, with what it lacks beside it; while the step runs, its progress and Cancel."""
    job = worker.running()
    row = layout.row(align=True)
    row.scale_y = 1.3
    if job is not None and job.request == request:
        progress(row, job, time_left(job))
        if job.note:
            layout.label(text=job.note)
        return row
    row.operator(operator, text=text, icon=icon)
    if not bpy.data.filepath:
        row.operator("wm.save_mainfile", text="Save", icon="FILE_TICK")
    return row


def runtime(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """What training lacks on this machine, with the button that brings it; nothing where there is all."""
    job = worker.running()
    if job is not None and job.request == "runtime":
        column = layout.box().column()
        progress(column.row(align=True), job)
        column.label(text=job.note)
        return
    reason = find_worker_python()[1]
    if not reason:
        return
    column = layout.box().column()
    write(column, context, reason, icon="ERROR")
    row = column.row(align=True)
    row.scale_y = 1.3
    if named_worker_python()[0]:
        row.operator("preferences.addon_show", text="Preferences", icon="PREFERENCES").module = ROOT
    else:
        text = "Update" if current() is not None else "Install"
        row.operator("radiance_twin.install_runtime", text=text, icon="IMPORT")
    last = worker.last("runtime")
    if last is not None and last.error is not None:
        write(column, context, last.outcome, icon=icon_of(last))


def time_left(job: worker.Job) -> str:
    """What is left of a job, to be added to how far it is; empty when nobody knows."""
    return "" if job.seconds_left is None else " · " + iface_("{} left").format(format_seconds(job.seconds_left))


def progress(row: bpy.types.UILayout, job: worker.Job, left: str = "") -> None:
    """A bar, and Cancel."""
    row.progress(factor=job.fraction, type="BAR", text=f"{iface_(job.title)} {job.fraction:.0%}{left}")
    row.operator("radiance_twin.cancel", text="", icon="X")


def icon_of(job: worker.Job, well: Icon = "CHECKMARK") -> Icon:
    """How a job has ended: `well`, by a failure, or because somebody cancelled it."""
    return well if job.error is None else "CANCEL" if isinstance(job.error, Cancelled) else "ERROR"


def outcome(
    layout: bpy.types.UILayout, context: bpy.types.Context, request: str, file_of: Callable[[Paths], Path]
) -> None:
    """How the step ended last, or else the file that an earlier session left."""
    job = worker.last(request)
    if job is not None and job.error is not None:
        write(layout, context, job.outcome, icon=icon_of(job))
        if isinstance(job.error, ChildCrashed | Fault):
            layout.operator("radiance_twin.open_log", icon="TEXT").filepath = str(job.log_path)
        return
    paths = paths_of_open_file()
    file = None if paths is None else file_of(paths)
    if job is not None:
        write(layout, context, job.outcome, icon=icon_of(job))
    elif file is not None and file.is_file():
        write(layout, context, f"{file.name}, {format_bytes(file.stat().st_size)}", icon="CHECKMARK")


def heat_map(
    layout: bpy.types.UILayout,
    context: bpy.types.Context,
    row: bpy.types.UILayout,
    kind: str,
    colours: str,
    grey: str,
) -> None:
    """While a heat map of a `kind` is there: in the `row` of what painted it its switches, and below its legend.

    Args:
        colours: has places for a third, two thirds and all of the value that is shown brightest.
        grey: what has no value.
    """
    painted = heat.shown(kind)
    if painted is None:
        return
    row.prop(painted, "hide_viewport", text="")
    row.operator("radiance_twin.remove_error", text="", icon="TRASH")
    top = float(painted.get(heat.BRIGHTEST, 1.0))
    write(layout, context, iface_(colours).format(top / 3, 2 * top / 3, top))
    write(layout, context, grey)


def write(layout: bpy.types.UILayout, context: bpy.types.Context, text: str, icon: Icon = "NONE") -> None:
    """A paragraph in the interface's language, wrapped to the width of the sidebar."""
    letters = max(LEAST_LETTERS, int((width_of(context) - 60) / PIXELS_PER_LETTER))
    column = layout.column(align=True)
    for number, line in enumerate(textwrap.wrap(iface_(text), letters)):
        column.label(text=line, icon=icon if number == 0 else "BLANK1" if icon != "NONE" else "NONE")


def width_of(context: bpy.types.Context) -> float:
    """Of the sidebar, in pixels at a scale of one."""
    return context.region.width / context.preferences.system.ui_scale if context.region else 250.0
