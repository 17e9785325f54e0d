# SPDX-License-Identifier: GPL-3.0-or-later
"""YOLO: images/{train,val,test}, labels/{train,val,test} and data.yaml.

A line an object: class from 0, then its box's middle, width and height as fractions of the picture. A view in which
nothing is seen has an empty file, which says so. For poses x, y and state (0 | 1 hidden | 2 seen) of each keypoint
follow, as many for every class as the class with most of them has.
"""

from __future__ import annotations

import json

from ...errors import UserError
from ..contents import SPLITS
from .labels import categories_of, keypoint_names, visible_objects
from .posed import Task, Written, require_png


def write(task: Task) -> Written:
    """Write the folder, with boxes.

    Raises:
        UserError: the dataset does not know its objects.
    """
    return _write(task, "yolo", {})


def write_pose(task: Task) -> Written:
    """Write the folder, with boxes and keypoints.

    Raises:
        UserError: the dataset does not know its objects, or has no keypoints.
    """
    names = keypoint_names(task.dataset)
    if not names:
        raise UserError(
            f"{task.dataset.path} has no keypoints; mark some in the scene and render it again, or choose --format yolo"
        )
    written = _write(task, "yolo-pose", names)
    listed = "; ".join(f"{category}: {', '.join(found)}" for category, found in names.items())
    written.remarks.append(f"Keypoints in their order: {listed}.")
    return written


def _write(task: Task, format: str, names: dict[str, list[str]]) -> Written:
    require_png(task, format)
    written = Written()
    most = max(map(len, names.values()), default=0)
    categories = categories_of(task.dataset)
    for split, index in task.each_view():
        width, height = (int(side) for side in task.dataset.size[index])
        lines = []
        for thing in visible_objects(task.dataset, index, categories):
            left, top, wide, high = thing.box
            fractions = ((left + wide / 2) / width, (top + high / 2) / height, wide / width, high / height)
            row = [str(thing.category), *(f"{value:.6f}" for value in fractions)]
            for point in [*thing.keypoints, *[None] * most][:most]:
                u, v, state = point or (0.0, 0.0, 0)
                row += [f"{u / width:.6f}", f"{v / height:.6f}", str(state)]
            lines.append(" ".join(row))
        written.names[index] = f"{split}/{index:06d}"
        task.opaque_picture(index, f"images/{written.names[index]}.png")
        text = "\n".join(lines) + "\n" if lines else ""
        task.new_file(f"labels/{written.names[index]}.txt").write_text(text, encoding="ascii")
    # a JSON text is a YAML text: names with quotes or colons are safe
    there = [split for split in SPLITS if len(task.dataset.splits[split])]
    rows = [f"{split}: images/{split}" for split in there]
    if "val" not in there and "test" in there:
        rows.append("val: images/test")  # trainers insist on one
    if most:
        rows.append(f"kpt_shape: [{most}, 3]")
    rows += ["names:", *(f"  {place}: {json.dumps(name)}" for place, name in enumerate(categories))]
    task.new_file("data.yaml").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return written
