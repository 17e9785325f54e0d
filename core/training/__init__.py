# SPDX-License-Identifier: GPL-3.0-or-later
"""A dataset becomes a field."""
