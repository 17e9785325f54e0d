# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage: a dataset's cameras and small pictures of what they saw, for a Blender that has no h5py.

views.json             which dataset it is of, its bounds, background and view transform, and each view
view_transform.npz     the arrays of the view transform
render_000012.png      what the view shows on a screen, over the dataset's background
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .camera_file import camera_words
from .comparison.metrics import display_image
from .dataset.contents import SPLITS
from .dataset.store import Dataset, open_dataset
from .errors import UserError
from .files import require_writable_folder, write_json
from .reporting import Reporter, followed

LIST = "views.json"
FORMAT, VERSION = "radiance-twin-pictures", 1
LONGEST_SIDE = 400


@dataclass(frozen=True)
class PicturesSettings:
    """What to look at.

    Attributes:
        dataset: the .h5. output: the folder; what is there already of the same dataset is kept.
    """

    dataset: str
    output: str


def write_pictures(settings: PicturesSettings, reporter: Reporter) -> dict[str, Any]:
    """Write the pictures and the list of the views.

    Returns:
        folder, views (how many).

    Raises:
        UserError: no dataset, one with bent lenses, or a folder that cannot be written.
        Cancelled: nothing is listed; the next call begins again.
    """
    folder = require_writable_folder(Path(settings.output))
    with open_dataset(settings.dataset) as dataset:
        if not dataset.all_pinholes:
            raise UserError(f"{settings.dataset} has bent lenses, which Blender's cameras do not have; look by sheet")
        stamp = stamp_of(settings.dataset)
        if listed_stamp(folder) != stamp:
            (folder / LIST).unlink(missing_ok=True)
            views = [
                _write_view(folder, dataset, index)
                for index in followed(range(dataset.count), "look", reporter, "view", "stopped; nothing was loaded")
            ]
            np.savez(folder / "view_transform.npz", allow_pickle=False, **dataset.view_transform.arrays())
            listed = {
                "format": FORMAT,
                "version": VERSION,
                "dataset": os.path.abspath(settings.dataset),
                "stamp": stamp,
                "bounds": dataset.bounds.tolist(),
                "background": [float(value) for value in dataset.background],
                "view_transform": dataset.view_transform.to_metadata(),
                "views": views,
            }
            # last, so that a list that is there is complete
            write_json(folder / LIST, listed)
        return {"folder": str(folder), "views": dataset.count}


def stamp_of(dataset: str) -> str:
    """What tells a dataset that was written anew."""
    found = os.stat(dataset)
    return f"{found.st_size} {found.st_mtime_ns}"


def listed_stamp(folder: Path) -> str:
    """That of the dataset whose pictures lie in a folder; empty when there are none."""
    try:
        listed = json.loads((folder / LIST).read_text("utf-8"))
        return str(listed["stamp"]) if listed["version"] == VERSION else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _write_view(folder: Path, dataset: Dataset, index: int) -> dict[str, Any]:
    camera = dataset.camera(index)
    shown = Image.fromarray(display_image(dataset.rgba(index), dataset.background, dataset.view_transform))
    scale = min(1.0, LONGEST_SIDE / max(camera.size))
    small = (max(1, round(camera.size[0] * scale)), max(1, round(camera.size[1] * scale)))
    name = f"render_{index:06d}.png"
    (shown if small == camera.size else shown.resize(small, Image.Resampling.BOX)).save(folder / name)
    split = next((split for split in SPLITS if index in dataset.splits[split]), "")
    of_picture = camera_words(camera.resized(small))
    return {"index": index, "split": split, "frame": int(dataset.frame[index]), "picture": name, **of_picture}
