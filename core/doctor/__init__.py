# SPDX-License-Identifier: GPL-3.0-or-later
"""Says what is wrong with a machine, each with the remedy, and makes a report of it that may be shown to anybody."""
