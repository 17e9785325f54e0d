# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain folders: rgba, depth, normal and object_index side by side, one JSON a view, one list of all.

Depth and normals are EXR (32-bit, planar z in scene units; world-space unit vectors), object_index is a grey PNG.
"""

from __future__ import annotations

import json

from .pictures import write_exr, write_labels
from .posed import Task, Written
from .record import record_of


def write(task: Task) -> Written:
    """Write the folder."""
    dataset, written = task.dataset, Written()
    passes = set(dataset.passes)
    records = []
    for split, index in task.each_view():
        name = f"{index:06d}"
        written.names[index] = name
        record = {**record_of(dataset, split, index), "files": {"rgba": f"rgba/{name}{task.ending}"}}
        task.picture(index, f"rgba/{name}{task.ending}")
        if "depth" in passes:
            record["files"]["depth"] = f"depth/{name}.exr"
            write_exr(task.new_file(f"depth/{name}.exr"), {"Z": dataset.depth(index)})
        if "normal" in passes:
            record["files"]["normal"] = f"normal/{name}.exr"
            write_exr(task.new_file(f"normal/{name}.exr"), {"RGB": dataset.normal(index)})
        if "object_index" in passes:
            record["files"]["object_index"] = f"object_index/{name}.png"
            write_labels(task.new_file(f"object_index/{name}.png"), dataset.object_index(index))
        if "valid" in passes:
            record["files"]["valid"] = f"valid/{name}.png"
            task.valid(index, f"valid/{name}.png")
        records.append(record)
    task.new_file("views.json").write_text(json.dumps({"views": records}, indent=1) + "\n", encoding="utf-8")
    return written
