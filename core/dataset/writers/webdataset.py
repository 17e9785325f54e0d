# SPDX-License-Identifier: GPL-3.0-or-later
"""WebDataset: tar shards per split, a view's files side by side under one key.

KEY.png (or .exr), KEY.json, and each pass by its name: whole numbers as KEY.object_index.png, others as KEY.depth.npy.
Sorted names and fixed dates: the same
dataset gives the same bytes.
"""

from __future__ import annotations

import io
import itertools
import json
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from .pictures import write_picture, write_pixels
from .posed import Task, Written
from .record import record_of

VIEWS_PER_SHARD = 256


def write(task: Task) -> Written:
    """Write the folder."""
    written = Written()
    shards = [
        (split, number, [int(index) for index in indices[first : first + VIEWS_PER_SHARD]])
        for split, indices in task.dataset.splits.items()
        for number, first in enumerate(range(0, len(indices), VIEWS_PER_SHARD))
    ]
    views = iter(task.each([index for *_, indices in shards for index in indices]))
    for split, number, indices in shards:
        path = task.new_file(f"{split}-{number:06d}.tar")
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
            for index in itertools.islice(views, len(indices)):
                written.names[index] = f"{index:06d}"
                for ending, data in _files(task, split, index).items():
                    entry = tarfile.TarInfo(f"{index:06d}.{ending}")
                    entry.size = len(data)
                    tar.addfile(entry, io.BytesIO(data))
    next(views, None)  # so that the end of the progress is heard
    return written


def _files(task: Task, split: str, index: int) -> dict[str, bytes]:
    dataset = task.dataset
    files = {"json": json.dumps(record_of(dataset, split, index), allow_nan=False).encode()}
    with TemporaryDirectory() as folder:
        picture = Path(folder) / f"rgba{task.ending}"
        write_picture(picture, dataset.rgba(index), task.view_transform, task.has_alpha)
        files[task.ending[1:]] = picture.read_bytes()
        for name in task.passes:
            pixels = dataset.pixels(name, index)
            if pixels.ndim == 2 and pixels.dtype.kind == "u":
                write_pixels(Path(folder) / name, name, pixels)
                files[f"{name}.png"] = (Path(folder) / f"{name}.png").read_bytes()
            else:
                data = io.BytesIO()
                np.save(data, pixels.astype(np.float32) if pixels.dtype.kind == "f" else pixels)
                files[f"{name}.npy"] = data.getvalue()
    return dict(sorted(files.items()))
