# SPDX-License-Identifier: GPL-3.0-or-later
"""The generator of the kernels in plain Python."""

from __future__ import annotations


def philox(counter: tuple[int, ...], key: tuple[int, int]) -> tuple[int, ...]:
    """Philox4x32-10 in plain Python."""
    x, y, z, w = counter
    first, second = key
    for _ in range(10):
        left, right = x * 0xD2511F53, z * 0xCD9E8D57
        x, y = (right >> 32) ^ y ^ first, right & 0xFFFFFFFF
        z, w = (left >> 32) ^ w ^ second, left & 0xFFFFFFFF
        first, second = (first + 0x9E3779B9) & 0xFFFFFFFF, (second + 0xBB67AE85) & 0xFFFFFFFF
    return x, y, z, w
