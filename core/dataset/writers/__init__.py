# SPDX-License-Identifier: GPL-3.0-or-later
"""A dataset in other programs' formats: one file a format, each in that format's own conventions."""
