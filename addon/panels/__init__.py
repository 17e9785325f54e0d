# SPDX-License-Identifier: GPL-3.0-or-later
"""What people touch in the sidebar: one file a group of panels."""
