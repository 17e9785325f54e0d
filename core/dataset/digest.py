# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells whether two datasets hold the same."""

from __future__ import annotations

import hashlib
import os

import h5py
import numpy as np

from ..errors import UserError
from .store import open_dataset

# what differs between two runs of the same work
NOT_IN_DIGEST = ("seconds", "truth_seconds", "created")


def dataset_digest(path: str | os.PathLike[str]) -> str:
    """One hash over every array and attribute but seconds and dates: two equal datasets have the same.

    Raises:
        UserError: as `open_dataset`.
    """
    with open_dataset(path) as dataset:
        digest = hashlib.sha256()

        def add(name: str, item: h5py.Group | h5py.Dataset) -> None:
            for key in sorted(item.attrs):
                if key not in NOT_IN_DIGEST:
                    value = item.attrs[key]
                    digest.update(f"{name}@{key}={np.asarray(value).tolist()!r}\n".encode())
            if isinstance(item, h5py.Dataset) and name.rpartition("/")[2] not in NOT_IN_DIGEST:
                digest.update(f"{name} {item.shape} {item.dtype}\n".encode())
                rows = item[()][None] if item.ndim < 2 else (item[index] for index in range(len(item)))
                for row in rows:
                    digest.update(np.ascontiguousarray(row).tobytes())

        try:
            add("", dataset.file)
            names: list[str] = []
            dataset.file.visit(names.append)
            for name in sorted(names):
                add(name, dataset.file[name])
        except OSError as error:
            raise UserError(f"{path} is damaged ({name}); see radiance-twin info --check") from error
        return digest.hexdigest()
