# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes damage of a dataset noticed when it is read.

HDF5 itself checks most of it: each array carries Fletcher's checksum for each of its chunks (which are views), and the
file format of HDF5 1.10 one for each of its own structures. Long attributes lie outside of both, so that all attributes
together have a SHA-256. Texts are stored with a fixed length: those without one lie in a heap that HDF5 1.14 may go
through for ever when it is damaged.
"""

from __future__ import annotations

import hashlib
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

# the first format with checksums in all structures
FILE_FORMAT = ("v110", "v110")
ATTRIBUTE = "attributes_sha256"


def store_array(group: h5py.Group, name: str, values: NDArray[Any], **packing: Any) -> h5py.Dataset:
    """Make an array that is checked when it is read; `packing` says how it is compressed and cut into chunks."""
    # an array without elements cannot be cut into chunks, and has nothing to be damaged
    checked = {"chunks": True, "fletcher32": True, **packing} if values.size else {}
    return group.create_dataset(name, data=values, **checked)


def hash_of_passes(passes: dict[str, NDArray[Any]]) -> str:
    """The hexadecimal SHA-256 of a view's passes as they are stored."""
    digest = hashlib.sha256()
    for name in sorted(passes):
        digest.update(name.encode() + np.ascontiguousarray(passes[name]).tobytes())
    return digest.hexdigest()


def seal_attributes(file: h5py.File) -> None:
    """Give texts a fixed length, and write down what all attributes are; the last thing that is done to a dataset."""

    def fix(_: str, item: h5py.Group | h5py.Dataset) -> None:
        for key, value in list(item.attrs.items()):
            if isinstance(value, str):
                letters = value.encode()
                item.attrs[key] = np.array(letters, f"S{max(len(letters), 1)}")

    fix("", file)
    file.visititems(fix)
    file.attrs[ATTRIBUTE] = np.bytes_(_hash_of_attributes(file))


def attributes_are_sound(file: h5py.File) -> bool:
    """Whether the attributes are what they were; datasets of earlier versions do not tell."""
    sealed = file.attrs.get(ATTRIBUTE)
    return sealed is None or bytes(sealed).decode("ascii", "replace") == _hash_of_attributes(file)


def read_attributes(item: h5py.Group) -> dict[str, Any]:
    """The attributes by their names, texts as such."""
    return {
        key: value.decode() if isinstance(value, bytes) else value  # a ValueError when it is no text
        for key, value in item.attrs.items()
    }


def _hash_of_attributes(file: h5py.File) -> str:
    digest = hashlib.sha256()

    def add(name: str, item: h5py.Group | h5py.Dataset) -> None:
        for key in sorted(item.attrs):
            if key != ATTRIBUTE:
                digest.update(f"{name}@{key}={np.asarray(item.attrs[key]).tolist()!r}\n".encode())

    add("", file)
    file.visititems(add)
    return digest.hexdigest()
