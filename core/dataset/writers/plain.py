# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain folders: every pass side by side, one JSON a view with camera and labels, one list of all.

Whole numbers are grey PNG, all other passes EXR (32-bit): planar z in scene units, world-space unit vectors;
core/passes.py says what each means.
"""

from __future__ import annotations

from .posed import Task, Written
from .record import record_of


def write(task: Task) -> Written:
    """Write the folder."""
    written = Written()
    records = []
    for split, index in task.each_view():
        name = f"{index:06d}"
        written.names[index] = name
        files = {"rgba": f"rgba/{name}{task.ending}"}
        task.picture(index, files["rgba"])
        files |= {kind: task.pixels(kind, index, f"{kind}/{name}") for kind in task.passes}
        records.append({**record_of(task.dataset, split, index), "files": files})
    task.json("views.json", {"views": records})
    return written
