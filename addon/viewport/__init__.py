# SPDX-License-Identifier: GPL-3.0-or-later
"""The twin in the 3D view: its object, its textures and how it is drawn."""

from . import draw, twin


def register() -> None:
    twin.register()
    draw.register()


def unregister() -> None:
    draw.unregister()
    twin.unregister()
