# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's part: the background Blender that renders views for its parent (see core/worker/protocol.py)."""

from ... import __version__
from ...core.worker.protocol import serve
from .render import render_views

if __name__ == "__main__":
    serve({"render_views": render_views}, __version__)
