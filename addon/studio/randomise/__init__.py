# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of [[randomise]] on a scene: what was drawn is applied, and everything is put back afterwards."""
