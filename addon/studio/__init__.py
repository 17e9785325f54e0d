# SPDX-License-Identifier: GPL-3.0-or-later
"""A scene becomes posed views, in a background Blender of its own; nothing of the user's is touched."""
