# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames from one process to another: a file that both map into memory, with room for two. Numpy alone.

The file starts with one header a room, sequence number, width and height; then the rooms follow, each with the pixels
[height, width, 5] float32: scene-linear premultiplied red, green, blue and alpha, and planar depth in scene units (0
where there is nothing). A frame goes into the room that its number names (even, odd), so that the one before it can
still be read; the room's header is 0 while it is written.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError

F4 = NDArray[np.float32]

HEADER = np.dtype([("sequence", "<u8"), ("width", "<u4"), ("height", "<u4")])
ROOMS = 2
CHANNELS = 5
LARGEST_SIDE = 16384


class FrameFile:
    """The file, mapped. The parent makes it, child and parent open it.

    Raises:
        UserError: it is not there, cannot be mapped, or is too small for one pixel.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        try:
            with open(path, "r+b") as file:
                self._map = mmap.mmap(file.fileno(), 0)
        except (OSError, ValueError) as error:
            raise UserError(f"cannot map the frame file {path} ({error}); is the temporary folder full?") from error
        self._headers = np.frombuffer(self._map, HEADER, ROOMS)
        self._room = (len(self._map) - self._headers.nbytes) // (ROOMS * CHANNELS * 4)
        if self._room < 1:
            self.close()
            raise UserError(f"the frame file {path} has no room for a frame")

    @property
    def last(self) -> int:
        """The highest number of a frame in it, 0 when there is none."""
        return int(self._headers["sequence"].max())

    def write(self, sequence: int, rgba: F4, depth: F4) -> None:
        """Put a frame, [H, W, 4] and [H, W], into the room of its number (1, 2, 3 …).

        Raises:
            UserError: it is too large.
        """
        height, width = depth.shape
        if width * height > self._room:
            raise UserError(f"a frame of {width} x {height} pixels is larger than the file that was made for it")
        header = self._headers[sequence % ROOMS]
        header["sequence"] = 0
        pixels = self._pixels(sequence, width, height)
        pixels[..., :4], pixels[..., 4] = rgba, depth
        header["width"], header["height"] = width, height
        header["sequence"] = sequence

    def read(self, sequence: int) -> tuple[F4, F4] | None:
        """A copy of the frame with this number, rgba [H, W, 4] and depth [H, W]; None when it was replaced."""
        header = self._headers[sequence % ROOMS]
        if int(header["sequence"]) != sequence:
            return None
        width, height = int(header["width"]), int(header["height"])
        if not 0 < width * height <= self._room:
            return None
        pixels = self._pixels(sequence, width, height).copy()
        if int(header["sequence"]) != sequence:
            return None
        return pixels[..., :4], pixels[..., 4]

    def close(self) -> None:
        """Let go of the file."""
        del self._headers
        self._map.close()

    def _pixels(self, sequence: int, width: int, height: int) -> F4:
        offset = ROOMS * HEADER.itemsize + (sequence % ROOMS) * self._room * CHANNELS * 4
        count = width * height * CHANNELS
        return np.frombuffer(self._map, np.float32, count, offset).reshape(height, width, CHANNELS)


def make_frame_file(path: str | os.PathLike[str], size: Sequence[int]) -> None:
    """Make a file with room for frames of up to `size` (width, height).

    Raises:
        UserError: the size makes no sense, or the file cannot be made.
    """
    width, height = (int(side) for side in size)
    if not (0 < width <= LARGEST_SIDE and 0 < height <= LARGEST_SIDE):
        raise UserError(f"a frame of {width} x {height} pixels cannot be made; the largest side is {LARGEST_SIDE}")
    try:
        with open(path, "wb") as file:
            length = ROOMS * (HEADER.itemsize + width * height * CHANNELS * 4)
            # whoever touches a mapped page for which a full disk has no room is killed, Blender with its scene, too
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, length)
            else:
                file.truncate(length)
    except OSError as error:
        raise UserError(
            f"cannot make the frame file {path} ({error.strerror}); is the temporary folder full?"
        ) from error
