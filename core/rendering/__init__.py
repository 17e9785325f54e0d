# SPDX-License-Identifier: GPL-3.0-or-later
"""The first stage: a scene becomes posed views. What Blender does for it is in addon/studio/."""
