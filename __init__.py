# SPDX-License-Identifier: GPL-3.0-or-later
"""Radiance Twin: a scene rendered the classic way, and its neural twin, side by side in Blender.

This folder is at once the Blender extension and the Python package `radiance_twin`. Nothing of Blender is imported
before `register` is called, so that the same tree serves the command line, the worker and the tests.
"""

__version__ = "0.1.0"


def register() -> None:
    """Called by Blender when the extension is enabled."""
    from . import addon

    addon.register()


def unregister() -> None:
    """Called by Blender when the extension is disabled."""
    from . import addon

    addon.unregister()
