# SPDX-License-Identifier: GPL-3.0-or-later
"""Arrays in zip files of anybody: only numbers, and their sizes are checked before memory is taken. Numpy alone."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from .errors import UserError

# far above anything that training writes; below what would exhaust a workstation
LARGEST_ARRAY_BYTES = 2 << 30
# what zipfile says of an archive that is damaged
BROKEN = (zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError, RuntimeError, UnicodeDecodeError)


def read_array(file: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> NDArray[Any]:
    """The array that a member holds as .npy.

    Raises:
        UserError: it is damaged, too large, or no array of numbers.
        OSError, or one of BROKEN: the archive is.
    """
    name = entry.filename
    if entry.file_size > LARGEST_ARRAY_BYTES:
        raise UserError(f"{path}: {name} claims {entry.file_size >> 20} MB, more than is sane; it is not used")
    try:
        with file.open(entry) as member:
            stream = cast(BinaryIO, member)
            version = np.lib.format.read_magic(stream)
            if version == (1, 0):
                shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
            else:
                shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
            count = int(np.prod([int(n) for n in shape], dtype=object)) if shape else 1
            if dtype.hasobject or dtype.kind not in "fiub":
                raise UserError(f"{path}: {name} holds {dtype}, not numbers; it is not used")
            if any(n < 0 for n in shape) or count * dtype.itemsize > entry.file_size:
                raise UserError(f"{path}: {name} is smaller than it claims; train again or fetch it again")
            data = stream.read(count * dtype.itemsize)
            # the last read makes zipfile check the CRC of the whole member
            if len(data) != count * dtype.itemsize or stream.read(1):
                raise UserError(f"{path}: {name} does not have the length it claims; fetch it again")
    except (ValueError, TypeError, SyntaxError, tokenize.TokenError) as error:
        # the head of a .npy is read as if it were Python, and says so
        raise UserError(f"{path}: {name} is damaged; train again or fetch it again") from error
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C").copy()
