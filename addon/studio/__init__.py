# SPDX-License-Identifier: GPL-3.0-or-later
"""A scene becomes posed views. Runs in a background Blender of its own; no interface, nothing of the user's is touched."""
