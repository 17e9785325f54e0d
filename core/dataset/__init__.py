# SPDX-License-Identifier: GPL-3.0-or-later
"""One .h5 file of posed views: staged, stored, read."""
