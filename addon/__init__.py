# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything inside Blender: this package imports bpy, and never torch, numba, h5py or cv2."""

import importlib

# in the order in which they are registered: whatever is used by others comes first
MODULES = (
    "preferences",
    "random_rules",
    "properties",
    "jobs.pump",
    "jobs.viewer",
    "viewport",
    "engine",
    "rig_preview",
    "view_flips",
    "wishes",
    "operators.held_out",
    "operators.render",
    "operators.runtime",
    "operators.doctor",
    "operators.check",
    "operators.train",
    "operators.twin",
    "operators.compare",
    "operators.compare_view",
    "operators.compare_frame",
    "operators.heat_map",
    "operators.fix_it",
    "operators.dataset",
    "operators.export",
    "operators.sample",
    "operators.configuration",
    "operators.randomise",
    "operators.cancel",
    "operators.log",
    "panels.steps",
    "panels.randomise",
    "panels.dataset",
    "panels.compare",
    "panels.compare_view",
    "panels.held_out",
    "panels.twin",
    "panels.doctor",
    "commands",
)


def register() -> None:
    """Make the extension's classes, settings, menus and commands known to Blender."""
    done = []
    try:
        for name in MODULES:
            module = importlib.import_module(f".{name}", __package__)
            module.register()
            done.append(module)
    except BaseException:
        for module in reversed(done):
            module.unregister()
        raise


def unregister() -> None:
    """Stop a running job and take everything back that `register` did."""
    for name in reversed(MODULES):
        importlib.import_module(f".{name}", __package__).unregister()
