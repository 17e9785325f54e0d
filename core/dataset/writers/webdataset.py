# SPDX-License-Identifier: GPL-3.0-or-later
"""WebDataset: tar shards per split, a view's files side by side under one key.

KEY.png (or .exr), KEY.depth.npy, KEY.normal.npy, KEY.object_index.png, KEY.json. Sorted names and fixed dates: the same
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

from .pictures import write_labels, write_picture
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
    passes = set(dataset.passes)
    record = record_of(dataset, split, index)
    files = {"json": json.dumps(record).encode()}
    with TemporaryDirectory() as folder:
        picture = Path(folder) / f"rgba{task.ending}"
        write_picture(picture, dataset.rgba(index), task.view_transform)
        files[task.ending[1:]] = picture.read_bytes()
        if "object_index" in passes:
            labels = Path(folder) / "labels.png"
            write_labels(labels, dataset.object_index(index))
            files["object_index.png"] = labels.read_bytes()
    for name, read in (("depth", dataset.depth), ("normal", dataset.normal)):
        if name in passes:
            data = io.BytesIO()
            np.save(data, read(index))
            files[f"{name}.npy"] = data.getvalue()
    return dict(sorted(files.items()))
