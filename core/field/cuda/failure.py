# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong with kernels of our own; plain PyTorch does the work then."""

from __future__ import annotations


class KernelsUnavailable(Exception):
    """Our CUDA kernels cannot be used here; the message is one line that says why.

    Attributes:
        details: a compiler's whole log, or nothing.
    """

    def __init__(self, reason: str, details: str = "") -> None:
        super().__init__(reason)
        self.details = details
