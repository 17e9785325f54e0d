# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's part: renders views and writes volumes for its parent in the background (see core/worker/protocol.py)."""

from ... import __version__
from ...core.worker.protocol import leave, serve
from .bench import bench_views
from .check import check_scene
from .render import render_views
from .volume import write_volume

if __name__ == "__main__":
    serve(
        {
            "render_views": render_views,
            "check_scene": check_scene,
            "bench_views": bench_views,
            "write_volume": write_volume,
        },
        __version__,
        # a view is done when its record is written: the one in work is rendered again
        unheeded=leave,
    )
