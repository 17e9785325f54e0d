# SPDX-License-Identifier: GPL-3.0-or-later
"""The field as voxels that need no network of its size: what the viewport draws, and exported volumes."""
