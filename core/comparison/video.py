# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures as a film that every browser plays: H.264 in MP4, by FFmpeg."""

from __future__ import annotations

import os
from collections.abc import Iterable
from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from numpy.typing import NDArray

# constant quality; 0 is lossless, from about 18 on most people see a difference
CRF = 15


def write_video(path: str | os.PathLike[str], frames: Iterable[NDArray[np.uint8]], rate: int) -> None:
    """Write `frames` [H, W, 3] of one size, both even, `rate` of them a second.

    YUV 4:2:0 with Rec. 709's matrix, marked as such, since players guess what they are not told. The index stands
    first, so that the film starts before all of it is there.

    Raises:
        OSError: the file cannot be written.
    """
    with av.open(os.fspath(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = None
        for number, pixels in enumerate(frames):
            if stream is None:
                stream = container.add_stream("libx264", rate=rate, options={"crf": f"{CRF}", "preset": "slow"})
                stream.height, stream.width = pixels.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.time_base = Fraction(1, rate)
                context = stream.codec_context
                context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
                context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.IEC61966_2_1
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24").reformat(
                format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
            )
            frame.pts = number
            container.mux(stream.encode(frame))
        if stream is not None:
            container.mux(stream.encode(None))
