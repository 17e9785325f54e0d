# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that runs anywhere: no module in here imports bpy."""
