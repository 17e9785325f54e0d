# SPDX-License-Identifier: GPL-3.0-or-later
"""The twin held against the live render in the 3D view: wipe, blink, difference, split and loupe."""
