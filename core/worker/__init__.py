# SPDX-License-Identifier: GPL-3.0-or-later
"""The protocol between processes, and the worker process itself."""
