# SPDX-License-Identifier: GPL-3.0-or-later
"""The twin in the 3D view: its object, its textures, how it is drawn, and how it is compared with the render."""

from . import draw, instances, redraw, twin
from .compare import gizmo, settings, split, stale, view


def register() -> None:
    twin.register()
    instances.register()
    settings.register()
    draw.register()
    stale.register()
    view.register()
    gizmo.register()


def unregister() -> None:
    gizmo.unregister()
    view.unregister()
    stale.unregister()
    split.unregister()
    draw.unregister()
    settings.unregister()
    instances.unregister()
    twin.unregister()
    redraw.unregister()
