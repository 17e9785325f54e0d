# SPDX-License-Identifier: GPL-3.0-or-later
"""The radiance field: position and direction in, density and radiance out."""
