# SPDX-License-Identifier: GPL-3.0-or-later
"""Other people's datasets: one module a format, all of which yield the same `PosedImages`."""
