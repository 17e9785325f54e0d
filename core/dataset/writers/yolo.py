# SPDX-License-Identifier: GPL-3.0-or-later
"""YOLO: images/{train,val,test}, labels/{train,val,test} and data.yaml.

A line an object: class from 0, then its box's middle, width and height as fractions of the picture. A view in which
nothing is seen has an empty file, which says so.
"""

from __future__ import annotations

import json

from ..contents import SPLITS
from .labels import categories_of, visible_objects
from .posed import Task, Written, require_png


def write(task: Task) -> Written:
    """Write the folder.

    Raises:
        UserError: the dataset does not know its objects.
    """
    require_png(task, "yolo")
    written = Written()
    categories = categories_of(task.dataset)
    for split, index in task.each_view():
        width, height = (int(side) for side in task.dataset.size[index])
        lines = []
        for thing in visible_objects(task.dataset, index, categories):
            left, top, wide, high = thing.box
            fractions = ((left + wide / 2) / width, (top + high / 2) / height, wide / width, high / height)
            lines.append(" ".join([str(thing.category), *(f"{value:.6f}" for value in fractions)]))
        written.names[index] = f"{split}/{index:06d}"
        task.picture(index, f"images/{written.names[index]}.png")
        text = "\n".join(lines) + "\n" if lines else ""
        task.new_file(f"labels/{written.names[index]}.txt").write_text(text, encoding="ascii")
    # a JSON text is a YAML text: names with quotes or colons are safe
    there = [split for split in SPLITS if len(task.dataset.splits[split])]
    rows = [f"{split}: images/{split}" for split in there]
    if "val" not in there and "test" in there:
        rows.append("val: images/test")  # trainers insist on one
    rows += ["names:", *(f"  {place}: {json.dumps(name)}" for place, name in enumerate(categories))]
    task.new_file("data.yaml").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return written
