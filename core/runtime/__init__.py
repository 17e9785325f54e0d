# SPDX-License-Identifier: GPL-3.0-or-later
"""The managed runtime: a Python of our own with PyTorch, outside of Blender and shared by all its versions.

Standard library alone: Blender's own Python runs this, before there is any other.
"""
